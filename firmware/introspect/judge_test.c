/* What is concluded from passes: busiest processes, signs of failure, and which reports of a
 * parser are believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/introspect/config.h"
#include "firmware/introspect/report.h"
#include "firmware/introspect/signs.h"

static struct gn_process processes[40];
static struct gn_walk walk;
static struct gn_top_entry best[GN_TOP_MAX];

static void make_processes(unsigned n)
{
	memset(processes, 0, sizeof processes);
	walk = (struct gn_walk){.processes = processes, .capacity = 40, .n = n};
	for (unsigned i = 0; i < n; i++) {
		processes[i].pid = (int32_t)i + 1;
		processes[i].task = 0x1000 + i;
		processes[i].start_ns = 100 * i;
		processes[i].rss_pages = n - i;
	}
}

static void ranks_by_cpu_memory_and_io(void **state)
{
	struct gn_top *top;
	unsigned n;

	make_processes(10);
	assert_int_equal(gn_top_create(&top), 0);
	n = gn_top_update(top, &walk, 2, best);
	assert_int_equal(n, 2); /* memory only: nothing to compare with */
	processes[4].runtime_ns = 500;
	processes[5].runtime_ns = 900;
	processes[6].runtime_ns = 100;
	processes[9].read_calls = 3;
	processes[0].write_calls = 2;
	n = gn_top_update(top, &walk, 2, best);
	assert_int_equal(n, 5);
	assert_int_equal(best[0].process.pid, 6);
	assert_int_equal(best[0].runtime_ns, 900);
	assert_int_equal(best[1].process.pid, 5);
	assert_int_equal(best[2].process.pid, 1);
	assert_int_equal(best[3].process.pid, 2);
	assert_int_equal(best[4].process.pid, 10);
	n = gn_top_update(top, &walk, 2, best);
	assert_int_equal(n, 2); /* nothing happened since */
	gn_top_destroy(top);
}

static void number_used_again_is_another_process(void **state)
{
	struct gn_top *top;

	make_processes(3);
	processes[0].runtime_ns = 100;
	assert_int_equal(gn_top_create(&top), 0);
	gn_top_update(top, &walk, 3, best);
	processes[0].runtime_ns = 5000;
	processes[0].start_ns = 7777;
	processes[1].runtime_ns = 10;
	gn_top_update(top, &walk, 3, best);
	assert_int_equal(best[0].process.pid, 2);
	for (unsigned i = 0; i < 3; i++)
		if (best[i].process.pid == 1)
			assert_int_equal(best[i].runtime_ns, 0);
	processes[1].runtime_ns = 5; /* went back */
	gn_top_update(top, &walk, 3, best);
	assert_int_equal(best[0].runtime_ns, 0);
	gn_top_destroy(top);
}

static void hostile_process_numbers(void **state)
{
	struct gn_top *top;

	make_processes(40);
	for (unsigned i = 0; i < 40; i++) {
		processes[i].pid = i % 2 ? 5 : -(int32_t)i; /* the same, none, negative */
		processes[i].start_ns = 1;
		processes[i].runtime_ns = UINT64_MAX - i;
		processes[i].read_bytes = UINT64_MAX;
		processes[i].write_bytes = UINT64_MAX;
	}
	assert_int_equal(gn_top_create(&top), 0);
	for (int i = 0; i < 3; i++)
		assert_true(gn_top_update(top, &walk, GN_TOP_MAX_N, best) <= GN_TOP_MAX);
	assert_int_equal(gn_top_update(top, &walk, GN_TOP_MAX_N + 1, best), 0);
	gn_top_destroy(top);
}

/* ---- signs ------------------------------------------------------------------------------------
 */

static const struct gn_signs_limits limits = {.stuck_us = 500000, .leak_us = 300000000};

static void watches_the_clock(void **state)
{
	struct gn_signs signs = {.n_points = 0};
	struct gn_signs_found found;
	struct gn_globals g = {.jiffies = 5};

	walk.n_blocked = 0;
	gn_signs_update(&signs, 1000, &limits, &g, &walk, &found);
	assert_false(found.is_advancing);
	assert_int_equal(found.stopped_us, 0);
	gn_signs_update(&signs, 3000, &limits, &g, &walk, &found);
	assert_int_equal(found.stopped_us, 2000);
	g.jiffies = 6;
	gn_signs_update(&signs, 4000, &limits, &g, &walk, &found);
	assert_true(found.is_advancing);
	assert_int_equal(found.stopped_us, 0);
}

static void stuck_means_not_switched(void **state)
{
	struct gn_signs signs = {.n_points = 0};
	struct gn_signs_found found;
	struct gn_globals g = {.jiffies = 5};

	walk.n_blocked = 2;
	walk.blocked[0] = (struct gn_blocked){.task = 1, .pid = 10, .start_ns = 3, .switches = 7};
	walk.blocked[1] = (struct gn_blocked){.task = 2, .pid = 11, .start_ns = 4, .switches = 1};
	gn_signs_update(&signs, 1000000, &limits, &g, &walk, &found);
	assert_int_equal(found.n_stuck, 0);
	walk.blocked[1].switches = 2; /* it ran in between */
	gn_signs_update(&signs, 1600000, &limits, &g, &walk, &found);
	assert_int_equal(found.n_stuck, 1);
	assert_int_equal(found.stuck_pid, 10);
	assert_int_equal(found.longest_sleep_us, 600000);
	walk.blocked[0].start_ns = 99; /* another thread in the same place */
	gn_signs_update(&signs, 2200000, &limits, &g, &walk, &found);
	assert_int_equal(found.n_stuck, 1);
	assert_int_equal(found.stuck_pid, 11);
	walk.n_blocked = 0;
	gn_signs_update(&signs, 9000000, &limits, &g, &walk, &found);
	assert_int_equal(found.n_stuck, 0);
}

static void slope_of_a_leak(void **state)
{
	struct gn_signs signs = {.n_points = 0};
	struct gn_signs_found found;
	struct gn_globals g = {.has_memory = true, .total_pages = 100000};

	walk.n_blocked = 0;
	for (unsigned s = 0; s <= 1800; s += 1) {
		g.available_pages = 90000 - s; /* a page a second, and noise */
		g.available_pages += s % 20 < 10 ? 3 : 0;
		gn_signs_update(&signs, 1000000ull * (s + 1), &limits, &g, &walk, &found);
		if (s < 290)
			assert_false(found.has_slope);
	}
	assert_true(found.has_slope);
	assert_in_range(found.leak_bytes_per_hour, 3600 * 4096 * 98ull / 100,
	                3600 * 4096 * 102ull / 100);
	for (unsigned i = 0; i < 200; i++) {
		g.available_pages = i % 2 ? 0 : UINT64_MAX;
		gn_signs_update(&signs, 1000000ull * (2000 + 20 * i), &limits, &g, &walk, &found);
	}
}

/* ---- reports
 * ------------------------------------------------------------------------------------- */

static struct gn_report good_report(void)
{
	struct gn_report r;

	memset(&r, 0, sizeof r);
	r.state = GN_GUEST_READY;
	r.n_cpus = 2;
	r.n_top = 2;
	return r;
}

static void mends_text_and_ranges(void **state)
{
	struct gn_report r = good_report();

	memset(r.reason, 'a', sizeof r.reason);
	strcpy(r.log_text, "\x1b]0;title\x07");
	memset(r.top[1].process.comm, 0xff, sizeof r.top[1].process.comm);
	r.cpu_busy_milli[1] = 60000;
	assert_true(gn_report_check(&r));
	assert_int_equal(strlen(r.reason), sizeof r.reason - 1);
	assert_string_equal(r.log_text, "?]0;title?");
	assert_int_equal(strlen(r.top[1].process.comm), GN_WALK_COMM);
	assert_int_equal(r.top[1].process.comm[0], '?');
	assert_int_equal(r.top[0].process.state, '?');
	assert_int_equal(r.cpu_busy_milli[1], 1000);
}

static void refuses_nonsense(void **state)
{
	struct gn_report r = good_report();
	uint8_t two = 2;

	r.state = (enum gn_guest_state)9;
	assert_false(gn_report_check(&r));
	r = good_report();
	r.n_top = GN_TOP_MAX + 1;
	assert_false(gn_report_check(&r));
	r = good_report();
	r.n_cpus = GN_REPORT_MAX_CPUS + 1;
	assert_false(gn_report_check(&r));
	r = good_report();
	r.way = (enum gn_bootstrap_way)77;
	assert_false(gn_report_check(&r));
	r = good_report();
	r.confidence = 101;
	assert_false(gn_report_check(&r));
	r = good_report();
	memcpy(&r.is_oops, &two, 1);
	assert_false(gn_report_check(&r));
	r = good_report();
	r.demand_milli = UINT64_MAX;
	assert_false(gn_report_check(&r));
}

/* ---- configuration
 * ------------------------------------------------------------------------------- */

static int load(const char *text, struct gn_introspect_config **out, struct gn_status *status)
{
	char path[] = "/tmp/gni-XXXXXX";
	int fd = mkstemp(path), err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
	err = gn_introspect_config_load(path, out, status);
	unlink(path);
	return err;
}

static void loads_configurations(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
	        {"run_dir: /r\ncolour: red\n", "colour"},
	        {"period_ms: 99\n", "period_ms is 99; give 100 to 60000"},
	        {"top: 21\n", "top is 21"},
	        {"period_ms: often\n", "period_ms"},
	        {"publish_url: tcp://0.0.0.0:1\n", "publish_url is 'tcp://0.0.0.0:1'"},
	        {"budget_us: 99\n", "budget_us"},
	        {"", ""},
	};
	struct gn_introspect_config *c;
	struct gn_status status;

	assert_int_equal(load("run_dir: /r\ntop: 0\n", &c, &status), 0);
	assert_string_equal(c->ram_socket, "/r/ram.sock");
	assert_string_equal(c->publish_url, "ipc:///r/guests.ipc");
	assert_int_equal(*c->top, 0);
	assert_int_equal(c->period_ms, 1000);
	gn_introspect_config_free(c);
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_true(load(bad[i].text, &c, &status) < 0);
		if (!strstr(status.message, bad[i].says))
			fail_msg("'%s' gave '%s'", bad[i].text, status.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ranks_by_cpu_memory_and_io),
	        cmocka_unit_test(number_used_again_is_another_process),
	        cmocka_unit_test(hostile_process_numbers),
	        cmocka_unit_test(watches_the_clock),
	        cmocka_unit_test(stuck_means_not_switched),
	        cmocka_unit_test(slope_of_a_leak),
	        cmocka_unit_test(mends_text_and_ranges),
	        cmocka_unit_test(refuses_nonsense),
	        cmocka_unit_test(loads_configurations),
	};

	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
