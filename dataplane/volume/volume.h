/* volume.h - a store of disk blocks that an lcore reads and writes without waiting.
 *
 * 'struct gn_volume' is what every store looks like from above (vhost-user-blk, NBD, the
 * shadow's journal): requests go in with a callback, completions come out of poll. The
 * first store is a raw file or a block device by io_uring (gn_volume_file_create); a
 * mirror or a network store implements the same operations and slots in front or behind.
 *
 * Owner: the lcore that calls poll; create and destroy happen on a control thread while
 * no lcore uses the volume. Nothing on the request path allocates, logs or makes a system
 * call other than the ring's submission, once per poll.
 *
 * A request is handed over by submit() and comes back by its 'done' exactly once, always
 * from inside poll, never from inside submit. Requests may complete in any order; whoever
 * needs an order waits for the first before submitting the second. A flush makes durable
 * every write whose 'done' was called before the flush was submitted. */
#ifndef GN_DATAPLANE_VOLUME_H
#define GN_DATAPLANE_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "firmware/core/status.h"

#define GN_VOLUME_SECTOR_SIZE 512u /* offsets and lengths are multiples of this */

enum gn_volume_op {
	GN_VOLUME_READ,
	GN_VOLUME_WRITE,
	GN_VOLUME_FLUSH,              /* everything completed before it becomes durable */
	GN_VOLUME_DISCARD,            /* content becomes undefined (here: zero where possible) */
	GN_VOLUME_WRITE_ZEROES,       /* reads back as zero, space stays allocated */
	GN_VOLUME_WRITE_ZEROES_UNMAP, /* the same, space may be freed */
};

/* Embedded in the caller's own request. The caller fills the first part and keeps it, the
 * iovec array and the memory it points to unchanged until 'done'. */
struct gn_volume_request {
	enum gn_volume_op op;
	uint64_t offset_bytes;
	uint64_t length_bytes;   /* READ and WRITE: the sum over 'iov' */
	const struct iovec *iov; /* READ and WRITE */
	unsigned n_iov;          /* 1..1024 */
	/* 'error' is 0 or a negative errno: -EIO, -ENOSPC, -EROFS, -EINVAL (outside the
	 * volume), -EOPNOTSUPP (the store cannot discard). */
	void (*done)(struct gn_volume_request *request, int error);

	/* The store's. */
	uint64_t done_bytes;
	void *store_private[4];
	struct gn_volume_request *next;
};

struct gn_volume;

struct gn_volume_ops {
	/* Takes up to 'n' requests, in order; returns how many (fewer when the store is
	 * full: poll, then try again). */
	unsigned (*submit)(struct gn_volume *volume, struct gn_volume_request **requests,
	                   unsigned n);
	/* Hands what was submitted to the kernel and calls 'done' of what has completed.
	 * Returns how many completed. */
	unsigned (*poll)(struct gn_volume *volume);
	/* Before sleeping: false when a completion is already there. NULL allowed. */
	bool (*arm)(struct gn_volume *volume);
	void (*disarm)(struct gn_volume *volume);
	/* Guest memory that requests will point into, so that the store may pin it once.
	 * An empty list forgets the former one. Only while nothing is in flight. A hint:
	 * requests may point elsewhere. NULL allowed. */
	void (*set_memory)(struct gn_volume *volume, const struct iovec *regions, unsigned n);
	void (*destroy)(struct gn_volume *volume);
};

struct gn_volume {
	const struct gn_volume_ops *ops;
	uint64_t size_bytes;  /* a multiple of GN_VOLUME_SECTOR_SIZE */
	uint32_t block_bytes; /* best alignment and granularity of requests, >= 512 */
	bool read_only;
	bool can_discard;      /* discard frees space */
	bool can_write_zeroes; /* without writing zeroes over the wire */
	int event_fd;          /* readable when a completion waits; -1: none */
	int file_fd;           /* of a store that is one file, for clones; else -1 */
	unsigned n_in_flight;  /* submitted and not done */
	bool is_direct;        /* bypasses the page cache (file store) */
};

/* Opens 'path', a raw file or a block device that exists, for the exclusive use of this
 * volume (it is locked; -EBUSY when another volume or program writes it). 'depth' requests
 * can be in flight. Errors, with a sentence in 'status': -ENOENT, -EACCES, -EROFS, -EBUSY,
 * -EINVAL (empty, or neither file nor block device), ... */
struct gn_volume_file_config {
	const char *path;
	bool read_only;
	unsigned depth; /* 1..4096 */
};
int gn_volume_file_create(const struct gn_volume_file_config *config, struct gn_volume **out,
                          struct gn_status *status);

static inline unsigned gn_volume_submit(struct gn_volume *volume,
                                        struct gn_volume_request **requests, unsigned n)
{
	return volume->ops->submit(volume, requests, n);
}

static inline unsigned gn_volume_poll(struct gn_volume *volume)
{
	return volume->ops->poll(volume);
}

/* Nothing may be in flight. NULL is fine. */
static inline void gn_volume_destroy(struct gn_volume *volume)
{
	if (volume)
		volume->ops->destroy(volume);
}

#endif
