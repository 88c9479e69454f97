/* socket_test.c - what is at a path before a socket of ours is bound there, and what becomes of
 * it. */
#include "dataplane/guard/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static char directory[32], path[64];
static struct gn_status status;

static int set_up(void **state)
{
	strcpy(directory, "/tmp/gngsXXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/s", directory);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(directory);
}

static int listen_at(int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static bool is_there(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void nothing_is_there(void **state)
{
	assert_int_equal(gn_guard_clear_socket(path, &status), 0);
}

static void a_dead_processs_socket_is_removed(void **state)
{
	close(listen_at(1));
	assert_true(is_there());
	assert_int_equal(gn_guard_clear_socket(path, &status), 0);
	assert_false(is_there());
}

static void a_live_one_stays(void **state)
{
	int fd = listen_at(1);

	assert_int_equal(gn_guard_clear_socket(path, &status), -EADDRINUSE);
	assert_non_null(strstr(status.message, path));
	assert_true(is_there());
	close(fd);
}

/* A program that hangs accepts nobody; we must not hang with it. */
static void one_that_accepts_nobody_stays(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = listen_at(0), fds[4];

	strcpy(address.sun_path, path);
	for (unsigned i = 0; i < 4; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fds[i], (struct sockaddr *)&address, sizeof address);
	}
	assert_int_equal(gn_guard_clear_socket(path, &status), -EADDRINUSE);
	assert_true(is_there());
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
	close(fd);
}

static void what_is_no_socket_stays(void **state)
{
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(gn_guard_clear_socket(path, &status), -EEXIST);
	assert_non_null(strstr(status.message, "no socket"));
	assert_true(is_there());
	unlink(path);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(gn_guard_clear_socket(path, &status), -EEXIST);
	assert_true(is_there());
}

static void a_path_that_is_too_long_is_told(void **state)
{
	char longer[200];

	memset(longer, 'a', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(gn_guard_clear_socket(longer, &status), -ENAMETOOLONG);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(nothing_is_there),        CASE(a_dead_processs_socket_is_removed),
	        CASE(a_live_one_stays),        CASE(one_that_accepts_nobody_stays),
	        CASE(what_is_no_socket_stays), CASE(a_path_that_is_too_long_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
