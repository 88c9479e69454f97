/* shadow.c - see shadow.h. */
#include "firmware/shadow/shadow.h"

#define FIRST_RETRY_US   ((uint64_t)1000000)
#define LONGEST_RETRY_US ((uint64_t)30000000)
/* A peer that stays away so long while a shadow is made fails it. */
#define PATIENCE_US ((uint64_t)600 * 1000000)
/* Definite failures of an undo after which it is left. */
#define MAX_UNDO_ROUNDS 5

void gn_shadow_init(struct gn_shadow *shadow, uint32_t n_nics, uint32_t n_disks, bool start)
{
	*shadow = (struct gn_shadow){.n_nics = n_nics, .n_disks = n_disks, .start = start};
}

static uint32_t items_of(const struct gn_shadow *s, enum gn_shadow_step step)
{
	const uint32_t once = 1, nics = s->n_nics, disks = s->n_disks, mirrors = s->n_nics ? 1 : 0;

	switch (step) {
#define GN_SHADOW_STEP_ITEMS(name, items, text)                                                    \
	case GN_SHADOW_STEP_##name:                                                                \
		return items;
		GN_SHADOW_STEPS(GN_SHADOW_STEP_ITEMS)
#undef GN_SHADOW_STEP_ITEMS
	case GN_SHADOW_N_STEPS:
		break;
	}
	return 0;
}

static unsigned act(struct gn_shadow *s)
{
	s->busy = true;
	s->retry_us = 0;
	s->attempts++;
	s->undoing = s->toggling ? !s->start : s->goal != GN_SHADOW_GOAL_STAND;
	return s->undoing ? GN_SHADOW_UNDO : GN_SHADOW_DO;
}

static void fresh(struct gn_shadow *s)
{
	s->attempts = 0;
	s->round = 0;
}

static void skip_empty(struct gn_shadow *s, enum gn_shadow_step end)
{
	while (s->step < end && s->item >= items_of(s, s->step)) {
		s->step++;
		s->item = 0;
	}
}

/* To the next item before step 'end', forward; false: there is none. */
static bool advance(struct gn_shadow *s, enum gn_shadow_step end)
{
	fresh(s);
	s->item++;
	skip_empty(s, end);
	return s->step < end;
}

/* To the item before, not before step 'begin'. */
static bool retreat(struct gn_shadow *s, enum gn_shadow_step begin)
{
	fresh(s);
	while (s->item == 0) {
		if (s->step == begin)
			return false;
		s->step--;
		s->item = items_of(s, s->step);
	}
	s->item--;
	return true;
}

static void from_the_end(struct gn_shadow *s)
{
	s->step = GN_SHADOW_N_STEPS;
	s->item = 0;
	retreat(s, GN_SHADOW_STEP_RESERVE);
}

/* ---- running a shadow that stands ------------------------------------------- */

static unsigned toggle(struct gn_shadow *s)
{
	s->toggling = true;
	s->toggles++;
	fresh(s);
	if (s->start) {
		s->code = GN_OK;
		s->step = GN_SHADOW_FIRST_RUN_STEP;
		s->item = 0;
		skip_empty(s, GN_SHADOW_N_STEPS);
	} else {
		from_the_end(s);
	}
	return act(s) | GN_SHADOW_NEWS;
}

static unsigned toggled(struct gn_shadow *s)
{
	s->toggling = false;
	s->runs = s->start;
	s->start |= s->again;
	s->again = false;
	return s->start == s->runs ? GN_SHADOW_NEWS : toggle(s);
}

/* The other way from here, with what may be half done. */
static unsigned turn_toggle(struct gn_shadow *s)
{
	s->toggles++;
	fresh(s);
	return act(s) | GN_SHADOW_NEWS;
}

static unsigned toggle_done(struct gn_shadow *s)
{
	if (s->undoing == s->start)
		return turn_toggle(s);
	if (s->start ? advance(s, GN_SHADOW_N_STEPS) : retreat(s, GN_SHADOW_FIRST_RUN_STEP))
		return act(s) | GN_SHADOW_NEWS;
	return toggled(s);
}

static unsigned make(struct gn_shadow *s, uint64_t now_us)
{
	s->state = GN_SHADOW_PROVISIONING;
	s->goal = GN_SHADOW_GOAL_STAND;
	s->code = GN_OK;
	s->gave_up = s->runs = s->again = s->toggling = false;
	s->since_us = now_us;
	s->step = (enum gn_shadow_step)0;
	s->item = 0;
	fresh(s);
	return act(s) | GN_SHADOW_NEWS;
}

/* All is undone. */
static unsigned undone(struct gn_shadow *s, uint64_t now_us)
{
	s->busy = s->runs = s->toggling = false;
	switch (s->goal) {
	case GN_SHADOW_GOAL_AGAIN:
		return make(s, now_us);
	case GN_SHADOW_GOAL_GONE:
		s->state = GN_SHADOW_NONE;
		return GN_SHADOW_NEWS | GN_SHADOW_FORGET;
	case GN_SHADOW_GOAL_FAIL:
	case GN_SHADOW_GOAL_STAND:
		break;
	}
	s->state = GN_SHADOW_FAILED;
	return GN_SHADOW_NEWS;
}

/* Turns round. What is under way is waited for: its answer begins the undoing. */
static unsigned turn(struct gn_shadow *s, enum gn_shadow_goal goal)
{
	if (gn_shadow_stands(s)) {
		from_the_end(s);
		s->toggles++;
	}
	if (goal > s->goal)
		s->goal = goal;
	if (goal == GN_SHADOW_GOAL_AGAIN)
		s->state = GN_SHADOW_PROVISIONING;
	if (!s->busy)
		s->toggling = false;
	return s->busy ? GN_SHADOW_NEWS : act(s) | GN_SHADOW_NEWS;
}

static unsigned undo_next(struct gn_shadow *s, uint64_t now_us)
{
	return retreat(s, GN_SHADOW_STEP_RESERVE) ? act(s) | GN_SHADOW_NEWS : undone(s, now_us);
}

static unsigned step_done(struct gn_shadow *s, uint64_t now_us)
{
	bool was_toggling = s->toggling;

	s->busy = false;
	if (s->goal != GN_SHADOW_GOAL_STAND) {
		s->toggling = false;
		/* Turned round while the step was made: it is the first to be undone. */
		if (was_toggling || !s->undoing)
			return act(s) | GN_SHADOW_NEWS;
		return undo_next(s, now_us);
	}
	if (was_toggling)
		return toggle_done(s);
	if (advance(s, GN_SHADOW_FIRST_RUN_STEP))
		return act(s) | GN_SHADOW_NEWS;
	s->state = s->n_disks ? GN_SHADOW_SYNCING : GN_SHADOW_IN_STEP;
	return s->start ? toggle(s) : GN_SHADOW_NEWS;
}

static bool is_transient(enum gn_code code)
{
	return code == GN_UNAVAILABLE || code == GN_DEADLINE_EXCEEDED || code == GN_CANCELLED;
}

static unsigned wait_and_retry(struct gn_shadow *s, uint64_t now_us)
{
	uint64_t wait = FIRST_RETRY_US << (s->attempts < 6 ? s->attempts : 6);

	/* A copy waits for the first synchronisation, however long that takes. */
	if (s->toggling && s->step == GN_SHADOW_STEP_COPY)
		wait = FIRST_RETRY_US;
	s->retry_us = now_us + (wait < LONGEST_RETRY_US ? wait : LONGEST_RETRY_US);
	return GN_SHADOW_NEWS;
}

static unsigned making_failed(struct gn_shadow *s, enum gn_code code, uint64_t now_us)
{
	if (is_transient(code) && now_us - s->since_us < PATIENCE_US)
		return wait_and_retry(s, now_us);
	s->code = code;
	s->failed_step = s->step;
	s->goal = GN_SHADOW_GOAL_FAIL;
	fresh(s);
	return act(s) | GN_SHADOW_NEWS; /* the step itself may be half done: undo it, too */
}

static unsigned undoing_failed(struct gn_shadow *s, enum gn_code code, uint64_t now_us)
{
	if (is_transient(code) || ++s->round < MAX_UNDO_ROUNDS)
		return wait_and_retry(s, now_us);
	s->gave_up = true;
	return undo_next(s, now_us);
}

/* A start that fails for good is taken back, as far as it came; a domain that cannot be stopped
 * goes on running. */
static unsigned toggling_failed(struct gn_shadow *s, enum gn_code code, uint64_t now_us)
{
	if (s->undoing == s->start)
		return turn_toggle(s);
	if (is_transient(code))
		return wait_and_retry(s, now_us);
	if (s->start) {
		s->code = code;
		s->failed_step = s->step;
		s->start = false;
		return turn_toggle(s);
	}
	if (++s->round < MAX_UNDO_ROUNDS)
		return wait_and_retry(s, now_us);
	if (s->step == GN_SHADOW_STEP_START) {
		s->start = true;
		s->code = code;
		s->failed_step = s->step;
		return toggled(s);
	}
	s->gave_up = true;
	return toggle_done(s);
}

static unsigned step_failed(struct gn_shadow *s, enum gn_code code, uint64_t now_us)
{
	bool was_toggling = s->toggling;

	s->busy = false;
	if (s->goal != GN_SHADOW_GOAL_STAND) {
		s->toggling = false;
		if (was_toggling || !s->undoing)
			return act(s) | GN_SHADOW_NEWS;
		return undoing_failed(s, code, now_us);
	}
	return was_toggling ? toggling_failed(s, code, now_us) : making_failed(s, code, now_us);
}

/* What is under way comes to its end first. */
static unsigned run_wanted(struct gn_shadow *s, bool start)
{
	if (!gn_shadow_stands(s) || s->start == start)
		return 0;
	s->start = start;
	s->again = false;
	if (s->busy)
		return GN_SHADOW_NEWS;
	return s->toggling ? turn_toggle(s) : toggle(s);
}

static unsigned run_again(struct gn_shadow *s)
{
	if (!s->runs || s->toggling)
		return GN_SHADOW_NEWS;
	s->start = false;
	s->again = true;
	return toggle(s);
}

static unsigned health_told(struct gn_shadow *s, enum gn_shadow_state state)
{
	if (!gn_shadow_stands(s) || s->state == state)
		return 0;
	s->state = state;
	return GN_SHADOW_NEWS;
}

/* An operator's or trigger's wish. */
static unsigned make_wanted(struct gn_shadow *s, bool again, uint64_t now_us)
{
	if (gn_shadow_is_armed(s) || gn_shadow_is_at_rest(s))
		return make(s, now_us);
	if (!again || !gn_shadow_stands(s))
		return 0;
	return s->follows ? run_again(s) : turn(s, GN_SHADOW_GOAL_AGAIN);
}

static unsigned delete_wanted(struct gn_shadow *s, uint64_t now_us)
{
	if (!gn_shadow_is_armed(s) && !gn_shadow_is_at_rest(s))
		return s->goal == GN_SHADOW_GOAL_GONE ? 0 : turn(s, GN_SHADOW_GOAL_GONE);
	s->goal = GN_SHADOW_GOAL_GONE;
	return undone(s, now_us);
}

static unsigned resume(struct gn_shadow *s)
{
	if (!s->busy)
		return 0;
	if (s->toggling && s->goal != GN_SHADOW_GOAL_STAND)
		s->toggling = false;
	return act(s);
}

unsigned gn_shadow_step(struct gn_shadow *s, const struct gn_shadow_event *event, uint64_t now_us)
{
	switch (event->kind) {
	case GN_SHADOW_EVENT_MAKE:
		return make_wanted(s, false, now_us);
	case GN_SHADOW_EVENT_REFRESH:
		return make_wanted(s, true, now_us);
	case GN_SHADOW_EVENT_DELETE:
		return delete_wanted(s, now_us);
	case GN_SHADOW_EVENT_DONE:
		return s->busy ? step_done(s, now_us) : 0;
	case GN_SHADOW_EVENT_FAILED:
		return s->busy ? step_failed(s, event->code, now_us) : 0;
	case GN_SHADOW_EVENT_TICK:
		return !s->busy && s->retry_us && now_us >= s->retry_us ? act(s) : 0;
	case GN_SHADOW_EVENT_RESUME:
		return resume(s);
	case GN_SHADOW_EVENT_START:
		return run_wanted(s, true);
	case GN_SHADOW_EVENT_STOP:
		return run_wanted(s, false);
	case GN_SHADOW_EVENT_HEALTH:
		return health_told(s, event->state);
	}
	return 0;
}

bool gn_shadow_is_armed(const struct gn_shadow *s)
{
	return s->state == GN_SHADOW_NONE && !s->busy;
}

bool gn_shadow_is_at_rest(const struct gn_shadow *s)
{
	return s->state == GN_SHADOW_FAILED && !s->busy && !s->retry_us;
}

bool gn_shadow_stands(const struct gn_shadow *s)
{
	switch (s->state) {
	case GN_SHADOW_NONE:
	case GN_SHADOW_PROVISIONING:
	case GN_SHADOW_FAILED:
		return false;
	case GN_SHADOW_SYNCING:
	case GN_SHADOW_IN_STEP:
	case GN_SHADOW_DEGRADED:
	case GN_SHADOW_STALE:
	case GN_SHADOW_REHEARSING:
	case GN_SHADOW_PROMOTING:
	case GN_SHADOW_ACTIVE:
		return s->goal == GN_SHADOW_GOAL_STAND;
	}
	return false;
}

const char *gn_shadow_state_name(enum gn_shadow_state state)
{
	switch (state) {
#define GN_SHADOW_STATE_NAME(name, number)                                                         \
	case GN_SHADOW_##name:                                                                     \
		return #name;
		GN_SHADOW_STATES(GN_SHADOW_STATE_NAME)
#undef GN_SHADOW_STATE_NAME
	}
	return "UNKNOWN";
}

const char *gn_shadow_step_text(enum gn_shadow_step step)
{
	static const char *const texts[] = {
#define GN_SHADOW_STEP_TEXT(name, items, text) text,
	        GN_SHADOW_STEPS(GN_SHADOW_STEP_TEXT)
#undef GN_SHADOW_STEP_TEXT
	};

	return (unsigned)step < GN_SHADOW_N_STEPS ? texts[step] : "nothing";
}

bool gn_shadow_trigger_observe(struct gn_shadow_trigger *t, int64_t value, uint64_t now_us,
                               uint64_t gap_us)
{
	bool broken = t->newest_us && (now_us < t->newest_us || now_us - t->newest_us > gap_us);

	t->newest_us = now_us;
	if (value <= t->threshold) {
		t->above_since_us = 0;
		return false;
	}
	if (!t->above_since_us || broken)
		t->above_since_us = now_us ? now_us : 1;
	return now_us - t->above_since_us >= t->for_us;
}

bool gn_shadow_is_due(uint64_t first_us, uint64_t every_us, uint64_t made_us, uint64_t now_us)
{
	if (!first_us || now_us < first_us)
		return false;
	if (made_us < first_us)
		return true;
	if (!every_us)
		return false;
	/* A newer one is due when an instant first + k * every lies in (made, now]. */
	return (now_us - first_us) / every_us > (made_us - first_us) / every_us;
}
