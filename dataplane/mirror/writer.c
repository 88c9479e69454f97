/* writer.c - see writer.h. One thread per file; it polls the ring, for the lcore must not
 * make a system call to wake it. */
#include "dataplane/mirror/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include "dataplane/mirror/mirror.h"
#include "dataplane/mirror/pcapng.h"

#define BURST        64
#define BUSY_WAIT_US 1000
#define IDLE_WAIT_US 10000
#define MAX_KEPT     9999
#define RETRY_NS     1000000000u
#define MAX_SEGMENTS 8 /* of one packet; the rest is left out */

struct gn_writer {
	char *path;
	int fd;
	struct rte_ring *ring;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t lost[2]; /* one writer: the thread */
	/* Owner: the thread. */
	off_t end; /* of the last whole block */
	uint64_t retry_at_ns;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Head, data and tail of one block. */
struct block {
	uint8_t head[GN_PCAPNG_HEAD_BYTES];
	uint8_t tail[GN_PCAPNG_TAIL_MAX];
};

static unsigned describe(const struct rte_mbuf *mbuf, uint64_t wall_ns, struct block *block,
                         struct iovec *iov)
{
	const struct gn_mirror_note *note = rte_mbuf_to_priv((struct rte_mbuf *)(uintptr_t)mbuf);
	struct gn_pcapng_packet packet = {.wall_ns = wall_ns,
	                                  .original_bytes = note->length,
	                                  .direction = (enum gn_direction)note->direction};
	const struct rte_mbuf *segment;
	unsigned n = 1;

	for (segment = mbuf; segment && n <= MAX_SEGMENTS; segment = segment->next) {
		iov[n].iov_base = rte_pktmbuf_mtod(segment, void *);
		iov[n++].iov_len = segment->data_len;
		packet.captured_bytes += segment->data_len;
	}
	iov[0].iov_base = block->head;
	iov[0].iov_len = gn_pcapng_packet_head(&packet, block->head);
	iov[n].iov_base = block->tail;
	iov[n++].iov_len = gn_pcapng_packet_tail(&packet, block->tail);
	return n;
}

/* All or nothing: what was written in part is cut off again. */
static int write_whole(struct gn_writer *writer, struct iovec *iov, unsigned n_iov)
{
	size_t left = 0;
	unsigned i;

	for (i = 0; i < n_iov; i++)
		left += iov[i].iov_len;
	while (left) {
		ssize_t done = writev(writer->fd, iov, (int)n_iov);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			int err = done < 0 ? -errno : -ENOSPC;

			if (ftruncate(writer->fd, writer->end) == 0)
				lseek(writer->fd, writer->end, SEEK_SET);
			return err;
		}
		left -= (size_t)done;
		for (; n_iov && (size_t)done >= iov->iov_len; iov++, n_iov--)
			done -= (ssize_t)iov->iov_len;
		if (n_iov) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	writer->end = lseek(writer->fd, 0, SEEK_CUR);
	return 0;
}

static void lose(struct gn_writer *writer, struct rte_mbuf *const *mbufs, unsigned n)
{
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		bytes += ((const struct gn_mirror_note *)rte_mbuf_to_priv(mbufs[i]))->length;
	atomic_fetch_add(&writer->lost[0], n);
	atomic_fetch_add(&writer->lost[1], bytes);
}

static void write_burst(struct gn_writer *writer, struct rte_mbuf **mbufs, unsigned n)
{
	struct iovec iov[BURST * (MAX_SEGMENTS + 2)];
	struct block blocks[BURST];
	uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
	uint64_t tsc = rte_rdtsc();
	double ns_per_cycle = 1e9 / (double)rte_get_tsc_hz();
	unsigned n_iov = 0, i;

	if (writer->retry_at_ns && clock_ns(CLOCK_MONOTONIC) < writer->retry_at_ns) {
		lose(writer, mbufs, n);
		return;
	}
	writer->retry_at_ns = 0;
	for (i = 0; i < n; i++) {
		const struct gn_mirror_note *note = rte_mbuf_to_priv(mbufs[i]);
		uint64_t age = tsc > note->tsc ? tsc - note->tsc : 0;

		n_iov += describe(mbufs[i], wall_ns - (uint64_t)((double)age * ns_per_cycle),
		                  &blocks[i], iov + n_iov);
	}
	if (write_whole(writer, iov, n_iov) != 0) {
		lose(writer, mbufs, n);
		writer->retry_at_ns = clock_ns(CLOCK_MONOTONIC) + RETRY_NS;
	}
}

static void *run(void *arg)
{
	struct gn_writer *writer = arg;
	struct rte_mbuf *mbufs[BURST];
	unsigned n_idle = 0;

	for (;;) {
		/* Read before the ring: what was put before the stop is still written. */
		bool stop = atomic_load(&writer->stop);
		unsigned n = rte_ring_sc_dequeue_burst(writer->ring, (void **)mbufs, BURST, NULL);

		if (n) {
			write_burst(writer, mbufs, n);
			rte_pktmbuf_free_bulk(mbufs, n);
			n_idle = 0;
		} else if (stop) {
			return NULL;
		} else {
			usleep(n_idle++ < 100 ? BUSY_WAIT_US : IDLE_WAIT_US);
		}
	}
}

/* A file that is there becomes 'path'.1 or the first number that is free. */
static int keep_old(const char *path, struct gn_status *status)
{
	char kept[PATH_MAX];
	struct stat st;
	unsigned i;

	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' exists and is no regular file; choose another path",
		                     path);
	for (i = 1; i <= MAX_KEPT; i++) {
		if (snprintf(kept, sizeof kept, "%s.%u", path, i) >= (int)sizeof kept)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "the path '%.64s...' is too long", path);
		if (link(path, kept) == 0) {
			unlink(path);
			return 0;
		}
		if (errno != EEXIST)
			return gn_status_set(status, gn_code_from_errno(errno),
			                     "cannot keep the old '%s' as '%s': %s", path, kept,
			                     strerror(errno));
	}
	return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
	                     "'%s' and %u older ones exist; remove some", path, MAX_KEPT);
}

static int write_head(struct gn_writer *writer, const char *interface)
{
	uint8_t buffer[GN_PCAPNG_SECTION_MAX + GN_PCAPNG_INTERFACE_MAX];
	struct iovec iov = {.iov_base = buffer};

	iov.iov_len = gn_pcapng_section("gnomon " GN_VERSION, buffer, sizeof buffer);
	iov.iov_len += gn_pcapng_interface(interface, 0, buffer + iov.iov_len,
	                                   sizeof buffer - iov.iov_len);
	return write_whole(writer, &iov, 1);
}

static int open_file(struct gn_writer *writer, const char *interface, struct gn_status *status)
{
	int err;

	writer->fd = open(writer->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	err = writer->fd < 0 ? -errno : write_head(writer, interface);
	if (err)
		return gn_status_set(status, gn_code_from_errno(err),
		                     "cannot write the capture file '%s': %s; check its directory",
		                     writer->path, strerror(-err));
	return 0;
}

static void free_writer(struct gn_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	rte_ring_free(writer->ring);
	free(writer->path);
	free(writer);
}

static struct gn_writer *allocate(const char *path)
{
	static _Atomic unsigned serial;
	char name[RTE_RING_NAMESIZE];
	struct gn_writer *writer = calloc(1, sizeof *writer);

	if (!writer)
		return NULL;
	snprintf(name, sizeof name, "gn_writer_%u", atomic_fetch_add(&serial, 1));
	writer->fd = -1;
	writer->path = strdup(path);
	writer->ring =
	        rte_ring_create(name, GN_WRITER_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (!writer->path || !writer->ring) {
		free_writer(writer);
		return NULL;
	}
	return writer;
}

int gn_writer_create(const char *path, const char *interface, struct gn_writer **out,
                     struct gn_status *status)
{
	struct gn_writer *writer;
	int err;

	if (path[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the capture file '%s' must be an absolute path", path);
	err = keep_old(path, status);
	if (err)
		return err;
	writer = allocate(path);
	if (!writer)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "out of memory for the capture file '%s'", path);
	err = open_file(writer, interface, status);
	if (!err && pthread_create(&writer->thread, NULL, run, writer) != 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                    "no thread can be made to write '%s'", path);
	if (err) {
		free_writer(writer);
		return err;
	}
	*out = writer;
	return 0;
}

void gn_writer_destroy(struct gn_writer *writer)
{
	if (!writer)
		return;
	atomic_store(&writer->stop, true);
	pthread_join(writer->thread, NULL);
	free_writer(writer);
}

const char *gn_writer_path(const struct gn_writer *writer)
{
	return writer->path;
}

unsigned gn_writer_put(struct gn_writer *writer, struct rte_mbuf **mbufs, unsigned n)
{
	return rte_ring_sp_enqueue_burst(writer->ring, (void *const *)mbufs, n, NULL);
}

void gn_writer_lost(const struct gn_writer *writer, uint64_t out[2])
{
	out[0] = atomic_load(&writer->lost[0]);
	out[1] = atomic_load(&writer->lost[1]);
}
