/* Messages of a dataplane that is of another release, hostile, or dies in between. */
#include "firmware/introspect/source.h"

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
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static int ours, theirs;

static int set_up(void **state)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	ours = pair[0];
	theirs = pair[1];
	return 0;
}

static int tear_down(void **state)
{
	close(ours);
	if (theirs >= 0)
		close(theirs);
	return 0;
}

static struct gn_ram_message table(unsigned n)
{
	struct gn_ram_message m = {.version = GN_RAM_VERSION, .kind = GN_RAM_TABLE, .vm = "vms/a"};

	m.n_regions = n;
	return m;
}

/* Sends 'size' bytes of the message with 'n_fds' descriptors. */
static void send_it(const struct gn_ram_message *m, size_t size, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(32 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)m, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[32];

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(theirs, &msg, 0), (int)size);
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
}

/* The next free descriptor; shows leaks. */
static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static void takes_tables_and_ends(void **state)
{
	struct gn_source_table got;
	struct gn_ram_message m = table(2);
	int before = next_fd();

	assert_int_equal(gn_source_receive(ours, &got), 0);
	send_it(&m, sizeof m, 2);
	assert_int_equal(gn_source_receive(ours, &got), 1);
	assert_string_equal(got.message.vm, "vms/a");
	assert_true(fcntl(got.fds[1], F_GETFD) & FD_CLOEXEC);
	gn_source_close_fds(&got);
	assert_int_equal(next_fd(), before);
	m = table(0);
	m.kind = GN_RAM_GONE;
	send_it(&m, sizeof m, 0);
	assert_int_equal(gn_source_receive(ours, &got), 1);
	close(theirs);
	theirs = -1;
	assert_int_equal(gn_source_receive(ours, &got), -EPIPE);
}

static void refuses_what_does_not_fit(void **state)
{
	static const struct {
		const char *what;
		unsigned n_regions, n_fds;
		uint32_t version, kind;
		size_t size;
		char fill; /* of the name */
	} cases[] = {
	        {"another version", 1, 1, GN_RAM_VERSION + 1, GN_RAM_TABLE, 0, 'a'},
	        {"another kind", 1, 1, GN_RAM_VERSION, 3, 0, 'a'},
	        {"fewer descriptors", 2, 1, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'a'},
	        {"more descriptors", 1, 3, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'a'},
	        {"far more descriptors", 8, 30, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'a'},
	        {"more regions than there can be", 9, 8, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'a'},
	        {"a table of nothing", 0, 0, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'a'},
	        {"an end with memory", 1, 1, GN_RAM_VERSION, GN_RAM_GONE, 0, 'a'},
	        {"cut short", 1, 1, GN_RAM_VERSION, GN_RAM_TABLE, 100, 'a'},
	        {"one byte", 1, 1, GN_RAM_VERSION, GN_RAM_TABLE, 1, 'a'},
	        {"a name without end", 1, 1, GN_RAM_VERSION, GN_RAM_TABLE, 0, 'X'},
	        {"no name", 1, 1, GN_RAM_VERSION, GN_RAM_TABLE, 0, 0},
	};
	int before = next_fd();

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_source_table got;
		struct gn_ram_message m = table(cases[i].n_regions);

		m.version = cases[i].version;
		m.kind = cases[i].kind;
		if (cases[i].fill != 'a')
			memset(m.vm, cases[i].fill, sizeof m.vm);
		send_it(&m, cases[i].size ? cases[i].size : sizeof m, cases[i].n_fds);
		if (gn_source_receive(ours, &got) != -EBADMSG)
			fail_msg("taken: %s", cases[i].what);
		if (next_fd() != before)
			fail_msg("descriptors are left of: %s", cases[i].what);
	}
}

static void refuses_what_is_too_long(void **state)
{
	struct {
		struct gn_ram_message m;
		char more[8];
	} longer = {.m = table(1)};
	struct gn_source_table got;

	send_it(&longer.m, sizeof longer, 1);
	assert_int_equal(gn_source_receive(ours, &got), -EBADMSG);
}

static void nobody_listens(void **state)
{
	char path[200];

	assert_int_equal(gn_source_connect("/tmp/gn-there-is-no-such.sock"), -ENOENT);
	memset(path, 'a', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(gn_source_connect(path), -ENAMETOOLONG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(takes_tables_and_ends),
	        TEST(refuses_what_does_not_fit),
	        TEST(refuses_what_is_too_long),
	        TEST(nobody_listens),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
