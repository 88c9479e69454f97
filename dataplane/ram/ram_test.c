/* Tables offered, replaced, taken back, told to readers that come late or do not read. */
#include "dataplane/ram/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <rte_vhost.h>
#include "proto/ram.h"

#define SIZE 8192

static int memory_fd[3]; /* by vid; vid 2 has two regions */

/* What rte_vhost would say; mapped 4 KiB into the file. */
int rte_vhost_get_mem_table(int vid, struct rte_vhost_memory **out)
{
	unsigned n = vid == 2 ? 2 : 1;
	struct rte_vhost_memory *m;

	if (vid < 0)
		return -1;
	m = calloc(1, sizeof *m + n * sizeof *m->regions);
	assert_non_null(m);
	m->nregions = n;
	for (unsigned i = 0; i < n; i++) {
		m->regions[i].guest_phys_addr = 0x100000 * (i + 1);
		m->regions[i].size = 4096;
		m->regions[i].mmap_addr = (void *)0x10000;
		m->regions[i].host_user_addr = 0x11000;
		m->regions[i].fd = memory_fd[vid];
	}
	*out = m;
	return 0;
}

static int connect_reader(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	gn_ram_welcome(pair[0]);
	return pair[1];
}

/* Next message; its descriptors are checked and closed. False: none. */
static bool receive(int reader, struct gn_ram_message *message)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(GN_RAM_MAX_REGIONS * sizeof(int))];
	} control;
	struct iovec iov = {message, sizeof *message};
	struct msghdr msg = {.msg_iov = &iov,
	                     .msg_iovlen = 1,
	                     .msg_control = control.bytes,
	                     .msg_controllen = sizeof control.bytes};
	int fds[GN_RAM_MAX_REGIONS];
	struct cmsghdr *c;
	unsigned n = 0;

	if (recvmsg(reader, &msg, MSG_DONTWAIT) != sizeof *message)
		return false;
	assert_int_equal(message->version, GN_RAM_VERSION);
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	}
	assert_int_equal(n, message->n_regions);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFL) & O_ACCMODE, O_RDONLY);
		close(fds[i]);
	}
	return true;
}

static void expect_table(int reader, const char *vm, unsigned n_regions)
{
	struct gn_ram_message message;

	assert_true(receive(reader, &message));
	assert_string_equal(message.vm, vm);
	assert_int_equal(message.kind, n_regions ? GN_RAM_TABLE : GN_RAM_GONE);
	assert_int_equal(message.n_regions, n_regions);
	for (unsigned i = 0; i < n_regions; i++) {
		assert_int_equal(message.regions[i].gpa, 0x100000 * (i + 1));
		assert_int_equal(message.regions[i].offset, 0x1000);
	}
}

static void expect_silence(int reader)
{
	struct gn_ram_message message;

	assert_false(receive(reader, &message));
}

static int set_up(void **state)
{
	for (int i = 0; i < 3; i++) {
		memory_fd[i] = memfd_create("ram", 0);
		if (memory_fd[i] < 0 || ftruncate(memory_fd[i], SIZE) != 0)
			return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	gn_ram_forget();
	for (int i = 0; i < 3; i++)
		close(memory_fd[i]);
	return 0;
}

static void tells_offers_and_ends(void **state)
{
	int reader = connect_reader();

	gn_ram_offer("/a", 0); /* nobody's */
	expect_silence(reader);
	assert_int_equal(gn_ram_bind("/a", "vms/a"), 0);
	expect_silence(reader);
	gn_ram_offer("/a", 0);
	expect_table(reader, "vms/a", 1);
	gn_ram_offer("/a", 2); /* another table */
	expect_table(reader, "vms/a", 2);
	gn_ram_revoke("/a");
	expect_table(reader, "vms/a", 0);
	gn_ram_revoke("/a");
	expect_silence(reader);
	gn_ram_offer("/a", -1); /* rte_vhost has none */
	expect_silence(reader);
	close(reader);
}

static void late_readers_get_everything(void **state)
{
	int reader;

	gn_ram_bind("/a", "vms/a");
	gn_ram_bind("/b", "vms/b");
	gn_ram_offer("/a", 0);
	gn_ram_offer("/b", 2);
	gn_ram_bind("/c", "vms/c");
	reader = connect_reader();
	expect_table(reader, "vms/b", 2);
	expect_table(reader, "vms/a", 1);
	expect_silence(reader);
	close(reader);
}

static void newest_device_speaks(void **state)
{
	int reader;

	gn_ram_bind("/net", "vms/a");
	gn_ram_bind("/disk", "vms/a");
	gn_ram_offer("/net", 2);
	gn_ram_offer("/disk", 0);
	reader = connect_reader();
	expect_table(reader, "vms/a", 1);
	gn_ram_revoke("/net");
	expect_silence(reader);
	gn_ram_offer("/net", 2);
	expect_table(reader, "vms/a", 2);
	gn_ram_unbind("/net");
	expect_table(reader, "vms/a", 1); /* the other device still has it */
	gn_ram_unbind("/disk");
	expect_table(reader, "vms/a", 0);
	gn_ram_unbind("/disk");
	expect_silence(reader);
	close(reader);
}

static void memory_that_cannot_be_shared(void **state)
{
	int reader = connect_reader(), fd = memory_fd[0];

	gn_ram_bind("/a", "vms/a");
	memory_fd[0] = -1;
	gn_ram_offer("/a", 0);
	expect_silence(reader);
	memory_fd[0] = fd;
	gn_ram_offer("/a", 0);
	expect_table(reader, "vms/a", 1);
	memory_fd[0] = -1;
	gn_ram_offer("/a", 0); /* replaced by nothing */
	expect_table(reader, "vms/a", 0);
	memory_fd[0] = fd;
	close(reader);
}

/* One that does not read is cut off; the others are not kept waiting. */
static void slow_readers_are_cut_off(void **state)
{
	int slow = connect_reader(), reader = connect_reader(), n = 0;
	struct gn_ram_message message;

	gn_ram_bind("/a", "vms/a");
	for (int i = 0; i < 2000; i++) {
		gn_ram_offer("/a", i % 2 ? 0 : 2);
		expect_table(reader, "vms/a", i % 2 ? 1 : 2);
	}
	while (receive(slow, &message))
		n++;
	assert_true(n > 0 && n < 2000);
	assert_int_equal(recv(slow, &message, sizeof message, 0), 0); /* closed */
	close(slow);
	close(reader);
}

static void more_readers_than_room(void **state)
{
	int readers[6];
	struct gn_ram_message message;

	for (int i = 0; i < 6; i++)
		readers[i] = connect_reader();
	gn_ram_bind("/a", "vms/a");
	gn_ram_offer("/a", 0);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(receive(readers[i], &message), i >= 2);
		close(readers[i]);
	}
}

static void names_too_long(void **state)
{
	char name[GN_RAM_MAX_VM + 1];

	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = 0;
	assert_int_equal(gn_ram_bind("/a", name), -ENAMETOOLONG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(tells_offers_and_ends),    TEST(late_readers_get_everything),
	        TEST(newest_device_speaks),     TEST(memory_that_cannot_be_shared),
	        TEST(slow_readers_are_cut_off), TEST(more_readers_than_room),
	        TEST(names_too_long),
	};

	return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
