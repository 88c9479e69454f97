/* device_test.c - a whole block device, driven by our own front end in the same process: real
 * rte_vhost, worker, io_uring and file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <rte_cycles.h>
#include "dataplane/blk/blk.h"
#include "dataplane/blk/sample.h"
#include "dataplane/meter/disk_meter.h"
#include "dataplane/worker/eal_test.h"
#include "dataplane/worker/worker.h"
#include "tests/frontend/blkdrv.h"
#include "tests/frontend/blkload.h"

#define MIB        (1u << 20)
#define IMAGE_SIZE (16u * MIB)
#define LAP_BLOCKS 256
#define LAP_STRIDE (IMAGE_SIZE / LAP_BLOCKS)
#define TIMEOUT_MS 20000

struct fixture {
	struct gn_worker *worker;
	struct gn_blk *blk;
	struct gn_blkdrv *drv;
	char directory[32];
	char image[64];
	char socket[64];
	char copy[64];
};

static enum gn_worker_idle idle = GN_WORKER_POLL;

/* ---- fixture ----------------------------------------------------------------- */

static void make_image(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	strcpy(fixture->directory, "/tmp/gnb.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->image, sizeof fixture->image, "%s/image", fixture->directory);
	snprintf(fixture->socket, sizeof fixture->socket, "%s/s", fixture->directory);
	snprintf(fixture->copy, sizeof fixture->copy, "%s/copy", fixture->directory);
	make_image(fixture->image, IMAGE_SIZE);
	assert_int_equal(gn_worker_create(1, idle, &fixture->worker), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	gn_blkdrv_destroy(fixture->drv);
	gn_blk_destroy(fixture->blk);
	gn_worker_destroy(fixture->worker);
	unlink(fixture->copy);
	unlink(fixture->image);
	unlink(fixture->socket);
	assert_int_equal(rmdir(fixture->directory), 0);
	free(fixture);
	return 0;
}

static void serve(struct fixture *fixture, unsigned queues, bool read_only)
{
	struct gn_blk_config config = {.name = "volumes/web-1-vda",
	                               .path = fixture->image,
	                               .socket_path = fixture->socket,
	                               .read_only = read_only,
	                               .queues = queues};
	struct gn_status status = {0};
	int err = gn_blk_create(fixture->worker, &config, &fixture->blk, &status);

	if (err)
		print_error("%s\n", status.message);
	assert_int_equal(err, 0);
}

static void attach(struct fixture *fixture, const struct gn_blkdrv_config *wanted)
{
	struct gn_blkdrv_config config = *wanted;
	struct gn_status status = {0};
	int err;

	config.socket_path = fixture->socket;
	err = gn_blkdrv_create(&config, &fixture->drv, &status);
	if (err)
		print_error("%s\n", status.message);
	assert_int_equal(err, 0);
}

static void serve_and_attach(struct fixture *fixture, unsigned queues)
{
	struct gn_blkdrv_config config = {.n_queues = queues, .max_bytes = 65536, .depth = 16};

	serve(fixture, queues, false);
	attach(fixture, &config);
}

static struct gn_blk_stats stats_of(struct fixture *fixture)
{
	struct gn_blk_stats stats;

	gn_blk_get_stats(fixture->blk, &stats);
	return stats;
}

static struct gn_blkdrv_request *submit(struct fixture *fixture, unsigned queue, uint32_t type,
                                        uint64_t offset, uint32_t size, int fill)
{
	struct gn_blkdrv_request *request = gn_blkdrv_get(fixture->drv, queue);

	assert_non_null(request);
	request->type = type;
	request->offset = offset;
	request->size_bytes = size;
	if (type == VIRTIO_BLK_T_OUT)
		memset(request->data, fill, size);
	assert_int_equal(gn_blkdrv_submit(fixture->drv, request), 0);
	gn_blkdrv_kick(fixture->drv, queue);
	return request;
}

/* Reaps 'n' requests of a queue, all of which must have succeeded. */
static void reap(struct fixture *fixture, unsigned queue, unsigned n)
{
	struct gn_blkdrv_request *request;

	while (n) {
		int got = gn_blkdrv_reap(fixture->drv, queue, &request);

		assert_true(got >= 0);
		if (got) {
			assert_int_equal(request->status, VIRTIO_BLK_S_OK);
			gn_blkdrv_put(fixture->drv, request);
			n--;
		} else {
			assert_int_equal(gn_blkdrv_wait(fixture->drv, queue, TIMEOUT_MS), 0);
		}
	}
}

static int write_byte(struct fixture *fixture, unsigned queue, uint64_t offset, int fill)
{
	uint8_t data[4096];

	memset(data, fill, sizeof data);
	return gn_blkdrv_run(fixture->drv, queue, VIRTIO_BLK_T_OUT, offset, data, sizeof data,
	                     TIMEOUT_MS);
}

static int read_byte(struct fixture *fixture, unsigned queue, uint64_t offset)
{
	uint8_t data[4096];

	assert_int_equal(gn_blkdrv_run(fixture->drv, queue, VIRTIO_BLK_T_IN, offset, data,
	                               sizeof data, TIMEOUT_MS),
	                 VIRTIO_BLK_S_OK);
	for (unsigned i = 1; i < sizeof data; i++)
		assert_int_equal(data[i], data[0]);
	return data[0];
}

static int file_byte(const char *path, off_t offset)
{
	uint8_t byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	close(fd);
	return byte;
}

/* ---- honest guests ----------------------------------------------------------- */

static void test_what_the_guest_sees(void **state)
{
	struct fixture *fixture = *state;
	const struct virtio_blk_config *info;
	char id[20];

	serve_and_attach(fixture, 4);
	info = gn_blkdrv_info(fixture->drv);
	assert_int_equal(gn_blkdrv_capacity_bytes(fixture->drv), IMAGE_SIZE);
	assert_int_equal(gn_blk_size_bytes(fixture->blk), IMAGE_SIZE);
	assert_int_equal(info->blk_size, 512);
	assert_int_equal(info->num_queues, 4);
	assert_int_equal(info->seg_max, 126);
	assert_int_equal(
	        gn_blkdrv_run(fixture->drv, 3, VIRTIO_BLK_T_GET_ID, 0, id, sizeof id, TIMEOUT_MS),
	        VIRTIO_BLK_S_OK);
	assert_memory_equal(id, "web-1-vda\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(gn_blkdrv_run(fixture->drv, 0, 77, 0, NULL, 0, TIMEOUT_MS),
	                 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(stats_of(fixture).errors, 1);
	assert_true(gn_blk_connected(fixture->blk));
	gn_blkdrv_destroy(fixture->drv);
	fixture->drv = NULL;
	for (unsigned i = 0; i < 2000 && gn_blk_connected(fixture->blk); i++)
		usleep(1000);
	assert_false(gn_blk_connected(fixture->blk));
}

static void run_load(struct fixture *fixture, struct gn_blkload_config *config)
{
	struct gn_blkload_result result = {0};
	struct gn_status status = {0};
	int err;

	config->driver.socket_path = fixture->socket;
	config->verify = true;
	config->image_path = fixture->image;
	config->seed = 3;
	err = gn_blkload_run(config, &result, &status);
	if (err)
		print_error("%s\n", status.message);
	assert_int_equal(err, 0);
	assert_int_equal(result.errors + result.mismatches + result.duplicates + result.lost, 0);
	assert_true(result.reads + result.writes + result.others >= config->n_ops);
}

static void test_verified_load(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blkload_config loads[] = {
	        {.mix = {.read = 1, .write = 1}, .block_bytes = 4096, .n_ops = 1500},
	        {.mix = {.read = 2, .write = 2, .zeroes = 1, .discard = 1, .flush = 1},
	         .block_bytes = 8192,
	         .driver = {.segment_bytes = 1024, .n_regions = 4, .depth = 8},
	         .n_ops = 800},
	        {.mix = {.read = 1, .write = 1},
	         .block_bytes = 512,
	         .driver = {.no_event_idx = true, .no_indirect = true, .depth = 128},
	         .n_ops = 1500},
	        {.mix = {.read = 1, .write = 1, .flush = 1},
	         .block_bytes = 65536,
	         .driver = {.n_queues = 4, .depth = 4, .max_bytes = 65536},
	         .n_ops = 500},
	};

	serve(fixture, 4, false);
	for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++)
		run_load(fixture, &loads[i]);
	assert_int_equal(stats_of(fixture).rejected, 0);
	assert_int_equal(stats_of(fixture).in_flight, 0);
}

static void test_counts(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_stats before, now, period, sum = {0};
	struct gn_blk_sample sample;

	serve_and_attach(fixture, 1);
	assert_int_equal(write_byte(fixture, 0, 0, 1), 0);
	gn_blk_take_stats(fixture->blk, &before);
	assert_int_equal(before.queue_depth_max, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(write_byte(fixture, 0, i * 4096, 2), 0);
	assert_int_equal(read_byte(fixture, 0, 4096), 2);
	assert_int_equal(gn_blkdrv_run(fixture->drv, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, TIMEOUT_MS),
	                 0);
	gn_blk_take_stats(fixture->blk, &now);
	gn_blk_stats_diff(&now, &before, &period);
	gn_blk_stats_add(&sum, &period);
	gn_blk_stats_add(&sum, &period);
	gn_blk_sample_fill(&sample, &sum);
	assert_int_equal(sample.message.write->operations, 6);
	assert_int_equal(sample.message.write->bytes, 6 * 4096);
	assert_int_equal(sample.message.write->latency->count, 6);
	assert_int_equal(sample.message.write->latency->n_buckets, 24);
	assert_int_equal(sample.message.read->operations, 2);
	assert_int_equal(sample.message.flush->operations, 2);
	assert_int_equal(sample.message.discard->operations, 0);
	assert_int_equal(sample.message.errors, 0);
}

static void test_read_only(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blkdrv_config config = {0};

	serve(fixture, 1, true);
	attach(fixture, &config);
	assert_true(gn_frontend_has(gn_blkdrv_frontend(fixture->drv), VIRTIO_BLK_F_RO) ||
	            !gn_frontend_has(gn_blkdrv_frontend(fixture->drv), VIRTIO_BLK_F_DISCARD));
	assert_int_equal(read_byte(fixture, 0, 0), 0);
	assert_int_equal(write_byte(fixture, 0, 0, 9), VIRTIO_BLK_S_IOERR);
	assert_int_equal(file_byte(fixture->image, 0), 0);
}

/* One request at a time on a worker that sleeps in between. */
static void test_sleeping_worker(void **state)
{
	struct fixture *fixture = *state;

	serve_and_attach(fixture, 2);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(write_byte(fixture, i % 2, i * 4096ull, (int)i), 0);
		usleep(i % 5 * 100);
		assert_int_equal(read_byte(fixture, (i + 1) % 2, i * 4096ull), i);
	}
	assert_true(idle == GN_WORKER_POLL || gn_worker_stats(fixture->worker)->sleeps > 0);
}

/* ---- the store fails --------------------------------------------------------- */

static void test_store_errors(void **state)
{
	struct fixture *fixture = *state;

	serve_and_attach(fixture, 1);
	assert_int_equal(truncate(fixture->image, MIB), 0);
	assert_int_equal(write_byte(fixture, 0, 0, 1), VIRTIO_BLK_S_OK);
	{
		uint8_t data[4096];

		assert_int_equal(gn_blkdrv_run(fixture->drv, 0, VIRTIO_BLK_T_IN, 2 * MIB, data,
		                               sizeof data, TIMEOUT_MS),
		                 VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(stats_of(fixture).errors, 1);
	assert_int_equal(stats_of(fixture).rejected, 0);
}

/* ---- stop, change, disconnect, under load ------------------------------------ */

static void fill_queue(struct fixture *fixture, unsigned queue, unsigned n, int fill)
{
	for (unsigned i = 0; i < n; i++)
		submit(fixture, queue, VIRTIO_BLK_T_OUT, (queue * n + i) * 65536ull, 65536, fill);
}

/* Answers of a stopped ring are complete: nothing is written to it afterwards. */
static void test_stop_under_load(void **state)
{
	struct fixture *fixture = *state;
	struct gn_frontend *fe;

	serve_and_attach(fixture, 2);
	fe = gn_blkdrv_frontend(fixture->drv);
	for (unsigned round = 0; round < 20; round++) {
		struct gn_status status = {0};

		fill_queue(fixture, 0, 16, (int)round);
		fill_queue(fixture, 1, 16, (int)round);
		assert_int_equal(gn_frontend_stop(fe, &status), 0);
		for (unsigned i = 0; i < 2; i++) {
			uint16_t used = *(volatile uint16_t *)&fe->vrings[i].used->idx;

			usleep(2000);
			assert_int_equal(*(volatile uint16_t *)&fe->vrings[i].used->idx, used);
		}
		assert_int_equal(stats_of(fixture).in_flight, 0);
		assert_int_equal(gn_frontend_start(fe, &status), 0);
		for (unsigned i = 0; i < 2; i++)
			gn_vring_kick_always(&fe->vrings[i]);
		reap(fixture, 0, 16);
		reap(fixture, 1, 16);
	}
	assert_int_equal(file_byte(fixture->image, 0), 19);
}

/* The memory table changes (regions in another order) while requests are in flight. */
static void test_new_memory_under_load(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blkdrv_config config = {.max_bytes = 65536, .depth = 16, .n_regions = 2};
	struct gn_frontend *fe;

	serve(fixture, 1, false);
	attach(fixture, &config);
	fe = gn_blkdrv_frontend(fixture->drv);
	for (unsigned round = 0; round < 20; round++) {
		struct gn_ram_region first = fe->ram.regions[0];

		fill_queue(fixture, 0, 16, (int)round);
		fe->ram.regions[0] = fe->ram.regions[1];
		fe->ram.regions[1] = first;
		assert_int_equal(gn_frontend_share_memory(fe, NULL), 0);
		reap(fixture, 0, 16);
		assert_int_equal(file_byte(fixture->image, 65536 * 15), round);
	}
	assert_int_equal(stats_of(fixture).rejected, 0);
}

static void test_disconnect_under_load(void **state)
{
	struct fixture *fixture = *state;

	serve_and_attach(fixture, 2);
	for (unsigned round = 0; round < 10; round++) {
		struct gn_status status = {0};

		fill_queue(fixture, 0, 16, (int)round);
		fill_queue(fixture, 1, 16, (int)round);
		gn_frontend_disconnect(gn_blkdrv_frontend(fixture->drv));
		assert_int_equal(gn_blkdrv_reconnect(fixture->drv, TIMEOUT_MS, &status), 0);
		reap(fixture, 0, 16);
		reap(fixture, 1, 16);
		assert_int_equal(file_byte(fixture->image, 65536 * 31), round);
	}
}

static void test_destroy_under_load(void **state)
{
	struct fixture *fixture = *state;

	serve_and_attach(fixture, 1);
	fill_queue(fixture, 0, 16, 7);
	gn_blk_destroy(fixture->blk);
	fixture->blk = NULL;
	assert_int_equal(access(fixture->socket, F_OK), -1);
	/* A successor finds what was not answered, in the front end's in-flight buffer. */
	serve(fixture, 1, false);
	assert_int_equal(gn_blkdrv_reconnect(fixture->drv, TIMEOUT_MS, NULL), 0);
	reap(fixture, 0, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(file_byte(fixture->image, i * 65536), 7);
}

/* Live migration: pages that the device writes are marked in the front end's log. */
static void test_dirty_log(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blkdrv_request *request;
	struct gn_wire_message message;
	struct gn_frontend *fe;
	uint64_t size, page;
	uint8_t *log;
	int fd, none = -1;

	serve_and_attach(fixture, 1);
	fe = gn_blkdrv_frontend(fixture->drv);
	size = (fe->ram.regions[0].gpa + fe->ram.regions[0].size_bytes) / 4096 / 8 + 4096;
	fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	log = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(log, MAP_FAILED);
	message = (struct gn_wire_message){
	        .request = GN_WIRE_SET_LOG_BASE, .flags = GN_WIRE_VERSION, .size = 16};
	memcpy(message.payload.bytes, (uint64_t[]){size, 0}, 16);
	assert_int_equal(gn_wire_send(fe->socket, &message, &fd, 1), 0);
	assert_int_equal(gn_wire_receive(fe->socket, &message, &none, TIMEOUT_MS), 0);
	fe->features |= 1ull << VHOST_F_LOG_ALL;
	assert_int_equal(gn_frontend_set_features(fe, NULL), 0);
	request = submit(fixture, 0, VIRTIO_BLK_T_OUT, 0, 65536, 1);
	reap(fixture, 0, 1);
	page = request->data_gpa / 4096;
	assert_false(log[page / 8] & 1 << page % 8); /* it was only read */
	request = submit(fixture, 0, VIRTIO_BLK_T_IN, 0, 65536, 0);
	reap(fixture, 0, 1);
	for (page = request->data_gpa / 4096; page < (request->data_gpa + 65536) / 4096; page++)
		assert_true(log[page / 8] & 1 << page % 8);
	page = request->status_gpa / 4096;
	assert_true(log[page / 8] & 1 << page % 8);
	munmap(log, size);
	close(fd);
}

/* ---- hostile guests ---------------------------------------------------------- */

static void test_malformed_requests(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[4096] = {1};

	serve_and_attach(fixture, 1);
	assert_int_equal(gn_blkdrv_run(fixture->drv, 0, VIRTIO_BLK_T_OUT, IMAGE_SIZE - 512, data,
	                               1024, TIMEOUT_MS),
	                 VIRTIO_BLK_S_IOERR);
	assert_int_equal(gn_blkdrv_run(fixture->drv, 0, VIRTIO_BLK_T_OUT, 0, data, 100, TIMEOUT_MS),
	                 VIRTIO_BLK_S_IOERR);
	assert_int_equal(stats_of(fixture).rejected, 2);
	assert_int_equal(stats_of(fixture).errors, 0);
	assert_int_equal(file_byte(fixture->image, 0), 0);
	assert_int_equal(write_byte(fixture, 0, 0, 5), 0);
}

static void kick(struct gn_vring *vring)
{
	const uint64_t one = 1;

	assert_int_equal(write(vring->kick_fd, &one, sizeof one), sizeof one);
}

static void await_rejected(struct fixture *fixture, uint64_t n)
{
	for (unsigned i = 0; i < 5000 && stats_of(fixture).rejected < n; i++)
		usleep(1000);
	assert_int_equal(stats_of(fixture).rejected, n);
}

/* A corrupt ring stops; its neighbour goes on; a reset brings it back. */
static void test_corrupt_ring(void **state)
{
	struct fixture *fixture = *state;
	struct gn_frontend *fe;
	struct gn_vring *vring;

	serve_and_attach(fixture, 2);
	assert_int_equal(write_byte(fixture, 1, 0, 2),
	                 0); /* no message is under way, see mad_indexes */
	fe = gn_blkdrv_frontend(fixture->drv);
	vring = &fe->vrings[0];
	vring->desc[5] = (struct vring_desc){.addr = 0x1000, .flags = VRING_DESC_F_NEXT, .next = 5};
	vring->avail->ring[vring->avail_idx % vring->size] = 5;
	__atomic_store_n(&vring->avail->idx, vring->avail_idx + 1, __ATOMIC_RELEASE);
	kick(vring);
	await_rejected(fixture, 1);
	assert_int_equal(stats_of(fixture).queues_stopped, 1);
	assert_int_equal(write_byte(fixture, 1, 0, 3), 0);
	/* The driver gives up what it had queued and starts again. */
	vring->avail->idx = vring->avail_idx;
	assert_int_equal(gn_frontend_stop(fe, NULL), 0);
	assert_int_equal(gn_frontend_start(fe, NULL), 0);
	assert_int_equal(stats_of(fixture).queues_stopped, 0);
	assert_int_equal(write_byte(fixture, 0, 4096, 4), 0);
	assert_int_equal(read_byte(fixture, 1, 4096), 4);
}

static void test_mad_indexes(void **state)
{
	struct fixture *fixture = *state;
	struct gn_vring *vring;

	serve_and_attach(fixture, 3);
	/* Once the last queue answers, no message about rings is under way: each would have all
	 * rings read anew, and the broken one found again. */
	assert_int_equal(write_byte(fixture, 2, 0, 2), 0);
	vring = &gn_blkdrv_frontend(fixture->drv)->vrings[0];
	__atomic_store_n(&vring->avail->idx, vring->avail_idx + vring->size + 1, __ATOMIC_RELEASE);
	kick(vring);
	await_rejected(fixture, 1);
	vring = &gn_blkdrv_frontend(fixture->drv)->vrings[1];
	vring->avail->ring[0] = (uint16_t)vring->size; /* a head that is no descriptor */
	__atomic_store_n(&vring->avail->idx, vring->avail_idx + 1, __ATOMIC_RELEASE);
	kick(vring);
	await_rejected(fixture, 2);
	assert_int_equal(write_byte(fixture, 2, 0, 3), 0);
}

/* One slot is offered twice while it is in flight. */
static void test_head_twice(void **state)
{
	struct fixture *fixture = *state;
	struct gn_vring *vring;

	serve_and_attach(fixture, 2);
	vring = &gn_blkdrv_frontend(fixture->drv)->vrings[0];
	submit(fixture, 0, VIRTIO_BLK_T_OUT, 0, 65536, 1);
	submit(fixture, 0, VIRTIO_BLK_T_OUT, 65536, 65536, 2);
	reap(fixture, 0, 2);
	for (unsigned i = 0; i < 2; i++)
		vring->avail->ring[(vring->avail_idx + i) % vring->size] = vring->avail->ring[0];
	__atomic_store_n(&vring->avail->idx, vring->avail_idx + 2, __ATOMIC_RELEASE);
	kick(vring);
	await_rejected(fixture, 1);
	assert_int_equal(write_byte(fixture, 1, 0, 3), 0);
}

static void test_second_front_end(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blkdrv_config config = {.socket_path = fixture->socket};
	struct gn_blkdrv *second = NULL;

	serve_and_attach(fixture, 1);
	assert_int_not_equal(gn_blkdrv_create(&config, &second, NULL), 0);
	assert_int_equal(write_byte(fixture, 0, 0, 3), 0);
}

static void test_create_refused(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_config config = {.name = "volumes/x", .path = fixture->image};
	struct gn_status status = {0};
	struct gn_blk *blk;
	char longer[200];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	config.socket_path = longer;
	assert_int_equal(gn_blk_create(fixture->worker, &config, &blk, &status), -EINVAL);
	config.socket_path = "/tmp/none/none/s";
	assert_int_not_equal(gn_blk_create(fixture->worker, &config, &blk, &status), 0);
	config.socket_path = fixture->socket;
	config.queues = 17;
	assert_int_equal(gn_blk_create(fixture->worker, &config, &blk, &status), -EINVAL);
	config.queues = 1;
	config.serial = "123456789012345678901";
	assert_int_equal(gn_blk_create(fixture->worker, &config, &blk, &status), -EINVAL);
	config.serial = NULL;
	config.path = fixture->directory;
	assert_int_equal(gn_blk_create(fixture->worker, &config, &blk, &status), -EISDIR);
	assert_true(strlen(status.message) > 10);
	serve(fixture, 1, false);
	make_image(fixture->copy, MIB);
	config.path = fixture->copy; /* another file, but the first device's socket */
	assert_int_equal(gn_blk_create(fixture->worker, &config, &blk, &status), -EADDRINUSE);
}

/* ---- meter ------------------------------------------------------------------- */

struct meter_order {
	struct gn_disk_meter *meter;
	uint64_t operations;
};

static void set_rate(void *arg)
{
	struct meter_order *order = arg;

	gn_disk_meter_set(order->meter, order->operations, 0, rte_get_tsc_hz(), rte_rdtsc());
}

static void test_meter(void **state)
{
	struct fixture *fixture = *state;
	struct gn_disk_meter meter;
	struct meter_order order = {&meter, 50};

	gn_disk_meter_init(&meter);
	serve_and_attach(fixture, 1);
	gn_worker_call(fixture->worker, set_rate, &order);
	gn_blk_set_meter(fixture->blk, &meter);
	/* 16 at once; the burst of 100 ms passes 5 or 6 however long nothing came, and the others
	 * wait 20 ms more each. */
	fill_queue(fixture, 0, 16, 1);
	reap(fixture, 0, 16);
	assert_true(stats_of(fixture).throttled_us > 100000);
	/* Stopping does not wait for the meter, and what waited goes on without it. */
	order.operations = 1;
	gn_worker_call(fixture->worker, set_rate, &order);
	fill_queue(fixture, 0, 16, 1);
	assert_int_equal(gn_frontend_stop(gn_blkdrv_frontend(fixture->drv), NULL), 0);
	assert_int_equal(gn_frontend_start(gn_blkdrv_frontend(fixture->drv), NULL), 0);
	gn_blk_set_meter(fixture->blk, NULL);
	reap(fixture, 0, 16);
}

/* ---- clone ------------------------------------------------------------------- */

static bool is_done(const struct gn_blk_clone *clone)
{
	struct pollfd wait = {.fd = gn_blk_clone_fd(clone), .events = POLLIN};

	return poll(&wait, 1, 0) == 1;
}

static int finish(struct gn_blk_clone *clone, struct gn_blk_clone_result *result,
                  struct gn_status *status)
{
	struct pollfd wait = {.fd = gn_blk_clone_fd(clone), .events = POLLIN};

	assert_int_equal(poll(&wait, 1, TIMEOUT_MS), 1);
	return gn_blk_clone_finish(clone, result, status);
}

/* The writer numbers its writes: block n gets the value n, one after the other. The copy must
 * hold a prefix: once a block is missing, all later ones are. */
static void test_clone_is_an_instant(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result = {0};
	struct gn_blk_clone *clone;
	struct gn_status status = {0};
	unsigned n, prefix;

	serve_and_attach(fixture, 1);
	for (n = 0; n < 100; n++)
		assert_int_equal(write_byte(fixture, 0, n * 4096ull, 1), 0);
	assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status), 0);
	for (; n < 1000; n++)
		assert_int_equal(write_byte(fixture, 0, n * 4096ull, 1), 0);
	assert_int_equal(finish(clone, &result, &status), 0);
	assert_int_equal(result.size_bytes, IMAGE_SIZE);
	assert_true(result.wall_us > 0);
	for (prefix = 0; prefix < 1000 && file_byte(fixture->copy, prefix * 4096) == 1; prefix++)
		;
	assert_true(prefix >= 100);
	for (n = prefix; n < 1000; n++)
		assert_int_equal(file_byte(fixture->copy, n * 4096), 0);
	for (n = 0; n < 1000; n++)
		assert_int_equal(file_byte(fixture->image, n * 4096), 1);
}

static void test_clone_refused(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result;
	struct gn_blk_clone *clone, *second;
	struct gn_status status = {0};

	serve(fixture, 1, false);
	assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->image, &clone, &status),
	                 -EEXIST);
	assert_int_equal(status.code, GN_ALREADY_EXISTS);
	assert_int_equal(gn_blk_clone_start(fixture->blk, "/tmp/no/such/dir", &clone, &status),
	                 -ENOENT);
	/* Without any front end; and one at a time. */
	assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status), 0);
	assert_int_equal(gn_blk_clone_start(fixture->blk, "/tmp/gnb-second", &second, &status),
	                 -EBUSY);
	assert_int_equal(finish(clone, &result, &status), 0);
	assert_int_not_equal(access("/tmp/gnb-second", F_OK), 0);
	assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status), -EEXIST);
}

static void fill_image(struct fixture *fixture)
{
	static uint8_t block[MIB];
	int fd = open(fixture->image, O_WRONLY | O_CLOEXEC);

	memset(block, 0x5a, sizeof block);
	for (off_t at = 0; at < IMAGE_SIZE; at += MIB)
		assert_int_equal(pwrite(fd, block, MIB, at), MIB);
	close(fd);
}

/* The writer goes over the disk in laps, at both ends in turn: block after block gets the lap's
 * number. So a copy of one instant holds a lap up to some write, and the lap before from there on;
 * one that was read from its beginning to its end holds more of the lap at the end. */
static uint64_t lap_offset(unsigned n)
{
	return (uint64_t)(n % 2 ? LAP_BLOCKS - 1 - n / 2 : n / 2) * LAP_STRIDE;
}

static int lap_at(const struct fixture *fixture, unsigned n)
{
	return file_byte(fixture->copy, (off_t)lap_offset(n));
}

static void check_laps(const struct fixture *fixture, int laps)
{
	int first = lap_at(fixture, 0);
	unsigned n = 1;

	assert_in_range(first, 1, laps);
	while (n < LAP_BLOCKS && lap_at(fixture, n) == first)
		n++;
	for (; n < LAP_BLOCKS; n++)
		assert_int_equal(lap_at(fixture, n), first - 1);
	assert_int_equal(file_byte(fixture->copy, 4096), 0x5a);
}

static void copy_under_laps(struct fixture *fixture)
{
	struct gn_blk_clone_result result = {0};
	struct gn_blk_clone *clone = NULL;
	struct gn_status status = {0};
	int lap = 0;

	do {
		lap++;
		for (unsigned n = 0; n < LAP_BLOCKS; n++)
			assert_int_equal(write_byte(fixture, 0, lap_offset(n), lap), 0);
		if (!clone)
			assert_int_equal(
			        gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status),
			        0);
	} while (lap < 3 || (lap < 200 && !is_done(clone)));
	assert_int_equal(finish(clone, &result, &status), 0);
	check_laps(fixture, lap);
}

static void test_clone_while_written(void **state)
{
	struct fixture *fixture = *state;

	fill_image(fixture);
	serve_and_attach(fixture, 1);
	copy_under_laps(fixture);
}

/* A reset of the device while a copy is made disturbs neither. */
static void test_clone_gives_way(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result;
	struct gn_blk_clone *clone;
	struct gn_status status = {0};

	fill_image(fixture);
	serve_and_attach(fixture, 1);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status),
		                 0);
		usleep(i * 1000);
		submit(fixture, 0, VIRTIO_BLK_T_OUT, 0, 4096, 7);
		assert_int_equal(gn_frontend_stop(gn_blkdrv_frontend(fixture->drv), NULL), 0);
		assert_int_equal(gn_frontend_start(gn_blkdrv_frontend(fixture->drv), NULL), 0);
		gn_vring_kick_always(&gn_blkdrv_frontend(fixture->drv)->vrings[0]);
		reap(fixture, 0, 1);
		assert_int_equal(finish(clone, &result, &status), 0);
		assert_int_equal(file_byte(fixture->copy, IMAGE_SIZE - 1), 0x5a);
		unlink(fixture->copy);
	}
	assert_int_equal(write_byte(fixture, 0, 4096, 8), 0);
}

static void test_clone_cancelled(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result;
	struct gn_blk_clone *clone;
	struct gn_status status = {0};
	int err;

	fill_image(fixture);
	serve_and_attach(fixture, 1);
	assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status), 0);
	gn_blk_clone_cancel(clone);
	err = finish(clone, &result, &status);
	assert_int_equal(err, -ECANCELED);
	assert_int_not_equal(access(fixture->copy, F_OK), 0);
	assert_int_equal(write_byte(fixture, 0, 0, 8), 0);
}

static void test_clone_on_full_disk(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result;
	struct gn_blk_clone *clone;
	struct gn_status status = {0};
	char mount_point[40];

	snprintf(mount_point, sizeof mount_point, "%s/m", fixture->directory);
	snprintf(fixture->copy, sizeof fixture->copy, "%s/copy", mount_point);
	assert_int_equal(mkdir(mount_point, 0700), 0);
	fill_image(fixture);
	serve_and_attach(fixture, 1);
	if (mount("tmpfs", mount_point, "tmpfs", 0, "size=4m") == 0) {
		assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status),
		                 0);
		assert_int_equal(finish(clone, &result, &status), -ENOSPC);
		assert_int_equal(status.code, GN_RESOURCE_EXHAUSTED);
		assert_int_not_equal(access(fixture->copy, F_OK), 0);
		assert_int_equal(write_byte(fixture, 0, 0, 8), 0);
		assert_int_equal(umount(mount_point), 0);
		assert_int_equal(rmdir(mount_point), 0);
	} else {
		rmdir(mount_point);
		skip();
	}
}

/* The front end is told of a new size over its channel; one that does not read it holds nobody up.
 */
static void test_resize_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct gn_wire_message message = {.request = GN_WIRE_SET_SLAVE_REQ_FD,
	                                  .flags = GN_WIRE_VERSION};
	struct gn_status status = {0};
	uint32_t told[3];
	uint64_t size = IMAGE_SIZE;
	int pair[2];

	serve_and_attach(fixture, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
	        gn_wire_send(gn_blkdrv_frontend(fixture->drv)->socket, &message, &pair[1], 1), 0);
	/* An answer to a later message: the channel is taken. */
	assert_int_equal(gn_frontend_stop(gn_blkdrv_frontend(fixture->drv), NULL), 0);
	assert_int_equal(gn_frontend_start(gn_blkdrv_frontend(fixture->drv), NULL), 0);
	size += MIB;
	assert_int_equal(gn_blk_resize(fixture->blk, fixture->image, size, &status), 0);
	assert_int_equal(recv(pair[0], told, sizeof told, 0), sizeof told);
	assert_int_equal(told[0], 2);
	assert_int_equal(told[2], 0);
	while (send(pair[1], told, sizeof told, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	size += MIB;
	assert_int_equal(gn_blk_resize(fixture->blk, fixture->image, size, &status), 0);
	assert_int_equal(gn_blk_size_bytes(fixture->blk), size);
	assert_int_equal(write_byte(fixture, 0, size - 4096, 1), 0);
	close(pair[0]);
	close(pair[1]);
}

/* XFS shares blocks: the copy takes no time and no space. */
static void test_clone_by_reflink(void **state)
{
	struct fixture *fixture = *state;
	struct gn_blk_clone_result result = {0};
	struct gn_blk_clone *clone;
	struct gn_status status = {0};
	char command[400], mount_point[40], disk[40];
	bool mounted;

	snprintf(mount_point, sizeof mount_point, "%s/m", fixture->directory);
	snprintf(disk, sizeof disk, "%s/xfs", fixture->directory);
	assert_int_equal(mkdir(mount_point, 0700), 0);
	snprintf(command, sizeof command,
	         "truncate -s 400M %s && mkfs.xfs -q -m reflink=1 %s >/dev/null 2>&1 && "
	         "mount -o loop %s %s >/dev/null 2>&1",
	         disk, disk, disk, mount_point);
	mounted = system(command) == 0;
	if (mounted) {
		unlink(fixture->image);
		snprintf(fixture->image, sizeof fixture->image, "%s/image", mount_point);
		snprintf(fixture->copy, sizeof fixture->copy, "%s/copy", mount_point);
		make_image(fixture->image, IMAGE_SIZE);
		fill_image(fixture);
		serve_and_attach(fixture, 1);
		assert_int_equal(write_byte(fixture, 0, 0, 1), 0);
		assert_int_equal(gn_blk_clone_start(fixture->blk, fixture->copy, &clone, &status),
		                 0);
		assert_int_equal(finish(clone, &result, &status), 0);
		assert_true(result.reflink);
		assert_int_equal(write_byte(fixture, 0, 0, 2), 0);
		assert_int_equal(file_byte(fixture->copy, 0), 1);
		assert_int_equal(file_byte(fixture->copy, IMAGE_SIZE - 1), 0x5a);
		unlink(fixture->copy);
		copy_under_laps(fixture);
		gn_blkdrv_destroy(fixture->drv);
		gn_blk_destroy(fixture->blk);
		fixture->drv = NULL;
		fixture->blk = NULL;
		/* The kernel takes a ring down after its close; the file is in use until then. */
		for (unsigned i = 0; i < 5000 && umount(mount_point) != 0; i++)
			usleep(1000);
	}
	unlink(disk);
	assert_int_equal(rmdir(mount_point), 0);
	if (!mounted)
		skip();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(what_the_guest_sees),
	        CASE(verified_load),
	        CASE(counts),
	        CASE(read_only),
	        CASE(store_errors),
	        CASE(stop_under_load),
	        CASE(new_memory_under_load),
	        CASE(disconnect_under_load),
	        CASE(destroy_under_load),
	        CASE(dirty_log),
	        CASE(malformed_requests),
	        CASE(corrupt_ring),
	        CASE(mad_indexes),
	        CASE(head_twice),
	        CASE(second_front_end),
	        CASE(create_refused),
	        CASE(meter),
	        CASE(resize_is_told),
	        CASE(clone_is_an_instant),
	        CASE(clone_refused),
	        CASE(clone_while_written),
	        CASE(clone_gives_way),
	        CASE(clone_cancelled),
	        CASE(clone_on_full_disk),
	        CASE(clone_by_reflink),
	};
	const struct CMUnitTest sleeping[] = {CASE(sleeping_worker), CASE(verified_load),
	                                      CASE(meter), CASE(clone_is_an_instant)};
	int failed;

	/* Mounts are ours alone and go away with us. */
	if (unshare(CLONE_NEWNS) == 0)
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (gn_eal_test_init() < 0)
		return 1;
	failed = cmocka_run_group_tests_name("blk_device", tests, NULL, NULL);
	idle = GN_WORKER_BACKOFF;
	return failed + cmocka_run_group_tests_name("blk_device_backoff", sleeping, NULL, NULL);
}
