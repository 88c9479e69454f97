/* runner_internal.h - between runner.c (plans' lives) and propose.c (decisions). */
#ifndef GN_PLAN_RUNNER_INTERNAL_H
#define GN_PLAN_RUNNER_INTERNAL_H

#include "firmware/plan/runner.h"

struct gn_runner {
	struct gn_brain *brain;
	struct gn_executor *executor;
	struct gn_plan_record **records; /* by id */
	size_t n_records;
	const struct gn_plan_mover *mover; /* NULL: none yet */
	bool closing;
};

void gn_runner_add(struct gn_runner *runner, struct gn_plan_record *record);
/* Steps the plan and performs what follows. */
void gn_runner_step(struct gn_plan_record *record, const struct gn_plan_event *event,
                    struct gn_time now);
void gn_runner_tick_one(struct gn_plan_record *record, struct gn_time now);
/* moves.c */
bool gn_runner_is_move(const struct gn_plan_record *record);
uint32_t gn_runner_holds(const struct gn_plan_record *record);
/* The plan as the message says; false: no such move. */
bool gn_runner_load_move(struct gn_plan_record *record);
void gn_runner_note_progress(struct gn_plan_record *record);

/* Brings the message up to date, stores and publishes it. */
void gn_runner_news(struct gn_plan_record *record, struct gn_time now);

/* Of a plan that changes an allocation. */
enum gn_plan_priority gn_runner_priority(const Gnomon__V1__Plan *plan);

#endif
