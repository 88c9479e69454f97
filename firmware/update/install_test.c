/* install_test.c - an install step by step, with signatures of a real CA, on a disk whose power is
 * cut at every write. */
#include "firmware/update/fake_disk.h"
#include "firmware/update/install.h"
#include "tools/ca/ca.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

#define IMAGE_BYTES (10u << 20)
#define PIECE       (GN_INSTALL_DATA_MAX)

static char directory[64], roots[128];
static unsigned char *old_image, *new_image;

/* An update file's parts. */
struct offer {
	char manifest[512], chain[4096];
	unsigned char signature[GN_AUTHENTIC_SIGNATURE];
	struct gn_authentic what;
};

static size_t read_file(const char *name, char *out, size_t size)
{
	char path[400];
	FILE *file;
	size_t n;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(out, 1, size, file);
	fclose(file);
	return n;
}

/* Signs with DIR/'signer'.key. */
static void sign(struct offer *o, const char *signer)
{
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_pk_context key;
	unsigned char hash[32];
	char path[128], name[64];
	size_t n;

	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_pk_init(&key);
	mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
	snprintf(path, sizeof path, "%s/%s.key", directory, signer);
	assert_int_equal(mbedtls_pk_parse_keyfile(&key, path, NULL), 0);
	mbedtls_sha256_ret((unsigned char *)o->manifest, strlen(o->manifest), hash, 0);
	assert_int_equal(mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, hash, sizeof hash, o->signature,
	                                 &n, mbedtls_ctr_drbg_random, &random),
	                 0);
	mbedtls_pk_free(&key);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
	snprintf(name, sizeof name, "%s.pem", signer);
	o->what = (struct gn_authentic){.text = o->manifest,
	                                .text_size = strlen(o->manifest),
	                                .signature = o->signature,
	                                .signature_size = n,
	                                .chain = o->chain,
	                                .chain_size = read_file(name, o->chain, sizeof o->chain)};
}

static void make_offer(struct offer *o, const char *board, unsigned security, const char *signer)
{
	unsigned char digest[32];
	int n = snprintf(o->manifest, sizeof o->manifest,
	                 "gnomon-update 1\nboard %s\nversion 2.0\nsecurity %u\nvalid 1 4000000000\n"
	                 "image %u ",
	                 board, security, IMAGE_BYTES);

	mbedtls_sha256_ret(new_image, IMAGE_BYTES, digest, 0);
	for (int i = 0; i < 32; i++)
		n += snprintf(o->manifest + n, sizeof o->manifest - (size_t)n, "%02x", digest[i]);
	snprintf(o->manifest + n, sizeof o->manifest - (size_t)n, "\n");
	sign(o, signer);
}

static uint64_t now_us(void)
{
	return (uint64_t)time(NULL) * 1000000u;
}

/* A card with a good image in slot a. */
static struct gn_disk *new_card(void)
{
	struct gn_disk *disk = fake_disk_create();
	struct gn_slots slots;

	gn_slots_init(&slots, 0, "1.0", 4);
	gn_slots_encode(&slots, disk->environment);
	memcpy(disk->slots[0], old_image, IMAGE_BYTES);
	return disk;
}

static unsigned boot(struct gn_disk *disk)
{
	struct gn_slots slots;
	unsigned slot;

	assert_true(gn_slots_decode(disk->environment, &slots));
	slot = gn_slots_boot(&slots);
	gn_slots_encode(&slots, disk->environment);
	return slot;
}

static int open_card(struct gn_install *install, struct gn_disk *disk, unsigned running)
{
	const struct gn_install_card card = {"gnomon,test", roots, running, "1.0", 4};
	struct gn_status status;

	return gn_install_open(install, &card, disk, now_us(), &status);
}

/* Goes on where the card says; 0 when the slot has become one on trial. */
static int install_all(struct gn_install *install, const struct offer *offer)
{
	struct gn_status status;
	int error = gn_install_begin(install, &offer->what, now_us(), &status);

	while (!error && install->offset < IMAGE_BYTES) {
		uint64_t at = install->offset, left = IMAGE_BYTES - at;

		error = gn_install_write(install, at, new_image + at, left < PIECE ? left : PIECE,
		                         &status);
	}
	if (!error)
		error = gn_install_finish(install, &status);
	while (!error && install->phase == GN_INSTALL_CHECKING)
		gn_install_step(install, now_us());
	return error ? error : install->trouble[0] ? -1 : 0;
}

static bool is_whole(const struct gn_disk *disk, unsigned slot)
{
	return !memcmp(disk->slots[slot], slot ? new_image : old_image, IMAGE_BYTES);
}

static void test_installs(void **state)
{
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct gn_status status;
	struct offer offer;

	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	assert_int_equal(open_card(&install, disk, boot(disk)), 0);
	assert_int_equal(install_all(&install, &offer), 0);
	assert_int_equal(boot(disk), 1);
	assert_true(is_whole(disk, 1));
	gn_install_close(&install);
	open_card(&install, disk, 1);
	assert_int_not_equal(gn_install_begin(&install, &offer.what, now_us(), &status), 0);
	assert_non_null(strstr(status.message, "only way back"));
	assert_int_equal(gn_install_good(&install, now_us(), &status), 0);
	assert_non_null(strstr(disk->history[disk->n_history - 1], "b 2.0 is good"));
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

/* Before anything is written. */
static void test_refuses(void **state)
{
	static const struct {
		const char *board, *signer, *says;
		unsigned security, break_at; /* a byte of the manifest; 0: none */
	} cases[] = {
	        {"gnomon,other", "updates/dev", "another board", 4, 0},
	        {"gnomon,test", "updates/dev", "older", 3, 0},
	        {"gnomon,test", "operators/mallory", "not signed by whom", 4, 0},
	        {"gnomon,test", "updates/dev", "does not fit its manifest", 4, 40},
	};
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct gn_status status;
	struct offer offer;

	open_card(&install, disk, 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		make_offer(&offer, cases[i].board, cases[i].security, cases[i].signer);
		if (cases[i].break_at)
			offer.manifest[cases[i].break_at]++;
		assert_int_not_equal(gn_install_begin(&install, &offer.what, now_us(), &status), 0);
		assert_non_null(strstr(status.message, cases[i].says));
		assert_int_equal(disk->n_writes, 0);
	}
	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	assert_int_not_equal(gn_install_begin(&install, &offer.what, 0, &status), 0);
	assert_non_null(strstr(status.message, "not valid yet"));
	assert_int_not_equal(
	        gn_install_begin(&install, &offer.what, 4000000000ull * 1000000, &status), 0);
	assert_non_null(strstr(status.message, "expired"));
	assert_int_equal(disk->n_writes, 0);
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

static void test_refuses_what_does_not_follow(void **state)
{
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct gn_status status;
	struct offer offer;

	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	open_card(&install, disk, 0);
	assert_true(gn_install_write(&install, 0, new_image, PIECE, &status) < 0);
	assert_true(gn_install_finish(&install, &status) < 0);
	gn_install_begin(&install, &offer.what, now_us(), &status);
	assert_true(gn_install_write(&install, 1, new_image, PIECE, &status) < 0);
	assert_true(gn_install_write(&install, 0, new_image, PIECE + 1, &status) < 0);
	assert_true(gn_install_write(&install, 0, new_image, 0, &status) < 0);
	assert_true(gn_install_finish(&install, &status) < 0);
	assert_non_null(strstr(status.message, "not whole"));
	assert_int_equal(boot(disk), 0);
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

/* One byte changed on the way, at many places: the slot is never tried, and the next attempt with
 * the right bytes succeeds. */
static void test_a_tampered_byte(void **state)
{
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct offer offer;

	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	open_card(&install, disk, 0);
	for (unsigned i = 0; i < 12; i++) {
		size_t at = i == 11 ? IMAGE_BYTES - 1 : (size_t)i * (IMAGE_BYTES / 11) + i;

		new_image[at] ^= 1;
		assert_int_not_equal(install_all(&install, &offer), 0);
		new_image[at] ^= 1;
		assert_non_null(strstr(install.trouble, "not what was signed"));
		assert_int_equal(install.slots.slots[1].state, GN_SLOT_EMPTY);
		assert_int_equal(boot(disk), 0);
	}
	assert_int_equal(install_all(&install, &offer), 0);
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

/* Power is cut at write 1, 2 ... until an install gets through: then and ever the card boots a
 * slot that is whole, and the same update, begun again, ends well. */
static void test_power_cut_at_every_write(void **state)
{
	struct offer offer;
	bool through = false;

	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	for (unsigned n = 0; !through; n++) {
		struct gn_disk *disk = new_card();
		struct gn_install install;
		struct gn_status status;
		unsigned running;

		open_card(&install, disk, boot(disk));
		disk->n_until_cut = n;
		through = !install_all(&install, &offer) && disk->n_until_cut;
		gn_install_close(&install);
		fake_disk_power_on(disk);
		running = boot(disk);
		assert_true(is_whole(disk, running));
		assert_int_equal(open_card(&install, disk, running), 0);
		if (running == 0) {
			assert_int_equal(install_all(&install, &offer), 0);
			gn_install_close(&install);
			running = boot(disk);
			assert_int_equal(running, 1);
			assert_true(is_whole(disk, 1));
			open_card(&install, disk, 1);
		}
		/* Marking it good is one write more: cut there as well, then for real. */
		disk->n_until_cut = 0;
		assert_int_not_equal(gn_install_good(&install, now_us(), &status), 0);
		fake_disk_power_on(disk);
		gn_install_close(&install);
		running = boot(disk);
		assert_true(is_whole(disk, running));
		open_card(&install, disk, running);
		assert_int_equal(gn_install_good(&install, now_us(), &status), 0);
		gn_install_close(&install);
		fake_disk_destroy(disk);
	}
}

/* An install that is resumed sends what is missing, not all. */
static void test_resumes(void **state)
{
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct gn_status status;
	struct offer offer;

	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	open_card(&install, disk, 0);
	gn_install_begin(&install, &offer.what, now_us(), &status);
	while (install.offset < IMAGE_BYTES - PIECE)
		gn_install_write(&install, install.offset, new_image + install.offset, PIECE,
		                 &status);
	gn_install_close(&install);
	fake_disk_power_on(disk);
	open_card(&install, disk, 0);
	assert_int_equal(gn_install_begin(&install, &offer.what, now_us(), &status), 0);
	assert_int_equal(install.offset, 2 * GN_INSTALL_SAVE_BYTES);
	assert_int_equal(install_all(&install, &offer), 0);
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

static void test_a_lost_environment(void **state)
{
	struct gn_disk *disk = new_card();
	struct gn_install install;
	struct offer offer;

	memset(disk->environment, 0xff, sizeof disk->environment);
	assert_int_equal(open_card(&install, disk, 0), 0);
	assert_int_equal(install.slots.security, 4); /* what runs is the least that is known */
	make_offer(&offer, "gnomon,test", 4, "updates/dev");
	assert_int_equal(install_all(&install, &offer), 0);
	assert_int_equal(boot(disk), 1);
	gn_install_close(&install);
	fake_disk_destroy(disk);
}

/* ---- set-up -------------------------------------------------------------------------------------
 */

static void issue(const char *root, const char *name)
{
	const struct gn_ca_request request = {
	        .root = root,
	        .name = name,
	        .days = 2,
	        .role = strcmp(root, "operators") ? NULL : "admin",
	};
	struct gn_status status;
	bool made;

	assert_int_equal(gn_ca_issue(directory, &request, &made, &status), 0);
}

static int set_up(void **state)
{
	struct gn_status status;
	int n_made;

	strcpy(directory, "/tmp/gn-update-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(gn_ca_init(directory, 2, true, &n_made, &status), 0);
	issue("updates", "dev");
	issue("operators", "mallory");
	snprintf(roots, sizeof roots, "%s/updates.pem", directory);
	old_image = malloc(IMAGE_BYTES);
	new_image = malloc(IMAGE_BYTES);
	for (unsigned i = 0; i < IMAGE_BYTES; i++) {
		old_image[i] = (unsigned char)(i >> 8);
		new_image[i] = (unsigned char)(i * 2654435761u >> 24);
	}
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	free(old_image);
	free(new_image);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_installs),
	        cmocka_unit_test(test_refuses),
	        cmocka_unit_test(test_refuses_what_does_not_follow),
	        cmocka_unit_test(test_a_tampered_byte),
	        cmocka_unit_test(test_power_cut_at_every_write),
	        cmocka_unit_test(test_resumes),
	        cmocka_unit_test(test_a_lost_environment),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
