/* window.h - observation windows: one process looked at by one program on kernel hooks, until an
 * instant that is fixed when the window starts.
 *
 * Hooks cost every process of the host while they are there (tests/bench/bpf_bench.py), hence the
 * end: the program counts nothing after it, whoever opened the window closes it then, and when he
 * dies the kernel takes the hooks away with his descriptors. Nothing is pinned.
 *
 * Needs CAP_BPF, CAP_PERFMON and the kernel's type information. One thread per window. */
#ifndef GN_BPF_WINDOW_H
#define GN_BPF_WINDOW_H

#include <stddef.h>
#include "bpf/histogram_abi.h"
#include "bpf/syscalls_abi.h"
#include "bpf/target_abi.h"
#include "firmware/core/status.h"

#define GN_WINDOW_KINDS_X(X)                                                                       \
	X(RUNQ, "runq")         /* waits for a CPU: "wait" */                                      \
	X(ONCPU, "oncpu")       /* time on a CPU at a stretch: "slice" */                          \
	X(BLOCKIO, "blockio")   /* block requests: "read", "write", "other" */                     \
	X(SYSCALLS, "syscalls") /* system calls by number */

enum gn_window_kind {
#define GN_WINDOW_ENUM(name, text) GN_WINDOW_##name,
	GN_WINDOW_KINDS_X(GN_WINDOW_ENUM)
#undef GN_WINDOW_ENUM
};
#define GN_WINDOW_KINDS          4
#define GN_WINDOW_HISTOGRAMS_MAX 3

/* "runq" ... */
const char *gn_window_kind_name(enum gn_window_kind kind);
/* -EINVAL for what is none. */
int gn_window_kind_parse(const char *name, enum gn_window_kind *out);

/* What was counted since the window opened, on all CPUs. */
struct gn_window_counts {
	size_t n_histograms;
	const char *names[GN_WINDOW_HISTOGRAMS_MAX]; /* static */
	struct gn_histogram histograms[GN_WINDOW_HISTOGRAMS_MAX];
	uint64_t calls[GN_SYSCALLS_SIZE]; /* of kind SYSCALLS, as syscalls_abi.h says */
	uint64_t lost;                    /* events that a full table could not follow */
};

struct gn_window;

/* Puts the hooks in place to look at 'process' (a number of the host's own pid namespace, or
 * GN_TARGET_EVERYBODY); counts
 * nothing yet. Takes tens of milliseconds. Errors as object.h has them. */
int gn_window_open(enum gn_window_kind kind, uint32_t process, struct gn_window **out,
                   struct gn_status *status);
/* Counts from now until 'end_us' (gn_clock_monotonic_us()). */
void gn_window_start(struct gn_window *window, uint64_t end_us);
int gn_window_read(const struct gn_window *window, struct gn_window_counts *out);
/* Takes the hooks away. NULL is fine. */
void gn_window_close(struct gn_window *window);

/* Whether windows of that kind can be opened here: opens one on nobody and closes it. 0, or the
 * error of gn_window_open(). */
int gn_window_probe(enum gn_window_kind kind, struct gn_status *status);

#endif
