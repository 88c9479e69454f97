/* move.c - see move.h. */
#include "firmware/failover/move.h"

#define MAX_STEPS GN_PLAN_MAX_ACTIONS
#define UNDO      GN_PLAN_HAS_UNDO
#define LENT      GN_PLAN_LENT
#define COMMITS   GN_PLAN_COMMITS

/* One row per step: what it needs, its flags, how often a definite failure is tried again, and
 * the seconds within which it is begun and then answered. */
struct row {
	enum gn_move_step step;
	uint32_t needs;
	uint8_t flags;
	uint8_t rounds;
	uint16_t life_s, grace_s;
};

static const struct row failover[] = {
        {GN_MOVE_STEP_RESERVE, 0, UNDO, 1, 5, 5},
        {GN_MOVE_STEP_FENCE, GN_MOVE_RESERVED, UNDO, 1, 10, 5},
        {GN_MOVE_STEP_PROMOTE, GN_MOVE_RESERVED | GN_MOVE_FENCED | GN_MOVE_NOT_HERE, COMMITS, 3, 10,
         10},
        {GN_MOVE_STEP_BOOT, GN_MOVE_WRITER, 0, 6, 30, 60},
        {GN_MOVE_STEP_ANNOUNCE, GN_MOVE_WRITER | GN_MOVE_RUNS_HERE, 0, 5, 10, 10},
};
static const struct row migrate[] = {
        {GN_MOVE_STEP_RESERVE, 0, UNDO, 1, 5, 5},
        {GN_MOVE_STEP_PREPARE, GN_MOVE_RESERVED, UNDO, 2, 20, 20},
        {GN_MOVE_STEP_BLOCK, GN_MOVE_RESERVED | GN_MOVE_IN_STEP, UNDO, 2, 60, 10},
        {GN_MOVE_STEP_SEND_RAM, GN_MOVE_RESERVED | GN_MOVE_IN_STEP | GN_MOVE_SOURCE_RUNS, COMMITS,
         1, 20, 300},
        {GN_MOVE_STEP_HAND_OVER, GN_MOVE_RESERVED, 0, 1, 10, 5},
        {GN_MOVE_STEP_PROMOTE, GN_MOVE_RESERVED | GN_MOVE_FENCED, 0, 3, 10, 10},
        {GN_MOVE_STEP_RESUME, GN_MOVE_WRITER, 0, 3, 10, 20},
        {GN_MOVE_STEP_ANNOUNCE, GN_MOVE_WRITER | GN_MOVE_RUNS_HERE, 0, 5, 10, 10},
};
static const struct row relocate[] = {
        {GN_MOVE_STEP_RESERVE, 0, UNDO, 1, 5, 5},
        {GN_MOVE_STEP_PREPARE, GN_MOVE_RESERVED, UNDO, 2, 20, 20},
        {GN_MOVE_STEP_SHUT_DOWN, GN_MOVE_RESERVED | GN_MOVE_IN_STEP | GN_MOVE_SOURCE_RUNS, UNDO, 1,
         20, 180},
        {GN_MOVE_STEP_FLUSH, GN_MOVE_SOURCE_OFF | GN_MOVE_IN_STEP, 0, 2, 30, 30},
        {GN_MOVE_STEP_HAND_OVER, GN_MOVE_RESERVED | GN_MOVE_IN_STEP, UNDO, 1, 10, 5},
        {GN_MOVE_STEP_PROMOTE, GN_MOVE_RESERVED | GN_MOVE_FENCED | GN_MOVE_NOT_HERE, COMMITS, 3, 10,
         10},
        {GN_MOVE_STEP_BOOT, GN_MOVE_WRITER, 0, 6, 30, 60},
        {GN_MOVE_STEP_ANNOUNCE, GN_MOVE_WRITER | GN_MOVE_RUNS_HERE, 0, 5, 10, 10},
};
static const struct row rehearse[] = {
        {GN_MOVE_STEP_RESERVE, 0, LENT, 1, 5, 5},
        {GN_MOVE_STEP_CLONE, GN_MOVE_RESERVED | GN_MOVE_POINT, LENT, 2, 30, 1800},
        {GN_MOVE_STEP_TRIAL, GN_MOVE_RESERVED | GN_MOVE_CLONED, LENT, 1, 30, 60},
        {GN_MOVE_STEP_PROBE, GN_MOVE_TRIAL_RUNS, 0, 1, 10, 120},
};
static const struct row restart[] = {
        {GN_MOVE_STEP_BOOT, GN_MOVE_WRITER, 0, 6, 30, 60},
        {GN_MOVE_STEP_ANNOUNCE, GN_MOVE_WRITER | GN_MOVE_RUNS_HERE, 0, 5, 10, 10},
};

static const struct {
	const struct row *rows;
	uint32_t n_rows;
	enum gn_plan_priority priority;
	const char *text;
} kinds[] = {
#define ROWS(rows) rows, sizeof rows / sizeof rows[0]
        {ROWS(failover), GN_PLAN_FAILOVER, "fail over"},
        {ROWS(migrate), GN_PLAN_MOVE, "migrate live"},
        {ROWS(relocate), GN_PLAN_MOVE, "shut down, move and boot"},
        {ROWS(rehearse), GN_PLAN_REHEARSAL, "rehearse"},
        {ROWS(restart), GN_PLAN_FAILOVER, "boot again"},
#undef ROWS
};

static const struct {
	const char *text, *undo;
} steps[] = {
#define GN_MOVE_STEP_ROW(name, text, undo) {text, undo},
        GN_MOVE_STEPS(GN_MOVE_STEP_ROW)
#undef GN_MOVE_STEP_ROW
};

_Static_assert(sizeof kinds / sizeof kinds[0] == GN_MOVE_N_KINDS, "a sequence for every kind");

const char *gn_move_kind_text(enum gn_move_kind kind)
{
	return (unsigned)kind < GN_MOVE_N_KINDS ? kinds[kind].text : "unknown";
}

const char *gn_move_step_text(enum gn_move_step step)
{
	return (unsigned)step < GN_MOVE_N_STEPS ? steps[step].text : "unknown";
}

const char *gn_move_undo_text(enum gn_move_step step)
{
	return (unsigned)step < GN_MOVE_N_STEPS ? steps[step].undo : "unknown";
}

const char *gn_move_fact_text(uint32_t facts)
{
	static const char *const texts[] = {
#define GN_MOVE_FACT_TEXT(name, text) text,
	        GN_MOVE_FACTS(GN_MOVE_FACT_TEXT)
#undef GN_MOVE_FACT_TEXT
	};
	unsigned i;

	for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (facts & 1u << i)
			return texts[i];
	return "nothing";
}

void gn_move_init(struct gn_move *move, enum gn_move_kind kind, bool approved, uint64_t expires_us)
{
	uint32_t i;

	*move = (struct gn_move){.kind = kind};
	gn_plan_init(&move->plan, approved, expires_us);
	move->plan.priority = kinds[kind].priority;
	for (i = 0; i < kinds[kind].n_rows; i++) {
		const struct row *row = &kinds[kind].rows[i];
		const struct gn_plan_action action = {
		        .to = 1,
		        .kind = row->step,
		        .flags = row->flags,
		        .needs = row->needs,
		        .rounds = row->rounds,
		        .life_us = row->life_s * UINT64_C(1000000),
		        .grace_us = row->grace_s * UINT64_C(1000000),
		};

		gn_plan_add(&move->plan, &action);
	}
}

enum gn_move_step gn_move_at(const struct gn_move *move)
{
	return (enum gn_move_step)move->plan.actions[move->plan.at].kind;
}

unsigned gn_move_step(struct gn_move *move, const struct gn_plan_event *event, uint64_t now_us)
{
	uint32_t was = move->plan.at;
	bool was_running = move->plan.state == GN_PLAN_RUNNING;
	unsigned effects = gn_plan_step(&move->plan, event, now_us);
	bool done = was_running && (move->plan.at > was || move->plan.state == GN_PLAN_DONE ||
	                            move->plan.succeeded);

	if (done && !move->ended_us[was])
		move->ended_us[was] = now_us;
	if (effects & GN_PLAN_STORE && move->plan.state == GN_PLAN_RUNNING)
		move->begun_us[move->plan.at] = now_us;
	return effects;
}

uint64_t gn_move_duration_us(const struct gn_move *move)
{
	uint64_t end = move->ended_us[move->plan.n_actions - 1];

	return end > move->begun_us[0] ? end - move->begun_us[0] : 0;
}

/* ---- in words ---------------------------------------------------------------------- */

static void explain_step(const struct gn_move *move, uint32_t i, struct gn_text *text)
{
	const struct gn_plan *plan = &move->plan;
	enum gn_move_step step = (enum gn_move_step)plan->actions[i].kind;

	gn_text_add(text, "\n  ");
	gn_text_add_int(text, (int64_t)i + 1);
	gn_text_add(text, " ");
	gn_text_add(text, steps[step].text);
	if (plan->left & 1u << i) {
		gn_text_add(text, ": could not be undone (");
		gn_text_add(text, steps[step].undo);
		gn_text_add(text, "): do it by hand");
	} else if (move->ended_us[i]) {
		gn_text_add(text, ": done in ");
		gn_text_add_duration(text, move->ended_us[i] - move->begun_us[i]);
	} else if (i == plan->at && plan->state == GN_PLAN_RUNNING) {
		gn_text_add(text, plan->awaits_answer ? ": under way" : ": waits until ");
		if (!plan->awaits_answer)
			gn_text_add(text, gn_move_fact_text(plan->actions[i].needs));
	} else if (i == plan->at && plan->end) {
		gn_text_add(text, ": failed, ");
		gn_text_add(text, gn_plan_end_text(plan->end));
	}
	if (i == plan->at && plan->state == GN_PLAN_UNDOING) {
		gn_text_add(text, "; now: ");
		gn_text_add(text, steps[step].undo);
	}
}

void gn_move_explain(const struct gn_move *move, const char *vm, struct gn_text *text)
{
	uint32_t i;

	gn_text_add(text, kinds[move->kind].text);
	gn_text_add(text, " ");
	gn_text_add(text, vm);
	gn_text_add(text, ": ");
	gn_text_add(text, gn_plan_state_name(move->plan.state));
	if (move->plan.end) {
		gn_text_add(text, ", ");
		gn_text_add(text, gn_plan_end_text(move->plan.end));
	}
	for (i = 0; i < move->plan.n_actions; i++)
		explain_step(move, i, text);
}
