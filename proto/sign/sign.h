/* sign.h - signatures of requests: who sends, to whom, and that nobody changed anything.
 *
 * nng tells that a TLS peer is verified, not who it is. So a request over TLS carries its sender's
 * certificate and an ECDSA signature over all that it says: identifier, method, deadline, caller,
 * target, counter and body (gn_sign_digest()). Adapter for mbedTLS. One thread per object. */
#ifndef GN_PROTO_SIGN_SIGN_H
#define GN_PROTO_SIGN_SIGN_H

#include "proto/envelope.h"

#define GN_SIGN_DIGEST 32
#define GN_SIGN_NAME   65 /* of a common name, with the NUL */
#define GN_SIGN_ROLE   33

/* SHA-256 of the request's fields in a form of its own, so that no encoding can mean two things. */
void gn_sign_digest(const struct gn_envelope *request, uint8_t digest[GN_SIGN_DIGEST]);

/* ---- sender ---------------------------------------------------------------------------- */

struct gn_signer;
/* PEM texts: our chain, and its EC key. -EINVAL with a sentence. */
int gn_signer_create(const char *cert, const char *key, struct gn_signer **out,
                     struct gn_status *status);
void gn_signer_destroy(struct gn_signer *signer); /* NULL is fine */
/* Sets the request's certificates and signature, which point into 'signer' and live until its next
 * call. -EIO. */
int gn_signer_sign(struct gn_signer *signer, struct gn_envelope *request);

/* ---- receiver -------------------------------------------------------------------------- */

/* Who signed, as the certificate says. */
struct gn_sign_identity {
	char name[GN_SIGN_NAME];     /* the common name */
	char role[GN_SIGN_ROLE];     /* the organisational unit; "" when it has none */
	uint8_t key[GN_SIGN_DIGEST]; /* SHA-256 of the public key: a signer's counter is its own */
};

struct gn_verifier;
/* 'root' and 'own' are PEM texts: who signs our senders, and whom they must mean. 'revoked_path' is
 * looked at again whenever it changes; a file that is not there revokes nobody. */
int gn_verifier_create(const char *root, const char *own, const char *revoked_path,
                       struct gn_verifier **out, struct gn_status *status);
void gn_verifier_destroy(struct gn_verifier *verifier); /* NULL is fine */

/* 0, or a negative errno and UNAUTHENTICATED with a sentence that begins with the kind of reason:
 * "not signed", "forged", "unknown signer", "expired signer", "revoked signer", "wrong target". */
int gn_verifier_check(struct gn_verifier *verifier, const struct gn_envelope *request,
                      const uint8_t digest[GN_SIGN_DIGEST], struct gn_sign_identity *who,
                      struct gn_status *status);

#endif
