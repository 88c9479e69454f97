/* plan_test.c - scripts of events, with the state and effects after each; then random
 * schedules in which nothing may be sent that was not stored, nor after the end. */
#include "firmware/plan/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define S       ((uint64_t)1000000)
#define EXPIRES (1000 * S)

/* One letter per event, so that a script reads as a line:
 *   a approve, r reject, w withdraw, R resume, s stored, f not stored
 *   t tick (value 1, may begin, room)   b tick while another plan runs
 *   n tick without room   m tick, value moved to 5   T tick one minute later
 *   + executed, now 2   - executed, but 1   c changed   x forbidden   u unknown */
static struct gn_plan_event event_of(char letter)
{
	struct gn_plan_event e = {
	        .kind = GN_PLAN_EVENT_TICK, .current = 1, .may_begin = true, .has_room = true};

	switch (letter) {
	case 'a':
		e.kind = GN_PLAN_EVENT_APPROVE;
		break;
	case 'r':
		e.kind = GN_PLAN_EVENT_REJECT;
		break;
	case 'w':
		e.kind = GN_PLAN_EVENT_WITHDRAW;
		break;
	case 'R':
		e.kind = GN_PLAN_EVENT_RESUME;
		break;
	case 's':
	case 'f':
		e.kind = GN_PLAN_EVENT_STORED;
		e.ok = letter == 's';
		break;
	case 'b':
		e.may_begin = false;
		break;
	case 'n':
		e.has_room = false;
		break;
	case 'm':
		e.current = 5;
		break;
	case '+':
	case '-':
	case 'c':
	case 'x':
	case 'u':
		e.kind = GN_PLAN_EVENT_RESULT;
		e.after = letter == '+' ? 2 : 1;
		e.outcome = letter == 'c'   ? GN_PLAN_CHANGED
		            : letter == 'x' ? GN_PLAN_FORBIDDEN
		            : letter == 'u' ? GN_PLAN_UNKNOWN
		                            : GN_PLAN_EXECUTED;
		break;
	}
	return e;
}

static void each_script_ends_where_it_should(void **state)
{
	static const struct {
		const char *name, *script;
		bool approved;
		unsigned n_actions;
		const char *want; /* state */
		enum gn_plan_end end;
		unsigned n_sent;
	} cases[] = {
	        {"executed at once", "ts+", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"asked first", "ttats+", false, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"approved twice", "aats+", false, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"pending does nothing", "ttt", false, 1, "PENDING", GN_PLAN_END_NOT_ENDED, 0},
	        {"rejected", "ra", false, 1, "REJECTED", GN_PLAN_END_BY_OPERATOR, 0},
	        {"rejected after approval", "abr", false, 1, "REJECTED", GN_PLAN_END_BY_OPERATOR,
	         0},
	        {"too late to reject", "tsrw+", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"withdrawn", "w", false, 1, "EXPIRED", GN_PLAN_END_WITHDRAWN, 0},
	        {"value moved while pending", "m", false, 1, "EXPIRED", GN_PLAN_END_VALUE_CHANGED,
	         0},
	        {"value moved before it began", "bm", true, 1, "EXPIRED", GN_PLAN_END_VALUE_CHANGED,
	         0},
	        {"waits for the other plan", "bbb", true, 1, "APPROVED", GN_PLAN_END_NOT_ENDED, 0},
	        {"room is gone", "n", true, 1, "EXPIRED", GN_PLAN_END_NO_ROOM, 0},
	        {"nothing sent before it is stored", "t", true, 1, "RUNNING", GN_PLAN_END_NOT_ENDED,
	         0},
	        {"disk full: waits", "tftt", true, 1, "APPROVED", GN_PLAN_END_NOT_ENDED, 0},
	        {"disk full: later", "tfTts+", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"shim says changed", "tsc", true, 1, "EXPIRED", GN_PLAN_END_VALUE_CHANGED, 1},
	        {"refused", "tsx", true, 1, "FAILED", GN_PLAN_END_REFUSED, 1},
	        {"not what was asked", "ts-", true, 1, "FAILED", GN_PLAN_END_NOT_VERIFIED, 1},
	        {"no answer: sent again", "tsuT+", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 2},
	        {"no answer: not at once", "tsut", true, 1, "RUNNING", GN_PLAN_END_NOT_ENDED, 1},
	        {"never an answer", "tsuTuTu", true, 1, "FAILED", GN_PLAN_END_NO_ANSWER, 2},
	        {"restart while running", "tsR+", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 2},
	        {"answer twice", "ts++x", true, 1, "DONE", GN_PLAN_END_NOT_ENDED, 1},
	        {"answer without a question", "+x", true, 1, "APPROVED", GN_PLAN_END_NOT_ENDED, 0},
	        {"stored twice", "tsss", true, 1, "RUNNING", GN_PLAN_END_NOT_ENDED, 1},
	        {"must move: not approved", "at", false, 0, "PENDING", GN_PLAN_END_NOT_ENDED, 0},
	        {"must move: rejected", "r", false, 0, "REJECTED", GN_PLAN_END_BY_OPERATOR, 0},
	        {"two actions", "ts+s+", true, 2, "DONE", GN_PLAN_END_NOT_ENDED, 2},
	        {"second refused", "ts+sx", true, 2, "FAILED", GN_PLAN_END_REFUSED, 2},
	        {"second changed", "ts+sc", true, 2, "FAILED", GN_PLAN_END_VALUE_CHANGED, 2},
	        {"second not stored", "ts+f", true, 2, "FAILED", GN_PLAN_END_NOT_STORED, 1},
	};
	size_t i, k;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_plan plan;
		uint64_t now = S;
		unsigned n_sent = 0;

		print_message("# %s\n", cases[i].name);
		gn_plan_init(&plan, cases[i].approved, EXPIRES);
		for (k = 0; k < cases[i].n_actions; k++)
			assert_int_equal(gn_plan_add_action(&plan, 1, 2), 0);
		for (k = 0; cases[i].script[k]; k++) {
			struct gn_plan_event e = event_of(cases[i].script[k]);

			if (cases[i].script[k] == 'T')
				now += 60 * S;
			if (gn_plan_step(&plan, &e, now) & GN_PLAN_SEND)
				n_sent++;
		}
		assert_string_equal(gn_plan_state_name(plan.state), cases[i].want);
		assert_int_equal(plan.end, cases[i].end);
		assert_int_equal(n_sent, cases[i].n_sent);
	}
}

static void time_ends_what_nobody_approves(void **state)
{
	struct gn_plan_event tick = event_of('t');
	struct gn_plan plan;

	gn_plan_init(&plan, false, EXPIRES);
	gn_plan_add_action(&plan, 1, 2);
	assert_int_equal(gn_plan_step(&plan, &tick, EXPIRES - 1), 0);
	assert_int_equal(gn_plan_step(&plan, &tick, EXPIRES), GN_PLAN_NEWS);
	assert_int_equal(plan.state, GN_PLAN_EXPIRED);
	assert_string_equal(gn_plan_end_text(plan.end), "nobody approved it in time");
	gn_plan_init(&plan, false, EXPIRES); /* without actions, too */
	assert_int_equal(gn_plan_step(&plan, &tick, EXPIRES), GN_PLAN_NEWS);
}

static void actions_have_an_end(void **state)
{
	struct gn_plan plan;
	int i;

	gn_plan_init(&plan, true, EXPIRES);
	for (i = 0; i < GN_PLAN_MAX_ACTIONS; i++)
		assert_int_equal(gn_plan_add_action(&plan, 1, 2), 0);
	assert_int_equal(gn_plan_add_action(&plan, 1, 2), -ENOSPC);
}

static void any_schedule_keeps_the_order(void **state)
{
	static const char letters[] = "arwRsftbnmT+-cxu";
	uint64_t seed;
	unsigned n_done = 0;

	for (seed = 1; seed <= 20000; seed++) {
		uint64_t random = seed * 0x9e3779b97f4a7c15u, now = S;
		bool stored = false, ended = false;
		struct gn_plan plan;
		unsigned step;

		gn_plan_init(&plan, seed % 2, EXPIRES);
		gn_plan_add_action(&plan, 1, 2);
		for (step = 0; step < 40; step++) {
			struct gn_plan_event e;
			unsigned effects;
			char letter;

			random = random * 6364136223846793005u + 1442695040888963407u;
			letter = letters[(random >> 33) % (sizeof letters - 1)];
			e = event_of(letter);
			now += letter == 'T' ? 60 * S : S / 10;
			effects = gn_plan_step(&plan, &e, now);
			assert_false(ended && effects);
			if (e.kind == GN_PLAN_EVENT_RESUME)
				stored = true; /* only what was stored can be resumed */
			if (e.kind == GN_PLAN_EVENT_STORED && e.ok && plan.state == GN_PLAN_RUNNING)
				stored = true;
			if (effects & GN_PLAN_SEND)
				assert_true(stored);
			if (effects & GN_PLAN_STORE)
				stored = false;
			ended = gn_plan_has_ended(&plan);
		}
		n_done += plan.state == GN_PLAN_DONE;
	}
	assert_true(n_done > 100);
}

/* Three actions: the first has an undo and is lent, the second needs fact 1, the third commits.
 * Letters as above, and: N tick without facts   p preempt   A abandon
 *   h like s, without facts */
static void the_way_back(void **state)
{
	static const struct {
		const char *name, *script, *want;
		enum gn_plan_end end;
		unsigned n_sent, n_undone;
		uint32_t left;
	} cases[] = {
	        {"all well: what was lent goes", "ts+s+s+s+", "DONE", GN_PLAN_END_NOT_ENDED, 3, 1,
	         0},
	        {"first refused, tried again", "tsxTs+s+s+s+", "DONE", GN_PLAN_END_NOT_ENDED, 4, 1,
	         0},
	        {"first refused twice", "tsxTsxs+", "FAILED", GN_PLAN_END_REFUSED, 2, 1, 0},
	        {"second refused", "ts+sxs+", "FAILED", GN_PLAN_END_REFUSED, 2, 1, 0},
	        {"waits for what it needs", "ts+hN", "RUNNING", GN_PLAN_END_NOT_ENDED, 1, 0, 0},
	        {"which comes", "ts+hNt+s+s+", "DONE", GN_PLAN_END_NOT_ENDED, 3, 1, 0},
	        {"or never", "ts+hNMs+", "FAILED", GN_PLAN_END_NEED, 1, 1, 0},
	        {"lost while no answer came", "ts+suMMs+", "FAILED", GN_PLAN_END_NO_ANSWER, 2, 1,
	         0},
	        {"restart, facts unknown yet", "ts+sRT+s+s+", "DONE", GN_PLAN_END_NOT_ENDED, 4, 1,
	         0},
	        {"third refused: it surely did not happen", "ts+s+sxs+", "FAILED",
	         GN_PLAN_END_REFUSED, 3, 1, 0},
	        {"third without an answer: no way back", "ts+s+suTuTu", "FAILED",
	         GN_PLAN_END_NO_ANSWER, 4, 0, 0},
	        {"third not verified: no way back", "ts+s+s-", "FAILED", GN_PLAN_END_NOT_VERIFIED,
	         3, 0, 0},
	        {"preempted while waiting", "bp", "EXPIRED", GN_PLAN_END_PREEMPTED, 0, 0, 0},
	        {"preempted between", "ts+hps+", "FAILED", GN_PLAN_END_PREEMPTED, 1, 1, 0},
	        {"preempted under way", "ts+sp+s+", "FAILED", GN_PLAN_END_PREEMPTED, 2, 1, 0},
	        {"preempted too late", "ts+s+sp+s+", "DONE", GN_PLAN_END_NOT_ENDED, 3, 1, 0},
	        {"preempted, the answer lost", "ts+s+spuT+s+", "DONE", GN_PLAN_END_NOT_ENDED, 4, 1,
	         0},
	        {"abandoned while waiting", "bA", "EXPIRED", GN_PLAN_END_ABANDONED, 0, 0, 0},
	        {"abandoned under way", "ts+sAu+", "FAILED", GN_PLAN_END_ABANDONED, 2, 0, 1},
	        {"abandoned on its way back", "ts+sxsA", "FAILED", GN_PLAN_END_ABANDONED, 2, 1, 1},
	        {"the undo is refused", "ts+sxsxTsxTsxTsxTsx", "FAILED", GN_PLAN_END_REFUSED, 2, 5,
	         1},
	        {"the undo is not answered", "ts+sxsuT+", "FAILED", GN_PLAN_END_REFUSED, 2, 2, 0},
	        {"restart while undoing", "ts+sxsR+", "FAILED", GN_PLAN_END_REFUSED, 2, 2, 0},
	        {"the undo cannot be stored", "ts+sxfTs+", "FAILED", GN_PLAN_END_REFUSED, 2, 1, 0},
	};
	size_t i, k;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct gn_plan_action actions[] = {
		        {1, 2, 0, GN_PLAN_HAS_UNDO | GN_PLAN_LENT, 0, 2, 0, 0},
		        {1, 2, 0, 0, 1, 0, 0, 0},
		        {1, 2, 0, GN_PLAN_COMMITS, 1, 0, 0, 0},
		};
		unsigned n_sent = 0, n_undone = 0;
		struct gn_plan plan;
		uint64_t now = S;

		print_message("# %s\n", cases[i].name);
		gn_plan_init(&plan, true, EXPIRES);
		for (k = 0; k < 3; k++)
			gn_plan_add(&plan, &actions[k]);
		for (k = 0; cases[i].script[k]; k++) {
			char letter = cases[i].script[k];
			struct gn_plan_event e = event_of(letter == 'h' ? 's' : letter);
			unsigned effects;

			e.holds = letter == 'N' || letter == 'M' || letter == 'h' || letter == 'R'
			                  ? 0
			                  : 1;
			if (letter == 'p')
				e.kind = GN_PLAN_EVENT_PREEMPT;
			if (letter == 'A')
				e.kind = GN_PLAN_EVENT_ABANDON;
			if (letter == 'T' || letter == 'M')
				now += 60 * S;
			effects = gn_plan_step(&plan, &e, now);
			n_sent += (effects & GN_PLAN_SEND) != 0;
			n_undone += (effects & GN_PLAN_UNDO) != 0;
		}
		assert_string_equal(gn_plan_state_name(plan.state), cases[i].want);
		assert_int_equal(plan.end, cases[i].end);
		assert_int_equal(n_sent, cases[i].n_sent);
		assert_int_equal(n_undone, cases[i].n_undone);
		assert_int_equal(plan.left, cases[i].left);
	}
}

static void the_more_urgent_one_goes_first(void **state)
{
	const struct gn_plan_action commits = {1, 2, 0, GN_PLAN_COMMITS, 0, 0, 0, 0};
	struct gn_plan failover, grow, other;

	gn_plan_init(&failover, true, EXPIRES);
	gn_plan_init(&grow, true, EXPIRES);
	failover.priority = GN_PLAN_FAILOVER;
	grow.priority = GN_PLAN_GROW;
	gn_plan_add(&grow, &commits);
	other = grow;
	other.vm_class = 3;
	assert_true(gn_plan_compare(&failover, &other) > 0);
	assert_true(gn_plan_compare(&grow, &other) < 0);
	assert_int_equal(gn_plan_compare(&grow, &grow), 0);
	assert_int_equal(gn_plan_admit(&failover, NULL), GN_PLAN_MAY_BEGIN);
	grow.state = GN_PLAN_RUNNING;
	assert_int_equal(gn_plan_admit(&failover, &grow), GN_PLAN_MAY_PREEMPT);
	assert_int_equal(gn_plan_admit(&other, &grow), GN_PLAN_MUST_WAIT);
	grow.attempts = 1; /* what commits was sent */
	assert_int_equal(gn_plan_admit(&failover, &grow), GN_PLAN_MUST_WAIT);
	grow.state = GN_PLAN_DONE;
	assert_int_equal(gn_plan_admit(&other, &grow), GN_PLAN_MAY_BEGIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_script_ends_where_it_should),
	        cmocka_unit_test(time_ends_what_nobody_approves),
	        cmocka_unit_test(actions_have_an_end),
	        cmocka_unit_test(any_schedule_keeps_the_order),
	        cmocka_unit_test(the_way_back),
	        cmocka_unit_test(the_more_urgent_one_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
