/* disk.c - disk load and the verified writer.
 *
 * The verified writer is the judge of 'no acknowledged write is lost': a block is 4 KiB
 * that repeats (block number, stamp); a write counts as acknowledged when fdatasync returned;
 * a block that reads back with another stamp than its last acknowledged one (a later, not
 * yet acknowledged one cannot exist: there is one writer and it waits) is wrong. */
#include "tests/guest/load/load.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BLOCK         4096u
#define VERIFY_BLOCKS 2048u

static _Atomic uint64_t target_kib;
static _Atomic uint64_t reads, writes, errors, longest_ms;
static _Atomic uint64_t verify_writes, verify_checked, verify_wrong, verify_seconds;
static _Atomic bool verify_running;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void note_time(uint64_t start)
{
	uint64_t took = now_ms() - start;

	if (took > atomic_load(&longest_ms))
		atomic_store(&longest_ms, took);
}

static int open_disk(uint64_t *n_blocks, void **buffer)
{
	int fd = open("/dev/vda", O_RDWR | O_DIRECT);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;

	if (size < (off_t)(4 * VERIFY_BLOCKS * BLOCK) || posix_memalign(buffer, BLOCK, BLOCK)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*n_blocks = (uint64_t)size / BLOCK;
	return fd;
}

/* Random load in the first half of the disk. */
static void *random_load(void *argument)
{
	uint64_t n_blocks, random = 88172645463325252u;
	void *buffer;
	int fd = open_disk(&n_blocks, &buffer);

	if (fd < 0)
		return NULL;
	for (;;) {
		uint64_t kib = atomic_load(&target_kib), start = now_ms();
		uint64_t requests = kib * 1024 * GN_LOAD_SLICE_MS / 1000 / BLOCK;

		for (uint64_t i = 0; i < requests && now_ms() - start < 1000; i++) {
			uint64_t r = next_random(&random), at = now_ms();
			off_t offset = (off_t)(r % (n_blocks / 2) * BLOCK);
			bool is_write = r >> 40 & 1;
			ssize_t n = is_write ? pwrite(fd, buffer, BLOCK, offset)
			                     : pread(fd, buffer, BLOCK, offset);

			note_time(at);
			atomic_fetch_add(n != BLOCK ? &errors : is_write ? &writes : &reads, 1);
		}
		usleep(GN_LOAD_SLICE_MS * 1000);
	}
	return NULL;
}

static void stamp(uint64_t *block, uint64_t number, uint64_t value)
{
	for (unsigned i = 0; i < BLOCK / 16; i++) {
		block[2 * i] = number;
		block[2 * i + 1] = value;
	}
}

static bool is_stamped(const uint64_t *block, uint64_t number, uint64_t value)
{
	for (unsigned i = 0; i < BLOCK / 16; i++)
		if (block[2 * i] != number || block[2 * i + 1] != value)
			return false;
	return true;
}

static void write_stamps(int fd, uint64_t *buffer, uint64_t first, uint64_t *acknowledged)
{
	uint64_t end = now_ms() + atomic_load(&verify_seconds) * 1000,
	         random = 1181783497276652981u;

	for (uint64_t value = 1; now_ms() < end; value++) {
		uint64_t block = next_random(&random) % VERIFY_BLOCKS, start = now_ms();

		stamp(buffer, block, value);
		if (pwrite(fd, buffer, BLOCK, (off_t)((first + block) * BLOCK)) != BLOCK ||
		    fdatasync(fd)) {
			atomic_fetch_add(&errors, 1);
			continue;
		}
		note_time(start);
		acknowledged[block] = value;
		atomic_fetch_add(&verify_writes, 1);
	}
}

static void *verified_writer(void *argument)
{
	static uint64_t acknowledged[VERIFY_BLOCKS];
	uint64_t n_blocks, *buffer;
	int fd = open_disk(&n_blocks, (void **)&buffer);

	for (unsigned i = 0; i < VERIFY_BLOCKS; i++)
		acknowledged[i] = 0;
	if (fd < 0) {
		atomic_fetch_add(&errors, 1);
		atomic_store(&verify_running, false);
		return NULL;
	}
	write_stamps(fd, buffer, n_blocks / 2, acknowledged);
	for (unsigned i = 0; i < VERIFY_BLOCKS; i++) {
		if (!acknowledged[i])
			continue;
		if (pread(fd, buffer, BLOCK, (off_t)((n_blocks / 2 + i) * BLOCK)) != BLOCK ||
		    !is_stamped(buffer, i, acknowledged[i]))
			atomic_fetch_add(&verify_wrong, 1);
		atomic_fetch_add(&verify_checked, 1);
	}
	free(buffer);
	close(fd);
	atomic_store(&verify_running, false);
	return NULL;
}

void gn_load_disk_set(uint64_t kib)
{
	static bool started;
	pthread_t thread;

	if (!started && kib)
		started = !pthread_create(&thread, NULL, random_load, NULL);
	atomic_store(&target_kib, kib);
}

void gn_load_disk_verify_start(uint64_t seconds)
{
	pthread_t thread;

	if (atomic_exchange(&verify_running, true))
		return;
	atomic_store(&verify_seconds, seconds);
	atomic_store(&verify_writes, 0);
	atomic_store(&verify_checked, 0);
	atomic_store(&verify_wrong, 0);
	atomic_store(&longest_ms, 0);
	if (pthread_create(&thread, NULL, verified_writer, NULL))
		atomic_store(&verify_running, false);
	else
		pthread_detach(thread);
}

void gn_load_disk_get(struct gn_load_disk *out)
{
	*out = (struct gn_load_disk){
	        .reads = reads,
	        .writes = writes,
	        .errors = errors,
	        .verify_writes = verify_writes,
	        .verify_checked = verify_checked,
	        .verify_wrong = verify_wrong,
	        .longest_ms = longest_ms,
	        .verify_running = verify_running,
	};
}
