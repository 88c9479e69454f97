/* program.h - what a loader gives to window.c: its program as a table of functions on its
 * skeleton. */
#ifndef GN_BPF_PROGRAM_H
#define GN_BPF_PROGRAM_H

#include "bpf/window.h"

struct gn_program {
	/* Opened and set to look at 'process', not loaded; NULL with errno. */
	void *(*open)(uint32_t process);
	int (*load)(void *skeleton);
	int (*attach)(void *skeleton);
	void (*start)(void *skeleton, uint64_t end_ns);
	int (*read)(const void *skeleton, struct gn_window_counts *out);
	void (*destroy)(void *skeleton); /* NULL is fine */
};

extern const struct gn_program gn_program_runq, gn_program_oncpu, gn_program_blockio,
        gn_program_syscalls;

/* Entry 'key' of a map of histograms into out->histograms[out->n_histograms++]. */
int gn_program_read_histogram(int map_fd, uint32_t key, const char *name,
                              struct gn_window_counts *out);
/* The map 'lost' of window.bpf.h. */
int gn_program_read_lost(int map_fd, struct gn_window_counts *out);

#endif
