/* execution.h - one command's way from its arrival to its result, in steps.
 *
 *   enter:   known already? allowed? what is the case? -> note it in the journal, execute
 *   verify:  has it had its effect? ask again until it has, or the time is up
 *   resolve: after a crash or a lost connection: was it executed?
 *
 * A step may take as long as libvirt and the disk take, so steps run on worker threads: one
 * at a time for an execution; several executions share a world. The caller decides when the
 * next step runs. */
#ifndef GN_SHIM_EXECUTION_H
#define GN_SHIM_EXECUTION_H

#include "firmware/core/mutex.h"
#include "host-shim/journal.h"
#include "host-shim/libvirt_host.h"
#include "host-shim/wire.h"

/* What all executions share. The journal is used under its lock only; the rest is
 * immutable. */
struct gn_execution_world {
	struct gn_host *host;
	struct gn_journal *journal;
	struct gn_mutex *journal_lock;
	const struct gn_command_limits *limits;
	uint64_t verify_us; /* how long an effect may take to appear */
	uint64_t settle_us; /* how long libvirtd may still be at a command whose caller died */
};

enum gn_execution_phase { GN_EXECUTION_ENTER, GN_EXECUTION_VERIFY, GN_EXECUTION_RESOLVE };

struct gn_execution {
	struct gn_command command;
	struct gn_wire_bytes packed; /* the same, as received */
	struct gn_result result;     /* complete after the last step */
	bool voided; /* the last step found that it was never executed: enter it anew, or drop it */
	struct gn_status journal_status; /* not OK: the result could not be noted */
	enum gn_execution_phase phase;
	struct gn_status failure; /* what libvirt said to the execution */
	uint64_t until_us;        /* monotonic; of verify and resolve */
	uint64_t next_wait_us;
};

/* Takes 'packed'. The command is decoded already. */
void gn_execution_init(struct gn_execution *e, const struct gn_command *command,
                       struct gn_wire_bytes packed);
/* From a command that the journal has as unfinished. -EBADMSG. */
int gn_execution_resume(struct gn_execution *e, const struct gn_journal_entry *entry);
void gn_execution_fini(struct gn_execution *e);

/* Makes the next step. Returns 0 when 'result' is the answer (or 'voided' is set); otherwise
 * how long to wait before the next step, in microseconds. */
uint64_t gn_execution_step(const struct gn_execution_world *world, struct gn_execution *e);

/* Whether the two act on a common domain, so that one must wait for the other. */
bool gn_execution_conflicts(const struct gn_execution *a, const struct gn_execution *b);

#endif
