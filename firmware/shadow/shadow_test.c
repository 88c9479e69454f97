/* shadow_test.c - a model host keeps what each step makes; whatever happens in whatever
 * order, a shadow that stands has all of it and one that is gone has none. */
#include "firmware/shadow/shadow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define S ((uint64_t)1000000)

struct world {
	struct gn_shadow shadow;
	uint8_t made[GN_SHADOW_N_STEPS]; /* bit per item */
	uint64_t now_us;
	unsigned pending; /* GN_SHADOW_DO or _UNDO, or 0 */
	bool forgotten;
	char log[256]; /* "R P0 P1 ..." with '-' before an undo */
};

static void note(struct world *w, bool undo)
{
	static const char letters[] = "RPLDMCVS";
	char text[4] = {undo ? '-' : '+', letters[w->shadow.step], (char)('0' + w->shadow.item), 0};

	strncat(w->log, text, sizeof w->log - strlen(w->log) - 1);
}

static void feed(struct world *w, enum gn_shadow_event_kind kind, enum gn_code code)
{
	struct gn_shadow_event event = {.kind = kind, .code = code};
	unsigned effects = gn_shadow_step(&w->shadow, &event, w->now_us);

	assert_false((effects & GN_SHADOW_DO) && (effects & GN_SHADOW_UNDO));
	if (effects & (GN_SHADOW_DO | GN_SHADOW_UNDO))
		w->pending = effects & (GN_SHADOW_DO | GN_SHADOW_UNDO);
	if (effects & GN_SHADOW_FORGET)
		w->forgotten = true;
}

/* Performs what is pending and answers. 'code' other than OK: it is not performed. */
static void answer(struct world *w, enum gn_code code)
{
	unsigned pending = w->pending;

	w->pending = 0;
	if (code == GN_OK) {
		note(w, pending == GN_SHADOW_UNDO);
		if (pending == GN_SHADOW_DO)
			w->made[w->shadow.step] |= (uint8_t)(1u << w->shadow.item);
		else
			w->made[w->shadow.step] &= (uint8_t) ~(1u << w->shadow.item);
	}
	feed(w, code == GN_OK ? GN_SHADOW_EVENT_DONE : GN_SHADOW_EVENT_FAILED, code);
}

static void run_to_rest(struct world *w)
{
	while (w->pending)
		answer(w, GN_OK);
}

static bool is_empty(const struct world *w)
{
	unsigned i;

	for (i = 0; i < GN_SHADOW_N_STEPS; i++)
		if (w->made[i])
			return false;
	return true;
}

static void set_up(struct world *w, uint32_t nics, uint32_t disks, bool start)
{
	memset(w, 0, sizeof *w);
	w->now_us = 100 * S;
	gn_shadow_init(&w->shadow, nics, disks, start);
}

static void steps_run_in_order_and_back(void **state)
{
	static const struct {
		uint32_t nics, disks;
		bool start;
		const char *there, *back;
	} cases[] = {
	        {1, 1, false, "+R0+P0+L0+D0+M0", "-S0-V0-C0-M0-D0-L0-P0-R0"},
	        {2, 2, true, "+R0+P0+P1+L0+L1+D0+M0+C0+C1+V0+V1+S0",
	         "-S0-V1-V0-C1-C0-M0-D0-L1-L0-P1-P0-R0"},
	        {0, 0, false, "+R0+D0", "-S0-D0-R0"},
	        {0, 1, true, "+R0+L0+D0+C0+V0+S0", "-S0-V0-C0-D0-L0-R0"},
	};
	struct world w;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		set_up(&w, cases[i].nics, cases[i].disks, cases[i].start);
		assert_true(gn_shadow_is_armed(&w.shadow));
		feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
		assert_int_equal(w.shadow.state, GN_SHADOW_PROVISIONING);
		run_to_rest(&w);
		assert_string_equal(w.log, cases[i].there);
		assert_int_equal(w.shadow.state,
		                 cases[i].disks ? GN_SHADOW_SYNCING : GN_SHADOW_IN_STEP);
		assert_true(gn_shadow_stands(&w.shadow));
		assert_int_equal(w.shadow.runs, cases[i].start);
		w.log[0] = '\0';
		feed(&w, GN_SHADOW_EVENT_DELETE, GN_OK);
		assert_false(gn_shadow_stands(&w.shadow));
		run_to_rest(&w);
		assert_string_equal(w.log, cases[i].back);
		assert_true(w.forgotten && is_empty(&w));
	}
}

static void a_definite_failure_cleans_up_and_says_where(void **state)
{
	struct world w;

	set_up(&w, 1, 1, false);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	while (w.shadow.step != GN_SHADOW_STEP_DEFINE)
		answer(&w, GN_OK);
	answer(&w, GN_INVALID_ARGUMENT);
	run_to_rest(&w);
	assert_int_equal(w.shadow.state, GN_SHADOW_FAILED);
	assert_true(gn_shadow_is_at_rest(&w.shadow));
	assert_int_equal(w.shadow.code, GN_INVALID_ARGUMENT);
	assert_int_equal(w.shadow.failed_step, GN_SHADOW_STEP_DEFINE);
	assert_string_equal(w.log, "+R0+P0+L0-D0-L0-P0-R0");
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK); /* may be tried again */
	run_to_rest(&w);
	assert_int_equal(w.shadow.state, GN_SHADOW_SYNCING);
	assert_int_equal(w.shadow.code, GN_OK);
}

static void a_peer_that_is_away_is_waited_for(void **state)
{
	struct world w;
	unsigned i;

	set_up(&w, 1, 1, false);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	for (i = 0; i < 5; i++) {
		answer(&w, GN_UNAVAILABLE);
		feed(&w, GN_SHADOW_EVENT_TICK, GN_OK);
		assert_int_equal(w.pending, 0); /* not at once */
		w.now_us += 60 * S;
		feed(&w, GN_SHADOW_EVENT_TICK, GN_OK);
		assert_int_equal(w.pending, GN_SHADOW_DO);
	}
	run_to_rest(&w);
	assert_int_equal(w.shadow.state, GN_SHADOW_SYNCING);
	/* But not for ever. */
	set_up(&w, 1, 1, false);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	w.now_us += 601 * S;
	answer(&w, GN_UNAVAILABLE);
	run_to_rest(&w);
	assert_int_equal(w.shadow.state, GN_SHADOW_FAILED);
}

static void an_undo_that_never_works_is_left_and_told(void **state)
{
	struct world w;
	unsigned i;

	set_up(&w, 1, 0, false);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	run_to_rest(&w);
	feed(&w, GN_SHADOW_EVENT_DELETE, GN_OK);
	answer(&w, GN_OK); /* START, which was never made */
	for (i = 0; i < 50 && w.shadow.step == GN_SHADOW_STEP_MIRROR; i++) {
		if (w.pending)
			answer(&w, GN_INTERNAL);
		w.now_us += 60 * S;
		feed(&w, GN_SHADOW_EVENT_TICK, GN_OK);
	}
	assert_int_equal(i, 5);
	run_to_rest(&w);
	assert_true(w.forgotten);
	assert_true(w.shadow.gave_up);
	assert_int_equal(w.made[GN_SHADOW_STEP_MIRROR], 1);
}

static void refresh_makes_it_again(void **state)
{
	struct world w;

	set_up(&w, 1, 1, false);
	feed(&w, GN_SHADOW_EVENT_REFRESH, GN_OK);
	run_to_rest(&w);
	w.log[0] = '\0';
	w.now_us += S;
	feed(&w, GN_SHADOW_EVENT_REFRESH, GN_OK);
	assert_int_equal(w.shadow.state, GN_SHADOW_PROVISIONING);
	run_to_rest(&w);
	assert_string_equal(w.log, "-S0-V0-C0-M0-D0-L0-P0-R0+R0+P0+L0+D0+M0");
	assert_int_equal(w.shadow.state, GN_SHADOW_SYNCING);
	assert_int_equal(w.shadow.since_us, w.now_us);
}

/* Another one, that follows, to be made again: what it runs on is replaced, it goes on following.
 */
static void refresh_of_one_that_follows_runs_it_anew(void **state)
{
	struct world w;

	set_up(&w, 1, 1, true);
	w.shadow.follows = true;
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	run_to_rest(&w);
	w.log[0] = '\0';
	feed(&w, GN_SHADOW_EVENT_REFRESH, GN_OK);
	run_to_rest(&w);
	assert_string_equal(w.log, "-S0-V0-C0+C0+V0+S0");
	assert_true(w.shadow.runs && w.shadow.start && !w.shadow.again);
	feed(&w, GN_SHADOW_EVENT_STOP, GN_OK);
	run_to_rest(&w);
	w.log[0] = '\0';
	feed(&w, GN_SHADOW_EVENT_REFRESH, GN_OK);
	assert_int_equal(w.pending, 0);
}

static void starting_and_stopping_a_shadow_that_stands(void **state)
{
	struct world w;

	set_up(&w, 1, 1, false);
	feed(&w, GN_SHADOW_EVENT_START, GN_OK); /* not yet there */
	assert_int_equal(w.pending, 0);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	run_to_rest(&w);
	w.log[0] = '\0';
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	run_to_rest(&w);
	assert_true(w.shadow.runs);
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	feed(&w, GN_SHADOW_EVENT_STOP, GN_OK);
	run_to_rest(&w);
	assert_string_equal(w.log, "+C0+V0+S0-S0-V0-C0");
	assert_false(w.shadow.runs);
	w.log[0] = '\0';
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	answer(&w, GN_OK);
	answer(&w, GN_OK);
	answer(&w, GN_INTERNAL); /* it cannot be started: back to how it was */
	run_to_rest(&w);
	assert_string_equal(w.log, "+C0+V0-S0-V0-C0");
	assert_false(w.shadow.start || w.shadow.runs);
	assert_int_equal(w.shadow.failed_step, GN_SHADOW_STEP_START);
	assert_true(gn_shadow_stands(&w.shadow));
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	feed(&w, GN_SHADOW_EVENT_DELETE, GN_OK); /* while it starts */
	run_to_rest(&w);
	assert_true(w.forgotten && is_empty(&w));
}

static void a_wish_that_changes_meanwhile_turns_it_round(void **state)
{
	struct world w;

	set_up(&w, 0, 1, true);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	while (w.shadow.step != GN_SHADOW_STEP_VOLUME)
		answer(&w, GN_OK);
	feed(&w, GN_SHADOW_EVENT_STOP, GN_OK);
	w.log[0] = '\0';
	run_to_rest(&w);
	assert_string_equal(w.log, "+V0-V0-C0");
	assert_false(w.shadow.runs);
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	run_to_rest(&w);
	feed(&w, GN_SHADOW_EVENT_STOP, GN_OK);
	answer(&w, GN_OK);
	feed(&w, GN_SHADOW_EVENT_START, GN_OK);
	w.log[0] = '\0';
	run_to_rest(&w);
	assert_string_equal(w.log, "-V0+V0+S0");
	assert_true(w.shadow.runs);
}

/* The first synchronisation takes as long as it takes; then it runs. */
static void a_start_waits_for_a_consistent_point(void **state)
{
	struct world w;
	unsigned i;

	set_up(&w, 0, 1, true);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	while (w.shadow.step != GN_SHADOW_STEP_COPY)
		answer(&w, GN_OK);
	for (i = 0; i < 3000; i++) {
		assert_int_equal(w.shadow.state, GN_SHADOW_SYNCING);
		answer(&w, GN_UNAVAILABLE);
		w.now_us += S;
		feed(&w, GN_SHADOW_EVENT_TICK, GN_OK);
		assert_int_equal(w.pending, GN_SHADOW_DO);
	}
	run_to_rest(&w);
	assert_true(w.shadow.runs);
}

static void the_disks_health_is_its_state(void **state)
{
	const struct gn_shadow_event told = {GN_SHADOW_EVENT_HEALTH, GN_OK, GN_SHADOW_IN_STEP};
	struct world w;

	set_up(&w, 1, 1, false);
	assert_int_equal(gn_shadow_step(&w.shadow, &told, w.now_us), 0);
	feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
	assert_int_equal(gn_shadow_step(&w.shadow, &told, w.now_us), 0);
	assert_int_equal(w.shadow.state, GN_SHADOW_PROVISIONING);
	run_to_rest(&w);
	assert_int_equal(gn_shadow_step(&w.shadow, &told, w.now_us), GN_SHADOW_NEWS);
	assert_int_equal(gn_shadow_step(&w.shadow, &told, w.now_us), 0);
	assert_int_equal(w.shadow.state, GN_SHADOW_IN_STEP);
	feed(&w, GN_SHADOW_EVENT_DELETE, GN_OK);
	assert_int_equal(gn_shadow_step(&w.shadow, &told, w.now_us), 0);
}

/* Random wishes, answers, failures and restarts; then peace. */
static void chaos(uint64_t seed, struct world *w)
{
	static const enum gn_code codes[] = {
	        GN_OK, GN_OK,          GN_OK,       GN_OK,
	        GN_OK, GN_UNAVAILABLE, GN_INTERNAL, GN_DEADLINE_EXCEEDED};
	unsigned i;

	for (i = 0; i < 60 && !w->forgotten; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		w->now_us += (seed >> 40) % (20 * S);
		switch ((seed >> 33) % 12) {
		case 0:
			feed(w, GN_SHADOW_EVENT_MAKE, GN_OK);
			break;
		case 1:
			if ((seed >> 50) % 4 == 0)
				feed(w, GN_SHADOW_EVENT_DELETE, GN_OK);
			break;
		case 2:
			feed(w, GN_SHADOW_EVENT_REFRESH, GN_OK);
			break;
		case 3:
			feed(w, (seed >> 50) % 2 ? GN_SHADOW_EVENT_START : GN_SHADOW_EVENT_STOP,
			     GN_OK);
			break;
		case 4: /* a crash: the effect may have happened, the answer is lost */
			w->pending = 0;
			feed(w, GN_SHADOW_EVENT_RESUME, GN_OK);
			break;
		case 5:
			feed(w, GN_SHADOW_EVENT_TICK, GN_OK);
			break;
		default:
			if (w->pending)
				answer(w, codes[(seed >> 45) % 8]);
		}
	}
}

static void settle(struct world *w)
{
	unsigned i;

	for (i = 0; i < 1000 && (w->pending || w->shadow.retry_us); i++) {
		if (w->pending)
			answer(w, GN_OK);
		w->now_us += 60 * S;
		feed(w, GN_SHADOW_EVENT_TICK, GN_OK);
	}
	assert_int_equal(w->pending, 0);
}

static void whatever_happens_it_is_whole_or_nothing(void **state)
{
	unsigned n_stood = 0, n_gone = 0, n_failed = 0;
	struct world w;
	uint64_t seed;

	for (seed = 1; seed <= 20000; seed++) {
		set_up(&w, seed % 3, seed % 2 + 1, seed % 5 == 0);
		w.shadow.follows = seed % 7 < 4;
		feed(&w, GN_SHADOW_EVENT_MAKE, GN_OK);
		chaos(seed * 0x9e3779b97f4a7c15u, &w);
		settle(&w);
		if (gn_shadow_stands(&w.shadow)) {
			n_stood++;
			assert_int_equal(w.made[GN_SHADOW_STEP_DEFINE], 1);
			assert_int_equal(w.made[GN_SHADOW_STEP_PORT], (1u << w.shadow.n_nics) - 1);
			assert_int_equal(w.made[GN_SHADOW_STEP_REPLICA],
			                 (1u << w.shadow.n_disks) - 1);
			assert_int_equal(w.shadow.runs, w.shadow.start);
			if (w.shadow.gave_up)
				continue;
			assert_int_equal(w.made[GN_SHADOW_STEP_START], w.shadow.start);
			assert_int_equal(w.made[GN_SHADOW_STEP_COPY],
			                 w.shadow.start ? (1u << w.shadow.n_disks) - 1 : 0);
		} else if (!w.shadow.gave_up) {
			n_gone += w.forgotten;
			n_failed += !w.forgotten;
			assert_true(w.forgotten || w.shadow.state == GN_SHADOW_FAILED);
			assert_true(is_empty(&w));
		}
	}
	assert_true(n_stood > 500 && n_gone > 500 && n_failed > 100);
}

static void triggers_need_their_time_without_a_break(void **state)
{
	static const struct {
		uint64_t at_s;
		int64_t value;
		bool want;
	} steps[] = {
	        {1, 900, false},  {2, 950, false},  {3, 900, false}, {4, 900, true},
	        {5, 500, false},  {6, 900, false},  {8, 900, false}, {9, 900, true},
	        {20, 900, false}, {21, 900, false}, {23, 900, true}, {22, 900, false},
	};
	struct gn_shadow_trigger t = {.threshold = 800, .for_us = 3 * S};
	size_t i;

	for (i = 0; i < sizeof steps / sizeof steps[0]; i++)
		assert_int_equal(
		        gn_shadow_trigger_observe(&t, steps[i].value, steps[i].at_s * S, 3 * S),
		        steps[i].want);
}

static void schedules_ask_when_an_instant_has_passed(void **state)
{
	static const struct {
		uint64_t first, every, made, now;
		bool want;
	} cases[] = {
	        {0, 10, 0, 100, false},   {50, 0, 0, 49, false},     {50, 0, 0, 50, true},
	        {50, 0, 50, 1000, false}, {50, 0, 40, 60, true},     {50, 10, 50, 59, false},
	        {50, 10, 50, 60, true},   {50, 10, 55, 60, true},    {50, 10, 60, 69, false},
	        {50, 10, 60, 1000, true}, {50, 10, 2000, 60, false},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_shadow_is_due(cases[i].first, cases[i].every, cases[i].made,
		                                  cases[i].now),
		                 cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(steps_run_in_order_and_back),
	        cmocka_unit_test(a_definite_failure_cleans_up_and_says_where),
	        cmocka_unit_test(a_peer_that_is_away_is_waited_for),
	        cmocka_unit_test(an_undo_that_never_works_is_left_and_told),
	        cmocka_unit_test(refresh_makes_it_again),
	        cmocka_unit_test(refresh_of_one_that_follows_runs_it_anew),
	        cmocka_unit_test(a_wish_that_changes_meanwhile_turns_it_round),
	        cmocka_unit_test(a_start_waits_for_a_consistent_point),
	        cmocka_unit_test(the_disks_health_is_its_state),
	        cmocka_unit_test(starting_and_stopping_a_shadow_that_stands),
	        cmocka_unit_test(whatever_happens_it_is_whole_or_nothing),
	        cmocka_unit_test(triggers_need_their_time_without_a_break),
	        cmocka_unit_test(schedules_ask_when_an_instant_has_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
