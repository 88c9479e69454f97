/* seal.h - the audit log's cryptography: SHA-256, and ECDSA by the card's key. Adapter for mbedTLS.
 * One thread per object. */
#ifndef GN_AUDIT_SEAL_H
#define GN_AUDIT_SEAL_H

#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"

#define GN_SEAL_HASH 32
#define GN_SEAL_MAX  160 /* bytes of a signature, at most */

void gn_seal_hash(const void *data, size_t size, uint8_t hash[GN_SEAL_HASH]);

struct gn_sealer;
/* Reads the private key (PEM, EC). 0 or a negative errno with a sentence. */
int gn_sealer_create(const char *key_path, struct gn_sealer **out, struct gn_status *status);
/* 0, or -EIO. */
int gn_sealer_sign(struct gn_sealer *sealer, const uint8_t hash[GN_SEAL_HASH],
                   uint8_t signature[GN_SEAL_MAX], size_t *size);
void gn_sealer_destroy(struct gn_sealer *sealer); /* NULL is fine */

struct gn_seal_verifier;
/* Takes a certificate (PEM text) that the root in 'ca_path' signed. 0 or a negative errno with a
 * sentence. Its dates are not looked at: a log outlives its certificate. */
int gn_seal_verifier_create(const char *certificate, const char *ca_path,
                            struct gn_seal_verifier **out, struct gn_status *status);
/* 0 when the signature is the card's, else -EBADMSG. */
int gn_seal_verify(struct gn_seal_verifier *verifier, const uint8_t hash[GN_SEAL_HASH],
                   const uint8_t *signature, size_t size);
void gn_seal_verifier_destroy(struct gn_seal_verifier *verifier); /* NULL is fine */

#endif
