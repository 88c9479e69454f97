/* crypto.c - see crypto.h. */
#include "firmware/console/crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

void gn_crypto_random(void *out, size_t size)
{
	uint8_t *at = out;

	while (size) {
		ssize_t n = getrandom(at, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		at += n;
		size -= (size_t)n;
	}
}

int gn_crypto_password_hash(const char *password, const uint8_t *salt, size_t salt_size,
                            uint32_t iterations, uint8_t out[32])
{
	mbedtls_md_context_t md;
	int rc;

	mbedtls_md_init(&md);
	rc = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1);
	if (!rc)
		rc = mbedtls_pkcs5_pbkdf2_hmac(&md, (const uint8_t *)password, strlen(password),
		                               salt, salt_size, iterations, 32, out);
	mbedtls_md_free(&md);
	return rc ? -ENOMEM : 0;
}

void gn_crypto_sha256(const void *data, size_t size, uint8_t out[32])
{
	mbedtls_sha256_ret(data, size, out, 0);
}

uint32_t gn_crypto_totp(const uint8_t *secret, size_t size, uint64_t step)
{
	uint8_t message[8], mac[20];
	const uint8_t *at;
	uint32_t value;

	for (int i = 0; i < 8; i++)
		message[i] = (uint8_t)(step >> (56 - 8 * i));
	if (mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), secret, size, message,
	                    sizeof message, mac))
		abort(); /* only without SHA-1 in the library */
	at = mac + (mac[19] & 15);
	value = (uint32_t)(at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
	        at[3];
	return value % 1000000;
}

bool gn_crypto_equal(const void *a, const void *b, size_t size)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t difference = 0;

	while (size--)
		difference |= *x++ ^ *y++;
	return !difference;
}

void gn_crypto_wipe(void *data, size_t size)
{
	mbedtls_platform_zeroize(data, size);
}
