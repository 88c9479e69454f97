/* demand_test.c - two reports make a sample; whatever restarts in between makes none. */
#include "firmware/demand/demand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define SECOND_US 1000000u
#define MIB       ((uint64_t)1 << 20)

struct report {
	uint64_t at_us, cpu_ns, wait_ns;
	uint32_t vcpus;
	Gnomon__V1__VmState state;
};

static enum gn_demand_result feed(struct gn_demand_host *host, const struct report *r,
                                  Gnomon__V1__CpuSample *cpu)
{
	Gnomon__V1__HostVmStats stats = GNOMON__V1__HOST_VM_STATS__INIT;
	Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;
	Gnomon__V1__MemorySample memory = GNOMON__V1__MEMORY_SAMPLE__INIT;
	uint64_t period;

	allocation.vcpus = r->vcpus;
	stats.allocation = &allocation;
	stats.state = r->state;
	stats.cpu_time_ns = r->cpu_ns;
	stats.cpu_wait_ns = r->wait_ns;
	return gn_demand_from_host(host, &stats, r->at_us, cpu, &memory, &period);
}

#define RUN GNOMON__V1__VM_STATE__RUNNING
#define OFF GNOMON__V1__VM_STATE__SHUT_OFF

static const struct {
	const char *name;
	struct report first, second;
	enum gn_demand_result want;
	uint64_t used, allocated, wait;
} two_reports[] = {
        {"half a CPU",
         {0, 0, 0, 1, RUN},
         {SECOND_US, 500000000, 0, 1, RUN},
         GN_DEMAND_SAMPLE,
         500,
         1000,
         0},
        {"two of four, waiting",
         {0, 0, 0, 4, RUN},
         {2 * SECOND_US, 4000000000, 1000000000, 4, RUN},
         GN_DEMAND_SAMPLE,
         2000,
         4000,
         500},
        {"idle", {5, 7, 9, 1, RUN}, {5 + SECOND_US, 7, 9, 1, RUN}, GN_DEMAND_SAMPLE, 0, 1000, 0},
        {"vCPU added within",
         {0, 0, 0, 1, RUN},
         {SECOND_US, 1500000000, 0, 2, RUN},
         GN_DEMAND_SAMPLE,
         1500,
         2000,
         0},
        {"vCPU removed within",
         {0, 0, 0, 2, RUN},
         {SECOND_US, 1500000000, 0, 1, RUN},
         GN_DEMAND_SAMPLE,
         1500,
         2000,
         0},
        {"more than it has",
         {0, 0, 0, 1, RUN},
         {SECOND_US, 1900000000, 0, 1, RUN},
         GN_DEMAND_SAMPLE,
         1050,
         1000,
         0},
        {"counter went back: restarted",
         {0, 900, 0, 1, RUN},
         {SECOND_US, 100, 0, 1, RUN},
         GN_DEMAND_FIRST,
         0,
         0,
         0},
        {"host's clock went back",
         {SECOND_US, 0, 0, 1, RUN},
         {0, 100, 0, 1, RUN},
         GN_DEMAND_FIRST,
         0,
         0,
         0},
        {"same report",
         {SECOND_US, 0, 0, 1, RUN},
         {SECOND_US, 0, 0, 1, RUN},
         GN_DEMAND_REPEATED,
         0,
         0,
         0},
        {"absurd jump", {0, 0, 0, 1, RUN}, {1, UINT64_MAX, 0, 1, RUN}, GN_DEMAND_FIRST, 0, 0, 0},
        {"a day between",
         {0, 0, 0, 1, RUN},
         {86400ull * SECOND_US, 5, 0, 1, RUN},
         GN_DEMAND_FIRST,
         0,
         0,
         0},
        {"stopped", {0, 0, 0, 1, RUN}, {SECOND_US, 5, 0, 1, OFF}, GN_DEMAND_OFF, 0, 0, 0},
        {"wait counter went back",
         {0, 0, 900, 1, RUN},
         {SECOND_US, 0, 100, 1, RUN},
         GN_DEMAND_SAMPLE,
         0,
         1000,
         0},
        {"no vCPU known",
         {0, 0, 0, 0, RUN},
         {SECOND_US, 250000000, 0, 0, RUN},
         GN_DEMAND_SAMPLE,
         250,
         0,
         0},
};

static void cpu_of_two_reports(void **state)
{
	size_t i;

	for (i = 0; i < sizeof two_reports / sizeof two_reports[0]; i++) {
		struct gn_demand_host host = {0};
		Gnomon__V1__CpuSample cpu = GNOMON__V1__CPU_SAMPLE__INIT;

		print_message("# %s\n", two_reports[i].name);
		assert_int_equal(feed(&host, &two_reports[i].first, &cpu), GN_DEMAND_FIRST);
		assert_int_equal(feed(&host, &two_reports[i].second, &cpu), two_reports[i].want);
		assert_int_equal(cpu.used_milli, two_reports[i].used);
		assert_int_equal(cpu.allocated_milli, two_reports[i].allocated);
		assert_int_equal(cpu.wait_milli, two_reports[i].wait);
	}
}

static void a_restart_costs_one_sample_only(void **state)
{
	static const struct report reports[] = {
	        {1 * SECOND_US, 1000000000, 0, 1, RUN}, {2 * SECOND_US, 2000000000, 0, 1, RUN},
	        {3 * SECOND_US, 0, 0, 1, OFF},          {4 * SECOND_US, 100000000, 0, 1, RUN},
	        {5 * SECOND_US, 400000000, 0, 1, RUN},
	};
	static const enum gn_demand_result want[] = {GN_DEMAND_FIRST, GN_DEMAND_SAMPLE,
	                                             GN_DEMAND_OFF, GN_DEMAND_FIRST,
	                                             GN_DEMAND_SAMPLE};
	struct gn_demand_host host = {0};
	Gnomon__V1__CpuSample cpu = GNOMON__V1__CPU_SAMPLE__INIT;
	size_t i;

	for (i = 0; i < sizeof want / sizeof want[0]; i++)
		assert_int_equal(feed(&host, &reports[i], &cpu), want[i]);
	assert_int_equal(cpu.used_milli, 300);
}

static void memory_is_the_guests_word_or_the_hosts(void **state)
{
	static const struct {
		const char *name;
		uint64_t balloon, available, usable, rss, updated;
		uint64_t used;
		bool guest;
	} cases[] = {
	        {"guest reports", 512 * MIB, 480 * MIB, 300 * MIB, 600 * MIB, 1, 212 * MIB, true},
	        {"no report ever", 512 * MIB, 0, 0, 600 * MIB, 0, 600 * MIB, false},
	        {"usable above the total", 512 * MIB, 480 * MIB, 900 * MIB, 1, 1, 32 * MIB, true},
	        {"total above the balloon", 512 * MIB, 900 * MIB, 900 * MIB, 1, 1, 0, true},
	        {"absurd resident size", 512 * MIB, 0, 0, UINT64_MAX, 0, (uint64_t)1 << 48, false},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_demand_host host = {.seen = true};
		Gnomon__V1__HostVmStats stats = GNOMON__V1__HOST_VM_STATS__INIT;
		Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;
		Gnomon__V1__CpuSample cpu = GNOMON__V1__CPU_SAMPLE__INIT;
		Gnomon__V1__MemorySample memory = GNOMON__V1__MEMORY_SAMPLE__INIT;
		uint64_t period;

		print_message("# %s\n", cases[i].name);
		allocation.memory_bytes = cases[i].balloon;
		allocation.memory_maximum_bytes = 2 * cases[i].balloon;
		stats.allocation = &allocation;
		stats.state = RUN;
		stats.memory_available_bytes = cases[i].available;
		stats.memory_usable_bytes = cases[i].usable;
		stats.memory_rss_bytes = cases[i].rss;
		stats.memory_updated_us = cases[i].updated;
		assert_int_equal(
		        gn_demand_from_host(&host, &stats, SECOND_US, &cpu, &memory, &period),
		        GN_DEMAND_SAMPLE);
		assert_int_equal(memory.used_bytes, cases[i].used);
		assert_int_equal(memory.guest_reported, cases[i].guest);
		assert_int_equal(memory.allocated_bytes, cases[i].balloon);
	}
}

static void quota_lowers_the_allocation(void **state)
{
	static const struct {
		uint32_t vcpus;
		int64_t quota;
		uint64_t period, want;
	} cases[] = {
	        {4, -1, 100000, 4000},      {4, 50000, 100000, 2000}, {4, 200000, 100000, 4000},
	        {4, 50000, 0, 4000},        {0, 50000, 100000, 0},    {UINT32_MAX, -1, 0, 4096000},
	        {2, INT64_MAX, 1000, 2000},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Gnomon__V1__Allocation allocation = GNOMON__V1__ALLOCATION__INIT;

		allocation.vcpus = cases[i].vcpus;
		allocation.cpu_quota_us = cases[i].quota;
		allocation.cpu_period_us = cases[i].period;
		assert_int_equal(gn_demand_cpu_allocated(&allocation), cases[i].want);
	}
}

static void a_sample_becomes_demand_in_the_resources_units(void **state)
{
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT;
	Gnomon__V1__NetworkSample network = GNOMON__V1__NETWORK_SAMPLE__INIT;
	Gnomon__V1__DiskSample disk = GNOMON__V1__DISK_SAMPLE__INIT;
	Gnomon__V1__DiskOperation read = GNOMON__V1__DISK_OPERATION__INIT;
	const struct gn_demand_limits limits = {.rx_bps = 1000000, .disk_operations = 500};
	struct gn_demand demand = {0};

	sample.network = &network;
	sample.disk = &disk;
	disk.read = &read; /* no write part: counts as zero */
	network.rx_bytes = 250000;
	read.operations = 30;
	read.bytes = 4096;
	gn_demand_from_sample(&sample, &limits, 4, &demand);
	assert_false(demand.values[GN_RESOURCE_NETWORK_RX].valid); /* period 0 */
	sample.period_us = 2 * SECOND_US;
	gn_demand_from_sample(&sample, &limits, 4, &demand);
	assert_int_equal(demand.values[GN_RESOURCE_NETWORK_RX].value, 1000000);
	assert_int_equal(demand.values[GN_RESOURCE_NETWORK_RX].allocated, 1000000);
	assert_int_equal(demand.values[GN_RESOURCE_NETWORK_TX].allocated, 0);
	assert_int_equal(demand.values[GN_RESOURCE_DISK_READ].value, 2048);
	assert_int_equal(demand.values[GN_RESOURCE_DISK_WRITE].value, 0);
	assert_int_equal(demand.values[GN_RESOURCE_DISK_OPERATIONS].value, 15);
	assert_int_equal(demand.values[GN_RESOURCE_DISK_OPERATIONS].allocated, 500);
	assert_false(demand.values[GN_RESOURCE_CPU].valid);
}

static void waiting_for_a_busy_host_is_demand(void **state)
{
	static const struct {
		uint64_t used, wait, allocated, want;
	} cases[] = {
	        {500, 0, 1000, 500},    {500, 300, 1000, 800},
	        {500, 900, 1000, 1000}, {1050, 0, 1000, 1050},
	        {250, 900, 0, 250},     {UINT64_MAX, UINT64_MAX, 1000, 0},
	        {0, 0, 2000, 0},        {100, UINT64_MAX, 2000, 2000},
	};
	const struct gn_demand_limits limits = {0};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT;
		Gnomon__V1__CpuSample cpu = GNOMON__V1__CPU_SAMPLE__INIT;
		struct gn_demand demand = {0};

		cpu.used_milli = cases[i].used;
		cpu.wait_milli = cases[i].wait;
		cpu.allocated_milli = cases[i].allocated;
		sample.cpu = &cpu;
		sample.period_us = SECOND_US;
		gn_demand_from_sample(&sample, &limits, 4, &demand);
		if (cases[i].used == UINT64_MAX)
			assert_in_range(demand.values[GN_RESOURCE_CPU].value, 0, (int64_t)1 << 48);
		else
			assert_int_equal(demand.values[GN_RESOURCE_CPU].value, cases[i].want);
	}
}

static void absurd_counts_are_clamped(void **state)
{
	Gnomon__V1__Sample sample = GNOMON__V1__SAMPLE__INIT;
	Gnomon__V1__NetworkSample network = GNOMON__V1__NETWORK_SAMPLE__INIT;
	static const uint64_t periods[] = {1, 1000, SECOND_US, UINT64_MAX};
	const struct gn_demand_limits limits = {0};
	struct gn_demand demand = {0};
	size_t i;

	sample.network = &network;
	network.rx_bytes = UINT64_MAX;
	network.tx_bytes = ((uint64_t)1 << 40) - 1;
	for (i = 0; i < sizeof periods / sizeof periods[0]; i++) {
		sample.period_us = periods[i];
		gn_demand_from_sample(&sample, &limits, 1, &demand);
		assert_in_range(demand.values[GN_RESOURCE_NETWORK_RX].value, 0, (int64_t)1 << 48);
		assert_in_range(demand.values[GN_RESOURCE_NETWORK_TX].value, 0, (int64_t)1 << 48);
	}
}

static void values_read_as_a_person_writes_them(void **state)
{
	static const struct {
		enum gn_resource resource;
		int64_t value;
		const char *want;
	} cases[] = {
	        {GN_RESOURCE_CPU, 970, "0.97 vCPU"},
	        {GN_RESOURCE_CPU, 2000, "2 vCPU"},
	        {GN_RESOURCE_MEMORY, 512 << 20, "512 MiB"},
	        {GN_RESOURCE_MEMORY, (int64_t)6 << 30, "6 GiB"},
	        {GN_RESOURCE_NETWORK_RX, 12340000, "12.34 Mbit/s"},
	        {GN_RESOURCE_NETWORK_TX, 0, "0 bit/s"},
	        {GN_RESOURCE_DISK_WRITE, 1500000, "1.5 MB/s"},
	        {GN_RESOURCE_DISK_OPERATIONS, 120, "120 operations/s"},
	};
	char buffer[64];
	struct gn_text text;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		gn_text_init(&text, buffer, sizeof buffer);
		gn_resource_add_value(&text, cases[i].resource, cases[i].value);
		assert_string_equal(buffer, cases[i].want);
	}
	for (i = 1; i < GN_RESOURCE_END; i++) {
		const char *key = gn_resource_key((enum gn_resource)i);

		assert_int_equal(gn_resource_from_key(key, (uint32_t)strlen(key)), i);
	}
	assert_int_equal(gn_resource_from_key("cp", 2), 0);
	assert_string_equal(gn_resource_key((enum gn_resource)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(cpu_of_two_reports),
	        cmocka_unit_test(a_restart_costs_one_sample_only),
	        cmocka_unit_test(memory_is_the_guests_word_or_the_hosts),
	        cmocka_unit_test(quota_lowers_the_allocation),
	        cmocka_unit_test(a_sample_becomes_demand_in_the_resources_units),
	        cmocka_unit_test(waiting_for_a_busy_host_is_demand),
	        cmocka_unit_test(absurd_counts_are_clamped),
	        cmocka_unit_test(values_read_as_a_person_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
