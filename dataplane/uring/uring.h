/* uring.h - an io_uring that belongs to one lcore: set up on a control thread, used by the lcore
 * that polls it. Adapter for liburing; whoever has a ring prepares its entries by liburing's
 * io_uring_prep_*() itself.
 *
 * The lcore is the ring's only issuer. It starts disabled and is enabled by the first
 * gn_uring_enter(), which makes that thread the issuer. With DEFER_TASKRUN the kernel does a
 * completion's work inside that call and never interrupts the lcore; older kernels get the next
 * best flags. */
#ifndef GN_DATAPLANE_URING_H
#define GN_DATAPLANE_URING_H

#include <liburing.h>
#include <stdbool.h>

struct gn_uring {
	struct io_uring ring;
	int event_fd; /* an edge for each completion while the ring is armed; for epoll */
	bool has_ring;
	bool enabled;
};

/* Room for 'depth' entries. Negative errno; then nothing need be undone. */
int gn_uring_init(struct gn_uring *uring, unsigned depth);
/* Also for one that is all zero. Nothing may be in flight. */
void gn_uring_fini(struct gn_uring *uring);

/* On the lcore: hands entries to the kernel and lets it complete others, in one system call or
 * in none when there is nothing to do. */
void gn_uring_enter(struct gn_uring *uring);
/* Before sleeping on 'event_fd': false when there is work already. */
bool gn_uring_arm(struct gn_uring *uring);
void gn_uring_disarm(struct gn_uring *uring);

#endif
