/* klog.h - the kernel's log, in its ring buffer (kernel/printk/printk_ringbuffer.h of Linux).
 *
 * A reader of its own, as dmesg is one: it remembers the sequence number up to which it has
 * read. Records of user space are left out. */
#ifndef GN_INTROSPECT_KLOG_H
#define GN_INTROSPECT_KLOG_H

#include "firmware/introspect/bootstrap.h"

#define GN_KLOG_TEXT  200
#define GN_KLOG_ERROR 3 /* level; less is worse */

struct gn_klog {
	uint64_t next_seq; /* first one not read yet */
	bool is_started;
};

struct gn_klog_news {
	uint64_t n_records;
	uint64_t n_errors;  /* at level error or worse */
	uint64_t n_lost;    /* overwritten before they were read */
	uint64_t newest_ns; /* of the newest error, since boot */
	/* The worst error; of equals the newest, of a burst its first line. */
	char text[GN_KLOG_TEXT + 1];
	uint8_t level;
	uint64_t at_ns; /* since boot */
};

/* Reads what is new, at most 'most' records. The first call starts at the oldest record.
 * -ENOTSUP: the kernel does not show its log, -EFAULT: it cannot be read. */
int gn_klog_read(const struct gn_kernel *kernel, struct gn_klog *log, unsigned most,
                 struct gn_klog_news *news);

#endif
