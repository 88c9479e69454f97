/* authentic.h - whether an update is from whom this card's owner trusts; hashes. The adapter to
 * mbedTLS. One thread an object. */
#ifndef GN_UPDATE_AUTHENTIC_H
#define GN_UPDATE_AUTHENTIC_H

#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"

#define GN_AUTHENTIC_SIGNATURE 160u /* bytes at most, DER up to P-521 */
#define GN_AUTHENTIC_CHAIN     16384u

struct gn_authentic {
	const void *text; /* what is signed */
	size_t text_size;
	const void *signature;
	size_t signature_size;
	const void *chain; /* PEM: the signer's certificate first */
	size_t chain_size;
};

/* Whether the signature is the chain's first certificate's, and that one leads to a root of
 * 'roots_file' (PEM), is valid now, and may sign code. 0, or GN_PERMISSION_DENIED with why not;
 * GN_FAILED_PRECONDITION when the card has no roots. */
int gn_authentic_check(const struct gn_authentic *what, const char *roots_file,
                       struct gn_status *status);

/* SHA-256 of what comes in parts. */
struct gn_digest;
struct gn_digest *gn_digest_create(void); /* NULL: no memory */
void gn_digest_add(struct gn_digest *digest, const void *data, size_t size);
void gn_digest_end(struct gn_digest *digest, uint8_t out[32]);
void gn_digest_destroy(struct gn_digest *digest); /* NULL is fine */

#endif
