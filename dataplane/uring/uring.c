/* uring.c - see uring.h. */
#include "dataplane/uring/uring.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static int setup_ring(struct gn_uring *uring, unsigned depth)
{
	/* From what the newest kernels have (6.1) to what all have. */
	static const unsigned setup_flags[] = {
	        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	        0,
	};
	int err = -EINVAL;

	for (unsigned i = 0; err == -EINVAL && i < sizeof setup_flags / sizeof *setup_flags; i++) {
		struct io_uring_params params = {.flags = setup_flags[i] | IORING_SETUP_R_DISABLED |
		                                          IORING_SETUP_SUBMIT_ALL};

		if (!setup_flags[i])
			params.flags &= ~IORING_SETUP_SUBMIT_ALL;
		err = io_uring_queue_init_params(depth, &uring->ring, &params);
	}
	uring->has_ring = !err;
	return err;
}

int gn_uring_init(struct gn_uring *uring, unsigned depth)
{
	int err;

	memset(uring, 0, sizeof *uring);
	uring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = uring->event_fd < 0 ? -errno : setup_ring(uring, depth);
	if (!err)
		err = io_uring_register_eventfd(&uring->ring, uring->event_fd);
	if (err)
		gn_uring_fini(uring);
	else
		io_uring_cq_eventfd_toggle(&uring->ring, false);
	return err;
}

void gn_uring_fini(struct gn_uring *uring)
{
	if (uring->has_ring)
		io_uring_queue_exit(&uring->ring);
	if (uring->event_fd > 0)
		close(uring->event_fd);
	memset(uring, 0, sizeof *uring);
}

static bool kernel_has_work(const struct gn_uring *uring)
{
	return IO_URING_READ_ONCE(*uring->ring.sq.kflags) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

void gn_uring_enter(struct gn_uring *uring)
{
	if (!uring->enabled) {
		/* liburing 2.3's shared library does not export io_uring_enable_rings(). */
		if (syscall(__NR_io_uring_register, uring->ring.ring_fd,
		            IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0)
			return;
		uring->enabled = true;
	}
	if (io_uring_sq_ready(&uring->ring))
		io_uring_submit_and_get_events(&uring->ring);
	else if (kernel_has_work(uring))
		io_uring_get_events(&uring->ring);
}

bool gn_uring_arm(struct gn_uring *uring)
{
	io_uring_cq_eventfd_toggle(&uring->ring, true);
	/* The kernel posts, then looks at the flag; we set the flag, then look. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !io_uring_sq_ready(&uring->ring) && !io_uring_cq_ready(&uring->ring) &&
	       !kernel_has_work(uring);
}

void gn_uring_disarm(struct gn_uring *uring)
{
	/* 'event_fd' stays readable: the next edge is what wakes. */
	io_uring_cq_eventfd_toggle(&uring->ring, false);
}
