/* authentic.c - see authentic.h. */
#include "firmware/update/authentic.h"

#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>

/* mbedTLS wants PEM with its NUL. */
static int parse_chain(mbedtls_x509_crt *chain, const struct gn_authentic *what)
{
	unsigned char pem[GN_AUTHENTIC_CHAIN + 1];

	if (what->chain_size > GN_AUTHENTIC_CHAIN)
		return -1;
	memcpy(pem, what->chain, what->chain_size);
	pem[what->chain_size] = '\0';
	return mbedtls_x509_crt_parse(chain, pem, what->chain_size + 1);
}

static int check_chain(mbedtls_x509_crt *chain, mbedtls_x509_crt *roots, struct gn_status *status)
{
	char why[256] = "";
	uint32_t flags = 0;

	if (!mbedtls_x509_crt_verify(chain, roots, NULL, NULL, &flags, NULL, NULL)) {
		/* A certificate that names no purpose would pass for every one. */
		if (chain->ext_types & MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE &&
		    !mbedtls_x509_crt_check_extended_key_usage(
		            chain, MBEDTLS_OID_CODE_SIGNING,
		            MBEDTLS_OID_SIZE(MBEDTLS_OID_CODE_SIGNING)))
			return 0;
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "the update's certificate is not one for signing code; sign "
		                     "with one that 'gnomon-ca issue DIR updates NAME' made");
	}
	mbedtls_x509_crt_verify_info(why, sizeof why, "", flags);
	why[strcspn(why, "\n")] = '\0';
	return gn_status_set(status, GN_PERMISSION_DENIED,
	                     "the update is not signed by whom this card trusts: %s; see "
	                     "updates.pem on the card, and its clock",
	                     why[0] ? why : "its chain of certificates is wrong");
}

static int check_signature(mbedtls_pk_context *key, const struct gn_authentic *what,
                           struct gn_status *status)
{
	unsigned char hash[32];

	if (what->signature_size <= GN_AUTHENTIC_SIGNATURE &&
	    mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA) &&
	    !mbedtls_sha256_ret(what->text, what->text_size, hash, 0) &&
	    !mbedtls_pk_verify(key, MBEDTLS_MD_SHA256, hash, sizeof hash, what->signature,
	                       what->signature_size))
		return 0;
	return gn_status_set(status, GN_PERMISSION_DENIED,
	                     "the update's signature does not fit its manifest: it was changed on "
	                     "its way, or is not whole; get it anew");
}

int gn_authentic_check(const struct gn_authentic *what, const char *roots_file,
                       struct gn_status *status)
{
	mbedtls_x509_crt roots, chain;
	int error;

	mbedtls_x509_crt_init(&roots);
	mbedtls_x509_crt_init(&chain);
	if (mbedtls_x509_crt_parse_file(&roots, roots_file))
		error = gn_status_set(status, GN_FAILED_PRECONDITION,
		                      "the card has no roots to check updates with: put your "
		                      "updates.pem at %s",
		                      roots_file);
	else if (parse_chain(&chain, what))
		error = gn_status_set(status, GN_PERMISSION_DENIED,
		                      "the update's certificates cannot be read");
	else
		error = check_chain(&chain, &roots, status);
	if (!error)
		error = check_signature(&chain.pk, what, status);
	mbedtls_x509_crt_free(&chain);
	mbedtls_x509_crt_free(&roots);
	return error;
}

/* ---- hashes -------------------------------------------------------------------------------------
 */

struct gn_digest {
	mbedtls_sha256_context context;
};

struct gn_digest *gn_digest_create(void)
{
	struct gn_digest *digest = calloc(1, sizeof *digest);

	if (digest) {
		mbedtls_sha256_init(&digest->context);
		mbedtls_sha256_starts_ret(&digest->context, 0);
	}
	return digest;
}

void gn_digest_add(struct gn_digest *digest, const void *data, size_t size)
{
	mbedtls_sha256_update_ret(&digest->context, data, size);
}

void gn_digest_end(struct gn_digest *digest, uint8_t out[32])
{
	mbedtls_sha256_finish_ret(&digest->context, out);
}

void gn_digest_destroy(struct gn_digest *digest)
{
	if (!digest)
		return;
	mbedtls_sha256_free(&digest->context);
	free(digest);
}
