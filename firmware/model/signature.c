/* signature.c - see signature.h. */
#include "firmware/model/signature.h"

#include <errno.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

static int verify(mbedtls_pk_context *key, const void *data, size_t size, const void *signature,
                  size_t length)
{
	unsigned char hash[32];

	if (!mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA))
		return -EINVAL;
	if (mbedtls_sha256_ret(data, size, hash, 0) != 0)
		return -EIO;
	if (mbedtls_pk_verify(key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, length) != 0)
		return -EBADMSG;
	return 0;
}

int gn_signature_check(const char *key_path, const void *data, size_t size, const void *signature,
                       size_t length)
{
	mbedtls_pk_context key;
	int status;

	mbedtls_pk_init(&key);
	status = mbedtls_pk_parse_public_keyfile(&key, key_path);
	if (status == MBEDTLS_ERR_PK_FILE_IO_ERROR)
		status = -ENOENT;
	else if (status != 0)
		status = -EINVAL;
	else
		status = verify(&key, data, size, signature, length);
	mbedtls_pk_free(&key);
	return status;
}
