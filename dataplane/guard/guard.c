/* guard.c - see guard.h. One function per kind of message, each returns NULL or the reason
 * to refuse it; what was let through is remembered, since rte_vhost cannot be asked. */
#include "dataplane/guard/guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/virtio_ring.h>
#include "dataplane/guard/message.h"
#include "firmware/core/mutex.h"

#define SOCKET_TIMEOUT_US 200000
#define MAX_VRING_SIZE    32768u
#define FLAG_VERSION_MASK 0x3u
#define FLAG_REPLY        0x4u
#define NO_FD             0x100ull /* in the index of KICK, CALL and ERR */
#define INDEX_MASK        0xffull
#define VRING_LOG         (1u << VHOST_VRING_F_LOG)

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_LOG_FD = 7,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SEND_RARP = 19,
	NET_SET_MTU = 20,
	SET_SLAVE_REQ_FD = 21,
	GET_CONFIG = 24,
	SET_CONFIG = 25,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
	SET_STATUS = 39,
	GET_STATUS = 40,
};

struct ring {
	uint32_t size; /* 0: not told since the ring was stopped */
	bool has_addr;
	bool is_started; /* its kick was set */
	struct vhost_vring_addr addr;
};

struct front_end {
	unsigned n_vrings;
	int socket; /* rte_vhost's; not ours to close */
	uint64_t features;
	unsigned n_regions;
	struct gn_guard_region regions[GN_GUARD_MAX_REGIONS];
	struct ring rings[GN_GUARD_MAX_VRINGS];
	unsigned inflight_queue_size; /* 0: no buffer */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static struct gn_mutex lock = GN_MUTEX_INITIALIZER;
static struct front_end *front_ends[RTE_MAX_VHOST_DEVICE] GN_GUARDED_BY(lock);
static _Atomic uint64_t n_refused;

/* ---- descriptors ------------------------------------------------------------- */

/* Anything else could block whoever writes to it or reads it (README: what is left). */
static bool is_eventfd(int fd)
{
	static const char expected[] = "anon_inode:[eventfd]";
	char path[32];
	char target[sizeof(expected) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	if (n != sizeof(expected) - 1 || memcmp(target, expected, sizeof(expected) - 1) != 0)
		return false;
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

/* Whether the file really has offset + size bytes. A memfd is also sealed against being
 * shortened, where its maker allows that; fault.h covers the rest. */
static bool has_bytes(int fd, uint64_t offset, uint64_t size)
{
	struct stat st;
	uint64_t end;

	if (__builtin_add_overflow(offset, size, &end))
		return false;
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return false;
	return end <= (uint64_t)st.st_size;
}

static void close_fds(struct gn_guard_message *m)
{
	for (int i = 0; i < m->n_fds && i < GN_GUARD_MAX_REGIONS; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
		m->fds[i] = -1;
	}
	m->n_fds = 0;
}

/* ---- memory -------------------------------------------------------------------- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static const char *check_region(const struct gn_guard_region *r, int fd)
{
	uint64_t end;

	if (r->size_bytes == 0)
		return "empty memory region";
	if (__builtin_add_overflow(r->gpa, r->size_bytes, &end) ||
	    __builtin_add_overflow(r->user_addr, r->size_bytes, &end))
		return "memory region wraps around";
	if (!has_bytes(fd, r->mmap_offset, r->size_bytes))
		return "memory region larger than its file";
	return NULL;
}

static bool region_holds(const struct gn_guard_region *r, uint64_t user_addr, uint64_t size)
{
	return user_addr >= r->user_addr && user_addr - r->user_addr < r->size_bytes &&
	       size <= r->size_bytes - (user_addr - r->user_addr);
}

static bool memory_holds(const struct gn_guard_region *regions, unsigned n, uint64_t user_addr,
                         uint64_t size, unsigned align)
{
	if (user_addr % align)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (region_holds(&regions[i], user_addr, size))
			return true;
	return false;
}

/* With the event index whether it was negotiated or not: rte_vhost may ask later. */
static bool ring_fits(const struct gn_guard_region *regions, unsigned n,
                      const struct vhost_vring_addr *a, uint64_t size)
{
	return memory_holds(regions, n, a->desc_user_addr, size * sizeof(struct vring_desc), 16) &&
	       memory_holds(regions, n, a->avail_user_addr, 6 + size * sizeof(uint16_t), 2) &&
	       memory_holds(regions, n, a->used_user_addr,
	                    6 + size * sizeof(struct vring_used_elem), 4);
}

static const char *check_memory(struct front_end *fe, const struct gn_guard_message *m)
{
	struct gn_guard_region r[GN_GUARD_MAX_REGIONS]; /* aligned, unlike the message */
	unsigned n = m->payload.memory.n_regions;

	if (n < 1 || n > GN_GUARD_MAX_REGIONS || m->size < 8 + n * sizeof(*r) || m->n_fds != (int)n)
		return "memory table of a wrong size";
	memcpy(r, m->payload.memory.regions, sizeof(r));
	for (unsigned i = 0; i < n; i++) {
		const char *reason = check_region(&r[i], m->fds[i]);

		if (reason)
			return reason;
		for (unsigned k = 0; k < i; k++)
			if (overlap(r[i].gpa, r[i].size_bytes, r[k].gpa, r[k].size_bytes) ||
			    overlap(r[i].user_addr, r[i].size_bytes, r[k].user_addr,
			            r[k].size_bytes))
				return "memory regions overlap";
	}
	for (unsigned i = 0; i < fe->n_vrings; i++) {
		const struct ring *v = &fe->rings[i];

		if (v->is_started && !ring_fits(r, n, &v->addr, v->size))
			return "memory table without a running ring";
	}
	memcpy(fe->regions, r, n * sizeof(*r));
	fe->n_regions = n;
	return NULL;
}

/* ---- rings -------------------------------------------------------------------- */

static const char *check_num(struct front_end *fe, const struct gn_guard_message *m)
{
	struct ring *v = &fe->rings[m->payload.state.index];
	uint32_t num = m->payload.state.num;

	if (v->is_started)
		return "size of a running ring changed";
	if (num == 0 || num > MAX_VRING_SIZE || (num & (num - 1)))
		return "ring size not a power of two up to 32768";
	if (fe->inflight_queue_size && num > fe->inflight_queue_size)
		return "ring larger than its in-flight buffer";
	v->size = num;
	v->has_addr = false;
	return NULL;
}

static const char *check_addr(struct front_end *fe, const struct gn_guard_message *m)
{
	struct vhost_vring_addr a = m->payload.addr;
	struct ring *v = &fe->rings[a.index];

	if (v->size == 0)
		return "ring addresses before its size";
	if (a.flags & ~VRING_LOG)
		return "unknown flags of a ring";
	if (v->is_started && (a.desc_user_addr != v->addr.desc_user_addr ||
	                      a.avail_user_addr != v->addr.avail_user_addr ||
	                      a.used_user_addr != v->addr.used_user_addr))
		return "addresses of a running ring changed";
	if (!ring_fits(fe->regions, fe->n_regions, &a, v->size))
		return "ring outside the guest's memory";
	v->addr = a;
	v->has_addr = true;
	return NULL;
}

static const char *check_base(struct front_end *fe, const struct gn_guard_message *m)
{
	if (fe->rings[m->payload.state.index].is_started)
		return "position of a running ring changed";
	return m->payload.state.num > UINT16_MAX ? "ring position out of range" : NULL;
}

static const char *check_event(const struct gn_guard_message *m)
{
	bool has_none = m->payload.u64 & NO_FD;

	if (m->payload.u64 & ~(NO_FD | INDEX_MASK))
		return "unknown bits in a ring's index";
	if (m->n_fds != (has_none ? 0 : 1))
		return "ring event with a wrong number of descriptors";
	return has_none || is_eventfd(m->fds[0]) ? NULL : "ring event that is not an eventfd";
}

static const char *check_kick(struct front_end *fe, const struct gn_guard_message *m)
{
	struct ring *v = &fe->rings[m->payload.u64 & INDEX_MASK];
	const char *reason = check_event(m);

	if (reason)
		return reason;
	if (v->size == 0 || !v->has_addr)
		return "kick of a ring that is not set up";
	v->is_started = true;
	return NULL;
}

static const char *forget_ring(struct front_end *fe, const struct gn_guard_message *m)
{
	memset(&fe->rings[m->payload.state.index], 0, sizeof(struct ring));
	return NULL;
}

/* ---- the rest ------------------------------------------------------------------- */

static bool any_started(const struct front_end *fe)
{
	for (unsigned i = 0; i < fe->n_vrings; i++)
		if (fe->rings[i].is_started)
			return true;
	return false;
}

static const char *check_features(struct front_end *fe, const struct gn_guard_message *m)
{
	uint64_t changed = fe->features ^ m->payload.u64;

	if (any_started(fe) && (changed & ~(1ull << VHOST_F_LOG_ALL)))
		return "features changed while a ring runs";
	fe->features = m->payload.u64;
	return NULL;
}

static const char *check_log(const struct gn_guard_message *m)
{
	if (m->n_fds != 1 || m->payload.log.mmap_size == 0 ||
	    !has_bytes(m->fds[0], m->payload.log.mmap_offset, m->payload.log.mmap_size))
		return "log larger than its file";
	return NULL;
}

/* rte_vhost's layout: one ring's part after the other, each a multiple of 64 bytes. */
static uint64_t inflight_bytes(unsigned n_queues, unsigned queue_size)
{
	uint64_t each = sizeof(struct rte_vhost_inflight_info_split) +
	                queue_size * sizeof(struct rte_vhost_inflight_desc_split);

	return n_queues * ((each + 63) / 64 * 64);
}

static const char *check_inflight(struct front_end *fe, const struct gn_guard_message *m)
{
	unsigned n = m->payload.inflight.n_queues;
	unsigned size = m->payload.inflight.queue_size;
	uint64_t bytes = m->payload.inflight.mmap_size;

	if (n < 1 || n > fe->n_vrings || size < 1 || size > MAX_VRING_SIZE)
		return "in-flight buffer for other rings than there are";
	if (any_started(fe))
		return "in-flight buffer changed while a ring runs";
	for (unsigned i = 0; i < fe->n_vrings; i++)
		if (fe->rings[i].size > size)
			return "ring larger than its in-flight buffer";
	if (m->request == SET_INFLIGHT_FD &&
	    (m->n_fds != 1 || bytes < inflight_bytes(n, size) ||
	     !has_bytes(m->fds[0], m->payload.inflight.mmap_offset, bytes)))
		return "in-flight buffer larger than its file";
	fe->inflight_queue_size = size;
	return NULL;
}

static const char *reset(struct front_end *fe)
{
	memset(fe->rings, 0, sizeof(fe->rings));
	fe->features = 0;
	fe->n_regions = 0;
	fe->inflight_queue_size = 0;
	return NULL;
}

/* The exact payload, or the least where a message carries a list. -1: refused by name. */
static int payload_size(uint32_t request)
{
	switch (request) {
	case GET_FEATURES:
	case SET_OWNER:
	case RESET_OWNER:
	case GET_PROTOCOL_FEATURES:
	case GET_QUEUE_NUM:
	case GET_STATUS:
	case SET_SLAVE_REQ_FD:
		return 0;
	case SET_FEATURES:
	case SET_PROTOCOL_FEATURES:
	case SET_VRING_NUM:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
	case SET_VRING_ENABLE:
	case SEND_RARP:
	case NET_SET_MTU:
	case SET_STATUS:
		return 8;
	case SET_MEM_TABLE:
		return 8 + (int)sizeof(struct gn_guard_region);
	case SET_LOG_BASE:
		return 16;
	case SET_VRING_ADDR:
		return (int)sizeof(struct vhost_vring_addr);
	case GET_INFLIGHT_FD:
	case SET_INFLIGHT_FD:
		return 24;
	case GET_CONFIG:
	case SET_CONFIG:
		return 12;
	case SET_LOG_FD:
		return 0;
	default: /* IOTLB, post-copy, crypto, unknown */
		return -1;
	}
}

static bool is_list(uint32_t request)
{
	/* QEMU sends SET_SLAVE_REQ_FD and the GETs with whatever size; nothing is read. */
	return request == SET_MEM_TABLE || request == GET_CONFIG || request == SET_CONFIG ||
	       payload_size(request) == 0;
}

static bool takes_fds(uint32_t request)
{
	switch (request) {
	case SET_MEM_TABLE:
	case SET_LOG_BASE:
	case SET_LOG_FD:
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
	case SET_SLAVE_REQ_FD:
	case SET_INFLIGHT_FD:
		return true;
	default:
		return false;
	}
}

/* Whether a message is about one ring, and which. */
static bool is_about_ring(const struct gn_guard_message *m, uint32_t *index)
{
	switch (m->request) {
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
		*index = (uint32_t)(m->payload.u64 & INDEX_MASK);
		return true;
	case SET_VRING_NUM:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_VRING_ENABLE:
		*index = m->payload.state.index;
		return true;
	case SET_VRING_ADDR:
		*index = m->payload.addr.index;
		return true;
	default:
		return false;
	}
}

static const char *check_shape(const struct front_end *fe, const struct gn_guard_message *m)
{
	int size = payload_size(m->request);
	uint32_t ring;

	if (size < 0)
		return "unknown or unsupported request";
	if ((m->flags & FLAG_VERSION_MASK) != 1 || (m->flags & FLAG_REPLY))
		return "not a request of protocol version 1";
	if (m->size > GN_GUARD_PAYLOAD_SIZE || m->size < (uint32_t)size ||
	    (m->size > (uint32_t)size && !is_list(m->request)))
		return "payload of a wrong size";
	if (m->n_fds < 0 || m->n_fds > GN_GUARD_MAX_REGIONS ||
	    (m->n_fds > 0 && !takes_fds(m->request)))
		return "descriptors that do not belong to the request";
	if (is_about_ring(m, &ring) && ring >= fe->n_vrings)
		return "no such ring";
	return NULL;
}

static const char *check_sense(struct front_end *fe, const struct gn_guard_message *m)
{
	switch (m->request) {
	case SET_FEATURES:
		return check_features(fe, m);
	case RESET_OWNER:
		return reset(fe);
	case SET_MEM_TABLE:
		return check_memory(fe, m);
	case SET_LOG_BASE:
		return check_log(m);
	case SET_LOG_FD:
	case SET_SLAVE_REQ_FD:
		return m->n_fds == 1 ? NULL : "one descriptor was expected";
	case SET_VRING_NUM:
		return check_num(fe, m);
	case SET_VRING_ADDR:
		return check_addr(fe, m);
	case SET_VRING_BASE:
		return check_base(fe, m);
	case GET_VRING_BASE:
		return forget_ring(fe, m);
	case SET_VRING_KICK:
		return check_kick(fe, m);
	case SET_VRING_CALL:
	case SET_VRING_ERR:
		return check_event(m);
	case GET_INFLIGHT_FD:
	case SET_INFLIGHT_FD:
		return check_inflight(fe, m);
	default:
		return NULL;
	}
}

const char *gn_guard_check(int vid, void *msg)
{
	struct gn_guard_message *m = msg;
	const char *reason = "not a known front end";

	gn_mutex_lock(&lock);
	if (vid >= 0 && vid < RTE_MAX_VHOST_DEVICE && front_ends[vid]) {
		struct front_end *fe = front_ends[vid];

		reason = check_shape(fe, m);
		if (!reason)
			reason = check_sense(fe, m);
	}
	gn_mutex_unlock(&lock);
	if (reason) {
		close_fds(m);
		atomic_fetch_add_explicit(&n_refused, 1, memory_order_relaxed);
	}
	return reason;
}

uint64_t gn_guard_refused(void)
{
	return atomic_load_explicit(&n_refused, memory_order_relaxed);
}

/* ---- connections ----------------------------------------------------------------- */

/* Whether 'fd' is a connection (no listener) to the socket at 'path'. */
static bool is_connection(int fd, const char *path)
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	int listens = 0;
	socklen_t listens_size = sizeof(listens);

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
	    address.sun_family != AF_UNIX ||
	    strncmp(address.sun_path, path, sizeof(address.sun_path)) != 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) == 0 && !listens;
}

/* rte_vhost does not tell which descriptor it accepted; the newest not known yet is it. */
GN_REQUIRES(lock) static int find_connection(const char *path)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		bool known = false;

		if (entry->d_name[0] == '.' || !is_connection(fd, path))
			continue;
		for (unsigned i = 0; i < RTE_MAX_VHOST_DEVICE; i++)
			known |= front_ends[i] && front_ends[i]->socket == fd;
		if (!known)
			found = fd;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool is_alive(int socket)
{
	struct pollfd p = {.fd = socket, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

GN_REQUIRES(lock) static bool is_taken(const char *path)
{
	for (unsigned i = 0; i < RTE_MAX_VHOST_DEVICE; i++)
		if (front_ends[i] && strcmp(front_ends[i]->path, path) == 0 &&
		    is_connection(front_ends[i]->socket, path) && is_alive(front_ends[i]->socket))
			return true;
	return false;
}

GN_REQUIRES(lock) static int open_front_end(int vid, const char *path, unsigned n_vrings)
{
	struct timeval limit = {.tv_usec = SOCKET_TIMEOUT_US};
	struct front_end *fe;

	free(front_ends[vid]); /* rte_vhost has given the number to somebody else */
	front_ends[vid] = NULL;
	if (is_taken(path))
		return -EBUSY;
	fe = calloc(1, sizeof(*fe));
	if (!fe)
		return -ENOMEM;
	fe->n_vrings = n_vrings;
	fe->socket = find_connection(path);
	snprintf(fe->path, sizeof(fe->path), "%s", path);
	if (fe->socket < 0 ||
	    setsockopt(fe->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
	    setsockopt(fe->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
		free(fe);
		return -ENOENT;
	}
	front_ends[vid] = fe;
	return 0;
}

int gn_guard_open(int vid, unsigned n_vrings)
{
	char path[sizeof(((struct front_end *)0)->path)];
	int error;

	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE || n_vrings > GN_GUARD_MAX_VRINGS ||
	    rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return -EINVAL;
	gn_mutex_lock(&lock);
	error = open_front_end(vid, path, n_vrings);
	gn_mutex_unlock(&lock);
	return error;
}

void gn_guard_close(int vid)
{
	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE)
		return;
	gn_mutex_lock(&lock);
	free(front_ends[vid]);
	front_ends[vid] = NULL;
	gn_mutex_unlock(&lock);
}

void gn_guard_forget(const char *path)
{
	gn_mutex_lock(&lock);
	for (unsigned i = 0; i < RTE_MAX_VHOST_DEVICE; i++) {
		if (!front_ends[i] || strcmp(front_ends[i]->path, path) != 0)
			continue;
		free(front_ends[i]);
		front_ends[i] = NULL;
	}
	gn_mutex_unlock(&lock);
}
