/* audit_test.c - the audit log: what is tampered with is found and placed; no power cut and no full
 * disk breaks the chain; a tail made by another key is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>

#include "firmware/audit/log.h"

#define N_LINES 12

struct fixture {
	char directory[32], path[64], key[64];
	struct gn_audit_log *log;
	char *lines[64];
	size_t n_lines;
};

static void make_key(const char *path)
{
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_pk_context key;
	unsigned char pem[1000];
	FILE *file = fopen(path, "w");

	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_pk_init(&key);
	assert_int_equal(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0),
	                 0);
	assert_int_equal(mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
	assert_int_equal(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key),
	                                     mbedtls_ctr_drbg_random, &random),
	                 0);
	assert_int_equal(mbedtls_pk_write_key_pem(&key, pem, sizeof pem), 0);
	fputs((char *)pem, file);
	fclose(file);
	mbedtls_pk_free(&key);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
}

static void open_log(struct fixture *f, enum gn_code expected)
{
	struct gn_status note;

	assert_int_equal(gn_audit_log_open(f->directory, f->key, &f->log, &note), 0);
	assert_int_equal(note.code, expected);
}

static void put(struct fixture *f, const char *text)
{
	Gnomon__V1__AuditEntry entry = GNOMON__V1__AUDIT_ENTRY__INIT;

	entry.at_us = 1000000;
	entry.kind = (char *)"call";
	entry.who = (char *)"console: ann";
	entry.resource = (char *)"vms/web-1";
	entry.text = (char *)text;
	entry.outcome = (char *)"OK";
	gn_audit_log_put(f->log, &entry, true);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->directory, "/tmp/gn-audit-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof f->path, "%s/audit.log", f->directory);
	snprintf(f->key, sizeof f->key, "%s/key", f->directory);
	make_key(f->key);
	open_log(f, GN_OK);
	*state = f;
	return 0;
}

static void forget_lines(struct fixture *f)
{
	while (f->n_lines)
		free(f->lines[--f->n_lines]);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[64];

	gn_audit_log_close(f->log);
	forget_lines(f);
	snprintf(command, sizeof command, "rm -r %s", f->directory);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void take_line(void *context, const char *line, size_t size)
{
	struct fixture *f = context;

	assert_int_equal(strlen(line), size);
	f->lines[f->n_lines++] = strdup(line);
}

static void read_lines(struct fixture *f)
{
	forget_lines(f);
	assert_int_equal(gn_audit_log_read(f->log, 1, 64, 1 << 20, take_line, f), 0);
}

/* -EBADMSG's sentence in 'status'. */
static int check_lines(struct fixture *f, struct gn_status *status)
{
	struct gn_audit_check check = {.n_signatures = 0};
	int error = 0;

	for (size_t i = 0; !error && i < f->n_lines; i++)
		error = gn_audit_check_line(&check, f->lines[i], strlen(f->lines[i]), status);
	return error;
}

static void fill(struct fixture *f)
{
	char text[32];

	for (int i = 0; i < N_LINES; i++) {
		snprintf(text, sizeof text, "Verb%d \"\\\n\x01", i);
		put(f, text);
	}
	read_lines(f);
	assert_int_equal(f->n_lines, N_LINES);
}

static void test_good_log_is_good_and_goes_on_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct gn_status status;

	fill(f);
	assert_int_equal(check_lines(f, &status), 0);
	gn_audit_log_close(f->log); /* which signs */
	open_log(f, GN_OK);
	assert_int_equal(gn_audit_log_count(f->log), N_LINES + 1);
	put(f, "after");
	read_lines(f);
	assert_int_equal(f->n_lines, N_LINES + 2);
	assert_int_equal(check_lines(f, &status), 0);
}

static void expect_found(struct fixture *f, const char *place)
{
	struct gn_status status = {GN_OK, ""};

	assert_true(check_lines(f, &status) < 0);
	if (!strstr(status.message, place))
		fail_msg("'%s' does not name '%s'", status.message, place);
	assert_int_equal(status.code, GN_DATA_LOSS);
}

static void test_altered_entry_is_found(void **state)
{
	struct fixture *f = *state;

	fill(f);
	memcpy(strstr(f->lines[4], "ann"), "bob", 3);
	expect_found(f, "entry 5 was altered");
}

static void test_removed_entry_is_found(void **state)
{
	struct fixture *f = *state;

	fill(f);
	free(f->lines[4]);
	memmove(&f->lines[4], &f->lines[5], (N_LINES - 5) * sizeof f->lines[0]);
	f->n_lines--;
	expect_found(f, "after entry 4 comes 6");
}

static void test_reordered_and_repeated_entries_are_found(void **state)
{
	struct fixture *f = *state;
	char *swap;

	fill(f);
	swap = f->lines[6];
	f->lines[6] = f->lines[7];
	f->lines[7] = swap;
	expect_found(f, "after entry 6 comes 8");
	read_lines(f);
	free(f->lines[3]);
	f->lines[3] = strdup(f->lines[2]);
	expect_found(f, "after entry 3 comes 3");
}

/* Every single byte: whatever it becomes, somebody notices, except in the unsigned last line. */
static void test_any_altered_byte_is_found(void **state)
{
	struct fixture *f = *state;
	struct gn_status status;

	fill(f);
	for (size_t i = 0; i < strlen(f->lines[1]); i++) {
		f->lines[1][i] ^= 1;
		assert_true(check_lines(f, &status) < 0);
		f->lines[1][i] ^= 1;
	}
	assert_int_equal(check_lines(f, &status), 0);
}

/* The file cut at every length, as a power cut may leave it: the chain holds and goes on. */
static void test_power_cut_at_every_byte(void **state)
{
	struct fixture *f = *state;
	struct gn_status status;
	struct stat stat_full;

	fill(f);
	assert_int_equal(stat(f->path, &stat_full), 0);
	for (off_t size = stat_full.st_size - 1; size > stat_full.st_size - 600; size--) {
		struct gn_status note;

		assert_int_equal(truncate(f->path, size), 0);
		gn_audit_log_close(f->log);
		f->log = NULL;
		/* Closing signs what the log believed to have: cut that off again. */
		assert_int_equal(truncate(f->path, size), 0);
		assert_int_equal(gn_audit_log_open(f->directory, f->key, &f->log, &note), 0);
		put(f, "after");
		read_lines(f);
		assert_int_equal(f->n_lines, gn_audit_log_count(f->log));
		assert_int_equal(check_lines(f, &status), 0);
	}
}

/* A disk that takes no more: gnomond goes on, and the log says how much is missing. */
static void test_full_disk_is_survived_and_told(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small;
	struct gn_status status;
	struct stat size;

	fill(f);
	assert_int_equal(stat(f->path, &size), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = (rlim_t)size.st_size + 100; /* part of a line goes in */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	put(f, "lost");
	put(f, "lost too");
	assert_non_null(strstr(gn_audit_log_trouble(f->log), "cannot be written"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	put(f, "back");
	assert_string_equal(gn_audit_log_trouble(f->log), "");
	read_lines(f);
	assert_int_equal(f->n_lines, N_LINES + 2);
	assert_non_null(
	        strstr(f->lines[N_LINES], "2 entries before this one could not be written"));
	assert_int_equal(check_lines(f, &status), 0);
}

static void test_pages(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 300; i++)
		put(f, "many");
	assert_int_equal(gn_audit_log_read(f->log, 250, 3, 1 << 20, take_line, f), 0);
	assert_int_equal(f->n_lines, 3);
	assert_non_null(strstr(f->lines[0], "\"number\":250,"));
	assert_int_equal(gn_audit_log_read(f->log, 301, 3, 1 << 20, take_line, f), 0);
	assert_int_equal(f->n_lines, 3);
}

static void test_log_that_ends_with_no_entry_is_set_aside(void **state)
{
	struct fixture *f = *state;
	FILE *file;

	fill(f);
	gn_audit_log_close(f->log);
	file = fopen(f->path, "a");
	fputs("not an entry\n", file);
	fclose(file);
	open_log(f, GN_DATA_LOSS);
	assert_int_equal(gn_audit_log_count(f->log), 0);
	put(f, "new");
	read_lines(f);
	assert_int_equal(f->n_lines, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(good_log_is_good_and_goes_on_after_a_restart),
	        CASE(altered_entry_is_found),
	        CASE(removed_entry_is_found),
	        CASE(reordered_and_repeated_entries_are_found),
	        CASE(any_altered_byte_is_found),
	        CASE(power_cut_at_every_byte),
	        CASE(full_disk_is_survived_and_told),
	        CASE(pages),
	        CASE(log_that_ends_with_no_entry_is_set_aside),
	};
#undef CASE
	return cmocka_run_group_tests(tests, NULL, NULL);
}
