/* guard_test.c - messages a front end could send, one by one, and what the guard says. */
#include "dataplane/guard/guard.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "dataplane/guard/fault.h"
#include "dataplane/guard/message.h"

#define VID      3
#define N_VRINGS 4
#define RAM_SIZE (4u << 20)
#define RAM_USER 0x7f0000000000ull
#define SIZE     256u

static char directory[32];
static char socket_path[64];
static int listener, client, server;
static int ram;

/* Instead of rte_vhost's. */
int rte_vhost_get_ifname(int vid, char *buf, size_t len)
{
	snprintf(buf, len, "%s", socket_path);
	return 0;
}

static int connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int set_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(directory, "/tmp/gn-guard-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(socket_path, sizeof(socket_path), "%s/s", directory);
	strcpy(address.sun_path, socket_path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	client = connect_client();
	server = accept(listener, NULL, NULL);
	ram = memfd_create("guard-test", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(ram, RAM_SIZE), 0);
	assert_int_equal(gn_guard_open(VID, N_VRINGS), 0);
	return 0;
}

static int tear_down(void **state)
{
	gn_guard_close(VID);
	close(ram);
	close(server);
	close(client);
	close(listener);
	unlink(socket_path);
	rmdir(directory);
	return 0;
}

/* ---- messages ------------------------------------------------------------------- */

static struct gn_guard_message message(uint32_t request, uint32_t size)
{
	return (struct gn_guard_message){.request = request, .flags = 1, .size = size};
}

static struct gn_guard_message with_u64(uint32_t request, uint64_t value)
{
	struct gn_guard_message m = message(request, 8);

	m.payload.u64 = value;
	return m;
}

static struct gn_guard_message with_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct gn_guard_message m = message(request, 8);

	m.payload.state.index = index;
	m.payload.state.num = num;
	return m;
}

static void attach(struct gn_guard_message *m, int fd)
{
	m->fds[m->n_fds++] = fd;
}

static struct gn_guard_message memory(void)
{
	struct gn_guard_message m = message(5, 8 + 32);

	m.payload.memory.n_regions = 1;
	m.payload.memory.regions[0] = (struct gn_guard_region){0, RAM_SIZE, RAM_USER, 0};
	attach(&m, dup(ram));
	return m;
}

static struct gn_guard_message two_regions(void)
{
	struct gn_guard_message m = memory();

	m.size += 32;
	m.payload.memory.n_regions = 2;
	m.payload.memory.regions[0].size_bytes = RAM_SIZE / 2;
	m.payload.memory.regions[1] = (struct gn_guard_region){
	        1u << 30, RAM_SIZE / 2, RAM_USER + RAM_SIZE / 2, RAM_SIZE / 2};
	attach(&m, dup(ram));
	return m;
}

static struct gn_guard_message ring_at(uint32_t index, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct gn_guard_message m = message(9, sizeof(struct vhost_vring_addr));

	m.payload.addr.index = index;
	m.payload.addr.desc_user_addr = desc;
	m.payload.addr.avail_user_addr = avail;
	m.payload.addr.used_user_addr = used;
	return m;
}

static struct gn_guard_message ring(uint32_t index)
{
	return ring_at(index, RAM_USER, RAM_USER + 0x2000, RAM_USER + 0x3000);
}

static struct gn_guard_message event(uint32_t request, uint32_t index)
{
	struct gn_guard_message m = with_u64(request, index);

	attach(&m, eventfd(0, 0));
	return m;
}

static struct gn_guard_message inflight(uint16_t n_queues, uint16_t size, uint64_t bytes)
{
	struct gn_guard_message m = message(32, 24);

	m.payload.inflight.mmap_size = bytes;
	m.payload.inflight.n_queues = n_queues;
	m.payload.inflight.queue_size = size;
	attach(&m, dup(ram));
	return m;
}

/* What rte_vhost would then own. */
static void close_passed(struct gn_guard_message *m)
{
	for (int i = 0; i < m->n_fds; i++)
		close(m->fds[i]);
}

static const char *ask(struct gn_guard_message m)
{
	uint64_t before = gn_guard_refused();
	int fd = m.n_fds ? m.fds[0] : -1;
	const char *reason = gn_guard_check(VID, &m);

	assert_int_equal(gn_guard_refused() - before, reason != NULL);
	if (reason && fd >= 0) /* nothing leaks */
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	if (!reason)
		close_passed(&m);
	return reason;
}

#define accepts(...) assert_null(ask(__VA_ARGS__))
#define refuses(...) assert_non_null(ask(__VA_ARGS__))

static void start_ring(void)
{
	accepts(with_u64(2, 1ull << 32));
	accepts(memory());
	accepts(with_state(8, 0, SIZE));
	accepts(with_state(10, 0, 0));
	accepts(ring(0));
	accepts(event(12, 0));
	accepts(event(13, 0));
	accepts(with_state(18, 0, 1));
}

/* ---- cases ------------------------------------------------------------------------ */

static void lets_an_honest_front_end_through(void **state)
{
	accepts(message(1, 0));
	accepts(message(15, 0));
	accepts(with_u64(16, 1));
	accepts(message(17, 0));
	accepts(message(3, 0));
	accepts(inflight(N_VRINGS, SIZE, 4 * 4160));
	start_ring();
	accepts(memory());
	accepts(ring(0)); /* as when logging begins */
	accepts(with_u64(2, 1ull << 32 | 1ull << VHOST_F_LOG_ALL));
	accepts(event(13, 0));
	accepts(with_state(11, 0, 0));
	accepts(two_regions());
	start_ring();
}

static void refuses_wrong_shapes(void **state)
{
	struct gn_guard_message m = with_u64(2, 0);

	m.size = 4;
	refuses(m);
	m.size = 9;
	refuses(m);
	m.size = 8;
	m.flags = 2;
	refuses(m);
	m.flags = 1 | 4;
	refuses(m);
	m.flags = 1;
	attach(&m, dup(ram));
	refuses(m);
	refuses(message(0, 0));
	refuses(message(22, 8)); /* IOTLB */
	refuses(message(28, 0)); /* post-copy */
	refuses(message(41, 0));
	refuses(message(0xffffffff, 0));
	refuses(with_state(8, N_VRINGS, SIZE));
	refuses(with_state(18, 0xffffffff, 1));
	refuses(event(12, N_VRINGS));
}

static void refuses_an_unknown_front_end(void **state)
{
	struct gn_guard_message m = message(1, 0);

	assert_non_null(gn_guard_check(VID + 1, &m));
	assert_non_null(gn_guard_check(-1, &m));
	assert_non_null(gn_guard_check(RTE_MAX_VHOST_DEVICE, &m));
}

static void refuses_bad_memory(void **state)
{
	struct gn_guard_message m = memory();

	m.payload.memory.regions[0].size_bytes++;
	refuses(m);
	m = memory();
	m.payload.memory.regions[0].mmap_offset = 4096;
	refuses(m);
	m = memory();
	m.payload.memory.regions[0].mmap_offset = UINT64_MAX - 4095;
	refuses(m);
	m = memory();
	m.payload.memory.regions[0].size_bytes = 0;
	refuses(m);
	m = memory();
	m.payload.memory.regions[0].gpa = UINT64_MAX - 4095;
	refuses(m);
	m = memory();
	m.payload.memory.regions[0].user_addr = UINT64_MAX - 4095;
	refuses(m);
	m = memory();
	m.payload.memory.n_regions = 0;
	refuses(m);
	m = memory();
	m.payload.memory.n_regions = 2;
	refuses(m);
	m = memory();
	m.payload.memory.n_regions = 9;
	refuses(m);
	m = two_regions();
	m.payload.memory.regions[1].gpa = RAM_SIZE / 4;
	refuses(m);
	m = two_regions();
	m.payload.memory.regions[1].user_addr = RAM_USER;
	refuses(m);
}

static void refuses_memory_that_is_no_file(void **state)
{
	int ends[2];
	struct gn_guard_message m = memory();

	assert_int_equal(pipe(ends), 0);
	close(m.fds[0]);
	m.fds[0] = ends[0];
	refuses(m);
	close(ends[1]);
	m = memory();
	close(m.fds[0]);
	m.fds[0] = open("/dev/zero", O_RDWR);
	refuses(m);
}

static void seals_memory(void **state)
{
	accepts(memory());
	assert_int_equal(ftruncate(ram, 4096), -1);
}

static void refuses_rings_that_do_not_fit(void **state)
{
	uint64_t end = RAM_USER + RAM_SIZE;

	refuses(ring(0)); /* no size yet */
	accepts(with_state(8, 0, SIZE));
	refuses(ring(0)); /* no memory yet */
	accepts(memory());
	refuses(ring_at(0, end - SIZE * 16 + 16, RAM_USER, RAM_USER));
	refuses(ring_at(0, RAM_USER, end - SIZE * 2, RAM_USER));
	refuses(ring_at(0, RAM_USER, RAM_USER, end - SIZE * 8));
	refuses(ring_at(0, RAM_USER - 16, RAM_USER, RAM_USER));
	refuses(ring_at(0, RAM_USER + 8, RAM_USER, RAM_USER));
	refuses(ring_at(0, RAM_USER, RAM_USER + 1, RAM_USER));
	refuses(ring_at(0, RAM_USER, RAM_USER, RAM_USER + 2));
	refuses(ring_at(0, 0, 0, 0));
	refuses(ring_at(0, UINT64_MAX - 15, RAM_USER, RAM_USER));
	accepts(ring_at(0, end - SIZE * 16, RAM_USER, RAM_USER));
}

static void refuses_bad_ring_sizes(void **state)
{
	refuses(with_state(8, 0, 0));
	refuses(with_state(8, 0, 255));
	refuses(with_state(8, 0, 65536));
	refuses(with_state(8, 0, 0x80000000));
	refuses(with_state(10, 0, 65536));
}

static void refuses_to_start_what_is_not_set_up(void **state)
{
	refuses(event(12, 0));
	accepts(with_state(8, 0, SIZE));
	refuses(event(12, 0));
	accepts(memory());
	accepts(ring(0));
	accepts(event(12, 0));
	accepts(with_state(11, 0, 0)); /* rte_vhost frees the ring's shadow here */
	accepts(memory());
	refuses(ring(0));
	refuses(event(12, 0));
}

static void refuses_to_change_a_running_ring(void **state)
{
	struct gn_guard_message m = memory();

	start_ring();
	refuses(with_state(8, 0, 2 * SIZE));
	refuses(with_state(8, 0, SIZE));
	refuses(with_state(10, 0, 7));
	refuses(ring_at(0, RAM_USER + 0x10000, RAM_USER + 0x2000, RAM_USER + 0x3000));
	refuses(with_u64(2, 1ull << 32 | 1ull << 29));
	m.payload.memory.regions[0].user_addr += RAM_SIZE; /* the ring is not in it */
	refuses(m);
	refuses(inflight(N_VRINGS, SIZE, 4 * 4160));
}

static void refuses_events_that_could_block(void **state)
{
	struct gn_guard_message m = with_u64(13, 0);
	int ends[2];

	refuses(m); /* none */
	assert_int_equal(pipe(ends), 0);
	attach(&m, ends[1]);
	refuses(m);
	close(ends[0]);
	m = with_u64(13, 0);
	attach(&m, dup(ram));
	refuses(m);
	m = event(13, 0);
	attach(&m, eventfd(0, 0));
	refuses(m);
	accepts(with_u64(13, 0x100));
	refuses(with_u64(13, 0x200));
}

static void makes_events_non_blocking(void **state)
{
	int fd = eventfd(0, 0);
	struct gn_guard_message m = with_u64(13, 0);

	attach(&m, dup(fd));
	accepts(m);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
}

static void refuses_bad_inflight_buffers(void **state)
{
	refuses(inflight(0, SIZE, 4096));
	refuses(inflight(N_VRINGS + 1, SIZE, RAM_SIZE));
	refuses(inflight(1, 0, 4096));
	refuses(inflight(1, 32769, RAM_SIZE));
	refuses(inflight(N_VRINGS, SIZE, 4 * 4160 - 1));
	refuses(inflight(N_VRINGS, SIZE, RAM_SIZE + 1));
	accepts(inflight(N_VRINGS, SIZE, 4 * 4160));
	refuses(with_state(8, 0, 2 * SIZE));
	accepts(with_state(8, 0, SIZE / 2));
	refuses(inflight(N_VRINGS, SIZE / 4, RAM_SIZE));
}

static void refuses_a_log_larger_than_its_file(void **state)
{
	struct gn_guard_message m = message(6, 16);

	m.payload.log.mmap_size = RAM_SIZE + 1;
	attach(&m, dup(ram));
	refuses(m);
	m.n_fds = 0;
	m.payload.log.mmap_size = RAM_SIZE;
	refuses(m);
	attach(&m, dup(ram));
	accepts(m);
}

static void allows_one_front_end_per_socket(void **state)
{
	int second = connect_client();
	int second_server = accept(listener, NULL, NULL);

	assert_int_equal(gn_guard_open(VID + 1, N_VRINGS), -EBUSY);
	close(client); /* the first has gone, though rte_vhost has not noticed */
	client = second;
	assert_int_equal(gn_guard_open(VID + 1, N_VRINGS), 0);
	gn_guard_close(VID + 1);
	close(second_server);
}

/* rte_vhost's number of an unregistered socket's front end goes to the next that connects: which
 * must keep its guard. */
static void forgetting_a_socket_spares_the_numbers_next_user(void **state)
{
	struct gn_guard_message m = message(1, 0);

	gn_guard_forget("/tmp/another.sock");
	assert_null(gn_guard_check(VID, &m));
	gn_guard_forget(socket_path);
	assert_non_null(gn_guard_check(VID, &m));
}

static void limits_how_long_a_front_end_may_stall(void **state)
{
	struct timeval limit = {0};
	socklen_t size = sizeof(limit);

	assert_int_equal(getsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, &size), 0);
	assert_true(limit.tv_sec || limit.tv_usec);
	limit = (struct timeval){0};
	assert_int_equal(getsockopt(server, SOL_SOCKET, SO_SNDTIMEO, &limit, &size), 0);
	assert_true(limit.tv_sec || limit.tv_usec);
}

static void survives_memory_that_is_taken_away(void **state)
{
	volatile uint8_t *p = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
	uint64_t before = gn_fault_count();

	assert_int_equal(gn_fault_install(), 0);
	p[8192] = 1;
	assert_int_equal(ftruncate(ram, 4096), 0);
	assert_int_equal(p[8192], 0);
	p[8193] = 7;
	p[RAM_SIZE - 1] = 7;
	assert_int_equal(gn_fault_count() - before, 2);
	munmap((void *)p, RAM_SIZE);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(lets_an_honest_front_end_through),
	        CASE(refuses_wrong_shapes),
	        CASE(refuses_an_unknown_front_end),
	        CASE(refuses_bad_memory),
	        CASE(refuses_memory_that_is_no_file),
	        CASE(seals_memory),
	        CASE(refuses_rings_that_do_not_fit),
	        CASE(refuses_bad_ring_sizes),
	        CASE(refuses_to_start_what_is_not_set_up),
	        CASE(refuses_to_change_a_running_ring),
	        CASE(refuses_events_that_could_block),
	        CASE(makes_events_non_blocking),
	        CASE(refuses_bad_inflight_buffers),
	        CASE(refuses_a_log_larger_than_its_file),
	        CASE(allows_one_front_end_per_socket),
	        CASE(forgetting_a_socket_spares_the_numbers_next_user),
	        CASE(limits_how_long_a_front_end_may_stall),
	        CASE(survives_memory_that_is_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
