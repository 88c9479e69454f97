/* source_test.c - two instruments for one demand: who is believed when, and that a change of
 * instrument is no change of demand. One second per step; readings are scripted. */
#include "firmware/demand/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S     ((uint64_t)1000000)
#define GAP   (3 * S)
#define NEVER INT64_MIN

static struct gn_source source;
static uint64_t now;
static int64_t learnt; /* newest value learnt, or NEVER in this second */
static struct gn_demand_value newest;

static int reset(void **state)
{
	memset(&source, 0, sizeof source);
	memset(&newest, 0, sizeof newest);
	now = 1000 * S;
	return 0;
}

static void tell_host(int64_t reading, bool estimated)
{
	struct gn_demand_value value = {.valid = true,
	                                .value = reading,
	                                .allocated = 2000,
	                                .maximum = 4000,
	                                .estimated = estimated};

	if (gn_source_take_host(&source, now, GAP, &value)) {
		newest = value;
		learnt = value.value;
	}
}

static void tell_guest(enum gn_doubt doubt, int64_t reading)
{
	struct gn_demand_value value = {.value = reading};

	if (gn_source_take_guest(&source, now + S / 2, GAP, doubt, &value)) {
		newest = value;
		learnt = value.value;
	}
}

/* A second in which the host reads 'host' and the guest 'guest' (NEVER: nothing comes). */
static int64_t second(int64_t host, int64_t guest)
{
	now += S;
	learnt = NEVER;
	if (host != NEVER)
		tell_host(host, false);
	if (guest != NEVER)
		tell_guest(GN_DOUBT_NONE, guest);
	return learnt;
}

static int64_t bad_second(int64_t host, enum gn_doubt doubt)
{
	now += S;
	learnt = NEVER;
	tell_host(host, false);
	tell_guest(doubt, 0);
	return learnt;
}

static void seconds(unsigned n, int64_t host, int64_t guest)
{
	while (n--)
		second(host, guest);
}

static void the_host_alone_is_believed_as_it_is(void **state)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(second(100 + i, NEVER), 100 + i);
	assert_false(source.is_guest);
	assert_int_equal(source.doubt, GN_DOUBT_NEVER);
}

static void a_good_guest_is_used_after_its_trial(void **state)
{
	for (unsigned i = 0; i < GN_SOURCE_NEEDED - 1; i++) {
		assert_int_equal(second(1000, 1000), 1000);
		assert_false(source.is_guest);
		assert_int_equal(source.doubt, GN_DOUBT_TRIAL);
	}
	second(1000, 1000);
	assert_true(source.is_guest);
	assert_int_equal(source.doubt, GN_DOUBT_NONE);
	assert_int_equal(second(1000, 1010), 1010);
	assert_int_equal(newest.allocated, 2000);
	assert_int_equal(newest.maximum, 4000);
}

static void without_the_host_there_is_no_allocation(void **state)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(second(NEVER, 1000), NEVER);
	assert_int_equal(source.doubt, GN_DOUBT_NO_ALLOCATION);
}

static void the_guest_goes_on_without_the_host(void **state)
{
	seconds(10, 1000, 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(second(NEVER, 1000), 1000);
}

static void one_bad_reading_changes_nothing(void **state)
{
	seconds(10, 1000, 1000);
	assert_int_equal(bad_second(1000, GN_DOUBT_UNSURE), NEVER);
	assert_true(source.is_guest);
	assert_int_equal(second(1000, 1000), 1000);
}

static void bad_readings_and_silence_lead_back_to_the_host(void **state)
{
	seconds(10, 1000, 1000);
	for (int i = 0; i < GN_SOURCE_MAX_BAD; i++)
		bad_second(1000, GN_DOUBT_STALE);
	assert_false(source.is_guest);
	assert_int_equal(source.doubt, GN_DOUBT_STALE);
	assert_int_equal(second(1000, NEVER), 1000);
	reset(NULL);
	seconds(10, 1000, 1000);
	seconds(4, 1000, NEVER);
	assert_false(source.is_guest);
	assert_int_equal(source.doubt, GN_DOUBT_SILENT);
	assert_int_equal(learnt, 1000);
}

/* A guest that is good for a few seconds and then not, again and again. */
static void a_flickering_guest_does_not_flap(void **state)
{
	unsigned switches = 0;
	bool before = false;

	for (int i = 0; i < 3600; i++) {
		if (i % 10 < 7)
			second(1000, 1500);
		else
			bad_second(1000, GN_DOUBT_UNSURE);
		switches += source.is_guest != before;
		before = source.is_guest;
	}
	assert_in_range(switches, 2, 2); /* once taken up, once left, never again */
	seconds(GN_SOURCE_MOST_NEEDED, 1000, 1500);
	assert_true(source.is_guest);
	seconds(GN_SOURCE_STEADY, 1000, 1500);
	assert_int_equal(source.n_needed, GN_SOURCE_NEEDED);
}

/* ---- no jump ------------------------------------------------------------------------------ */

/* One instrument reads 'host', the other 'guest', of an unchanging demand. What is learnt never
 * moves by more than the fading shift's share of a second, whichever way it is changed. */
static void check_no_jump(int64_t host, int64_t guest)
{
	int64_t difference = llabs(host - guest);
	int64_t most = difference * (int64_t)S / (int64_t)GN_SOURCE_FADE_US + 1, before;

	reset(NULL);
	before = second(host, guest);
	for (int i = 0; i < 3000; i++) {
		bool is_out = i % 1000 >= 400 && i % 1000 < 500;
		int64_t now_learnt = second(host, is_out ? NEVER : guest);

		if (now_learnt == NEVER)
			continue;
		/* Up to four seconds are not learnt before a silent guest is given up. */
		if (llabs(now_learnt - before) > 5 * most)
			fail_msg("%lld after %lld at %d (host %lld, guest %lld)",
			         (long long)now_learnt, (long long)before, i, (long long)host,
			         (long long)guest);
		before = now_learnt;
	}
	assert_true(source.is_guest);
	assert_int_equal(before, guest);
}

static void a_change_of_source_is_no_change_of_demand(void **state)
{
	static const int64_t pairs[][2] = {{2000, 4000}, {60, 3},      {1000, 1000},
	                                   {0, 500},     {500, 0},     {0, 0},
	                                   {4000, 1},    {1, 1 << 30}, {1LL << 40, 1LL << 35}};

	for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		check_no_jump(pairs[i][0], pairs[i][1]);
}

static void an_idle_vm_is_given_no_demand(void **state)
{
	seconds(330, 2000, 4000);
	seconds(5, 2000, NEVER);
	assert_in_range(learnt, 3900, 4000);
	/* A tenth of the reading: a tenth of the shift. */
	assert_in_range(second(200, NEVER), 200, 400);
	assert_int_equal(second(0, NEVER), 0);
}

static void a_rise_is_seen_in_full(void **state)
{
	seconds(330, 60, 3);
	seconds(5, 60, NEVER); /* the shift is downwards: emulation's cost */
	assert_in_range(second(1000, NEVER), 1000 - 57, 1000);
	assert_in_range(second(3000, NEVER), 3000 - 57, 3000);
}

/* The VM was given the CPUs it wanted while the guest was away: the host now reads by itself what
 * was learnt, and nothing is added to that. */
static void nothing_is_added_to_what_the_host_sees_by_itself(void **state)
{
	seconds(330, 2000, 4000);
	seconds(5, 2000, NEVER);
	assert_in_range(second(3500, NEVER), 3900, 4000);
	assert_int_equal(second(4000, NEVER), 4000);
	assert_int_equal(second(5000, NEVER), 5000);
}

/* Without figures of the balloon driver the host knows only what QEMU holds. */
static void an_estimate_waits_for_the_guest(void **state)
{
	seconds(20, 100, 100);
	for (int i = 0; i < 40; i++) { /* the guest's figure moves away from the estimate */
		now += S;
		tell_host(900, true);
		tell_guest(GN_DOUBT_NONE, 300);
	}
	for (int i = 0; i < 1000; i++) {
		now += S;
		tell_host(900, true);
	}
	assert_false(source.is_guest);
	assert_in_range(newest.value, 300, 310); /* still, after longer than any fading */
	assert_true(newest.estimated);
	for (int i = 0; i < 60; i++) {
		now += S;
		tell_host(900, true);
		tell_guest(GN_DOUBT_NONE, 300);
	}
	assert_true(source.is_guest);
	assert_in_range(newest.value, 300, 310);
}

static void from_an_estimate_it_stays_one_while_shifted(void **state)
{
	for (int i = 0; i < 20; i++) {
		now += S;
		tell_host(900, true);
		tell_guest(GN_DOUBT_NONE, 300);
	}
	assert_true(source.is_guest);
	assert_true(newest.value > 800 && newest.estimated);
	for (int i = 0; i < 310; i++) {
		now += S;
		tell_host(900, true);
		tell_guest(GN_DOUBT_NONE, 300);
	}
	assert_int_equal(newest.value, 300);
	assert_false(newest.estimated);
}

static void after_a_restart_the_guest_is_waited_for(void **state)
{
	gn_source_resume(&source, now);
	assert_int_equal(second(2000, NEVER), NEVER);
	assert_int_equal(second(2000, 4000), 4000);
	reset(NULL);
	gn_source_resume(&source, now);
	seconds(4, 2000, NEVER);
	assert_false(source.is_guest);
	assert_int_equal(learnt, 2000);
}

/* ---- what a sample says ---------------------------------------------------------------------- */

struct sample {
	Gnomon__V1__GuestState state;
	bool not_fresh;
	uint32_t confidence;
	uint64_t period_us;
	bool no_cpu;
	uint64_t busy, demand, available;
};

static uint64_t guest_total = 1000, balloon = 1000; /* bytes */

static enum gn_doubt read_sample(const struct sample *s, enum gn_resource resource,
                                 struct gn_demand_value *value)
{
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT;
	Gnomon__V1__GuestSample guest = GNOMON__V1__GUEST_SAMPLE__INIT;
	Gnomon__V1__GuestCpu cpu = GNOMON__V1__GUEST_CPU__INIT;
	Gnomon__V1__GuestMemory memory = GNOMON__V1__GUEST_MEMORY__INIT;
	Gnomon__V1__GuestCapability can[2] = {GNOMON__V1__GUEST_CAPABILITY__INIT,
	                                      GNOMON__V1__GUEST_CAPABILITY__INIT};
	Gnomon__V1__GuestCapability *list[] = {&can[0], &can[1]};

	can[0].name = (char *)"cpu";
	can[0].available = !s->no_cpu;
	can[1].name = (char *)"memory";
	can[1].available = true;
	cpu.busy_milli = s->busy;
	cpu.demand_milli = s->demand;
	cpu.wait_milli = s->demand - s->busy;
	cpu.online = 1;
	memory.total_bytes = guest_total;
	memory.available_bytes = s->available;
	guest.state = s->state;
	guest.fresh = !s->not_fresh;
	guest.confidence = s->confidence;
	guest.capabilities = list;
	guest.n_capabilities = 2;
	guest.cpu = &cpu;
	guest.memory = &memory;
	sample.period_us = s->period_us;
	sample.guest = &guest;
	return gn_source_read_guest(&source, &sample, resource, balloon, GAP, value);
}

#define READY   GNOMON__V1__GUEST_STATE__GUEST_STATE_READY
#define STOPPED GNOMON__V1__GUEST_STATE__GUEST_STATE_STALE
#define LOST    GNOMON__V1__GUEST_STATE__GUEST_STATE_SCANNING

static void a_sample_is_believed_when_it_is_good(void **state)
{
	static const struct {
		struct sample sample;
		enum gn_doubt doubt;
		int64_t value;
	} cases[] = {
	        {{READY, false, 100, S, false, 1000, 1800, 0}, GN_DOUBT_NONE, 1800},
	        {{READY, false, 100, S, false, 1100, 1800, 0}, GN_DOUBT_NONE, 1800},
	        {{READY, false, 100, S, false, 900, 1700, 0}, GN_DOUBT_NONE, 900 + 524},
	        {{READY, false, 100, S, false, 500, 1300, 0}, GN_DOUBT_NONE, 500 + 50},
	        {{READY, false, 100, S, false, 0, 800, 0}, GN_DOUBT_NONE, 0},
	        {{READY, true, 100, S, false, 900, 1800, 0}, GN_DOUBT_STALE, 0},
	        {{STOPPED, false, 100, S, false, 900, 1800, 0}, GN_DOUBT_STALE, 0},
	        {{LOST, false, 0, S, false, 900, 1800, 0}, GN_DOUBT_STATE, 0},
	        {{READY, false, 79, S, false, 900, 1800, 0}, GN_DOUBT_UNSURE, 0},
	        {{READY, false, 100, GAP + 1, false, 900, 1800, 0}, GN_DOUBT_SELDOM, 0},
	        {{READY, false, 100, 0, false, 900, 1800, 0}, GN_DOUBT_SELDOM, 0},
	        {{READY, false, 100, S, true, 900, 1800, 0}, GN_DOUBT_ABSENT, 0},
	        /* The host gave 1000: a claim of four CPUs used is a lie, of four wanted not. */
	        {{READY, false, 100, S, false, 4000, 4000, 0}, GN_DOUBT_IMPLAUSIBLE, 0},
	        {{READY, false, 100, S, false, 1000, 4000, 0}, GN_DOUBT_NONE, 4000},
	        {{READY, false, 100, S, false, 1000, UINT64_MAX, 0}, GN_DOUBT_NONE, 16000},
	};
	Gnomon__V1__CpuSample given = GNOMON__V1__CPU_SAMPLE__INIT;

	given.used_milli = 900;
	given.wait_milli = 100;
	tell_host(900, false);
	gn_source_bound(&source, &given);
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_demand_value value = {0};

		assert_int_equal(read_sample(&cases[i].sample, GN_RESOURCE_CPU, &value),
		                 cases[i].doubt);
		assert_int_equal(value.value, cases[i].value);
	}
}

static void memory_is_what_is_not_available(void **state)
{
	struct sample s = {READY, false, 100, S, true, 0, 0, 300};
	struct gn_demand_value value;

	assert_int_equal(read_sample(&s, GN_RESOURCE_MEMORY, &value), GN_DOUBT_NONE);
	assert_int_equal(value.value, 700);
	s.available = 1001; /* more than the guest has */
	assert_int_equal(read_sample(&s, GN_RESOURCE_MEMORY, &value), GN_DOUBT_CONTRADICTS);
	assert_int_equal(value.value, 700);
}

/* The balloon's size is of another instant: a resize under way is no demand. */
static void a_resize_under_way_is_no_demand(void **state)
{
	const int64_t mib = 1 << 20;
	struct sample s = {READY, false, 100, S, true, 0, 0, 100ull << 20};
	struct gn_demand_value value;

	guest_total = 2000ull << 20;
	balloon = 2048ull << 20; /* the kernel keeps the rest */
	assert_int_equal(read_sample(&s, GN_RESOURCE_MEMORY, &value), GN_DOUBT_NONE);
	assert_int_equal(value.value, 1948 * mib);
	balloon = 4096ull << 20; /* shrunk already, but libvirt has not told */
	assert_int_equal(read_sample(&s, GN_RESOURCE_MEMORY, &value), GN_DOUBT_NONE);
	assert_true(value.value <= 2220 * mib);
	balloon = 1024ull << 20; /* grown already */
	assert_int_equal(read_sample(&s, GN_RESOURCE_MEMORY, &value), GN_DOUBT_NONE);
	assert_int_equal(value.value, 1900 * mib);
	guest_total = balloon = 1000;
}

static void a_hostile_host_figure_overflows_nothing(void **state)
{
	Gnomon__V1__CpuSample given = GNOMON__V1__CPU_SAMPLE__INIT;

	given.used_milli = given.wait_milli = UINT64_MAX;
	gn_source_bound(&source, &given);
	assert_true(source.host_bound >= 0);
	seconds(20, INT64_MAX, INT64_MAX);
	seconds(20, 0, INT64_MAX);
	seconds(20, INT64_MAX, NEVER);
	seconds(20, 0, NEVER);
	assert_true(learnt >= 0);
}

static void every_doubt_is_a_sentence(void **state)
{
	for (int i = GN_DOUBT_NONE + 1; i < GN_N_DOUBTS; i++)
		assert_true(strlen(gn_doubt_text((enum gn_doubt)i)) > 10);
	assert_string_equal(gn_doubt_text(GN_DOUBT_NONE), "");
	assert_string_equal(gn_doubt_text(GN_N_DOUBTS), "");
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(the_host_alone_is_believed_as_it_is),
	        TEST(a_good_guest_is_used_after_its_trial),
	        TEST(without_the_host_there_is_no_allocation),
	        TEST(the_guest_goes_on_without_the_host),
	        TEST(one_bad_reading_changes_nothing),
	        TEST(bad_readings_and_silence_lead_back_to_the_host),
	        TEST(a_flickering_guest_does_not_flap),
	        TEST(a_change_of_source_is_no_change_of_demand),
	        TEST(an_idle_vm_is_given_no_demand),
	        TEST(a_rise_is_seen_in_full),
	        TEST(nothing_is_added_to_what_the_host_sees_by_itself),
	        TEST(an_estimate_waits_for_the_guest),
	        TEST(from_an_estimate_it_stays_one_while_shifted),
	        TEST(after_a_restart_the_guest_is_waited_for),
	        TEST(a_sample_is_believed_when_it_is_good),
	        TEST(memory_is_what_is_not_available),
	        TEST(a_resize_under_way_is_no_demand),
	        TEST(a_hostile_host_figure_overflows_nothing),
	        TEST(every_doubt_is_a_sentence),
	};

	return cmocka_run_group_tests_name("demand-source", tests, NULL, NULL);
}
