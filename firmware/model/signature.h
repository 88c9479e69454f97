/* signature.h - checks an ECDSA signature with a public key file; the adapter to mbedTLS. */
#ifndef GN_MODEL_SIGNATURE_H
#define GN_MODEL_SIGNATURE_H

#include <stddef.h>

#define GN_SIGNATURE_MAX 160 /* DER, up to P-521 */

/* Whether 'signature' is one over SHA-256 of 'data' by the key in 'key_path' (PEM). Returns 0;
 * -EBADMSG when it is not; -ENOENT, -EINVAL when the key cannot be used. */
int gn_signature_check(const char *key_path, const void *data, size_t size, const void *signature,
                       size_t length);

#endif
