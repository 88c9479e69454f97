/* sign.c - see sign.h. */
#include "proto/sign/sign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>

#include "proto/sign/revoked.h"

#define N_CACHED 16 /* signers whose chain need not be verified again */

/* ---- what is signed ------------------------------------------------------------------------ */

static void add(mbedtls_sha256_context *hash, const void *data, uint64_t size)
{
	uint8_t length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)(size >> (56 - 8 * i));
	mbedtls_sha256_update_ret(hash, length, sizeof length);
	if (size && data)
		mbedtls_sha256_update_ret(hash, data, size);
}

static void add_text(mbedtls_sha256_context *hash, const char *text)
{
	add(hash, text, strlen(text));
}

void gn_sign_digest(const struct gn_envelope *request, uint8_t digest[GN_SIGN_DIGEST])
{
	mbedtls_sha256_context hash;

	mbedtls_sha256_init(&hash);
	mbedtls_sha256_starts_ret(&hash, 0);
	add_text(&hash, "gnomon request 1");
	add_text(&hash, request->id);
	add_text(&hash, request->method);
	add_text(&hash, request->caller);
	add_text(&hash, request->target);
	add(&hash, NULL, request->deadline_us);
	add(&hash, NULL, request->counter);
	add(&hash, request->body, request->body_size);
	mbedtls_sha256_finish_ret(&hash, digest);
	mbedtls_sha256_free(&hash);
}

static void hash_of(const void *data, size_t size, uint8_t hash[GN_SIGN_DIGEST])
{
	mbedtls_sha256_ret(data, size, hash, 0);
}

/* ---- sender ---------------------------------------------------------------------------------- */

struct gn_signer {
	mbedtls_pk_context key;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt chain;
	uint8_t signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
};

static int load_signer(struct gn_signer *signer, const char *cert, const char *key)
{
	return mbedtls_ctr_drbg_seed(&signer->random, mbedtls_entropy_func, &signer->entropy, NULL,
	                             0) ||
	                       mbedtls_pk_parse_key(&signer->key, (const unsigned char *)key,
	                                            strlen(key) + 1, NULL, 0) ||
	                       !mbedtls_pk_can_do(&signer->key, MBEDTLS_PK_ECDSA) ||
	                       mbedtls_x509_crt_parse(&signer->chain, (const unsigned char *)cert,
	                                              strlen(cert) + 1)
	               ? -EINVAL
	               : 0;
}

int gn_signer_create(const char *cert, const char *key, struct gn_signer **out,
                     struct gn_status *status)
{
	struct gn_signer *signer = calloc(1, sizeof *signer);

	if (!signer)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	mbedtls_pk_init(&signer->key);
	mbedtls_entropy_init(&signer->entropy);
	mbedtls_ctr_drbg_init(&signer->random);
	mbedtls_x509_crt_init(&signer->chain);
	if (load_signer(signer, cert, key)) {
		gn_signer_destroy(signer);
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "requests cannot be signed: the key must be an EC key, as "
		                     "'gnomon-ca issue' makes it");
	}
	*out = signer;
	return 0;
}

void gn_signer_destroy(struct gn_signer *signer)
{
	if (!signer)
		return;
	mbedtls_x509_crt_free(&signer->chain);
	mbedtls_pk_free(&signer->key);
	mbedtls_ctr_drbg_free(&signer->random);
	mbedtls_entropy_free(&signer->entropy);
	free(signer);
}

int gn_signer_sign(struct gn_signer *signer, struct gn_envelope *request)
{
	uint8_t digest[GN_SIGN_DIGEST];

	request->n_certificates = 0;
	for (const mbedtls_x509_crt *crt = &signer->chain;
	     crt && crt->raw.len && request->n_certificates < GN_ENVELOPE_CERTIFICATES;
	     crt = crt->next)
		request->certificates[request->n_certificates++] =
		        (struct gn_envelope_bytes){crt->raw.p, crt->raw.len};
	gn_sign_digest(request, digest);
	request->signature.data = signer->signature;
	return mbedtls_pk_sign(&signer->key, MBEDTLS_MD_SHA256, digest, sizeof digest,
	                       signer->signature, &request->signature.size, mbedtls_ctr_drbg_random,
	                       &signer->random)
	               ? -EIO
	               : 0;
}

/* ---- receiver -------------------------------------------------------------------------------- */

/* A chain that was verified; its dates and its revocation are looked at every time. */
struct known {
	uint8_t hash[GN_SIGN_DIGEST]; /* of the leaf */
	mbedtls_x509_crt chain;
	bool is_set;
};

struct gn_verifier {
	mbedtls_x509_crt root, own;
	struct gn_revoked *revoked;
	struct known known[N_CACHED];
	unsigned next; /* to be replaced */
};

static bool is_by_root(void *context, const void *data, size_t size, const uint8_t *signature,
                       size_t signature_size)
{
	struct gn_verifier *verifier = context;
	uint8_t hash[GN_SIGN_DIGEST];

	hash_of(data, size, hash);
	return !mbedtls_pk_verify(&verifier->root.pk, MBEDTLS_MD_SHA256, hash, sizeof hash,
	                          signature, signature_size);
}

int gn_verifier_create(const char *root, const char *own, const char *revoked_path,
                       struct gn_verifier **out, struct gn_status *status)
{
	struct gn_verifier *verifier = calloc(1, sizeof *verifier);
	int error;

	if (!verifier)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	mbedtls_x509_crt_init(&verifier->root);
	mbedtls_x509_crt_init(&verifier->own);
	if (mbedtls_x509_crt_parse(&verifier->root, (const unsigned char *)root,
	                           strlen(root) + 1) ||
	    mbedtls_x509_crt_parse(&verifier->own, (const unsigned char *)own, strlen(own) + 1))
		error = gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "requests cannot be verified: the root or our own certificate "
		        "is not usable PEM");
	else
		error = gn_revoked_create(revoked_path, is_by_root, verifier, &verifier->revoked,
		                          status);
	if (error)
		gn_verifier_destroy(verifier);
	else
		*out = verifier;
	return error;
}

void gn_verifier_destroy(struct gn_verifier *verifier)
{
	if (!verifier)
		return;
	for (unsigned i = 0; i < N_CACHED; i++)
		if (verifier->known[i].is_set)
			mbedtls_x509_crt_free(&verifier->known[i].chain);
	gn_revoked_destroy(verifier->revoked);
	mbedtls_x509_crt_free(&verifier->root);
	mbedtls_x509_crt_free(&verifier->own);
	free(verifier);
}

static int refuse(struct gn_status *status, const char *kind, const char *text)
{
	gn_status_set(status, GN_UNAUTHENTICATED, "%s: %s", kind, text);
	return -EACCES;
}

static bool names(const mbedtls_x509_buf *name, const char *text)
{
	const char *pattern = (const char *)name->p, *dot = strchr(text, '.');
	size_t size = name->len;

	if (size > 2 && !strncmp(pattern, "*.", 2) && dot) { /* any one first label */
		pattern++;
		size--;
		text = dot;
	}
	return size == strlen(text) && !strncasecmp(pattern, text, size);
}

static void take_subject(const mbedtls_x509_crt *crt, const char *oid, size_t oid_size, char *out,
                         size_t room)
{
	out[0] = '\0';
	for (const mbedtls_x509_name *part = &crt->subject; part; part = part->next) {
		if (part->oid.len != oid_size || memcmp(part->oid.p, oid, oid_size))
			continue;
		snprintf(out, room, "%.*s", (int)part->val.len, (const char *)part->val.p);
	}
	for (char *c = out; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '_';
}

/* Is one of our certificate's names the one that the sender meant? */
static bool is_meant(const struct gn_verifier *verifier, const char *target)
{
	char name[GN_SIGN_NAME];

	for (const mbedtls_x509_sequence *san = &verifier->own.subject_alt_names; san;
	     san = san->next)
		if ((san->buf.tag & 0x1f) == 2 && names(&san->buf, target)) /* dNSName */
			return true;
	take_subject(&verifier->own, MBEDTLS_OID_AT_CN, MBEDTLS_OID_SIZE(MBEDTLS_OID_AT_CN), name,
	             sizeof name);
	return name[0] && !strcasecmp(name, target);
}

static int parse_chain(const struct gn_envelope *request, mbedtls_x509_crt *chain)
{
	int error = 0;

	mbedtls_x509_crt_init(chain);
	for (size_t i = 0; i < request->n_certificates && !error; i++)
		error = mbedtls_x509_crt_parse_der(chain, request->certificates[i].data,
		                                   request->certificates[i].size);
	if (error)
		mbedtls_x509_crt_free(chain);
	return error;
}

static int verify_chain(struct gn_verifier *verifier, mbedtls_x509_crt *chain,
                        struct gn_status *status)
{
	uint32_t flags = 0;

	if (!mbedtls_x509_crt_verify(chain, &verifier->root, NULL, NULL, &flags, NULL, NULL)) {
		if (!mbedtls_x509_crt_check_extended_key_usage(
		            chain, MBEDTLS_OID_CLIENT_AUTH,
		            MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)))
			return 0;
		return refuse(status, "unknown signer",
		              "its certificate is not for those who command");
	}
	if (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
		return refuse(status, "expired signer",
		              "its certificate is out of its dates: issue a new one, or set the "
		              "clocks");
	return refuse(status, "unknown signer",
	              "its certificate was not issued by the root that is trusted here");
}

static int find_chain(struct gn_verifier *verifier, const struct gn_envelope *request,
                      mbedtls_x509_crt **out, struct gn_status *status)
{
	uint8_t hash[GN_SIGN_DIGEST];
	mbedtls_x509_crt chain;
	struct known *slot;
	int error;

	hash_of(request->certificates[0].data, request->certificates[0].size, hash);
	for (unsigned i = 0; i < N_CACHED; i++) {
		slot = &verifier->known[i];
		if (!slot->is_set || memcmp(slot->hash, hash, sizeof hash))
			continue;
		*out = &slot->chain;
		return mbedtls_x509_time_is_past(&slot->chain.valid_to)
		               ? refuse(status, "expired signer",
		                        "its certificate has expired: issue a new one")
		               : 0;
	}
	if (parse_chain(request, &chain))
		return refuse(status, "unknown signer", "its certificate cannot be read");
	error = verify_chain(verifier, &chain, status);
	if (error) {
		mbedtls_x509_crt_free(&chain);
		return error;
	}
	slot = &verifier->known[verifier->next++ % N_CACHED];
	if (slot->is_set)
		mbedtls_x509_crt_free(&slot->chain);
	slot->chain = chain;
	slot->is_set = true;
	memcpy(slot->hash, hash, sizeof hash);
	*out = &slot->chain;
	return 0;
}

static void identify(const mbedtls_x509_crt *crt, struct gn_sign_identity *who)
{
	take_subject(crt, MBEDTLS_OID_AT_CN, MBEDTLS_OID_SIZE(MBEDTLS_OID_AT_CN), who->name,
	             sizeof who->name);
	take_subject(crt, MBEDTLS_OID_AT_ORG_UNIT, MBEDTLS_OID_SIZE(MBEDTLS_OID_AT_ORG_UNIT),
	             who->role, sizeof who->role);
	hash_of(crt->pk_raw.p, crt->pk_raw.len, who->key);
}

int gn_verifier_check(struct gn_verifier *verifier, const struct gn_envelope *request,
                      const uint8_t digest[GN_SIGN_DIGEST], struct gn_sign_identity *who,
                      struct gn_status *status)
{
	mbedtls_x509_crt *chain;
	int error;

	if (!request->n_certificates || !request->signature.size)
		return refuse(status, "not signed",
		              "requests over TLS must be: update the older side");
	error = find_chain(verifier, request, &chain, status);
	if (error)
		return error;
	identify(chain, who);
	if (!mbedtls_pk_can_do(&chain->pk, MBEDTLS_PK_ECDSA) ||
	    mbedtls_pk_verify(&chain->pk, MBEDTLS_MD_SHA256, digest, GN_SIGN_DIGEST,
	                      request->signature.data, request->signature.size))
		return gn_status_set(status, GN_UNAUTHENTICATED,
		                     "forged: the signature is not that of '%s' over this request",
		                     who->name);
	if (gn_revoked_has(verifier->revoked, chain->serial.p, chain->serial.len, status))
		return -EACCES;
	if (!is_meant(verifier, request->target))
		return gn_status_set(
		        status, GN_UNAUTHENTICATED,
		        "wrong target: the request is meant for '%s', which is no name "
		        "of our certificate",
		        request->target);
	return 0;
}
