/* tenure.c - see tenure.h. */
#include "firmware/failover/tenure.h"

const char *gn_tenure_proof_text(enum gn_tenure_proof proof)
{
	static const char *const texts[] = {
#define GN_TENURE_PROOF_TEXT(name, text) text,
	        GN_TENURE_PROOFS(GN_TENURE_PROOF_TEXT)
#undef GN_TENURE_PROOF_TEXT
	};

	return (unsigned)proof < sizeof texts / sizeof texts[0] ? texts[proof] : "unknown";
}

/* ---- the holder ---------------------------------------------------------------- */

void gn_holder_init(struct gn_holder *holder, enum gn_tenure_rule rule, uint64_t token,
                    enum gn_holder_state state, uint64_t now_us)
{
	*holder = (struct gn_holder){
	        .rule = rule,
	        .state = state,
	        .token = token,
	        .next_us = now_us,
	        .patient_us = now_us + GN_TENURE_TERM_US,
	};
}

bool gn_holder_may_write(const struct gn_holder *holder, uint64_t now_us)
{
	switch (holder->state) {
	case GN_HOLDER_LEASED:
		return now_us < holder->until_us;
	case GN_HOLDER_ALONE:
		return true;
	case GN_HOLDER_SURRENDERED:
		return false;
	}
	return false;
}

static unsigned ask(struct gn_holder *holder, uint64_t now_us)
{
	holder->sequence++;
	holder->sent_us = now_us;
	holder->next_us = now_us + GN_TENURE_RENEW_US;
	return GN_TENURE_RENEW;
}

static unsigned work_alone(struct gn_holder *holder)
{
	holder->state = GN_HOLDER_ALONE;
	holder->until_us = 0;
	return GN_TENURE_STORE;
}

/* Also while alone: that is how it is found and paired again. */
static unsigned holder_tick(struct gn_holder *holder, uint64_t now_us)
{
	unsigned effects = 0;

	if (now_us < holder->next_us)
		return 0;
	if (holder->state == GN_HOLDER_SURRENDERED) {
		holder->next_us = now_us + GN_TENURE_RENEW_US;
		return GN_TENURE_GAVE_UP; /* until somebody takes over */
	}
	if (holder->state == GN_HOLDER_LEASED && now_us >= holder->until_us &&
	    now_us >= holder->patient_us) {
		switch (holder->rule) {
		case GN_TENURE_KEEP_RUNNING:
			effects = work_alone(holder);
			break;
		case GN_TENURE_ZERO_LOSS:
			break;
		case GN_TENURE_WITNESSED:
			effects = GN_TENURE_CLAIM | (holder->claimed ? 0 : GN_TENURE_STORE);
			holder->claimed = true;
			break;
		}
	}
	return effects | ask(holder, now_us);
}

static unsigned surrender(struct gn_holder *holder)
{
	unsigned effects = holder->state == GN_HOLDER_SURRENDERED ? 0 : GN_TENURE_STORE;

	holder->state = GN_HOLDER_SURRENDERED;
	holder->until_us = 0;
	return effects;
}

static unsigned holder_revoked(struct gn_holder *holder, const struct gn_holder_event *event)
{
	bool again = holder->state == GN_HOLDER_SURRENDERED;

	if (event->token < holder->token || (!again && !event->willing))
		return 0;
	if (holder->state == GN_HOLDER_ALONE && !event->level && !event->loss_accepted)
		return 0; /* its next request tells that it works alone */
	return surrender(holder) | GN_TENURE_GAVE_UP;
}

/* Whoever names a higher token than ours is right; an equal one is the keeper we know. */
static unsigned holder_told(struct gn_holder *holder, const struct gn_holder_event *event,
                            uint64_t now_us)
{
	switch (event->kind) {
	case GN_HOLDER_REFUSED:
		/* One that gave up says so by and by: else the two would answer each other for
		 * ever. */
		if (event->token <= holder->token || holder->state == GN_HOLDER_SURRENDERED)
			return 0;
		return surrender(holder) | GN_TENURE_GAVE_UP;
	case GN_HOLDER_REVOKED:
		return holder_revoked(holder, event);
	case GN_HOLDER_PAIRED:
		if (event->token <= holder->token)
			return 0;
		if (holder->state == GN_HOLDER_SURRENDERED) {
			holder->token = event->token; /* that keeper must be told, too */
			return GN_TENURE_STORE | GN_TENURE_GAVE_UP;
		}
		if (!event->level)
			return 0;
		holder->token = event->token;
		holder->state = GN_HOLDER_LEASED;
		holder->claimed = false;
		holder->until_us = 0;
		holder->patient_us = now_us + GN_TENURE_TERM_US;
		return GN_TENURE_STORE | ask(holder, now_us);
	case GN_HOLDER_CONSENTED:
	case GN_HOLDER_WITNESS_YES:
		if (event->token != holder->token || holder->state != GN_HOLDER_LEASED)
			return 0;
		return work_alone(holder);
	case GN_HOLDER_SWORN:
		holder->token += 2; /* the keeper may have promoted its shadow before it died */
		return work_alone(holder);
	case GN_HOLDER_TICK:
	case GN_HOLDER_GRANTED:
	case GN_HOLDER_RESTARTED:
		break;
	}
	return 0;
}

unsigned gn_holder_step(struct gn_holder *holder, const struct gn_holder_event *event,
                        uint64_t now_us)
{
	switch (event->kind) {
	case GN_HOLDER_TICK:
		return holder_tick(holder, now_us);
	case GN_HOLDER_GRANTED:
		/* Only the newest request's time is remembered. */
		if (holder->state == GN_HOLDER_LEASED && event->token == holder->token &&
		    event->sequence == holder->sequence)
			holder->until_us = holder->sent_us + GN_TENURE_TERM_US;
		return 0;
	case GN_HOLDER_RESTARTED:
		/* An answer to what was asked before would be counted on another clock. */
		holder->sequence = event->sequence;
		holder->until_us = 0;
		holder->next_us = now_us;
		holder->patient_us = now_us + GN_TENURE_TERM_US;
		return 0;
	case GN_HOLDER_REFUSED:
	case GN_HOLDER_REVOKED:
	case GN_HOLDER_PAIRED:
	case GN_HOLDER_CONSENTED:
	case GN_HOLDER_WITNESS_YES:
	case GN_HOLDER_SWORN:
		return holder_told(holder, event, now_us);
	}
	return 0;
}

/* ---- the keeper ---------------------------------------------------------------- */

void gn_keeper_init(struct gn_keeper *keeper, enum gn_tenure_rule rule, uint64_t token, bool alone,
                    uint64_t now_us)
{
	*keeper = (struct gn_keeper){
	        .rule = rule, .token = token, .alone = alone, .granted_us = now_us};
}

static bool lease_is_over(const struct gn_keeper *keeper, uint64_t now_us)
{
	return now_us >= keeper->granted_us + GN_TENURE_TERM_US + GN_TENURE_MARGIN_US;
}

enum gn_tenure_proof gn_keeper_proof(const struct gn_keeper *keeper, uint64_t now_us)
{
	if (keeper->state != GN_KEEPER_CLOSING)
		return GN_TENURE_PROOF_NONE;
	if (keeper->surrendered)
		return GN_TENURE_PROOF_SURRENDERED;
	if (keeper->sworn)
		return GN_TENURE_PROOF_SWORN;
	if (keeper->alone || !lease_is_over(keeper, now_us))
		return GN_TENURE_PROOF_NONE;
	switch (keeper->rule) {
	case GN_TENURE_KEEP_RUNNING:
		return GN_TENURE_PROOF_NONE;
	case GN_TENURE_ZERO_LOSS:
		return GN_TENURE_PROOF_EXPIRED;
	case GN_TENURE_WITNESSED:
		return keeper->witnessed ? GN_TENURE_PROOF_WITNESSED : GN_TENURE_PROOF_NONE;
	}
	return GN_TENURE_PROOF_NONE;
}

bool gn_keeper_is_in_step(const struct gn_keeper *keeper, uint64_t now_us)
{
	if (keeper->alone)
		return false;
	return keeper->rule != GN_TENURE_KEEP_RUNNING || keeper->surrendered ||
	       !lease_is_over(keeper, now_us);
}

/* A new token: the holder is counted as working alone until it asks under it. */
static unsigned pair(struct gn_keeper *keeper)
{
	keeper->token++;
	keeper->alone = true;
	keeper->surrendered = keeper->witnessed = keeper->sworn = keeper->spent = false;
	return GN_TENURE_STORE | GN_TENURE_PAIR;
}

static unsigned spend(struct gn_keeper *keeper, bool alone, bool spent)
{
	unsigned effects =
	        (alone && !keeper->alone) || (spent && !keeper->spent) ? GN_TENURE_STORE : 0;

	keeper->alone |= alone;
	keeper->spent |= spent;
	return effects;
}

static unsigned renew(struct gn_keeper *keeper, const struct gn_keeper_event *event,
                      uint64_t now_us)
{
	unsigned effects;

	if (event->token > keeper->token)
		return 0; /* it was paired with another since */
	if (keeper->state == GN_KEEPER_TAKEN)
		return GN_TENURE_REFUSE;
	if (keeper->state == GN_KEEPER_CLOSING)
		return event->token < keeper->token
		               ? 0
		               : spend(keeper, event->alone, event->alone) | GN_TENURE_REVOKE;
	if (event->token < keeper->token)
		return event->alone && !event->level ? 0
		                                     : GN_TENURE_PAIR; /* that packet was lost */
	effects = spend(keeper, event->alone, event->alone || event->claimed);
	if (keeper->spent)
		return event->level ? effects | pair(keeper) : effects;
	effects = keeper->alone ? GN_TENURE_STORE : 0; /* it has taken our new token over */
	keeper->alone = false;
	keeper->granted_us = now_us;
	return effects | GN_TENURE_GRANT;
}

static unsigned keeper_tick(struct gn_keeper *keeper, uint64_t now_us)
{
	unsigned effects = GN_TENURE_REVOKE;

	if (keeper->state != GN_KEEPER_CLOSING || now_us < keeper->next_us)
		return 0;
	keeper->next_us = now_us + GN_TENURE_RENEW_US / 2;
	if (keeper->rule == GN_TENURE_WITNESSED && !keeper->alone && !keeper->witnessed) {
		effects |= GN_TENURE_CLAIM | (keeper->spent ? 0 : GN_TENURE_STORE);
		keeper->spent = true;
	}
	return effects;
}

static unsigned close_door(struct gn_keeper *keeper, uint64_t now_us)
{
	if (keeper->state != GN_KEEPER_OPEN)
		return 0;
	keeper->state = GN_KEEPER_CLOSING;
	keeper->next_us = now_us;
	return GN_TENURE_STORE | keeper_tick(keeper, now_us);
}

/* A holder that gave up meanwhile stays so: only a promotion brings the VM back. */
static unsigned reopen(struct gn_keeper *keeper)
{
	if (keeper->state != GN_KEEPER_CLOSING || keeper->surrendered)
		return 0;
	keeper->state = GN_KEEPER_OPEN;
	keeper->sworn = false;
	keeper->spent = true; /* what asked it to give up may still be on its way */
	return GN_TENURE_STORE;
}

static unsigned take(struct gn_keeper *keeper, uint64_t now_us)
{
	if (gn_keeper_proof(keeper, now_us) == GN_TENURE_PROOF_NONE)
		return 0;
	keeper->state = GN_KEEPER_TAKEN;
	keeper->token++;
	return GN_TENURE_STORE;
}

/* What the holder or the witness says under our token, once. */
static unsigned note(const struct gn_keeper *keeper, uint64_t token, bool *fact)
{
	if (token != keeper->token || *fact || keeper->state == GN_KEEPER_TAKEN)
		return 0;
	*fact = true;
	return GN_TENURE_STORE;
}

unsigned gn_keeper_step(struct gn_keeper *keeper, const struct gn_keeper_event *event,
                        uint64_t now_us)
{
	switch (event->kind) {
	case GN_KEEPER_TICK:
		return keeper_tick(keeper, now_us);
	case GN_KEEPER_RENEW:
		return renew(keeper, event, now_us);
	case GN_KEEPER_LEAVE:
		if (keeper->state != GN_KEEPER_OPEN || event->token != keeper->token)
			return 0;
		return spend(keeper, true, true);
	case GN_KEEPER_CLOSE:
		return close_door(keeper, now_us);
	case GN_KEEPER_REOPEN:
		return reopen(keeper);
	case GN_KEEPER_GAVE_UP:
		return note(keeper, event->token, &keeper->surrendered);
	case GN_KEEPER_WITNESS_YES:
		return note(keeper, event->token, &keeper->witnessed);
	case GN_KEEPER_SWEAR:
		return note(keeper, keeper->token, &keeper->sworn);
	case GN_KEEPER_TAKE:
		return take(keeper, now_us);
	case GN_KEEPER_RESTARTED:
		keeper->granted_us = now_us;
		keeper->next_us = now_us;
		return 0;
	}
	return 0;
}

/* ---- the witness --------------------------------------------------------------- */

bool gn_witness_claim(struct gn_witness *witness, uint64_t token, enum gn_witness_side side)
{
	if (token < witness->token)
		return false;
	if (token > witness->token) {
		witness->token = token;
		witness->winner = side;
	}
	return witness->winner == side;
}
