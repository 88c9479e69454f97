/* seal.c - see seal.h. */
#include "firmware/audit/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>

struct gn_sealer {
	mbedtls_pk_context key;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
};

struct gn_seal_verifier {
	mbedtls_x509_crt card, root;
};

void gn_seal_hash(const void *data, size_t size, uint8_t hash[GN_SEAL_HASH])
{
	mbedtls_sha256_ret(data, size, hash, 0);
}

int gn_sealer_create(const char *key_path, struct gn_sealer **out, struct gn_status *status)
{
	struct gn_sealer *sealer = calloc(1, sizeof *sealer);

	if (!sealer)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	mbedtls_pk_init(&sealer->key);
	mbedtls_entropy_init(&sealer->entropy);
	mbedtls_ctr_drbg_init(&sealer->random);
	if (mbedtls_ctr_drbg_seed(&sealer->random, mbedtls_entropy_func, &sealer->entropy, NULL,
	                          0) ||
	    mbedtls_pk_parse_keyfile(&sealer->key, key_path, NULL) ||
	    !mbedtls_pk_can_do(&sealer->key, MBEDTLS_PK_ECDSA)) {
		gn_sealer_destroy(sealer);
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' is no EC private key in PEM, so the audit log cannot be "
		                     "signed: give one as 'gnomon-ca issue' makes it",
		                     key_path);
	}
	*out = sealer;
	return 0;
}

int gn_sealer_sign(struct gn_sealer *sealer, const uint8_t hash[GN_SEAL_HASH],
                   uint8_t signature[GN_SEAL_MAX], size_t *size)
{
	return mbedtls_pk_sign(&sealer->key, MBEDTLS_MD_SHA256, hash, GN_SEAL_HASH, signature, size,
	                       mbedtls_ctr_drbg_random, &sealer->random)
	               ? -EIO
	               : 0;
}

void gn_sealer_destroy(struct gn_sealer *sealer)
{
	if (!sealer)
		return;
	mbedtls_pk_free(&sealer->key);
	mbedtls_ctr_drbg_free(&sealer->random);
	mbedtls_entropy_free(&sealer->entropy);
	free(sealer);
}

/* A log outlives its certificate: what was signed then is not wrong now. */
static int ignore_dates(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	(void)context;
	(void)certificate;
	(void)depth;
	*flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
	return 0;
}

int gn_seal_verifier_create(const char *certificate, const char *ca_path,
                            struct gn_seal_verifier **out, struct gn_status *status)
{
	struct gn_seal_verifier *verifier = calloc(1, sizeof *verifier);
	uint32_t flags = 0;
	int error = 0;

	if (!verifier)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	mbedtls_x509_crt_init(&verifier->card);
	mbedtls_x509_crt_init(&verifier->root);
	if (mbedtls_x509_crt_parse_file(&verifier->root, ca_path))
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "the root '%s' cannot be read as PEM certificates", ca_path);
	else if (mbedtls_x509_crt_parse(&verifier->card, (const unsigned char *)certificate,
	                                strlen(certificate) + 1))
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "the card's certificate cannot be read as PEM");
	else if (mbedtls_x509_crt_verify(&verifier->card, &verifier->root, NULL, NULL, &flags,
	                                 ignore_dates, NULL))
		error = gn_status_set(status, GN_UNAUTHENTICATED,
		                      "the card's certificate is not signed by the root '%s'",
		                      ca_path);
	if (error)
		gn_seal_verifier_destroy(verifier);
	else
		*out = verifier;
	return error;
}

int gn_seal_verify(struct gn_seal_verifier *verifier, const uint8_t hash[GN_SEAL_HASH],
                   const uint8_t *signature, size_t size)
{
	return mbedtls_pk_verify(&verifier->card.pk, MBEDTLS_MD_SHA256, hash, GN_SEAL_HASH,
	                         signature, size)
	               ? -EBADMSG
	               : 0;
}

void gn_seal_verifier_destroy(struct gn_seal_verifier *verifier)
{
	if (!verifier)
		return;
	mbedtls_x509_crt_free(&verifier->card);
	mbedtls_x509_crt_free(&verifier->root);
	free(verifier);
}
