/* revoked.h - a root's list of certificates that hold no more, beside the root: operators.pem's is
 * operators.revoked. Text, made by 'gnomon-ca revoke':
 *
 *     gnomon revoked 1
 *     <serial, hexadecimal> <name>
 *     signature <hexadecimal: ECDSA by the root's key over the SHA-256 of all before>
 *
 * Read again whenever the file changes. A list that is damaged, not the root's, or was there and is
 * gone revokes everybody until it is mended: to lose it must not let anybody in. One thread. */
#ifndef GN_PROTO_SIGN_REVOKED_H
#define GN_PROTO_SIGN_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"

struct gn_revoked;

/* Whether the root signed 'data'. */
typedef bool gn_revoked_verify(void *context, const void *data, size_t size,
                               const uint8_t *signature, size_t signature_size);

#define GN_REVOKED_HEADER "gnomon revoked 1\n"
#define GN_REVOKED_MAX    (256u << 10) /* bytes of a list */

/* -EINVAL with a sentence: the list that is there cannot be used. */
int gn_revoked_create(const char *path, gn_revoked_verify *verify, void *context,
                      struct gn_revoked **out, struct gn_status *status);
void gn_revoked_destroy(struct gn_revoked *revoked); /* NULL is fine */

/* True, with UNAUTHENTICATED and a sentence, when it holds no more. */
bool gn_revoked_has(struct gn_revoked *revoked, const uint8_t *serial, size_t size,
                    struct gn_status *status);

#endif
