/* model_test.c - only a pack that is whole and signed by the right key is loaded. */
#include "firmware/model/model.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

#include "firmware/predict/features.h"

#define DEPTH     2
#define PACK_SIZE (sizeof(struct gn_pack_header) + 4 + 8 + 32)

static char folder[] = "/tmp/gn-model-XXXXXX";
static char key_path[64], other_path[64], pack_path[64];
static uint8_t file_bytes[PACK_SIZE + 8 + 160];
static size_t file_size;

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

static void make_pack(uint8_t *bytes)
{
	struct gn_pack_header header = {
	        .magic = GN_PACK_MAGIC,
	        .version = GN_PACK_VERSION,
	        .features_version = GN_FEATURES_VERSION,
	        .n_features = GN_N_FEATURES,
	        .n_trees = 1,
	        .depth = DEPTH,
	        .serial = 7,
	        .name = "test",
	};

	memset(bytes, 0, PACK_SIZE);
	memcpy(bytes, &header, sizeof(header));
}

/* A new key, its public half in 'path'; signs the pack when 'sign'. */
static void make_key(mbedtls_ctr_drbg_context *random, const char *path, bool sign)
{
	mbedtls_pk_context key;
	unsigned char pem[1024], hash[32];
	size_t length;

	mbedtls_pk_init(&key);
	assert_int_equal(mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
	assert_int_equal(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key),
	                                     mbedtls_ctr_drbg_random, random),
	                 0);
	assert_int_equal(mbedtls_pk_write_pubkey_pem(&key, pem, sizeof(pem)), 0);
	write_file(path, pem, strlen((char *)pem));
	if (sign) {
		uint8_t *trailer = file_bytes + PACK_SIZE;

		mbedtls_sha256_ret(file_bytes, PACK_SIZE, hash, 0);
		assert_int_equal(mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, hash, 32, trailer + 8,
		                                 &length, mbedtls_ctr_drbg_random, random),
		                 0);
		memcpy(trailer, "GNSG\1\0", 6);
		trailer[6] = (uint8_t)length;
		trailer[7] = 0;
		file_size = PACK_SIZE + 8 + length;
	}
	mbedtls_pk_free(&key);
}

static int make_files(void **state)
{
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;

	if (!mkdtemp(folder))
		return -1;
	snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
	snprintf(other_path, sizeof(other_path), "%s/other.pem", folder);
	snprintf(pack_path, sizeof(pack_path), "%s/pack", folder);
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
	make_pack(file_bytes);
	make_key(&random, key_path, true);
	make_key(&random, other_path, false);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
	return 0;
}

static int remove_files(void **state)
{
	unlink(key_path);
	unlink(other_path);
	unlink(pack_path);
	return rmdir(folder);
}

static void a_signed_pack_is_loaded(void **state)
{
	struct gn_model *model = NULL;
	struct gn_status status;

	write_file(pack_path, file_bytes, file_size);
	assert_int_equal(gn_model_load(pack_path, key_path, &model, &status), 0);
	assert_int_equal(model->pack.header.serial, 7);
	gn_model_destroy(model);
	gn_model_destroy(NULL);
}

static void every_changed_byte_is_noticed(void **state)
{
	for (size_t i = 0; i < file_size; i++) {
		struct gn_model *model = NULL;
		struct gn_status status;

		file_bytes[i] ^= 0x10;
		assert_true(gn_model_from_bytes(file_bytes, file_size, key_path, "x", &model,
		                                &status) < 0);
		assert_null(model);
		file_bytes[i] ^= 0x10;
		assert_true(gn_model_from_bytes(file_bytes, i, key_path, "x", &model, &status) < 0);
	}
}

static void says_what_is_wrong(void **state)
{
	struct gn_model *model = NULL;
	struct gn_status status;

	assert_true(gn_model_from_bytes(file_bytes, file_size, other_path, "x", &model, &status) <
	            0);
	assert_int_equal(status.code, GN_UNAUTHENTICATED);
	assert_true(gn_model_from_bytes(file_bytes, PACK_SIZE, key_path, "x", &model, &status) < 0);
	assert_non_null(strstr(status.message, "not signed"));
	assert_true(gn_model_from_bytes(file_bytes, file_size, "/none", "x", &model, &status) < 0);
	assert_non_null(strstr(status.message, "/none"));
	assert_true(gn_model_from_bytes(file_bytes, file_size, pack_path, "x", &model, &status) <
	            0);
	assert_non_null(strstr(status.message, "PEM"));
	assert_true(gn_model_load("/none", key_path, &model, &status) < 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
}

/* The shipped pack is whole, signed by the shipped key, and within what a card can hold. */
static void the_shipped_pack_is_good(void **state)
{
	struct gn_model *model = NULL;
	struct gn_status status = {.message = ""};

	assert_int_equal(gn_model_load("firmware/model/default.pack", "firmware/model/default.pem",
	                               &model, &status),
	                 0);
	assert_true(model->pack.size <= 256 << 10);
	gn_model_destroy(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_signed_pack_is_loaded),
	        cmocka_unit_test(every_changed_byte_is_noticed),
	        cmocka_unit_test(says_what_is_wrong),
	        cmocka_unit_test(the_shipped_pack_is_good),
	};
	return cmocka_run_group_tests_name("model", tests, make_files, remove_files);
}
