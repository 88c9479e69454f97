/* vm.h - one VM's signs of trouble, from what the card sees of it, period by period.
 *
 * Signs and their levels (Q8; 256 is what an operator would look into):
 *   anomaly          a demand left its usual range: the budget of alarms a month over how often
 *                    this series gives one like it; halves every 5 minutes
 *   latency          the same, for disk requests and TCP handshakes
 *   I/O errors       128 each; halves every 15 minutes
 *   retransmissions  share of the packets: 2 % is 256; over the last minute or so
 *   resets           share of the connections: 25 % is 256; the same
 *   stuck tasks      the guest's: 256 for each thread, 768 when its clock stands still
 *   kernel           the guest's log: 32 for an error, 512 for an out-of-memory kill, 1024 for a
 *                    panic, an oops or a lockup; halves every 15 minutes
 *   exhaustion       memory: 256 when it may be full within the horizon (soonest), 512 when it
 *                    likely is, 768 when it is even at the latest, 1024 when it is full now
 *   drive            which drives a VM's volumes lie on is not known: always 0
 *
 * Exhaustion is looked for over the last 4 minutes, hour and day, so that a fast leak is not
 * drowned in a long calm nor a slow one in noise; what is full soonest counts. It is believed
 * only as far ahead as four times the time that was seen, and only once that is half a minute: a
 * start-up that fills memory for a minute foretells no more than four, a quick one nothing.
 *
 * Pure. Owner: the caller; plain data without pointers, so it is stored as it is. Times are
 * card time, which never goes back. */
#ifndef GN_HAZARD_VM_H
#define GN_HAZARD_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "firmware/core/text.h"
#include "firmware/hazard/anomaly.h"
#include "firmware/hazard/exhaustion.h"
#include "firmware/hazard/signs.h"

#define GN_HAZARD_HORIZONS 3
extern const uint64_t gn_hazard_horizons_us[GN_HAZARD_HORIZONS]; /* 10 min, 1 h, 24 h */

enum gn_hazard_metric {
	GN_HAZARD_CPU, /* demands, in their units */
	GN_HAZARD_MEMORY,
	GN_HAZARD_NETWORK,
	GN_HAZARD_DISK,
	GN_HAZARD_DISK_LATENCY, /* us, mean of the period */
	GN_HAZARD_HANDSHAKE,    /* us */
	GN_HAZARD_N_METRICS,
};

#define GN_HAZARD_TRENDS 3
#define GN_HAZARD_UNSEEN (-1)

/* What one source saw over one period. */
struct gn_hazard_input {
	uint64_t now_us, period_us;
	int64_t metrics[GN_HAZARD_N_METRICS]; /* GN_HAZARD_UNSEEN: not measured */
	int64_t memory_limit;                 /* bytes, with the metric 'memory' */
	bool has_disk, has_network, has_guest;
	uint64_t disk_errors;                                            /* with has_disk */
	uint64_t packets, retransmissions, opened, resets;               /* with has_network */
	uint64_t clock_stopped_us, stuck_threads, log_errors, oom_kills; /* with has_guest */
	bool has_oops, has_panic, has_lockup;
};
void gn_hazard_input_init(struct gn_hazard_input *input, uint64_t now_us, uint64_t period_us);

struct gn_hazard_sign {
	int32_t level_q8; /* when it was last changed */
	uint64_t at_us;
};

/* Levels for which it is still open whether the VM fails in time; what the model learns from. */
struct gn_hazard_exam {
	uint64_t due_us; /* 0: none */
	int32_t levels_q8[GN_N_SIGNS];
};

struct gn_hazard_vm {
	uint64_t newest_us;
	uint64_t failed_us; /* the newest failure; 0: never */
	struct gn_anomaly anomalies[GN_HAZARD_N_METRICS];
	struct gn_exhaustion memory[GN_HAZARD_TRENDS];
	int64_t memory_limit;
	struct gn_hazard_sign signs[GN_N_SIGNS];
	int32_t worst_metric; /* of the newest anomaly; -1: none */
	int32_t worst_latency;
	uint64_t n_disk_errors;                /* since the sign was last quiet */
	uint64_t n_log_errors, n_oom_kills;    /* the same */
	bool has_oops, has_panic, has_lockup;  /* the same */
	uint64_t clock_stopped_us;             /* newest */
	uint64_t stuck_threads;                /* newest */
	uint32_t retransmitted_q24, reset_q24; /* running shares */
	struct gn_hazard_exam exams[GN_HAZARD_HORIZONS];
};

/* 'period_us': of the samples. */
void gn_hazard_vm_init(struct gn_hazard_vm *vm, uint64_t period_us);

/* 'budget_q8': false alarms a month and metric. Returns whether the VM failed in this period, as
 * far as its guest tells: a panic, an out-of-memory kill, or a clock that stood still for a
 * minute; told once in ten minutes. */
bool gn_hazard_vm_observe(struct gn_hazard_vm *vm, const struct gn_hazard_input *input,
                          uint32_t budget_q8);

void gn_hazard_vm_levels(const struct gn_hazard_vm *vm, uint64_t now_us, uint64_t horizon_us,
                         int32_t levels_q8[GN_N_SIGNS]);
/* When memory is full, as far ahead as is believed; else GN_EXHAUSTION_NEVER. */
struct gn_exhaustion_forecast gn_hazard_vm_memory(const struct gn_hazard_vm *vm);

/* Lets the card's model of each horizon learn what came of earlier levels, and begins new exams.
 * 'failed': just now. */
void gn_hazard_vm_examine(struct gn_hazard_vm *vm, struct gn_signs models[GN_HAZARD_HORIZONS],
                          uint64_t now_us, bool failed);

/* How often the metric that was observed most was. */
uint64_t gn_hazard_vm_n_observed(const struct gn_hazard_vm *vm);

/* Whether these may be the bytes of a VM's signs, sampled every 'period_us', of no later than
 * 'latest_us'. State that comes from elsewhere is not believed before. */
bool gn_hazard_vm_is_sound(const struct gn_hazard_vm *vm, uint64_t period_us, uint64_t latest_us);

/* A sign with its figures: "memory is full in 25 min (18 min to 40 min)". */
void gn_hazard_vm_describe(const struct gn_hazard_vm *vm, enum gn_sign sign, struct gn_text *text);

#endif
