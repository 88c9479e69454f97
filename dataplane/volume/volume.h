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
#include "dataplane/volume/changes.h"
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

/* Embedded in the caller's own request. The caller fills the first part, with a range inside
 * the volume (assert), and keeps it, the iovec array and the memory it points to unchanged
 * until 'done'. */
struct gn_volume_request {
	enum gn_volume_op op;
	uint64_t offset_bytes;
	uint64_t length_bytes;   /* READ and WRITE: the sum over 'iov' */
	const struct iovec *iov; /* READ and WRITE */
	unsigned n_iov;          /* 1..1024 */
	bool is_fast_only;       /* zeroes: -EOPNOTSUPP rather than by writing them */
	/* 'error' is 0 or a negative errno: -EIO, -ENOSPC, -EROFS, -EFAULT (memory that is
	 * not mapped), -EOPNOTSUPP (the store cannot discard). */
	void (*done)(struct gn_volume_request *request, int error);

	/* The store's. */
	uint64_t done_bytes;
	void *bounce;
	struct gn_volume_request *next;
	bool by_writing; /* zeroes are written, since the file system cannot make them */
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
	void (*destroy)(struct gn_volume *volume);
};

struct gn_volume {
	const struct gn_volume_ops *ops;
	uint64_t size_bytes;           /* a multiple of GN_VOLUME_SECTOR_SIZE */
	uint32_t block_bytes;          /* what offsets and lengths must be multiples of; >= 512 */
	uint32_t physical_block_bytes; /* what they had better be */
	bool read_only;
	int event_fd;         /* an edge for each completion while armed, for epoll; -1: none */
	int file_fd;          /* of a store that is one file, for clones; else -1 */
	unsigned depth;       /* most requests that can be in flight */
	unsigned n_in_flight; /* submitted and not done */
	bool is_direct;       /* bypasses the page cache (file store) */
	/* Owner: lcore. The file store notes here what a request has changed, when it has ended and
	 * before its 'done'; NULL: nobody asks. */
	struct gn_changes *changes;
	bool is_unreachable; /* Owner: lcore. The store is elsewhere and there is no link now */
};

/* Opens 'path', a raw file or a block device that exists, and locks it: two volumes, or a
 * volume and a QEMU, never write the same store. The kernel keeps the lock until the last
 * request of a killed process has ended, so a successor that has it knows that no old
 * write, nor an old read into guest memory, is still to come; it waits for that up to
 * 'lock_wait_ms' (usually 30 ms, but seconds have been seen on a disk that is busy deleting
 * large files). Read-only volumes share the lock.
 *
 * Requests bypass the page cache (O_DIRECT) where the file system can do that in sectors of
 * 512 bytes. Errors, with a sentence in 'status': -ENOENT, -EACCES, -EROFS, -EBUSY
 * (locked), -EINVAL (empty, or neither file nor block device), ... */
#define GN_VOLUME_LOCK_WAIT_MS 1000
struct gn_volume_file_config {
	const char *path;
	bool read_only;
	unsigned depth;        /* 1..4096 */
	unsigned lock_wait_ms; /* 0: GN_VOLUME_LOCK_WAIT_MS */
};
int gn_volume_file_create(const struct gn_volume_file_config *config, struct gn_volume **out,
                          struct gn_status *status);

/* Makes a volume of gn_volume_file_create() larger; 'size_bytes' 0: takes what the file or device
 * has by now. 'path' is for messages. Nothing may be in flight, and nobody may submit or poll.
 * Errors, with a sentence in 'status' and the size as it was: -EINVAL (not whole blocks), -ERANGE
 * (smaller), GN_FAILED_PRECONDITION (a device that must grow elsewhere first, read-only),
 * -ENOSPC, ... */
int gn_volume_file_resize(struct gn_volume *volume, const char *path, uint64_t size_bytes,
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

/* Nothing may be in flight. NULL is fine. The lock is free when this returns, the file itself
 * a moment later, when the kernel has taken the ring down. */
static inline void gn_volume_destroy(struct gn_volume *volume)
{
	if (volume)
		volume->ops->destroy(volume);
}

#endif
