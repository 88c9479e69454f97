/* tenure_test.c - each rule's cases, then random schedules of a lossy, slow and repeating network
 * between holder, keeper and witness: never two who may write. */
#include "firmware/failover/tenure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define TERM GN_TENURE_TERM_US
#define WAIT (GN_TENURE_TERM_US + GN_TENURE_MARGIN_US)

struct trio {
	struct gn_holder holder;
	struct gn_keeper keeper;
	struct gn_witness witness;
};

static unsigned tell_holder(struct trio *t, enum gn_holder_event_kind kind, uint64_t now)
{
	const struct gn_holder_event e = {.kind = kind,
	                                  .token = t->keeper.token,
	                                  .sequence = t->holder.sequence +
	                                              (kind == GN_HOLDER_RESTARTED),
	                                  .level = true};

	return gn_holder_step(&t->holder, &e, now);
}

static unsigned tell_keeper(struct trio *t, enum gn_keeper_event_kind kind, uint64_t now)
{
	const struct gn_keeper_event e = {
	        .kind = kind,
	        .token = t->holder.token,
	        .alone = t->holder.state == GN_HOLDER_ALONE,
	        .claimed = t->holder.claimed,
	        .level = true,
	};

	return gn_keeper_step(&t->keeper, &e, now);
}

/* Asks and, when granted, is told so: all at 'now'. */
static void renew(struct trio *t, uint64_t now)
{
	unsigned effects = tell_holder(t, GN_HOLDER_TICK, now);

	if (effects & GN_TENURE_RENEW)
		effects = tell_keeper(t, GN_KEEPER_RENEW, now);
	if (effects & GN_TENURE_GRANT)
		tell_holder(t, GN_HOLDER_GRANTED, now);
	if (effects & GN_TENURE_PAIR)
		tell_holder(t, GN_HOLDER_PAIRED, now);
}

static void set_up(struct trio *t, enum gn_tenure_rule rule)
{
	memset(t, 0, sizeof *t);
	gn_holder_init(&t->holder, rule, 7, GN_HOLDER_LEASED, 0);
	gn_keeper_init(&t->keeper, rule, 7, false, 0);
	renew(t, 0);
	assert_true(gn_holder_may_write(&t->holder, 0));
}

static void a_lease_lasts_for_its_term_from_when_it_was_asked_for(void **state)
{
	struct trio t;

	set_up(&t, GN_TENURE_ZERO_LOSS);
	assert_true(gn_holder_may_write(&t.holder, TERM - 1));
	assert_false(gn_holder_may_write(&t.holder, TERM));
	renew(&t, TERM / 3);
	assert_true(gn_holder_may_write(&t.holder, TERM));
	/* An answer to an older question says nothing about the newest one's time. */
	tell_holder(&t, GN_HOLDER_TICK, TERM);
	gn_holder_step(
	        &t.holder,
	        &(struct gn_holder_event){.kind = GN_HOLDER_GRANTED, .token = 7, .sequence = 2},
	        TERM);
	assert_false(gn_holder_may_write(&t.holder, TERM + TERM / 3));
}

static void each_rule_does_what_it_promises_when_the_link_is_cut(void **state)
{
	static const struct {
		enum gn_tenure_rule rule;
		bool goes_on;
		enum gn_tenure_proof proof;
	} cases[] = {
	        {GN_TENURE_KEEP_RUNNING, true, GN_TENURE_PROOF_NONE},
	        {GN_TENURE_ZERO_LOSS, false, GN_TENURE_PROOF_EXPIRED},
	        {GN_TENURE_WITNESSED, false, GN_TENURE_PROOF_NONE}, /* nobody answers */
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct trio t;

		set_up(&t, cases[i].rule);
		tell_keeper(&t, GN_KEEPER_CLOSE, WAIT - 1);
		assert_int_equal(gn_keeper_proof(&t.keeper, WAIT - 1), GN_TENURE_PROOF_NONE);
		tell_holder(&t, GN_HOLDER_TICK, WAIT);
		assert_int_equal(gn_holder_may_write(&t.holder, WAIT), cases[i].goes_on);
		assert_int_equal(gn_keeper_proof(&t.keeper, WAIT), cases[i].proof);
		assert_int_equal(gn_keeper_is_in_step(&t.keeper, WAIT),
		                 cases[i].rule != GN_TENURE_KEEP_RUNNING);
	}
}

static void the_witness_says_yes_to_one(void **state)
{
	struct gn_witness w = {0};
	struct trio t;

	assert_true(gn_witness_claim(&w, 7, GN_WITNESS_KEEPER));
	assert_false(gn_witness_claim(&w, 7, GN_WITNESS_HOLDER));
	assert_true(gn_witness_claim(&w, 7, GN_WITNESS_KEEPER));
	assert_true(gn_witness_claim(&w, 8, GN_WITNESS_HOLDER));
	assert_false(gn_witness_claim(&w, 7, GN_WITNESS_KEEPER));
	set_up(&t, GN_TENURE_WITNESSED);
	assert_true(tell_keeper(&t, GN_KEEPER_CLOSE, WAIT) & GN_TENURE_CLAIM);
	tell_keeper(&t, GN_KEEPER_WITNESS_YES, WAIT);
	assert_int_equal(gn_keeper_proof(&t.keeper, WAIT), GN_TENURE_PROOF_WITNESSED);
	assert_int_equal(gn_keeper_proof(&t.keeper, WAIT - 1), GN_TENURE_PROOF_NONE);
	set_up(&t, GN_TENURE_WITNESSED);
	assert_true(tell_holder(&t, GN_HOLDER_TICK, TERM) & GN_TENURE_CLAIM);
	tell_holder(&t, GN_HOLDER_WITNESS_YES, TERM);
	assert_true(gn_holder_may_write(&t.holder, 10 * TERM));
	/* Found again, it is paired under a new token, and then leased. */
	renew(&t, 10 * TERM);
	assert_int_equal(t.holder.token, 8);
	assert_false(gn_holder_may_write(&t.holder, 10 * TERM));
	assert_false(gn_keeper_is_in_step(&t.keeper, 10 * TERM));
	renew(&t, 10 * TERM + TERM / 2);
	assert_true(gn_holder_may_write(&t.holder, 11 * TERM));
	assert_true(gn_keeper_is_in_step(&t.keeper, 11 * TERM));
}

static void a_holder_that_is_well_keeps_its_volume(void **state)
{
	struct gn_holder_event revoke = {.kind = GN_HOLDER_REVOKED, .token = 7};
	struct trio t;

	set_up(&t, GN_TENURE_KEEP_RUNNING);
	assert_int_equal(gn_holder_step(&t.holder, &revoke, 1), 0);
	revoke.willing = true;
	assert_int_equal(gn_holder_step(&t.holder, &revoke, 1),
	                 GN_TENURE_STORE | GN_TENURE_GAVE_UP);
	assert_false(gn_holder_may_write(&t.holder, 1));
	/* It says so until somebody takes over, and to a keeper with a newer token, too. */
	assert_int_equal(tell_holder(&t, GN_HOLDER_TICK, 10 * TERM), GN_TENURE_GAVE_UP);
	t.keeper.token = 9;
	assert_int_equal(tell_holder(&t, GN_HOLDER_PAIRED, 10 * TERM),
	                 GN_TENURE_STORE | GN_TENURE_GAVE_UP);
	assert_int_equal(t.holder.token, 9);
	assert_false(gn_holder_may_write(&t.holder, 10 * TERM));
}

static void only_a_proof_lets_the_shadow_be_taken(void **state)
{
	struct trio t;

	set_up(&t, GN_TENURE_KEEP_RUNNING);
	assert_int_equal(tell_keeper(&t, GN_KEEPER_TAKE, 1), 0);
	tell_keeper(&t, GN_KEEPER_CLOSE, 1);
	assert_int_equal(tell_keeper(&t, GN_KEEPER_TAKE, 100 * TERM), 0);
	tell_keeper(&t, GN_KEEPER_SWEAR, 100 * TERM);
	assert_int_equal(tell_keeper(&t, GN_KEEPER_TAKE, 100 * TERM), GN_TENURE_STORE);
	assert_int_equal(t.keeper.token, 8);
	assert_int_equal(tell_keeper(&t, GN_KEEPER_RENEW, 100 * TERM), GN_TENURE_REFUSE);
	assert_true(tell_holder(&t, GN_HOLDER_REFUSED, 100 * TERM) & GN_TENURE_GAVE_UP);
	assert_false(gn_holder_may_write(&t.holder, 100 * TERM));
}

static void late_packets_do_nothing(void **state)
{
	const struct gn_keeper_event late = {.kind = GN_KEEPER_RENEW, .token = 7, .level = true};
	struct trio t;

	/* It left with consent; what it had sent before comes after. */
	set_up(&t, GN_TENURE_ZERO_LOSS);
	tell_keeper(&t, GN_KEEPER_LEAVE, 1);
	tell_holder(&t, GN_HOLDER_CONSENTED, 1);
	assert_false(gn_keeper_step(&t.keeper, &late, 2) & GN_TENURE_GRANT);
	assert_false(gn_keeper_is_in_step(&t.keeper, 2));
	/* The promotion was called off; the request to give up comes after. */
	set_up(&t, GN_TENURE_ZERO_LOSS);
	tell_keeper(&t, GN_KEEPER_CLOSE, 1);
	tell_keeper(&t, GN_KEEPER_REOPEN, 2);
	assert_true(tell_keeper(&t, GN_KEEPER_RENEW, 3) & GN_TENURE_PAIR);
	tell_holder(&t, GN_HOLDER_PAIRED, 3);
	gn_holder_step(
	        &t.holder,
	        &(struct gn_holder_event){.kind = GN_HOLDER_REVOKED, .token = 7, .willing = true},
	        4);
	renew(&t, 3 + TERM);
	assert_true(gn_holder_may_write(&t.holder, 3 + TERM));
}

static void a_restart_assumes_the_worst(void **state)
{
	struct trio t;

	set_up(&t, GN_TENURE_ZERO_LOSS);
	tell_holder(&t, GN_HOLDER_RESTARTED, 1);
	assert_false(gn_holder_may_write(&t.holder, 1));
	/* An answer from before the restart is not counted on the new clock. */
	gn_holder_step(
	        &t.holder,
	        &(struct gn_holder_event){.kind = GN_HOLDER_GRANTED, .token = 7, .sequence = 1}, 1);
	assert_false(gn_holder_may_write(&t.holder, 1));
	tell_keeper(&t, GN_KEEPER_CLOSE, 5 * TERM);
	tell_keeper(&t, GN_KEEPER_RESTARTED, 5 * TERM);
	assert_int_equal(gn_keeper_proof(&t.keeper, 5 * TERM), GN_TENURE_PROOF_NONE);
	assert_int_equal(gn_keeper_proof(&t.keeper, 5 * TERM + WAIT), GN_TENURE_PROOF_EXPIRED);
}

/* ---- random schedules ---------------------------------------------------------------- */

#define MESSAGES 64

struct message {
	enum { NOTHING, TO_HOLDER, TO_KEEPER, TO_WITNESS } to;
	struct gn_holder_event holder;
	struct gn_keeper_event keeper;
	enum gn_witness_side side;
};

struct network {
	struct message messages[MESSAGES];
	unsigned n;
	uint64_t random;
};

static uint64_t roll(struct network *net, uint64_t sides)
{
	net->random = net->random * 6364136223846793005u + 1442695040888963407u;
	return (net->random >> 33) % sides;
}

static void post(struct network *net, struct message message)
{
	if (net->n < MESSAGES)
		net->messages[net->n++] = message;
}

static void holder_sends(struct network *net, const struct trio *t, unsigned effects)
{
	struct message m = {.to = TO_KEEPER, .keeper = {.token = t->holder.token}};

	m.keeper.alone = t->holder.state == GN_HOLDER_ALONE;
	m.keeper.claimed = t->holder.claimed;
	m.keeper.level = roll(net, 2);
	m.holder.sequence = t->holder.sequence;
	m.keeper.kind = GN_KEEPER_RENEW;
	if (effects & GN_TENURE_RENEW)
		post(net, m);
	m.keeper.kind = GN_KEEPER_GAVE_UP;
	if (effects & GN_TENURE_GAVE_UP)
		post(net, m);
	m.keeper.kind = GN_KEEPER_LEAVE;
	if (roll(net, 40) == 0)
		post(net, m);
	if (effects & GN_TENURE_CLAIM)
		post(net, (struct message){.to = TO_WITNESS,
		                           .keeper.token = t->holder.token,
		                           .side = GN_WITNESS_HOLDER});
}

static void keeper_sends(struct network *net, const struct trio *t, unsigned effects,
                         uint64_t sequence)
{
	static const struct {
		unsigned effect;
		enum gn_holder_event_kind kind;
	} kinds[] = {{GN_TENURE_GRANT, GN_HOLDER_GRANTED},
	             {GN_TENURE_REFUSE, GN_HOLDER_REFUSED},
	             {GN_TENURE_REVOKE, GN_HOLDER_REVOKED},
	             {GN_TENURE_PAIR, GN_HOLDER_PAIRED}};
	unsigned i;

	for (i = 0; i < 4; i++)
		if (effects & kinds[i].effect)
			post(net,
			     (struct message){.to = TO_HOLDER,
			                      .holder = {kinds[i].kind, t->keeper.token, sequence,
			                                 roll(net, 4) == 0, roll(net, 2), false}});
	if (effects & GN_TENURE_CLAIM)
		post(net, (struct message){.to = TO_WITNESS,
		                           .keeper.token = t->keeper.token,
		                           .side = GN_WITNESS_KEEPER});
}

static void deliver(struct network *net, struct trio *t, const struct message *m, uint64_t now)
{
	switch (m->to) {
	case NOTHING:
		break;
	case TO_HOLDER:
		holder_sends(net, t, gn_holder_step(&t->holder, &m->holder, now));
		break;
	case TO_KEEPER:
		keeper_sends(net, t, gn_keeper_step(&t->keeper, &m->keeper, now),
		             m->holder.sequence);
		if (m->keeper.kind == GN_KEEPER_LEAVE && t->keeper.alone &&
		    t->keeper.state == GN_KEEPER_OPEN && t->keeper.token == m->keeper.token)
			post(net, (struct message){.to = TO_HOLDER,
			                           .holder = {GN_HOLDER_CONSENTED, t->keeper.token,
			                                      0, false, false, false}});
		break;
	case TO_WITNESS:
		if (!gn_witness_claim(&t->witness, m->keeper.token, m->side))
			break;
		if (m->side == GN_WITNESS_HOLDER)
			post(net,
			     (struct message){.to = TO_HOLDER,
			                      .holder = {GN_HOLDER_WITNESS_YES, m->keeper.token, 0,
			                                 false, false, false}});
		else
			post(net, (struct message){.to = TO_KEEPER,
			                           .keeper = {.kind = GN_KEEPER_WITNESS_YES,
			                                      .token = m->keeper.token}});
		break;
	}
}

/* Delivers any message, in any order; a third is lost, a third comes again later. */
static void network_step(struct network *net, struct trio *t, uint64_t now)
{
	unsigned i = net->n ? (unsigned)roll(net, net->n) : 0;
	struct message m;

	if (!net->n)
		return;
	m = net->messages[i];
	if (roll(net, 3))
		net->messages[i] = net->messages[--net->n];
	if (roll(net, 3))
		deliver(net, t, &m, now);
}

static void random_event(struct network *net, struct trio *t, uint64_t *now)
{
	static const enum gn_keeper_event_kind keeper_kinds[] = {
	        GN_KEEPER_TICK,   GN_KEEPER_TICK, GN_KEEPER_CLOSE,
	        GN_KEEPER_REOPEN, GN_KEEPER_TAKE, GN_KEEPER_RESTARTED};

	switch (roll(net, 8)) {
	case 0:
		*now += roll(net, TERM / 2);
		break;
	case 1:
		keeper_sends(net, t,
		             tell_keeper(t, keeper_kinds[roll(net, roll(net, 4) ? 2 : 6)], *now),
		             0);
		break;
	case 2:
		holder_sends(
		        net, t,
		        tell_holder(t, roll(net, 30) ? GN_HOLDER_TICK : GN_HOLDER_RESTARTED, *now));
		break;
	default:
		*now += roll(net, 2000);
		network_step(net, t, *now);
	}
}

static void no_schedule_lets_two_write(void **state)
{
	unsigned n_taken[4] = {0}, n_alone = 0, n_leased = 0;
	uint64_t seed;

	for (seed = 1; seed <= 60000; seed++) {
		struct network net = {.random = seed * 0x9e3779b97f4a7c15u};
		enum gn_tenure_rule rule = (enum gn_tenure_rule)(1 + seed % 3);
		uint64_t now = 0;
		struct trio t;
		unsigned step;

		set_up(&t, rule);
		for (step = 0; step < 150; step++) {
			random_event(&net, &t, &now);
			if (t.keeper.state == GN_KEEPER_TAKEN)
				assert_false(gn_holder_may_write(&t.holder, now));
			/* What the keeper may promote at this instant must not be written. */
			if (gn_keeper_proof(&t.keeper, now) != GN_TENURE_PROOF_NONE)
				assert_false(gn_holder_may_write(&t.holder, now));
		}
		n_taken[rule] += t.keeper.state == GN_KEEPER_TAKEN;
		n_alone += t.holder.state == GN_HOLDER_ALONE;
		n_leased += t.holder.state == GN_HOLDER_LEASED && t.holder.token > 7;
	}
	/* It was no empty proof. */
	assert_true(n_taken[1] > 100 && n_taken[2] > 100 && n_taken[3] > 100);
	assert_true(n_alone > 100 && n_leased > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_lease_lasts_for_its_term_from_when_it_was_asked_for),
	        cmocka_unit_test(each_rule_does_what_it_promises_when_the_link_is_cut),
	        cmocka_unit_test(the_witness_says_yes_to_one),
	        cmocka_unit_test(a_holder_that_is_well_keeps_its_volume),
	        cmocka_unit_test(only_a_proof_lets_the_shadow_be_taken),
	        cmocka_unit_test(late_packets_do_nothing),
	        cmocka_unit_test(a_restart_assumes_the_worst),
	        cmocka_unit_test(no_schedule_lets_two_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
