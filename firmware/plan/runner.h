/* runner.h - turns decisions into plans and plans into commands.
 *
 * The shell around plan.h: makes the message that operators see, stores it before anything
 * is sent, hands actions to the executor and records what came back. Ids of commands are
 * made of the store's nonce and the plan's number, so they are the same after a restart and
 * never used twice.
 *
 * At most one open plan per VM and resource, and one that runs per VM. A pending plan that
 * a newer decision makes too small is replaced by one that fits; one that is no longer
 * needed simply expires, so that advice does not flap with the forecast. One thread. */
#ifndef GN_PLAN_RUNNER_H
#define GN_PLAN_RUNNER_H

#include "firmware/brain/brain.h"
#include "firmware/executor/executor.h"
#include "firmware/plan/plan.h"

struct gn_runner;
struct gn_plan_record;

/* Who performs the actions of moves (message->move); allocations are the executor's. All of it is
 * called from the runner's own calls. */
struct gn_plan_mover {
	void *context;
	/* Facts of firmware/failover/move.h that hold now. */
	uint32_t (*holds)(void *context, const struct gn_plan_record *record);
	/* Does, or undoes, action plan.at; answers by gn_runner_answer(), now or later. */
	void (*perform)(void *context, struct gn_plan_record *record, bool undo,
	                struct gn_time now);
	/* The plan has ended. */
	void (*ended)(void *context, struct gn_plan_record *record, struct gn_time now);
};

struct gn_plan_record {
	uint64_t id;
	Gnomon__V1__Plan *message; /* what operators see; always up to date */
	struct gn_plan plan;
	struct gn_runner *runner;
	bool end_told; /* to the mover */
};

/* Takes over the stored plans; what was running is sent again with its old id. */
void gn_runner_create(struct gn_brain *brain, struct gn_executor *executor, struct gn_time now,
                      struct gn_runner **out);
/* From here on answers are ignored: what runs is sent again after the restart. */
void gn_runner_close(struct gn_runner *runner);
/* After the peers, whose last answers come to the plans. NULL is fine. */
void gn_runner_destroy(struct gn_runner *runner);

/* Before moves are begun; those that were loaded go on from here. */
void gn_runner_set_mover(struct gn_runner *runner, const struct gn_plan_mover *mover,
                         struct gn_time now);
/* A new plan that takes the VM through the steps of a move; 'move' is copied. 'approved': nobody
 * needs to be asked. */
struct gn_plan_record *gn_runner_begin_move(struct gn_runner *runner, const char *vm,
                                            const Gnomon__V1__Move *move, bool approved,
                                            const char *reason, struct gn_time now);
/* What became of the action under way, or of its undoing. */
void gn_runner_answer(struct gn_plan_record *record, enum gn_plan_outcome outcome,
                      const struct gn_status *status);
/* Stores it as it is now, durably. */
void gn_runner_save(struct gn_plan_record *record);
/* Its cause is gone: a move that has not begun is taken back. */
void gn_runner_withdraw(struct gn_plan_record *record, struct gn_time now);

/* The brain's listener. */
void gn_runner_decided(struct gn_runner *runner, struct gn_vm *vm,
                       const struct gn_policy_input *input, struct gn_time now);
void gn_runner_removed(struct gn_runner *runner, struct gn_vm *vm);
/* A few times a second. */
void gn_runner_tick(struct gn_runner *runner, struct gn_time now);
/* Stores every plan again. */
void gn_runner_save_all(struct gn_runner *runner);

/* Plans in memory, oldest first. */
size_t gn_runner_count(const struct gn_runner *runner);
struct gn_plan_record *gn_runner_at(const struct gn_runner *runner, size_t index);
/* By name, "plans/17"; NULL: none such. */
struct gn_plan_record *gn_runner_find(const struct gn_runner *runner, const char *name);
int gn_runner_approve(struct gn_plan_record *record, struct gn_time now, struct gn_status *status);
int gn_runner_reject(struct gn_plan_record *record, struct gn_time now, struct gn_status *status);
size_t gn_runner_pending(const struct gn_runner *runner);

#endif
