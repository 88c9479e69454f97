/* fakeblk.c - see fakeblk.h. One thread: poll the socket and the kick, serve, repeat. */
#include "tests/frontend/fakeblk.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include "tests/frontend/wire.h"

#define FAULT_AT 50 /* the request that goes wrong */

struct gn_fakeblk {
	pthread_t thread;
	enum gn_fakeblk_fault fault;
	char path[108];
	int listener;
	int stop; /* eventfd */
	uint8_t disk[GN_FAKEBLK_DISK_BYTES];
	atomic_uint n_connections;
	atomic_uint n_inflight_returns;
	ino_t inflight_inode;
	uint64_t n_requests;

	/* Of the connection. */
	int socket, kick, call;
	uint8_t *ram;
	uint64_t ram_bytes;
	struct gn_wire_region region;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned size;
	uint16_t last_avail;
	bool enabled;
};

static void *at_user(struct gn_fakeblk *f, uint64_t user_addr)
{
	return f->ram + (user_addr - f->region.user_addr);
}

static uint8_t *at_gpa(struct gn_fakeblk *f, uint64_t gpa)
{
	return f->ram + (gpa - f->region.gpa);
}

static void answer(struct gn_fakeblk *f, uint16_t head, uint32_t written)
{
	struct vring_used_elem *e = &f->used->ring[f->used->idx % f->size];

	e->id = head;
	e->len = written;
	__atomic_store_n(&f->used->idx, (uint16_t)(f->used->idx + 1), __ATOMIC_RELEASE);
}

/* Header, one data descriptor or none, status; direct or through one table. */
static void serve(struct gn_fakeblk *f, uint16_t head)
{
	struct vring_desc *d = &f->desc[head];
	struct vring_desc *table = f->desc;
	struct virtio_blk_outhdr *h;
	bool wrong = f->n_requests++ == FAULT_AT;
	uint32_t written = 1;

	if (d->flags & VRING_DESC_F_INDIRECT) {
		table = (struct vring_desc *)at_gpa(f, d->addr);
		d = table;
	}
	h = (struct virtio_blk_outhdr *)at_gpa(f, d->addr);
	d = &table[d->next];
	if (d->len > 1 && h->type == VIRTIO_BLK_T_IN) {
		memcpy(at_gpa(f, d->addr), f->disk + h->sector * 512, d->len);
		written += d->len;
	} else if (d->len > 1 && h->type == VIRTIO_BLK_T_OUT) {
		uint32_t size = d->len;

		if (wrong && f->fault == GN_FAKEBLK_LOSES_A_WRITE)
			size = 0;
		if (wrong && f->fault == GN_FAKEBLK_TEARS_A_WRITE)
			size /= 2;
		memcpy(f->disk + h->sector * 512, at_gpa(f, d->addr), size);
	}
	while (d->flags & VRING_DESC_F_NEXT)
		d = &table[d->next];
	*at_gpa(f, d->addr) =
	        wrong && f->fault == GN_FAKEBLK_FAILS ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
	if (!wrong || f->fault != GN_FAKEBLK_FORGETS)
		answer(f, head, written);
	if (wrong && f->fault == GN_FAKEBLK_ANSWERS_TWICE)
		answer(f, head, written);
	if (wrong && f->fault == GN_FAKEBLK_ANSWERS_UNASKED)
		answer(f, (uint16_t)(f->size + 7), written);
}

/* False: it "dies" here, with what is left in the ring. */
static bool serve_ring(struct gn_fakeblk *f)
{
	uint64_t one = 1;

	if (!f->enabled || !f->used || f->kick < 0)
		return true;
	while (f->last_avail != __atomic_load_n(&f->avail->idx, __ATOMIC_ACQUIRE)) {
		bool dies = f->fault == GN_FAKEBLK_DIES &&
		            (f->n_requests == FAULT_AT || f->n_requests == 3 * FAULT_AT);

		if (dies) {
			f->n_requests++;
			return false;
		}
		serve(f, f->avail->ring[f->last_avail % f->size]);
		f->last_avail++;
	}
	if (f->call >= 0 && write(f->call, &one, sizeof(one)) < 0)
		return false;
	return true;
}

/* ---- messages ----------------------------------------------------------------- */

static void map_memory(struct gn_fakeblk *f, const struct gn_wire_message *m, int fd)
{
	f->region = m->payload.memory.regions[0];
	f->ram_bytes = f->region.size_bytes;
	f->ram = mmap(NULL, f->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	              (off_t)f->region.mmap_offset);
}

static void send_inflight(struct gn_fakeblk *f, struct gn_wire_message *m)
{
	int fd = memfd_create("fake-inflight", MFD_CLOEXEC);
	struct stat st;

	if (ftruncate(fd, 4096) || fstat(fd, &st))
		abort();
	f->inflight_inode = st.st_ino;
	m->payload.inflight.mmap_size = 4096;
	gn_wire_send(f->socket, m, &fd, 1);
	close(fd);
}

static void take_inflight(struct gn_fakeblk *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_ino == f->inflight_inode &&
	    atomic_load(&f->n_connections) > 1)
		atomic_fetch_add(&f->n_inflight_returns, 1);
}

static void fill_config(struct gn_wire_message *m)
{
	struct virtio_blk_config config = {.capacity = GN_FAKEBLK_DISK_BYTES / 512};

	memcpy(m->payload.config.bytes, &config,
	       m->payload.config.size_bytes < sizeof(config) ? m->payload.config.size_bytes
	                                                     : sizeof(config));
}

/* Requests with a reply of their own; false: none. */
static bool reply(struct gn_fakeblk *f, struct gn_wire_message *m)
{
	m->flags = GN_WIRE_VERSION | GN_WIRE_REPLY;
	switch (m->request) {
	case GN_WIRE_GET_FEATURES:
		m->payload.u64 = 1ull << VIRTIO_RING_F_INDIRECT_DESC |
		                 1ull << GN_WIRE_F_PROTOCOL_FEATURES | 1ull << VIRTIO_BLK_F_FLUSH;
		if (f->fault != GN_FAKEBLK_LACKS_VERSION_1)
			m->payload.u64 |= 1ull << VIRTIO_F_VERSION_1;
		break;
	case GN_WIRE_GET_PROTOCOL_FEATURES:
		m->payload.u64 = 1u << GN_WIRE_F_REPLY_ACK | 1u << GN_WIRE_F_CONFIG |
		                 1u << GN_WIRE_F_INFLIGHT_SHMFD | 1u << GN_WIRE_F_MQ;
		break;
	case GN_WIRE_GET_QUEUE_NUM:
		m->payload.u64 = 1;
		break;
	case GN_WIRE_GET_CONFIG:
		fill_config(m);
		gn_wire_send(f->socket, m, NULL, 0);
		return true;
	case GN_WIRE_GET_INFLIGHT_FD:
		send_inflight(f, m);
		return true;
	default:
		return false;
	}
	m->size = 8;
	gn_wire_send(f->socket, m, NULL, 0);
	return true;
}

static void replace_fd(int *place, int *fd)
{
	if (*place >= 0)
		close(*place);
	*place = *fd;
	*fd = -1;
}

static void obey(struct gn_fakeblk *f, const struct gn_wire_message *m, int *fd)
{
	switch (m->request) {
	case GN_WIRE_SET_MEM_TABLE:
		map_memory(f, m, *fd);
		break;
	case GN_WIRE_SET_INFLIGHT_FD:
		take_inflight(f, *fd);
		break;
	case GN_WIRE_SET_VRING_NUM:
		f->size = m->payload.state.num;
		break;
	case GN_WIRE_SET_VRING_BASE:
		f->last_avail = (uint16_t)m->payload.state.num;
		break;
	case GN_WIRE_SET_VRING_ADDR:
		f->desc = at_user(f, m->payload.addr.desc_user_addr);
		f->avail = at_user(f, m->payload.addr.avail_user_addr);
		f->used = at_user(f, m->payload.addr.used_user_addr);
		break;
	case GN_WIRE_SET_VRING_KICK:
		replace_fd(&f->kick, fd);
		break;
	case GN_WIRE_SET_VRING_CALL:
		replace_fd(&f->call, fd);
		break;
	case GN_WIRE_SET_VRING_ENABLE:
		f->enabled = m->payload.state.num;
		break;
	default:
		break;
	}
}

static bool handle(struct gn_fakeblk *f)
{
	struct gn_wire_message m;
	int fd = -1;
	bool wants_ack;

	if (gn_wire_receive(f->socket, &m, &fd, 1000))
		return false;
	wants_ack = m.flags & GN_WIRE_NEED_REPLY;
	if (!reply(f, &m)) {
		bool refused =
		        m.request == GN_WIRE_SET_MEM_TABLE && f->fault == GN_FAKEBLK_REFUSES_MEMORY;

		obey(f, &m, &fd);
		m.flags = GN_WIRE_VERSION | GN_WIRE_REPLY;
		m.size = 8;
		m.payload.u64 = refused;
		if (wants_ack)
			gn_wire_send(f->socket, &m, NULL, 0);
	}
	if (fd >= 0)
		close(fd);
	return true;
}

static void serve_connection(struct gn_fakeblk *f)
{
	bool goes_on = true;

	f->kick = f->call = -1;
	f->enabled = false;
	f->ram = NULL;
	f->used = NULL;
	while (goes_on) {
		struct pollfd p[3] = {{.fd = f->stop, .events = POLLIN},
		                      {.fd = f->socket, .events = POLLIN},
		                      {.fd = f->kick, .events = POLLIN}};
		uint64_t n;

		poll(p, 3, -1);
		if (p[0].revents)
			break;
		if (p[1].revents)
			goes_on = handle(f);
		if (goes_on && p[2].revents && read(f->kick, &n, sizeof(n)) > 0)
			goes_on = serve_ring(f);
	}
	if (f->ram)
		munmap(f->ram, f->ram_bytes);
	close(f->socket);
	if (f->kick >= 0)
		close(f->kick);
	if (f->call >= 0)
		close(f->call);
}

static void *run(void *arg)
{
	struct gn_fakeblk *f = arg;

	for (;;) {
		struct pollfd p[2] = {{.fd = f->stop, .events = POLLIN},
		                      {.fd = f->listener, .events = POLLIN}};

		poll(p, 2, -1);
		if (p[0].revents)
			return NULL;
		f->socket = accept(f->listener, NULL, NULL);
		if (f->socket < 0)
			continue;
		atomic_fetch_add(&f->n_connections, 1);
		serve_connection(f);
	}
}

struct gn_fakeblk *gn_fakeblk_create(const char *path, enum gn_fakeblk_fault fault)
{
	struct gn_fakeblk *f = calloc(1, sizeof(*f));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!f)
		abort();
	f->fault = fault;
	snprintf(f->path, sizeof(f->path), "%s", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	f->stop = eventfd(0, 0);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(f->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(f->listener, 4) || pthread_create(&f->thread, NULL, run, f))
		abort();
	return f;
}

void gn_fakeblk_destroy(struct gn_fakeblk *fake)
{
	uint64_t one = 1;

	if (write(fake->stop, &one, sizeof(one)) < 0)
		abort();
	pthread_join(fake->thread, NULL);
	close(fake->listener);
	close(fake->stop);
	unlink(fake->path);
	free(fake);
}

unsigned gn_fakeblk_connections(struct gn_fakeblk *fake)
{
	return atomic_load(&fake->n_connections);
}

unsigned gn_fakeblk_inflight_returns(struct gn_fakeblk *fake)
{
	return atomic_load(&fake->n_inflight_returns);
}
