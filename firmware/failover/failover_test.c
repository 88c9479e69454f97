/* failover_test.c - signs and their timeouts, refusals, the states, every sequence with a
 * failure at every step, draining, and the words. */
#include "firmware/failover/failover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "firmware/failover/drain.h"
#include "firmware/failover/rehearsal.h"

#define MS ((uint64_t)1000)
#define S  ((uint64_t)1000000)

/* ---- detection ---------------------------------------------------------------------- */

static void signs_count_after_their_own_time(void **state)
{
	static const struct {
		const char *name;
		enum gn_detect_sign a, b; /* the same: only one */
		uint64_t after_ms;
		enum gn_detect_verdict want;
	} cases[] = {
	        {"QEMU gone", GN_DETECT_QEMU_GONE, GN_DETECT_QEMU_GONE, 200, GN_DETECT_LOST},
	        {"QEMU gone, for a moment", GN_DETECT_QEMU_GONE, GN_DETECT_QEMU_GONE, 100,
	         GN_DETECT_SUSPECT},
	        {"nothing at all yet", GN_DETECT_QEMU_GONE, GN_DETECT_QEMU_GONE, 99,
	         GN_DETECT_WELL},
	        {"an idle VM", GN_DETECT_QUEUES_STOPPED, GN_DETECT_QUEUES_STOPPED, 100000,
	         GN_DETECT_SUSPECT},
	        {"a shim being updated", GN_DETECT_HOST_SILENT, GN_DETECT_HOST_SILENT, 100000,
	         GN_DETECT_SUSPECT},
	        {"a dead host", GN_DETECT_HOST_SILENT, GN_DETECT_QUEUES_STOPPED, 800,
	         GN_DETECT_LOST},
	        {"not dead for long", GN_DETECT_HOST_SILENT, GN_DETECT_QUEUES_STOPPED, 799,
	         GN_DETECT_SUSPECT},
	        {"a silent card", GN_DETECT_CARD_SILENT, GN_DETECT_CARD_SILENT, 900,
	         GN_DETECT_LOST},
	        {"a hung guest", GN_DETECT_GUEST_HUNG, GN_DETECT_GUEST_HUNG, 5000, GN_DETECT_LOST},
	        {"given up", GN_DETECT_GIVEN_UP, GN_DETECT_GIVEN_UP, 0, GN_DETECT_LOST},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_detect d = {0};
		enum gn_detect_sign cause;
		uint64_t first = 0;

		print_message("# %s\n", cases[i].name);
		gn_detect_see(&d, cases[i].a, true, S);
		gn_detect_see(&d, cases[i].b, true, S);
		gn_detect_see(&d, cases[i].b, true, 2 * S); /* still */
		assert_int_equal(gn_detect_verdict(&d, S + cases[i].after_ms * MS, &cause, &first),
		                 cases[i].want);
		if (cases[i].want != GN_DETECT_WELL)
			assert_int_equal(first, S);
		gn_detect_see(&d, cases[i].a, false, 3 * S);
		gn_detect_see(&d, cases[i].b, false, 3 * S);
		assert_int_equal(gn_detect_verdict(&d, 100 * S, NULL, NULL), GN_DETECT_WELL);
	}
}

static void a_sign_of_life_ends_the_silence(void **state)
{
	struct gn_detect d = {0};
	enum gn_detect_sign cause;
	uint64_t t;

	for (t = 0; t < 10 * S; t += 400 * MS) {
		gn_detect_heard(&d, GN_DETECT_CARD_SILENT, t);
		assert_int_equal(gn_detect_verdict(&d, t + 399 * MS, NULL, NULL), GN_DETECT_WELL);
	}
	assert_int_equal(gn_detect_verdict(&d, t + S, &cause, NULL), GN_DETECT_LOST);
	assert_string_equal(gn_detect_text(cause), "its card does not answer");
}

/* ---- refusals ------------------------------------------------------------------------- */

static const struct gn_failover_facts fine = {
        .has_shadow = true, .in_step = true, .cpu_fits = true, .has_room = true};

static void each_refusal_has_its_reason(void **state)
{
	static const struct {
		struct gn_failover_facts facts;
		bool hold, asked;
		struct gn_failover_override override;
		enum gn_failover_refusal want;
	} cases[] = {
	        {{true, true, {0}, true, true, false, false, 0},
	         false,
	         false,
	         {0},
	         GN_FAILOVER_REFUSED_NONE},
	        {{true, true, {0}, true, true, false, false, 0},
	         true,
	         true,
	         {true, true, S},
	         GN_FAILOVER_REFUSED_OPERATOR_HOLD},
	        {{false, true, {0}, true, true, false, false, 0},
	         false,
	         true,
	         {true, true, S},
	         GN_FAILOVER_REFUSED_NO_SHADOW},
	        {{true, true, {0}, true, true, false, true, 0},
	         false,
	         true,
	         {true, true, S},
	         GN_FAILOVER_REFUSED_LEASE_HELD},
	        {{true, true, {0}, true, true, true, true, 0},
	         false,
	         true,
	         {0},
	         GN_FAILOVER_REFUSED_NONE}, /* it has been given up since */
	        {{true, true, {0}, false, true, false, false, 0},
	         false,
	         false,
	         {0},
	         GN_FAILOVER_REFUSED_CPU},
	        {{true, true, {0}, true, false, false, false, 0},
	         false,
	         false,
	         {0},
	         GN_FAILOVER_REFUSED_NO_CAPACITY},
	        /* an override names the loss, or does not count */
	        {{true, false, {true, 9, 4096, 3 * S}, true, true, false, false, 0},
	         false,
	         true,
	         {0},
	         GN_FAILOVER_REFUSED_STALE},
	        {{true, false, {true, 9, 4096, 3 * S}, true, true, false, false, 0},
	         false,
	         true,
	         {true, false, 2 * S},
	         GN_FAILOVER_REFUSED_STALE},
	        {{true, false, {true, 9, 4096, 3 * S}, true, true, false, false, 0},
	         false,
	         true,
	         {true, false, 3 * S},
	         GN_FAILOVER_REFUSED_NONE},
	        {{true, false, {false, 0, 0, 0}, true, true, false, false, 0},
	         false,
	         true,
	         {true, false, 3 * S},
	         GN_FAILOVER_REFUSED_STALE},
	        {{true, false, {false, 0, 0, 0}, true, true, false, false, 0},
	         false,
	         true,
	         {true, true, 0},
	         GN_FAILOVER_REFUSED_NONE},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		print_message("# case %zu\n", i);
		assert_int_equal(gn_failover_judge(&cases[i].facts, cases[i].hold, cases[i].asked,
		                                   &cases[i].override),
		                 cases[i].want);
	}
}

/* ---- states ----------------------------------------------------------------------------- */

static unsigned tick(struct gn_failover *f, const struct gn_detect *d,
                     const struct gn_failover_facts *facts, uint64_t now)
{
	const struct gn_failover_event e = {.kind = GN_FAILOVER_TICK};

	return gn_failover_step(f, &e, d, facts, now);
}

static void from_a_sign_to_the_vm_running_here(void **state)
{
	struct gn_failover_event done = {.kind = GN_FAILOVER_PLAN_DONE};
	struct gn_failover f = {0};
	struct gn_detect d = {0};

	assert_int_equal(tick(&f, &d, &fine, S), 0);
	gn_detect_see(&d, GN_DETECT_QEMU_GONE, true, S);
	assert_int_equal(tick(&f, &d, &fine, S + 150 * MS), GN_FAILOVER_NEWS);
	assert_int_equal(f.state, GN_FAILOVER_SUSPECT);
	assert_int_equal(tick(&f, &d, &fine, S + 200 * MS), GN_FAILOVER_BEGIN | GN_FAILOVER_NEWS);
	assert_int_equal(f.cause, GN_DETECT_QEMU_GONE);
	assert_int_equal(f.detected_us - f.first_us, 200 * MS);
	assert_int_equal(tick(&f, &d, &fine, 2 * S), 0); /* one move at a time */
	assert_int_equal(gn_failover_step(&f, &done, &d, &fine, 3 * S),
	                 GN_FAILOVER_RESHADOW | GN_FAILOVER_NEWS);
	assert_string_equal(gn_failover_state_name(f.state), "ACTIVE");
}

static void what_was_refused_is_judged_again_and_again(void **state)
{
	struct gn_failover_event failed = {.kind = GN_FAILOVER_PLAN_FAILED, .fence_failed = true};
	struct gn_failover_facts full = fine;
	struct gn_failover f = {0};
	struct gn_detect d = {0};

	full.has_room = false;
	gn_detect_see(&d, GN_DETECT_GUEST_DEAD, true, 0);
	tick(&f, &d, &full, S);
	assert_int_equal(f.refusal, GN_FAILOVER_REFUSED_NO_CAPACITY);
	assert_int_equal(tick(&f, &d, &fine, S + 999 * MS), 0);
	assert_true(tick(&f, &d, &fine, 2 * S) & GN_FAILOVER_BEGIN);
	assert_int_equal(gn_failover_step(&f, &failed, &d, &fine, 3 * S), GN_FAILOVER_NEWS);
	assert_int_equal(f.refusal, GN_FAILOVER_REFUSED_NO_FENCE);
	assert_true(tick(&f, &d, &fine, 60 * S) & GN_FAILOVER_BEGIN);
	/* It came back by itself. */
	gn_failover_step(&f, &failed, &d, &fine, 61 * S);
	gn_detect_see(&d, GN_DETECT_GUEST_DEAD, false, 62 * S);
	assert_int_equal(tick(&f, &d, &fine, 62 * S), GN_FAILOVER_NEWS);
	assert_int_equal(f.state, GN_FAILOVER_WATCHING);
	assert_int_equal(f.n_tries, 0);
}

static void an_operator_holds_asks_and_overrides(void **state)
{
	struct gn_failover_event hold = {.kind = GN_FAILOVER_HOLD, .on = true};
	struct gn_failover_event promote = {.kind = GN_FAILOVER_PROMOTE};
	struct gn_failover_facts stale = fine;
	struct gn_failover f = {0};
	struct gn_detect d = {0};
	char words[256];
	struct gn_text text;

	stale.in_step = false;
	stale.loss = (struct gn_move_loss){true, 3, 12000000, 3 * S};
	gn_failover_step(&f, &hold, &d, &stale, S);
	gn_failover_step(&f, &promote, &d, &stale, S);
	assert_int_equal(f.refusal, GN_FAILOVER_REFUSED_OPERATOR_HOLD);
	hold.on = false;
	gn_failover_step(&f, &hold, &d, &stale, S);
	gn_failover_step(&f, &promote, &d, &stale, S);
	gn_text_init(&text, words, sizeof words);
	gn_failover_explain(&f, &stale, &text);
	assert_string_equal(words,
	                    "REFUSED: the shadow lacks writes that were acknowledged (12 MB of the "
	                    "last 3 s); wait until it is in step, or override and name the loss");
	promote.override = (struct gn_failover_override){true, false, 3 * S};
	assert_true(gn_failover_step(&f, &promote, &d, &stale, S) & GN_FAILOVER_BEGIN);
}

/* ---- moves ---------------------------------------------------------------------------- */

enum end { ALL_WELL, REFUSED, NEVER_ANSWERED, NEED_MISSING };

/* Runs a move to its end; step 'at' ends as 'how'. Returns the steps undone, a set. */
static uint32_t run(struct gn_move *move, uint32_t at, enum end how)
{
	struct gn_plan_event e = {.kind = GN_PLAN_EVENT_TICK, .may_begin = true, .has_room = true};
	uint64_t now = S;
	uint32_t undone = 0;
	unsigned turn;

	for (turn = 0; turn < 2000 && !gn_plan_has_ended(&move->plan); turn++) {
		bool here = move->plan.at == at && move->plan.state == GN_PLAN_RUNNING;
		unsigned effects;

		e.holds = here && how == NEED_MISSING ? 0 : UINT32_MAX;
		effects = gn_move_step(move, &e, now);
		e = (struct gn_plan_event){
		        .kind = GN_PLAN_EVENT_TICK, .may_begin = true, .has_room = true};
		here = move->plan.at == at && move->plan.state == GN_PLAN_RUNNING;
		if (effects & GN_PLAN_STORE) {
			e.kind = GN_PLAN_EVENT_STORED;
			e.ok = true;
		} else if (effects & (GN_PLAN_SEND | GN_PLAN_UNDO)) {
			assert_true(!(effects & GN_PLAN_SEND) || how != NEED_MISSING || !here ||
			            !move->plan.actions[at].needs);
			e.kind = GN_PLAN_EVENT_RESULT;
			e.after = 1;
			e.outcome = !here || how == ALL_WELL ? GN_PLAN_EXECUTED
			            : how == REFUSED         ? GN_PLAN_FORBIDDEN
			                                     : GN_PLAN_UNKNOWN;
			if (effects & GN_PLAN_UNDO)
				undone |= 1u << move->plan.at;
		}
		now += S;
	}
	return undone;
}

static void every_move_ends_and_goes_back_as_far_as_it_can(void **state)
{
	unsigned kind, at, how;

	for (kind = 0; kind < GN_MOVE_N_KINDS; kind++) {
		struct gn_move plain;

		gn_move_init(&plain, (enum gn_move_kind)kind, true, 1000 * S);
		for (at = 0; at < plain.plan.n_actions; at++)
			for (how = REFUSED; how <= NEED_MISSING; how++) {
				struct gn_move move = plain;
				bool past = false, needs = plain.plan.actions[at].needs != 0;
				uint32_t undone, i, want = 0;

				if (how == NEED_MISSING && !needs)
					continue;
				for (i = 0; i <= at; i++) {
					const struct gn_plan_action *a = &plain.plan.actions[i];

					past |= a->flags & GN_PLAN_COMMITS &&
					        (i < at || how == NEVER_ANSWERED);
					if (a->flags & (GN_PLAN_HAS_UNDO | GN_PLAN_LENT))
						want |= 1u << i;
				}
				undone = run(&move, at, (enum end)how);
				assert_string_equal(gn_plan_state_name(move.plan.state), "FAILED");
				assert_int_equal(undone, past ? 0 : want);
			}
	}
}

static void every_move_succeeds_and_only_what_was_lent_goes(void **state)
{
	unsigned kind;

	for (kind = 0; kind < GN_MOVE_N_KINDS; kind++) {
		struct gn_move move;

		gn_move_init(&move, (enum gn_move_kind)kind, true, 1000 * S);
		assert_int_equal(run(&move, UINT32_MAX, ALL_WELL),
		                 kind == GN_MOVE_REHEARSE ? 7 : 0);
		assert_string_equal(gn_plan_state_name(move.plan.state), "DONE");
		assert_true(gn_move_duration_us(&move) > 0);
	}
}

static void nothing_is_promoted_before_the_fence(void **state)
{
	static const enum gn_move_kind kinds[] = {GN_MOVE_FAILOVER, GN_MOVE_MIGRATE,
	                                          GN_MOVE_RELOCATE};
	unsigned i, k;

	for (i = 0; i < 3; i++) {
		struct gn_move move;
		bool fenced = false, promoted = false;

		gn_move_init(&move, kinds[i], true, S);
		for (k = 0; k < move.plan.n_actions; k++) {
			const struct gn_plan_action *a = &move.plan.actions[k];

			fenced |=
			        a->kind == GN_MOVE_STEP_FENCE || a->kind == GN_MOVE_STEP_HAND_OVER;
			if (a->kind == GN_MOVE_STEP_PROMOTE) {
				assert_true(fenced && a->needs & GN_MOVE_FENCED);
				promoted = true;
			}
			if (a->kind == GN_MOVE_STEP_BOOT || a->kind == GN_MOVE_STEP_RESUME)
				assert_true(promoted && a->needs & GN_MOVE_WRITER);
		}
		assert_true(promoted);
	}
}

static void people_can_read_it(void **state)
{
	struct gn_move move;
	char words[1024];
	struct gn_text text;

	gn_move_init(&move, GN_MOVE_FAILOVER, true, 1000 * S);
	run(&move, 1, REFUSED);
	gn_text_init(&text, words, sizeof words);
	gn_move_explain(&move, "vms/web-1", &text);
	assert_non_null(strstr(words, "fail over vms/web-1: FAILED, the command was refused"));
	assert_non_null(strstr(words, "1 reserve room here: done in"));
	assert_string_equal(gn_move_fact_text(GN_MOVE_FENCED | GN_MOVE_WRITER),
	                    "the former writer provably cannot write");
}

/* ---- draining ---------------------------------------------------------------------------- */

static void a_host_is_drained_in_order_and_not_all_at_once(void **state)
{
	struct gn_drain_vm vms[] = {
	        {.vm_class = 1, .memory_bytes = 4, .in_step = true, .can_migrate = true},
	        {.vm_class = 2, .memory_bytes = 8, .in_step = true},
	        {.vm_class = 2, .memory_bytes = 2, .in_step = true, .can_migrate = true},
	        {.vm_class = 9, .in_step = false},
	};
	static const uint32_t order[] = {2, 1, 0};
	struct gn_drain_progress p;
	enum gn_move_kind kind;
	uint32_t i, next;

	for (i = 0; i < 3; i++) {
		next = gn_drain_next(vms, 4, 1, S, &kind);
		assert_int_equal(next, order[i]);
		assert_int_equal(kind, vms[next].can_migrate ? GN_MOVE_MIGRATE : GN_MOVE_RELOCATE);
		vms[next].state = GN_DRAIN_GOING;
		assert_int_equal(gn_drain_next(vms, 4, 1, S, &kind), 4);
		gn_drain_ended(&vms[next], i != 1, S);
	}
	gn_drain_progress(vms, 4, &p);
	assert_int_equal(p.n_gone, 2);
	assert_int_equal(p.n_here, 2);
	assert_int_equal(gn_drain_next(vms, 4, 1, S, &kind), 4); /* it failed a moment ago */
	for (i = 1; i < 5; i++) {
		next = gn_drain_next(vms, 4, 1, 10000 * S, &kind);
		assert_int_equal(next, 1);
		vms[1].state = GN_DRAIN_GOING;
		gn_drain_ended(&vms[1], false, S);
	}
	assert_int_equal(vms[1].state, GN_DRAIN_STAYS);
}

static void a_guest_shows_what_is_read_of_it(void **state)
{
	const struct gn_detect_guest well = {.is_fresh = true, .is_running = true};
	const struct {
		struct gn_detect_guest guest;
		enum gn_detect_verdict after_a_while;
	} cases[] = {
	        {well, GN_DETECT_WELL},
	        {{true, true, true, 0}, GN_DETECT_LOST},
	        {{true, true, false, GN_DETECT_CLOCK_US}, GN_DETECT_LOST},
	        {{true, true, false, GN_DETECT_CLOCK_US - 1}, GN_DETECT_WELL},
	        {{true, false, false, 60 * S}, GN_DETECT_WELL}, /* paused on purpose */
	        {{true, false, true, 0}, GN_DETECT_WELL},
	        {{false, true, true, 60 * S}, GN_DETECT_WELL}, /* of long ago */
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_detect detect = {0};

		gn_detect_see_guest(&detect, &cases[i].guest, S);
		assert_int_not_equal(gn_detect_verdict(&detect, S, NULL, NULL), GN_DETECT_LOST);
		gn_detect_see_guest(&detect, &cases[i].guest, 7 * S);
		assert_int_equal(gn_detect_verdict(&detect, 7 * S, NULL, NULL),
		                 cases[i].after_a_while);
		gn_detect_see_guest(&detect, &well, 8 * S);
		assert_int_equal(gn_detect_verdict(&detect, 8 * S, NULL, NULL), GN_DETECT_WELL);
	}
}

static void a_guest_that_dies_again_is_left_to_people(void **state)
{
	struct gn_failover_facts facts = {
	        .has_shadow = true, .in_step = true, .cpu_fits = true, .has_room = true};
	const struct gn_failover_event tick = {.kind = GN_FAILOVER_TICK};
	const struct gn_failover_event promote = {.kind = GN_FAILOVER_PROMOTE};
	const struct {
		enum gn_detect_sign sign;
		uint64_t since_us; /* the failover, at 20 s; it has failed since 1 s */
		bool begins;
	} cases[] = {
	        {GN_DETECT_GUEST_DEAD, 0, true},
	        {GN_DETECT_GUEST_DEAD, 20 * S, false},
	        {GN_DETECT_GUEST_HUNG, GN_FAILOVER_RELAPSE_US, false},
	        {GN_DETECT_GUEST_DEAD, GN_FAILOVER_RELAPSE_US + 19 * S - 1, false},
	        {GN_DETECT_GUEST_DEAD, GN_FAILOVER_RELAPSE_US + 19 * S, true},
	        {GN_DETECT_QEMU_GONE, 20 * S, true},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_failover f = {0};
		struct gn_detect detect = {0};

		facts.since_failover_us = cases[i].since_us;
		gn_detect_see(&detect, cases[i].sign, true, S);
		assert_int_equal(!!(gn_failover_step(&f, &tick, &detect, &facts, 20 * S) &
		                    GN_FAILOVER_BEGIN),
		                 cases[i].begins);
		if (cases[i].begins)
			continue;
		assert_int_equal(f.refusal, GN_FAILOVER_REFUSED_RELAPSE);
		assert_true(gn_failover_step(&f, &promote, &detect, &facts, 21 * S) &
		            GN_FAILOVER_BEGIN);
	}
}

static void rehearsals_are_refused_by_name(void **state)
{
	const struct gn_rehearsal_facts well = {
	        .has_shadow = true, .stands = true, .has_point = true, .n_nics = 1};
	struct gn_rehearsal_facts facts = well;

	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_NONE);
	facts.n_nics = 0;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_NO_NIC);
	facts.has_point = false;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_NO_POINT);
	facts.runs = true;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_RUNS);
	facts.stands = false;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_NOT_READY);
	facts.moving = true;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_MOVING);
	facts.has_shadow = false;
	assert_int_equal(gn_rehearsal_judge(&facts), GN_REHEARSAL_NO_SHADOW);
	for (unsigned r = GN_REHEARSAL_NO_SHADOW; r <= GN_REHEARSAL_NO_NIC; r++) {
		assert_true(gn_rehearsal_refusal_text((enum gn_rehearsal_refusal)r)[0]);
		assert_true(gn_rehearsal_advice((enum gn_rehearsal_refusal)r)[0]);
	}
}

static void rehearsals_are_due_once_a_period(void **state)
{
	const struct {
		uint64_t first, every, newest, now;
		bool due;
	} cases[] = {
	        {0, 10, 0, 100, false},    {50, 10, 0, 49, false},   {50, 10, 0, 50, true},
	        {50, 10, 50, 59, false},   {50, 10, 50, 60, true},   {50, 10, 61, 69, false},
	        {50, 10, 61, 100, true},   {50, 0, 50, 1000, false}, {50, 0, 0, 1000, true},
	        {50, 10, 200, 100, false},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_rehearsal_is_due(cases[i].first, cases[i].every,
		                                     cases[i].newest, cases[i].now),
		                 cases[i].due);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(signs_count_after_their_own_time),
	        cmocka_unit_test(a_sign_of_life_ends_the_silence),
	        cmocka_unit_test(each_refusal_has_its_reason),
	        cmocka_unit_test(from_a_sign_to_the_vm_running_here),
	        cmocka_unit_test(what_was_refused_is_judged_again_and_again),
	        cmocka_unit_test(an_operator_holds_asks_and_overrides),
	        cmocka_unit_test(every_move_ends_and_goes_back_as_far_as_it_can),
	        cmocka_unit_test(every_move_succeeds_and_only_what_was_lent_goes),
	        cmocka_unit_test(nothing_is_promoted_before_the_fence),
	        cmocka_unit_test(people_can_read_it),
	        cmocka_unit_test(a_guest_shows_what_is_read_of_it),
	        cmocka_unit_test(a_guest_that_dies_again_is_left_to_people),
	        cmocka_unit_test(rehearsals_are_refused_by_name),
	        cmocka_unit_test(rehearsals_are_due_once_a_period),
	        cmocka_unit_test(a_host_is_drained_in_order_and_not_all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
