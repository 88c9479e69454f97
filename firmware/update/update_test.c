/* update_test.c - the pure rules of updates: what a manifest may say, which slot boots, when a card
 * is well. */
#include "firmware/update/health.h"
#include "firmware/update/manifest.h"
#include "firmware/update/slots.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define S      1000000u
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* ---- manifests ----------------------------------------------------------------------------------
 */

static const char good[] = "gnomon-update 1\nboard gnomon,qemu-virt\nversion 0.2.0~rc1+x\n"
                           "security 3\nvalid 100 200\nimage 4096 " DIGEST "\n";

static void test_reads_a_manifest(void **state)
{
	struct gn_manifest m;

	assert_int_equal(gn_manifest_parse(good, sizeof good - 1, &m), 0);
	assert_string_equal(m.board, "gnomon,qemu-virt");
	assert_string_equal(m.version, "0.2.0~rc1+x");
	assert_int_equal(m.security, 3);
	assert_int_equal(m.from_s, 100);
	assert_int_equal(m.until_s, 200);
	assert_int_equal(m.size, 4096);
	assert_int_equal(m.sha256[1], 0x11);
	assert_int_equal(m.sha256[31], 0xff);
}

/* Of every byte that is cut off, changed or added, the manifest as a whole is refused, or it says
 * the same or something else in its only form. */
static void test_has_one_form(void **state)
{
	struct gn_manifest m;
	char text[sizeof good + 1];

	for (size_t n = 0; n < sizeof good - 1; n++)
		assert_int_not_equal(gn_manifest_parse(good, n, &m), 0);
	for (size_t at = 0; at < sizeof good - 1; at++) {
		memcpy(text, good, sizeof good);
		text[at] = ' ';
		assert_true(good[at] == ' ' || gn_manifest_parse(text, sizeof good - 1, &m));
		memcpy(text, good, at);
		text[at] = good[at] == '\n' ? '\n' : ' ';
		memcpy(text + at + 1, good + at, sizeof good - at);
		assert_int_not_equal(gn_manifest_parse(text, sizeof good, &m), 0);
	}
}

static void test_says_which_line_is_wrong(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} cases[] = {
	        {"gnomon-update 2\n", 1},
	        {"gnomon-update 1\nboard \n", 2},
	        {"gnomon-update 1\nboard Qemu\n", 2},
	        {"gnomon-update 1\nboard x\nversion 1 2\n", 3},
	        {"gnomon-update 1\nboard x\nversion 0123456789012345678901234567890123\n", 3},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 01\n", 4},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 4294967296\n", 4},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity -1\n", 4},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 1\nvalid 5 5\n", 5},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 1\nvalid 5 6\nimage 0 " DIGEST "\n",
	         6},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 1\nvalid 5 6\nimage 5 " DIGEST
	         "0\n",
	         6},
	        {"gnomon-update 1\nboard x\nversion 1\nsecurity 1\nvalid 5 6\nimage 5 " DIGEST
	         "\n\n",
	         7},
	};
	struct gn_manifest m;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_manifest_parse(cases[i].text, strlen(cases[i].text), &m),
		                 cases[i].line);
}

static void test_judges(void **state)
{
	const struct gn_update_card card = {"gnomon,qemu-virt", 3, 4096, 150};
	struct gn_update_card other = card;
	struct gn_manifest m;

	gn_manifest_parse(good, sizeof good - 1, &m);
	assert_int_equal(gn_update_judge(&m, &card), GN_UPDATE_TAKE);
	other.security = 4;
	assert_int_equal(gn_update_judge(&m, &other), GN_UPDATE_GOES_BACK);
	other.board = "gnomon,bluefield2"; /* before anything else */
	assert_int_equal(gn_update_judge(&m, &other), GN_UPDATE_WRONG_BOARD);
	other = card;
	other.now_s = 99;
	assert_int_equal(gn_update_judge(&m, &other), GN_UPDATE_TOO_EARLY);
	other.now_s = 200;
	assert_int_equal(gn_update_judge(&m, &other), GN_UPDATE_EXPIRED);
	other = card;
	other.slot_bytes = 4095;
	assert_int_equal(gn_update_judge(&m, &other), GN_UPDATE_TOO_LARGE);
}

/* ---- slots --------------------------------------------------------------------------------------
 */

static struct gn_slots with_trial(void)
{
	struct gn_slots s;

	gn_slots_init(&s, 0, "1.0", 5);
	assert_int_equal(gn_slots_begin(&s, 0), 0);
	assert_int_equal(gn_slots_written(&s, 1, "1.1", 6), 0);
	return s;
}

static void test_a_trial_that_is_good(void **state)
{
	struct gn_slots s = with_trial();

	assert_int_equal(gn_slots_boot(&s), 1);
	assert_int_equal(gn_slots_begin(&s, 1), -EBUSY); /* a is the only way back */
	assert_false(gn_slots_settle(&s, 1));
	assert_int_equal(gn_slots_good(&s, 1), 0);
	assert_int_equal(s.security, 6);
	assert_int_equal(s.slots[0].state, GN_SLOT_RETIRED); /* 5 must not come back */
	assert_int_equal(gn_slots_rollback(&s, 1), -EPERM);
	for (int i = 0; i < 10; i++)
		assert_int_equal(gn_slots_boot(&s), 1);
	assert_int_equal(gn_slots_begin(&s, 1), 0);
	assert_int_equal(gn_slots_written(&s, 0, "1.0", 5), -EPERM);
}

static void test_a_trial_that_never_is(void **state)
{
	struct gn_slots s = with_trial();

	for (unsigned i = 0; i < GN_SLOT_TRIES; i++)
		assert_int_equal(gn_slots_boot(&s), 1);
	assert_int_equal(gn_slots_boot(&s), 0);
	assert_true(gn_slots_settle(&s, 0));
	assert_false(gn_slots_settle(&s, 0));
	assert_int_equal(s.slots[1].state, GN_SLOT_FAILED);
	assert_int_equal(gn_slots_good(&s, 0), 0);
	assert_int_equal(s.security, 5); /* it never was good */
	assert_int_equal(gn_slots_rollback(&s, 0), -ENOENT);
	for (int i = 0; i < 10; i++)
		assert_int_equal(gn_slots_boot(&s), 0);
}

static void test_a_trial_that_is_not_well(void **state)
{
	struct gn_slots s = with_trial();

	gn_slots_boot(&s);
	assert_int_equal(gn_slots_bad(&s, 1), 0);
	assert_int_equal(gn_slots_boot(&s), 0);
	assert_int_equal(gn_slots_bad(&s, 0), -ENOENT); /* none to go back to */
}

static void test_going_back_and_forth(void **state)
{
	struct gn_slots s;

	gn_slots_init(&s, 0, "1.0", 5);
	gn_slots_begin(&s, 0);
	gn_slots_written(&s, 1, "1.1", 5); /* no fault mended that 1.0 has */
	gn_slots_boot(&s);
	gn_slots_good(&s, 1);
	assert_int_equal(gn_slots_rollback(&s, 1), 0);
	assert_int_equal(gn_slots_boot(&s), 0);
	assert_int_equal(gn_slots_rollback(&s, 0), 0);
	assert_int_equal(gn_slots_boot(&s), 1);
	/* A good slot that does not come up any more has its tries counted too. */
	for (unsigned i = 0; i < GN_SLOT_TRIES - 1; i++)
		assert_int_equal(gn_slots_boot(&s), 1);
	assert_int_equal(gn_slots_boot(&s), 0);
	assert_true(gn_slots_settle(&s, 0));
	assert_int_equal(gn_slots_good(&s, 0), 0);
	assert_int_equal(gn_slots_boot(&s), 0);
	/* Three power cuts in a row are no verdict: it is there when the other one fails. */
	while (s.slots[0].tries)
		assert_int_equal(gn_slots_boot(&s), 0);
	assert_int_equal(gn_slots_boot(&s), 1);
}

/* A card whose boots never get as far as its health still boots something that was good. */
static void test_never_stops(void **state)
{
	struct gn_slots s = with_trial();

	for (int i = 0; i < 50; i++) {
		unsigned slot = gn_slots_boot(&s);

		assert_true(i < 3 ? slot == 1 : slot == 0);
	}
}

static void test_the_boot_environment(void **state)
{
	struct gn_slots s = with_trial(), read;
	char block[GN_SLOTS_BLOCK], cut[GN_SLOTS_BLOCK];

	strcpy(s.slots[1].version, "0123456789012345678901234567890");
	s.slots[1].security = s.slots[0].security = s.security = UINT32_MAX;
	gn_slots_encode(&s, block);
	assert_memory_equal(block, "# GRUB Environment Block\n", 25);
	for (size_t i = 512; i < sizeof block; i++)
		assert_int_equal(block[i], '#'); /* all is in one sector */
	assert_true(gn_slots_decode(block, &read));
	assert_memory_equal(&read, &s, sizeof s);
	for (size_t i = 0; i < 300; i++) { /* damaged anywhere: refused, or it does not matter */
		memcpy(cut, block, sizeof cut);
		cut[i] = 0;
		if (gn_slots_decode(cut, &read))
			assert_true(gn_slots_are_sound(&read));
	}
	memset(block, 0, sizeof block);
	assert_false(gn_slots_decode(block, &read));
}

/* ---- health -------------------------------------------------------------------------------------
 */

static enum gn_health_verdict turn(struct gn_health *h, struct gn_health_signs *s, uint64_t now_us)
{
	s->dataplane_loops++;
	return gn_health_observe(h, s, now_us);
}

static void test_health_is_steady(void **state)
{
	struct gn_health_signs s = {true, 1, true, true, true};
	struct gn_health h;

	gn_health_init(&h, 10 * S, 100 * S, 0);
	assert_int_equal(turn(&h, &s, 1 * S), GN_HEALTH_WAIT);
	assert_int_equal(turn(&h, &s, 9 * S), GN_HEALTH_WAIT);
	s.store_is_open = false;
	assert_int_equal(turn(&h, &s, 10 * S), GN_HEALTH_WAIT);
	assert_non_null(strstr(h.lacks, "database"));
	s.store_is_open = true;
	assert_int_equal(turn(&h, &s, 12 * S), GN_HEALTH_WAIT);
	assert_int_equal(turn(&h, &s, 22 * S), GN_HEALTH_GOOD);
}

static void test_patience_ends(void **state)
{
	static const char *const lacks[] = {"does not answer", "stands still", "gnomond does not",
	                                    "database", "not reach"};
	struct gn_health h;

	for (unsigned i = 0; i < 5; i++) {
		struct gn_health_signs s = {i != 0, 7, i != 2, i != 3, i != 4};

		gn_health_init(&h, 10 * S, 100 * S, 0);
		for (uint64_t t = 1; t < 100; t++) {
			s.dataplane_loops += i != 1;
			assert_int_equal(gn_health_observe(&h, &s, t * S), GN_HEALTH_WAIT);
		}
		s.dataplane_loops += i != 1;
		assert_int_equal(gn_health_observe(&h, &s, 100 * S), GN_HEALTH_BAD);
		assert_non_null(strstr(h.lacks, lacks[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_reads_a_manifest),
	        cmocka_unit_test(test_has_one_form),
	        cmocka_unit_test(test_says_which_line_is_wrong),
	        cmocka_unit_test(test_judges),
	        cmocka_unit_test(test_a_trial_that_is_good),
	        cmocka_unit_test(test_a_trial_that_never_is),
	        cmocka_unit_test(test_a_trial_that_is_not_well),
	        cmocka_unit_test(test_going_back_and_forth),
	        cmocka_unit_test(test_never_stops),
	        cmocka_unit_test(test_the_boot_environment),
	        cmocka_unit_test(test_health_is_steady),
	        cmocka_unit_test(test_patience_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
