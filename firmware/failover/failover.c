/* failover.c - see failover.h. */
#include "firmware/failover/failover.h"

#define FIRST_RETRY_US   ((uint64_t)1000000)
#define LONGEST_RETRY_US ((uint64_t)30000000)
/* A migration's source may be busy for so long. */
#define HOST_PATIENCE_US ((uint64_t)10000000)

const char *gn_failover_state_name(enum gn_failover_state state)
{
	static const char *const names[] = {
#define GN_FAILOVER_NAME(name, text) #name,
	        GN_FAILOVER_STATES(GN_FAILOVER_NAME)
#undef GN_FAILOVER_NAME
	};

	return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "UNKNOWN";
}

static const struct {
	const char *text, *advice;
} refusals[] = {
#define GN_FAILOVER_ROW(name, text, advice) {text, advice},
        GN_FAILOVER_REFUSALS(GN_FAILOVER_ROW)
#undef GN_FAILOVER_ROW
};

#define N_REFUSALS (sizeof refusals / sizeof refusals[0])

const char *gn_failover_refusal_text(enum gn_failover_refusal refusal)
{
	return (unsigned)refusal < N_REFUSALS ? refusals[refusal].text : "unknown";
}

const char *gn_failover_advice(enum gn_failover_refusal refusal)
{
	return (unsigned)refusal < N_REFUSALS ? refusals[refusal].advice : "";
}

/* Does the override name what would be lost? */
static bool names_the_loss(const struct gn_failover_override *override,
                           const struct gn_move_loss *loss)
{
	if (!override->given)
		return false;
	return loss->known ? override->age_us >= loss->age_us : override->unknown;
}

enum gn_failover_refusal gn_failover_judge(const struct gn_failover_facts *facts, bool hold,
                                           bool asked, const struct gn_failover_override *override)
{
	if (hold)
		return GN_FAILOVER_REFUSED_OPERATOR_HOLD;
	if (!facts->has_shadow)
		return GN_FAILOVER_REFUSED_NO_SHADOW;
	if (asked && facts->lease_held && !facts->given_up)
		return GN_FAILOVER_REFUSED_LEASE_HELD;
	if (!facts->in_step && !names_the_loss(override, &facts->loss))
		return GN_FAILOVER_REFUSED_STALE;
	if (!facts->cpu_fits)
		return GN_FAILOVER_REFUSED_CPU;
	if (!facts->has_room)
		return GN_FAILOVER_REFUSED_NO_CAPACITY;
	return GN_FAILOVER_REFUSED_NONE;
}

/* ---- steps ------------------------------------------------------------------------ */

static unsigned enter(struct gn_failover *f, enum gn_failover_state state)
{
	if (f->state == state)
		return 0;
	f->state = state;
	return GN_FAILOVER_NEWS;
}

static unsigned refuse(struct gn_failover *f, enum gn_failover_refusal refusal, uint64_t now_us)
{
	uint64_t wait = FIRST_RETRY_US << (f->n_tries < 5 ? f->n_tries : 5);
	bool same = f->state == GN_FAILOVER_REFUSED && f->refusal == refusal;

	f->n_tries++;
	f->state = GN_FAILOVER_REFUSED;
	f->refusal = refusal;
	f->retry_us = now_us + (wait < LONGEST_RETRY_US ? wait : LONGEST_RETRY_US);
	return same ? 0 : GN_FAILOVER_NEWS;
}

/* The guest's own failure, not that of what it runs on. */
static bool is_relapse(const struct gn_failover *f, const struct gn_failover_facts *facts,
                       uint64_t now_us)
{
	bool is_guests = f->cause == GN_DETECT_GUEST_DEAD || f->cause == GN_DETECT_GUEST_HUNG;
	/* It is still the same failure, however long it has lasted. */
	uint64_t lasted_us = now_us - f->first_us;

	return !f->asked && is_guests && facts->since_failover_us &&
	       facts->since_failover_us < GN_FAILOVER_RELAPSE_US + lasted_us;
}

static unsigned begin_or_refuse(struct gn_failover *f, const struct gn_failover_facts *facts,
                                uint64_t now_us)
{
	enum gn_failover_refusal refusal =
	        gn_failover_judge(facts, f->hold, f->asked, &f->override);

	if (refusal == GN_FAILOVER_REFUSED_NONE && is_relapse(f, facts, now_us))
		refusal = GN_FAILOVER_REFUSED_RELAPSE;
	if (refusal != GN_FAILOVER_REFUSED_NONE)
		return refuse(f, refusal, now_us);
	f->state = GN_FAILOVER_MOVING;
	f->ours = true;
	f->refusal = GN_FAILOVER_REFUSED_NONE;
	return GN_FAILOVER_BEGIN | GN_FAILOVER_NEWS;
}

static unsigned well(struct gn_failover *f)
{
	f->refusal = GN_FAILOVER_REFUSED_NONE;
	f->asked = false;
	f->override = (struct gn_failover_override){0};
	f->n_tries = 0;
	return enter(f, GN_FAILOVER_WATCHING);
}

static unsigned look(struct gn_failover *f, const struct gn_detect *detect,
                     const struct gn_failover_facts *facts, uint64_t now_us)
{
	switch (gn_detect_verdict(detect, now_us, &f->cause, &f->first_us)) {
	case GN_DETECT_WELL:
		return f->asked && f->state == GN_FAILOVER_REFUSED ? 0 : well(f);
	case GN_DETECT_SUSPECT:
		return f->state == GN_FAILOVER_WATCHING ? enter(f, GN_FAILOVER_SUSPECT) : 0;
	case GN_DETECT_LOST:
		break;
	}
	if (f->state == GN_FAILOVER_REFUSED && now_us < f->retry_us)
		return 0;
	if (f->state != GN_FAILOVER_REFUSED)
		f->detected_us = now_us;
	return begin_or_refuse(f, facts, now_us);
}

static unsigned promote(struct gn_failover *f, const struct gn_failover_event *event,
                        const struct gn_failover_facts *facts, uint64_t now_us)
{
	f->asked = true;
	f->override = event->override;
	f->detected_us = f->first_us = now_us;
	f->n_tries = 0;
	return begin_or_refuse(f, facts, now_us);
}

/* A fence that failed because the former writer was heard again is no reason to promote it. */
static unsigned plan_ended(struct gn_failover *f, const struct gn_failover_event *event,
                           uint64_t now_us)
{
	if (event->kind == GN_FAILOVER_PLAN_DONE) {
		f->n_tries = 0;
		return enter(f, GN_FAILOVER_ACTIVE) | GN_FAILOVER_RESHADOW;
	}
	/* A wish, and the loss that it accepts, are for one plan. */
	f->asked = false;
	f->override = (struct gn_failover_override){0};
	return refuse(
	        f, event->fence_failed ? GN_FAILOVER_REFUSED_NO_FENCE : GN_FAILOVER_REFUSED_FAILED,
	        now_us);
}

static unsigned step_idle(struct gn_failover *f, const struct gn_failover_event *event,
                          const struct gn_detect *detect, const struct gn_failover_facts *facts,
                          uint64_t now_us)
{
	switch (event->kind) {
	case GN_FAILOVER_TICK:
		return look(f, detect, facts, now_us);
	case GN_FAILOVER_PROMOTE:
		return promote(f, event, facts, now_us);
	case GN_FAILOVER_MOVE_BEGAN:
		f->ours = false;
		return enter(f, GN_FAILOVER_MOVING);
	case GN_FAILOVER_HOLD:
		f->hold = event->on;
		f->retry_us = now_us;
		return GN_FAILOVER_NEWS;
	case GN_FAILOVER_PLAN_DONE:
	case GN_FAILOVER_PLAN_FAILED:
		return 0;
	}
	return 0;
}

/* A migration waits for its source, patiently; not when the source is gone. That the VM ended
 * there is no reason: it may be what the migration just did. */
static bool source_is_gone(const struct gn_detect *detect, uint64_t now_us)
{
	return gn_detect_age_us(detect, GN_DETECT_CARD_SILENT, now_us) >=
	               gn_detect_timeout_us(GN_DETECT_CARD_SILENT) ||
	       gn_detect_age_us(detect, GN_DETECT_HOST_SILENT, now_us) >= HOST_PATIENCE_US;
}

static unsigned step_moving(struct gn_failover *f, const struct gn_failover_event *event,
                            const struct gn_detect *detect, uint64_t now_us)
{
	switch (event->kind) {
	case GN_FAILOVER_HOLD:
		f->hold = event->on; /* for the next time */
		return GN_FAILOVER_NEWS;
	case GN_FAILOVER_TICK:
		return !f->ours && source_is_gone(detect, now_us) ? GN_FAILOVER_ABANDON : 0;
	case GN_FAILOVER_PLAN_DONE:
	case GN_FAILOVER_PLAN_FAILED:
		return plan_ended(f, event, now_us);
	case GN_FAILOVER_PROMOTE:
	case GN_FAILOVER_MOVE_BEGAN:
		return 0;
	}
	return 0;
}

unsigned gn_failover_step(struct gn_failover *failover, const struct gn_failover_event *event,
                          const struct gn_detect *detect, const struct gn_failover_facts *facts,
                          uint64_t now_us)
{
	switch (failover->state) {
	case GN_FAILOVER_WATCHING:
	case GN_FAILOVER_SUSPECT:
	case GN_FAILOVER_REFUSED:
		return step_idle(failover, event, detect, facts, now_us);
	case GN_FAILOVER_MOVING:
		return step_moving(failover, event, detect, now_us);
	case GN_FAILOVER_ACTIVE:
		return 0;
	}
	return 0;
}

void gn_failover_explain(const struct gn_failover *failover, const struct gn_failover_facts *facts,
                         struct gn_text *text)
{
	gn_text_add(text, gn_failover_state_name(failover->state));
	if (failover->state == GN_FAILOVER_SUSPECT || failover->state == GN_FAILOVER_MOVING) {
		gn_text_add(text, ": ");
		gn_text_add(text, failover->asked ? "an operator asked for it"
		                                  : gn_detect_text(failover->cause));
	}
	if (failover->state != GN_FAILOVER_REFUSED)
		return;
	gn_text_add(text, ": ");
	gn_text_add(text, refusals[failover->refusal].text);
	if (failover->refusal == GN_FAILOVER_REFUSED_STALE && facts->loss.known) {
		gn_text_add(text, " (");
		gn_text_add_ratio(text, (int64_t)facts->loss.bytes, 1000000, 1);
		gn_text_add(text, " MB of the last ");
		gn_text_add_duration(text, facts->loss.age_us);
		gn_text_add(text, ")");
	} else if (failover->refusal == GN_FAILOVER_REFUSED_STALE) {
		gn_text_add(text, " (how many is not known)");
	}
	gn_text_add(text, "; ");
	gn_text_add(text, refusals[failover->refusal].advice);
}
