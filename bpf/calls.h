/* calls.h - what every process of this machine calls: system calls with errors and time, and
 * chosen functions of programs. Hooks that every process pays for while it is open; for
 * gnomon-guest, whose owner wants that.
 *
 * Needs CAP_BPF, CAP_PERFMON and the kernel's type information. One thread per instance. */
#ifndef GN_BPF_CALLS_H
#define GN_BPF_CALLS_H

#include <stddef.h>
#include "bpf/calls_abi.h"
#include "firmware/core/status.h"

struct gn_calls_row {
	struct gn_calls_key key;
	struct gn_calls_value value;
};

struct gn_calls;

/* The caller's own process is left out. Errors as object.h has them. */
int gn_calls_open(struct gn_calls **out, struct gn_status *status);
void gn_calls_close(struct gn_calls *calls); /* NULL is fine */

/* Counts calls of the function 'symbol' of the program or library 'path' too, as slot
 * GN_CALLS_API + 'index'. */
int gn_calls_add_api(struct gn_calls *calls, unsigned index, const char *path, const char *symbol,
                     struct gn_status *status);

/* What was called since the last reading: at most GN_CALLS_ROWS rows, most called first;
 * '*out' is valid until the next reading. '*lost' since the opening. Negative errno. */
int gn_calls_read(struct gn_calls *calls, const struct gn_calls_row **out, size_t *n_out,
                  uint64_t *lost);

#endif
