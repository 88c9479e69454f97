/* ca_test.c - what is made, kept and refused. Whether the certificates are trusted where
 * they should be is tested in trust_test.c. */
#include "tools/ca/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tools/ca/files.h"

static char dir[32];

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	return remove(path);
}

static int set_up(void **state)
{
	strcpy(dir, "/tmp/gnca.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static mode_t mode_of(const char *name)
{
	struct stat info;

	return stat(in_dir(name), &info) ? 0 : info.st_mode & 0777;
}

static void read_file(const char *name, char *text, size_t size)
{
	FILE *file = fopen(in_dir(name), "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

static void init_roots(void)
{
	struct gn_status status = {0};
	int n_made;

	if (gn_ca_init(dir, 100, false, &n_made, &status))
		fail_msg("%s", status.message);
	assert_int_equal(n_made, GN_CA_N_ROOTS);
}

static void test_roots_are_private(void **state)
{
	init_roots();
	assert_int_equal(mode_of("cards.key"), 0600);
	assert_int_equal(mode_of("operators.key"), 0600);
	assert_int_equal(mode_of("hosts.key"), 0600);
	assert_int_equal(mode_of("cards.pem"), 0644);
	assert_int_equal(mode_of("cards"), 0700);
}

static void test_roots_are_not_overwritten(void **state)
{
	char before[8192], after[8192];
	struct gn_status status = {0};
	int n_made;

	init_roots();
	read_file("cards.pem", before, sizeof before);
	assert_int_equal(gn_ca_init(dir, 100, false, &n_made, &status), -EEXIST);
	assert_int_equal(gn_ca_init(dir, 100, true, &n_made, &status), 0);
	assert_int_equal(n_made, 0);
	read_file("cards.pem", after, sizeof after);
	assert_string_equal(before, after);
}

/* One root is there, so none is made: nothing half-new. */
static void test_refusal_comes_before_any_change(void **state)
{
	struct gn_status status = {0};
	int n_made;

	init_roots();
	assert_int_equal(unlink(in_dir("operators.pem")), 0);
	assert_int_equal(unlink(in_dir("operators.key")), 0);
	assert_int_equal(gn_ca_init(dir, 100, false, &n_made, &status), -EEXIST);
	assert_int_equal(access(in_dir("operators.key"), F_OK), -1);
	assert_int_equal(gn_ca_init(dir, 100, true, &n_made, &status), 0);
	assert_int_equal(n_made, 1);
}

/* A crash after the key, before the certificate. */
static void test_interrupted_init_goes_on_with_its_key(void **state)
{
	char before[8192], after[8192];
	struct gn_status status = {0};
	int n_made;

	init_roots();
	assert_int_equal(unlink(in_dir("hosts.pem")), 0);
	read_file("hosts.key", before, sizeof before);
	assert_int_equal(gn_ca_init(dir, 100, true, &n_made, &status), 0);
	assert_int_equal(n_made, 1);
	read_file("hosts.key", after, sizeof after);
	assert_string_equal(before, after);
}

static void test_issue_and_keep(void **state)
{
	struct gn_ca_request request = {.root = "cards", .name = "card-1", .days = 10};
	struct gn_status status = {0};
	char before[8192], after[8192];
	bool made;

	init_roots();
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_true(made);
	assert_int_equal(mode_of("cards/card-1.key"), 0600);
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), -EEXIST);
	assert_false(made);
	read_file("cards/card-1.pem", before, sizeof before);
	request.if_missing = true;
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_false(made);
	read_file("cards/card-1.pem", after, sizeof after);
	assert_string_equal(before, after);
}

/* After the roots were made anew, what the old ones signed is of no use. */
static void test_useless_certificate_is_replaced(void **state)
{
	struct gn_ca_request request = {
	        .root = "hosts", .name = "host-1", .days = 10, .if_missing = true};
	struct gn_status status = {0};
	bool made;

	init_roots();
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_int_equal(unlink(in_dir("hosts.pem")), 0);
	assert_int_equal(unlink(in_dir("hosts.key")), 0);
	assert_int_equal(gn_ca_init(dir, 100, true, &(int){0}, &status), 0);
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_true(made);
}

/* Asked again without a role, a viewer stays one. */
static void test_kept_role_is_not_raised(void **state)
{
	struct gn_ca_request request = {.root = "operators",
	                                .name = "bob",
	                                .days = 10,
	                                .if_missing = true,
	                                .role = "viewer"};
	struct gn_status status = {0};
	bool made;

	init_roots();
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	request.role = "admin";
	request.any_role = true;
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_false(made);
	request.any_role = false;
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), 0);
	assert_true(made);
}

static void test_root_with_another_key_is_refused(void **state)
{
	struct gn_ca_request request = {.root = "hosts", .name = "host-1", .days = 10};
	struct gn_status status = {0};
	char text[8192];
	bool made;

	init_roots();
	read_file("cards.key", text, sizeof text);
	assert_int_equal(gn_files_write(in_dir("hosts.key"), text, 0600, true, &status), 0);
	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), -EINVAL);
	assert_non_null(strstr(status.message, "does not belong"));
}

static void test_missing_root_is_named(void **state)
{
	struct gn_ca_request request = {.root = "hosts", .name = "host-1", .days = 10};
	struct gn_status status = {0};
	bool made;

	assert_int_equal(gn_ca_issue(dir, &request, &made, &status), -ENOENT);
	assert_non_null(strstr(status.message, "gnomon-ca init"));
}

static void test_bad_requests(void **state)
{
	static const struct gn_ca_request requests[] = {
	        {.root = "pets", .name = "a", .days = 1},
	        {.root = "cards", .name = "", .days = 1},
	        {.root = "cards", .name = "../a", .days = 1},
	        {.root = "cards", .name = ".a", .days = 1},
	        {.root = "cards", .name = "a,O=other", .days = 1},
	        {.root = "cards",
	         .name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	         .days = 1},
	        {.root = "cards", .name = "a", .days = 0},
	        {.root = "cards", .name = "a", .days = GN_CA_MAX_DAYS + 1},
	        {.root = "cards", .name = "a", .days = 1, .sans = {"a b"}, .n_sans = 1},
	        {.root = "cards", .name = "a", .days = 1, .sans = {""}, .n_sans = 1},
	        {.root = "cards", .name = "a", .days = 1, .sans = {"*.*.x"}, .n_sans = 1},
	};

	init_roots();
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		struct gn_status status = {0};
		bool made;

		assert_int_equal(gn_ca_issue(dir, &requests[i], &made, &status), -EINVAL);
		assert_false(made);
		assert_true(status.message[0]);
	}
}

static void test_failed_write_leaves_nothing(void **state)
{
	struct gn_status status = {0};
	struct rlimit limit, small;

	/* Every file is full after four bytes, as on a full disk. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 4;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(gn_files_write(in_dir("x"), "longer than that", 0600, false, &status),
	                 -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_non_null(strstr(status.message, in_dir("x")));
	assert_int_equal(rmdir(dir), 0); /* empty: no temporary file stays */
	assert_int_equal(mkdir(dir, 0700), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(roots_are_private),
	        CASE(roots_are_not_overwritten),
	        CASE(refusal_comes_before_any_change),
	        CASE(interrupted_init_goes_on_with_its_key),
	        CASE(issue_and_keep),
	        CASE(useless_certificate_is_replaced),
	        CASE(kept_role_is_not_raised),
	        CASE(root_with_another_key_is_refused),
	        CASE(missing_root_is_named),
	        CASE(bad_requests),
	        CASE(failed_write_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
