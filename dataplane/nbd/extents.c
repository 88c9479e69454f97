/* extents.c - BLOCK_STATUS: which parts of the volume's file are holes. lseek() may have to read
 * the file system's own blocks, so a thread does it, not the lcore. */
#include <errno.h>
#include <unistd.h>
#include "dataplane/nbd/internal.h"

void gn_nbd_extents_ask(struct gn_nbd_server *server, struct gn_nbd_slot *slot)
{
	const uint64_t one = 1;

	slot->asked_next = atomic_load(&server->asked);
	while (!atomic_compare_exchange_weak(&server->asked, &slot->asked_next, slot))
		;
	if (write(server->extents_fd, &one, sizeof one) < 0)
		return; /* the counter is full: the thread is awake anyway */
}

/* The end of the extent that begins at 'at', and whether it is a hole. What cannot be found out
 * holds data: that is always true enough. */
static uint64_t find_end(int fd, uint64_t at, uint64_t end, bool *is_hole)
{
	off_t next;

	*is_hole = false;
	if (fd < 0)
		return end;
	next = lseek(fd, (off_t)at, SEEK_DATA);
	if (next < 0 && errno == ENXIO) {
		*is_hole = true;
		return end;
	}
	if (next < 0)
		return end;
	if ((uint64_t)next > at) {
		*is_hole = true;
		return (uint64_t)next < end ? (uint64_t)next : end;
	}
	next = lseek(fd, (off_t)at, SEEK_HOLE);
	return next > (off_t)at && (uint64_t)next < end ? (uint64_t)next : end;
}

/* An extent that would end within a block ends after it, as data. */
static uint64_t align(const struct gn_nbd_export *export, uint64_t at, uint64_t next, uint64_t end,
                      bool *is_hole)
{
	uint64_t block = export->block_bytes;

	if (*is_hole && next < end)
		next -= next % block;
	else if (next < end)
		next += (block - next % block) % block;
	if (next > at)
		return next < end ? next : end;
	*is_hole = false;
	return at + block < end ? at + block : end;
}

static void describe(struct gn_nbd_slot *slot)
{
	const struct gn_nbd_export *export = slot->conn->export;
	unsigned limit = slot->plan.one_extent ? 1 : GN_NBD_EXTENTS_MAX;
	uint64_t at = slot->offset_bytes;
	uint64_t end = at + slot->length_bytes;
	uint8_t *p = slot->data.iov_base;

	slot->n_extents = 0;
	while (at < end && slot->n_extents < limit) {
		bool is_hole;
		uint64_t next = find_end(export->extents_fd, at, end, &is_hole);

		next = align(export, at, next, end, &is_hole);
		p = gn_nbd_put32(gn_nbd_put32(p, (uint32_t)(next - at)),
		                 is_hole ? GN_NBD_STATE_HOLE | GN_NBD_STATE_ZERO : 0);
		slot->n_extents++;
		at = next;
	}
}

static void call_done(void *arg)
{
	gn_nbd_conn_extents(arg);
}

void *gn_nbd_extents_run(void *arg)
{
	struct gn_nbd_server *server = arg;
	uint64_t count;

	while (read(server->extents_fd, &count, sizeof count) > 0 || errno == EINTR) {
		struct gn_nbd_slot *slot = atomic_exchange(&server->asked, NULL);

		while (slot) {
			struct gn_nbd_slot *next = slot->asked_next;

			describe(slot);
			gn_worker_call(slot->conn->export->worker, call_done, slot);
			slot = next;
		}
		if (__atomic_load_n(&server->is_stopping, __ATOMIC_ACQUIRE))
			break;
	}
	return NULL;
}
