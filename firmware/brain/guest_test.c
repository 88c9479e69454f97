/* guest_test.c - demand measured by guests' kernels beside libvirt's: what is stored, told and
 * forecast when the source changes, over restarts too, in invented time on a real store. */
#include "firmware/brain/brain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "firmware/brain/fake_brain.h"
#include "firmware/message/message.h"
#include "firmware/peer/fake_peer.h"

#define S   ((uint64_t)1000000)
#define MIB ((uint64_t)1 << 20)

#define READY GNOMON__V1__GUEST_STATE__GUEST_STATE_READY
#define STALE GNOMON__V1__GUEST_STATE__GUEST_STATE_STALE

static struct gn_fake_brain fake;
static struct gn_brain *brain; /* fake's */
static uint64_t cpu_ns;
static bool without_guests;

static void open_brain(void)
{
	gn_fake_brain_open(&fake, without_guests
	                                  ? "horizons: [1, 5, 10, 15]\nvms: [{name: vms/a}]\n"
	                                  : "horizons: [1, 5, 10, 15]\nvms: [{name: vms/a}]\n"
	                                    "guests: {url: 'ipc:///r/i.ipc'}\n");
	brain = fake.brain;
}

static void close_brain(void)
{
	gn_fake_brain_close(&fake);
}

static int set_up(void **state)
{
	if (gn_fake_brain_begin(&fake) != 0)
		return -1;
	cpu_ns = 0;
	without_guests = false;
	open_brain();
	return 0;
}

static int tear_down(void **state)
{
	if (fake.brain)
		close_brain();
	return gn_fake_brain_end(&fake);
}

/* libvirt: two vCPUs of four, of which 'milli' ran; 512 MiB of which 200 can be had. */
static void tell_host(int64_t milli)
{
	Gnomon__V1__HostStats stats = GNOMON__V1__HOST_STATS__INIT;
	Gnomon__V1__HostVmStats vm = GNOMON__V1__HOST_VM_STATS__INIT, *list[] = {&vm};
	Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;

	cpu_ns += (uint64_t)milli * S;
	allocation.vcpus = 2;
	allocation.vcpus_maximum = 4;
	allocation.memory_bytes = 512 * MIB;
	allocation.memory_maximum_bytes = 1024 * MIB;
	vm.name = (char *)"vms/a";
	vm.state = GNOMON__V1__VM_STATE__RUNNING;
	vm.allocation = &allocation;
	vm.cpu_time_ns = cpu_ns;
	vm.memory_available_bytes = 500 * MIB;
	vm.memory_usable_bytes = 200 * MIB;
	vm.memory_updated_us = 1;
	stats.monotonic_us = gn_fake_now_us - 1600000000 * S;
	stats.vms = list;
	stats.n_vms = 1;
	gn_brain_host_stats(brain, &stats, gn_time_now());
}

/* gnomon-introspect: the guest wants 'milli', and has 200 MiB available. */
static void tell_guest(Gnomon__V1__GuestState state, uint64_t milli)
{
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT, stranger = sample,
	                   *list[] = {&sample, &stranger};
	Gnomon__V1__GuestSample guest = GNOMON__V1__GUEST_SAMPLE__INIT;
	Gnomon__V1__GuestCpu cpu = GNOMON__V1__GUEST_CPU__INIT;
	Gnomon__V1__GuestMemory memory = GNOMON__V1__GUEST_MEMORY__INIT;
	Gnomon__V1__GuestCapability can[2] = {GNOMON__V1__GUEST_CAPABILITY__INIT,
	                                      GNOMON__V1__GUEST_CAPABILITY__INIT};
	Gnomon__V1__GuestCapability *capabilities[] = {&can[0], &can[1]};

	can[0].name = (char *)"cpu";
	can[1].name = (char *)"memory";
	can[0].available = can[1].available = true;
	cpu.demand_milli = milli;
	cpu.busy_milli = milli < 2000 ? milli : 2000;
	cpu.wait_milli = milli - cpu.busy_milli;
	cpu.online = 2;
	memory.total_bytes = 512 * MIB;
	memory.available_bytes = 200 * MIB;
	guest.state = state;
	guest.reason = (char *)(state == READY ? "" : "it hangs");
	guest.fresh = state == READY;
	guest.confidence = 100;
	guest.cpu = &cpu;
	guest.memory = &memory;
	guest.capabilities = capabilities;
	guest.n_capabilities = 2;
	sample.vm = (char *)"vms/a";
	sample.period_us = S;
	sample.monotonic_us = gn_fake_now_us - 1500000000 * S + S / 3;
	sample.guest = &guest;
	stranger = sample;
	stranger.vm = (char *)"vms/nobody";
	batch.samples = list;
	batch.n_samples = 2;
	gn_fake_now_us += S / 3;
	gn_brain_guests(brain, &batch, gn_time_now());
	gn_fake_now_us -= S / 3;
}

static void seconds(unsigned n, int64_t host, int64_t guest)
{
	while (n--) {
		gn_fake_now_us += S;
		tell_host(host);
		if (guest >= 0)
			tell_guest(READY, (uint64_t)guest);
	}
}

static const struct gn_series *series(enum gn_resource resource)
{
	return &brain->vms[0]->series[resource];
}

static const char *reason(enum gn_resource resource)
{
	static char why[512];
	struct gn_text text;

	gn_text_init(&text, why, sizeof why);
	gn_brain_source_reason(brain, brain->vms[0], resource, &text);
	return why;
}

struct heard {
	unsigned n_guests, n_events;
	char newest[256];
};

static void on_guest(void *context, struct gn_vm *vm, struct gn_time now)
{
	struct heard *heard = context;

	assert_string_equal(vm->name, "vms/a");
	assert_non_null(vm->guest->guest->cpu);
	heard->n_guests++;
}

static void on_event(void *context, const Gnomon__V1__Event *event)
{
	struct heard *heard = context;

	if (strcmp(event->kind, "demand.source") != 0)
		return;
	heard->n_events++;
	snprintf(heard->newest, sizeof heard->newest, "%s", event->text);
}

static void the_guests_figures_become_the_demand(void **state)
{
	struct heard heard = {0};

	brain->listener =
	        (struct gn_brain_listener){.context = &heard, .guest = on_guest, .event = on_event};
	seconds(5, 2000, 4000); /* libvirt's first report has nothing to compare with */
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.value, 2000);
	assert_non_null(strstr(reason(GN_RESOURCE_CPU), "(4 of 5 samples)"));
	seconds(320, 2000, 4000);
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.value, 4000);
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.allocated, 2000);
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.maximum, 4000);
	assert_int_equal(series(GN_RESOURCE_MEMORY)->newest.value, 312 * MIB);
	assert_string_equal(reason(GN_RESOURCE_CPU), "");
	assert_int_equal(heard.n_guests, 325);
	assert_int_equal(heard.n_events, 2); /* one per resource */
	assert_non_null(strstr(heard.newest, "is taken from the guest's kernel"));
}

static void the_reason_names_what_is_wrong(void **state)
{
	struct heard heard = {0};

	brain->listener = (struct gn_brain_listener){.context = &heard, .event = on_event};
	seconds(10, 1000, 1000);
	for (int i = 0; i < 3; i++) {
		gn_fake_now_us += S;
		tell_host(1000);
		tell_guest(STALE, 0);
	}
	assert_string_equal(reason(GN_RESOURCE_CPU), "its clock stands still: it hangs");
	assert_non_null(strstr(heard.newest, "taken from libvirt: its clock stands still"));
	seconds(10, 1000, -1);
	assert_non_null(strstr(reason(GN_RESOURCE_MEMORY), "does not report any more"));
}

static void without_configuration_it_says_so(void **state)
{
	close_brain();
	without_guests = true;
	gn_fake_now_us += S;
	open_brain();
	seconds(10, 1000, -1);
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.value, 1000);
	assert_non_null(strstr(reason(GN_RESOURCE_CPU), "has no 'guests'"));
}

static void signs_are_told_once_and_kept(void **state)
{
	Gnomon__V1__GuestSample guest = GNOMON__V1__GUEST_SAMPLE__INIT;
	Gnomon__V1__GuestSigns signs = GNOMON__V1__GUEST_SIGNS__INIT;
	Gnomon__V1__GuestMemory memory = GNOMON__V1__GUEST_MEMORY__INIT;
	struct gn_guest_signs kept = {0};
	uint64_t now = 1000000;

	assert_int_equal(gn_guest_signs_take(&kept, &guest, now), 0); /* none were read */
	guest.signs = &signs;
	assert_int_equal(gn_guest_signs_take(&kept, &guest, now), 0);
	signs.log_errors = 2;
	signs.log_text = (char *)"BUG: it broke";
	signs.panic = true;
	assert_int_equal(gn_guest_signs_take(&kept, &guest, now),
	                 1u << GN_GUEST_SIGN_LOG | 1u << GN_GUEST_SIGN_PANIC);
	signs.log_errors = 1;
	assert_int_equal(gn_guest_signs_take(&kept, &guest, now + 1000000), 0);
	assert_string_equal(kept.signs[GN_GUEST_SIGN_LOG].detail,
	                    "3 errors in its log, the newest: BUG: it broke");
	signs.log_errors = 0;
	assert_int_equal(gn_guest_signs_take(&kept, &guest, now + 2000000), 0);
	assert_true(gn_guest_sign_is_kept(&kept, GN_GUEST_SIGN_LOG, now + 2000000));
	now += GN_GUEST_SIGN_KEPT_US + 1000000;
	assert_false(gn_guest_sign_is_kept(&kept, GN_GUEST_SIGN_LOG, now));
	assert_true(gn_guest_sign_is_kept(&kept, GN_GUEST_SIGN_PANIC, now)); /* seen 2 s later */
	signs.log_errors = 1;
	assert_int_equal(gn_guest_signs_take(&kept, &guest, now), 1u << GN_GUEST_SIGN_LOG);
	assert_int_equal(kept.signs[GN_GUEST_SIGN_LOG].count, 1);

	memory.available_bytes = 1ull << 30;
	guest.memory = &memory;
	signs.has_leak = true;
	signs.leak_bytes_per_hour = 40 << 20; /* 960 MiB a day */
	assert_false(gn_guest_signs_take(&kept, &guest, now) & 1u << GN_GUEST_SIGN_LEAK);
	signs.leak_bytes_per_hour = 43 << 20;
	assert_true(gn_guest_signs_take(&kept, &guest, now) & 1u << GN_GUEST_SIGN_LEAK);
	signs.leak_bytes_per_hour = INT64_MIN; /* shrinks */
	gn_guest_signs_take(&kept, &guest, now);
}

/* The same demand, once with an outage of the guest's figures, once without: what is forecast
 * afterwards differs by no more than the noise of the forecasts. */
static int64_t highest_forecast(bool with_outage)
{
	int64_t highest = 0;

	set_up(NULL);
	seconds(400, 1000, 1600);
	for (int i = 0; i < 200; i++) {
		seconds(1, 1000, with_outage && i < 30 ? -1 : 1600);
		for (unsigned k = 0; k < series(GN_RESOURCE_CPU)->n_forecasts; k++) {
			int64_t p95 = series(GN_RESOURCE_CPU)->forecasts[k].quantiles[GN_P95];

			highest = p95 > highest ? p95 : highest;
		}
	}
	assert_int_equal(tear_down(NULL), 0);
	return highest;
}

static void an_outage_is_not_learnt_as_demand(void **state)
{
	int64_t calm = highest_forecast(false), disturbed = highest_forecast(true);

	assert_in_range(calm, 1600, 1700);
	assert_in_range(disturbed, calm - 50, calm + 50);
}

static void after_a_restart_the_guest_is_waited_for(void **state)
{
	uint64_t samples;

	seconds(400, 2000, 4000);
	close_brain();
	gn_fake_now_us += 2 * S;
	cpu_ns += 4000 * S;
	open_brain();
	samples = brain->n_samples;
	seconds(2, 2000, -1); /* the host's figures are not learnt meanwhile */
	assert_int_equal(brain->n_samples, samples);
	seconds(1, 2000, 4000);
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.value, 4000);
	close_brain();
	gn_fake_now_us += 2 * S;
	open_brain();
	seconds(6, 2000, -1); /* and if it does not come, the host's are */
	assert_int_equal(series(GN_RESOURCE_CPU)->newest.value, 2000);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(signs_are_told_once_and_kept),
	        ON_DISK(the_guests_figures_become_the_demand),
	        ON_DISK(the_reason_names_what_is_wrong),
	        ON_DISK(without_configuration_it_says_so),
	        cmocka_unit_test(an_outage_is_not_learnt_as_demand),
	        ON_DISK(after_a_restart_the_guest_is_waited_for),
	};

	return cmocka_run_group_tests_name("brain-guest", tests, NULL, NULL);
}
