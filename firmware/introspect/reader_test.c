/* A made-up kernel found by each way and read exactly; then broken in every link, loop and size
 * that a hostile guest could think of. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <bpf/btf.h>
#include "firmware/introspect/globals.h"
#include "firmware/introspect/klog.h"
#include "firmware/introspect/observer.h"
#include "firmware/introspect/walk.h"
#include "tests/introspect/image.h"

static struct gn_image image;
static struct gn_kernel kernel;
static struct gn_process processes[64];
static const struct gn_bootstrap_hints no_hints;

static enum gn_bootstrap_reason find(enum gn_image_layout layout, bool hide_vmcoreinfo)
{
	gn_image_make(&image, layout);
	if (hide_vmcoreinfo)
		*(char *)gn_image_at(&image, GN_IMAGE_VMCOREINFO) = 'X';
	return gn_bootstrap(&image.memory, &no_hints, &kernel);
}

static void check_found(enum gn_bootstrap_way way)
{
	uint64_t jiffies = 0;

	assert_int_equal(kernel.way, way);
	assert_int_equal(kernel.init_task, GN_IMAGE_VA + GN_IMAGE_INIT_TASK);
	assert_int_equal(kernel.n_cpus, GN_IMAGE_CPUS);
	assert_string_equal(kernel.release, "6.1.0-made-up");
	assert_true(gn_kernel_jiffies(&kernel, &jiffies));
	assert_int_equal(jiffies, 123456);
}

static void found_by_each_way(void **state)
{
	for (int layout = GN_IMAGE_OLD; layout <= GN_IMAGE_NEW; layout++) {
		assert_int_equal(find((enum gn_image_layout)layout, false), GN_BOOTSTRAP_OK);
		check_found(GN_BOOTSTRAP_VMCOREINFO);
		assert_int_equal(find((enum gn_image_layout)layout, true), GN_BOOTSTRAP_OK);
		check_found(GN_BOOTSTRAP_SIGNATURE);
	}
}

/* Before 6.1 VMCOREINFO does not tell where the symbol table is. */
static void found_without_addresses_of_symbols(void **state)
{
	for (int layout = GN_IMAGE_OLD; layout <= GN_IMAGE_NEW; layout++) {
		char *at;

		find((enum gn_image_layout)layout, false);
		at = gn_image_at(&image, GN_IMAGE_VMCOREINFO);
		while ((at = strstr(at, "kallsyms_")))
			*at = 'X';
		assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_OK);
		check_found(GN_BOOTSTRAP_VMCOREINFO);
	}
}

static void found_by_structure(void **state)
{
	void *token;

	find(GN_IMAGE_OLD, true);
	token = memmem(image.bytes, sizeof image.bytes, GN_KALLSYMS_SIGNATURE,
	               GN_KALLSYMS_SIGNATURE_SIZE);
	assert_non_null(token);
	*(char *)token = 'X';
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_OK);
	assert_int_equal(kernel.way, GN_BOOTSTRAP_STRUCTURE);
	assert_int_equal(kernel.init_task, GN_IMAGE_VA + GN_IMAGE_INIT_TASK);
	assert_int_equal(kernel.n_cpus, 0);
}

static void says_why_not(void **state)
{
	find(GN_IMAGE_OLD, false);
	*(uint8_t *)gn_image_at(&image, GN_IMAGE_BTF) = 0;
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_BAD_BTF);
	find(GN_IMAGE_OLD, true);
	*(uint8_t *)gn_image_at(&image, GN_IMAGE_BTF) = 0;
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_NO_BTF);
	find(GN_IMAGE_OLD, false);
	memset(gn_image_task(&image, 0) + GN_IMAGE_TASK_LINKS, 0, 8);
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_NO_TASKS);
	memset(image.bytes, 0, sizeof image.bytes);
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_NOTHING);
}

#define CIPHER_MIB 80

/* 'n_plain' of the CIPHER_MIB pieces are empty, the others as if encrypted. */
static enum gn_bootstrap_reason bootstrap_cipher(unsigned n_plain)
{
	struct gn_memory memory = {.n_regions = 0};
	uint8_t *bytes = aligned_alloc(4096, (size_t)CIPHER_MIB << 20);
	enum gn_bootstrap_reason reason;
	uint64_t random = 88172645463325252u;

	assert_non_null(bytes);
	for (size_t i = 0; i < (size_t)CIPHER_MIB << 20; i += 8) {
		random ^= random << 13; /* xorshift64 */
		random ^= random >> 7;
		random ^= random << 17;
		memcpy(bytes + i, &random, 8);
	}
	memset(bytes, 0, (size_t)n_plain << 20);
	assert_int_equal(gn_memory_add_bytes(&memory, 0, bytes, (uint64_t)CIPHER_MIB << 20), 0);
	reason = gn_bootstrap(&memory, &no_hints, &kernel);
	free(bytes);
	return reason;
}

static void knows_ciphertext(void **state)
{
	assert_int_equal(bootstrap_cipher(0), GN_BOOTSTRAP_ENCRYPTED);
	assert_int_equal(bootstrap_cipher(15), GN_BOOTSTRAP_ENCRYPTED);
	assert_int_equal(bootstrap_cipher(40), GN_BOOTSTRAP_NOTHING);
}

static void refuses_what_stood_still(void **state)
{
	struct gn_bootstrap_hints hints = {.refused = {{GN_IMAGE_VA + GN_IMAGE_INIT_TASK, 123456}},
	                                   .n_refused = 1};

	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_bootstrap(&image.memory, &hints, &kernel), GN_BOOTSTRAP_ONLY_STALE);
	hints.refused[0].jiffies = 123455; /* it moves again */
	assert_int_equal(gn_bootstrap(&image.memory, &hints, &kernel), GN_BOOTSTRAP_OK);
}

/* A second page that looks like the first, before it, leads nowhere. */
static void passes_over_decoys(void **state)
{
	find(GN_IMAGE_OLD, false);
	memcpy(image.bytes + 4096, gn_image_at(&image, GN_IMAGE_VMCOREINFO), 4096);
	memcpy(memmem(image.bytes + 4096, 4096, "phys_base)=", 11), "phys_base)=0\n#", 14);
	memcpy(image.bytes + 8192, "OSRELEASE=", 10);
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_OK);
	check_found(GN_BOOTSTRAP_VMCOREINFO);
}

/* Pages that look like the first and cost a search each: after some, the kernel's tables are looked
 * for. */
static void gives_up_on_many_decoys(void **state)
{
	find(GN_IMAGE_OLD, false);
	for (unsigned page = 1; page <= 20; page++) {
		uint8_t *at = image.bytes + page * 4096;

		memcpy(at, gn_image_at(&image, GN_IMAGE_VMCOREINFO), 4096);
		memcpy(memmem(at, 4096, "phys_base)=", 11), "phys_base)=0\n#", 14);
	}
	assert_int_equal(gn_bootstrap(&image.memory, &no_hints, &kernel), GN_BOOTSTRAP_OK);
	check_found(GN_BOOTSTRAP_SIGNATURE);
}

/* Eight structures, each of 1,000 nameless members of the next: 10^24 places to look at for a name.
 */
static void nested_members_are_bounded(void **state)
{
	struct btf *btf = btf__new_empty();
	struct gn_profile profile;
	const void *bytes;
	uint32_t size;
	int inner;

	assert_non_null(btf);
	inner = btf__add_int(btf, "u64", 8, 0);
	for (unsigned level = 0; level < 8; level++) {
		int id = btf__add_struct(btf, level == 7 ? "task_struct" : NULL, 64);

		assert_true(id > 0);
		for (unsigned i = 0; i < 1000; i++)
			assert_int_equal(btf__add_field(btf, level ? NULL : "x", inner, 0, 0), 0);
		inner = id;
	}
	bytes = btf__raw_data(btf, &size);
	assert_non_null(bytes);
	assert_int_equal(gn_profile_load(bytes, size, &profile), -ENOENT);
	btf__free(btf);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static int walk_now(struct gn_walk *walk)
{
	*walk = (struct gn_walk){.processes = processes, .capacity = 64};
	return gn_walk(&kernel, walk);
}

static void reads_every_process(void **state)
{
	struct gn_walk walk;

	find(GN_IMAGE_OLD, false);
	assert_int_equal(walk_now(&walk), 0);
	assert_int_equal(walk.n, GN_IMAGE_TASKS);
	assert_int_equal(walk.n_threads, GN_IMAGE_TASKS + GN_IMAGE_THREADS - 1);
	assert_int_equal(walk.retries, 0);
	assert_string_equal(processes[0].comm, "task-1");
	assert_int_equal(processes[0].runtime_ns, 1000000 + 7);
	assert_int_equal(processes[2].n_threads, GN_IMAGE_THREADS);
	assert_int_equal(processes[2].runtime_ns, 1000000ull * (3 + 101 + 102) + 7);
	assert_int_equal(processes[2].read_calls, 10 * (3 + 101 + 102));
	assert_int_equal(processes[2].write_calls, 20 * (3 + 101 + 102));
	assert_int_equal(processes[3].state, 'D');
	assert_int_equal(processes[4].rss_pages, 104);
	assert_int_equal(processes[4].start_ns, 5000 * 5);
	assert_int_equal(walk.n_blocked, 3);
	assert_int_equal(walk.blocked[0].pid, 4);
}

static void room_for_fewer(void **state)
{
	struct gn_walk walk = {.processes = processes, .capacity = 5};

	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_walk(&kernel, &walk), 0);
	assert_int_equal(walk.n, 5);
	assert_true(walk.is_truncated);
}

/* Each broken link makes the pass torn, whatever it points to. */
static void broken_links_tear(void **state)
{
	static const uint64_t targets[] = {0,
	                                   1,
	                                   8,
	                                   UINT64_MAX,
	                                   0xdead000000000122,
	                                   GN_IMAGE_VA,
	                                   GN_IMAGE_DIRECT,
	                                   GN_IMAGE_DIRECT + GN_IMAGE_SIZE,
	                                   GN_IMAGE_DIRECT + GN_IMAGE_SIZE - 8,
	                                   GN_IMAGE_DIRECT + GN_IMAGE_TASK_GPA + 4096 +
	                                           GN_IMAGE_TASK_LINKS};
	struct gn_walk walk;

	for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++)
		for (unsigned at = 0; at < 16; at += 8) {
			find(GN_IMAGE_OLD, false);
			gn_image_put64(gn_image_task(&image, 6) + GN_IMAGE_TASK_LINKS + at,
			               targets[i]);
			assert_int_equal(walk_now(&walk), -EAGAIN);
			assert_true(walk.retries <= GN_WALK_RETRIES + 4);
			assert_false(gn_kernel_check(&kernel));
		}
}

static void broken_threads_tear(void **state)
{
	uint8_t *signal;
	struct gn_walk walk;

	find(GN_IMAGE_OLD, false);
	signal = gn_image_task(&image, 2) + 0x400;
	/* A list of threads that runs in a circle beside its head. */
	gn_image_put64(gn_image_task(&image, 2) + 0x118,
	               GN_IMAGE_DIRECT + GN_IMAGE_TASK_GPA + 2 * 4096 + 0x118);
	assert_int_equal(walk_now(&walk), -EAGAIN);
	find(GN_IMAGE_OLD, false);
	gn_image_put64(signal + 0x10, 0x1234);
	assert_int_equal(walk_now(&walk), -EAGAIN);
	find(GN_IMAGE_OLD, false);
	gn_image_put64(gn_image_task(&image, 5) + GN_IMAGE_TASK_SIGNAL, 0);
	assert_int_equal(walk_now(&walk), -EAGAIN);
	find(GN_IMAGE_OLD, false);
	gn_image_put32(signal + 0x28, 1); /* a thread is just ending */
	assert_int_equal(walk_now(&walk), -EAGAIN);
}

static void ends_without_tasks(void **state)
{
	struct gn_walk walk;
	uint64_t head = GN_IMAGE_VA + GN_IMAGE_INIT_TASK + GN_IMAGE_TASK_LINKS;
	uint8_t *node;

	find(GN_IMAGE_OLD, false);
	node = (uint8_t *)gn_image_at(&image, GN_IMAGE_INIT_TASK) + GN_IMAGE_TASK_LINKS;
	gn_image_put64(node, head);
	gn_image_put64(node + 8, head);
	assert_int_equal(walk_now(&walk), -EFAULT);
}

static void names_states(void **state)
{
	static const struct {
		uint32_t state, exit_state;
		char letter;
	} cases[] = {{0, 0, 'R'},       {1, 0, 'S'},      {2, 0, 'D'},         {4, 0, 'T'},
	             {8, 0, 't'},       {0x40, 0, 'P'},   {0x402, 0, 'I'},     {0x80, 0x20, 'Z'},
	             {0x80, 0x10, 'X'}, {0x2001, 0, 'S'}, {UINT32_MAX, 0, 'I'}};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(gn_walk_state(cases[i].state, cases[i].exit_state),
		                 cases[i].letter);
}

/* Every process shares one list of threads, which never ends where it should. */
static void endless_threads_are_bounded(void **state)
{
	struct gn_walk walk;

	find(GN_IMAGE_OLD, false);
	for (unsigned i = 0; i < GN_IMAGE_TASKS; i++) {
		uint8_t *task = gn_image_task(&image, i);
		uint64_t node = GN_IMAGE_DIRECT + GN_IMAGE_TASK_GPA + 4096 * i + 0x118;

		gn_image_put32(task + 0x420, 2);
		gn_image_put64(task + 0x118, node); /* next and prev of itself */
		gn_image_put64(task + 0x120, node);
	}
	assert_int_equal(walk_now(&walk), -EAGAIN);
	assert_true(walk.n_reads <= GN_WALK_MAX_READS + 1);
}

/* ---- counters ---------------------------------------------------------------------------------
 */

static void reads_counters(void **state)
{
	struct gn_globals g;

	find(GN_IMAGE_NEW, false);
	assert_int_equal(gn_globals(&kernel, &g), 0);
	assert_true(g.has_cpu && g.has_load && g.has_memory && g.has_events && g.has_taint);
	assert_int_equal(g.n_cpus, 2);
	assert_int_equal(g.cpus[0].busy_ns, 1000 + 5000 - 4000);
	assert_int_equal(g.cpus[1].busy_ns, 2000 + 5000 - 4000);
	assert_int_equal(g.cpus[1].wait_ns, 600);
	assert_int_equal(g.cpus[1].n_running, 2);
	assert_true(g.cpus[0].is_online);
	assert_false(g.cpus[1].is_online);
	assert_int_equal(g.load_milli[0], 1500);
	assert_int_equal(g.total_pages, 1000);
	assert_int_equal(g.free_pages, 500);
	assert_int_equal(g.cache_pages, 100);
	assert_int_equal(g.available_pages, 500 - 50 + 100);
	assert_int_equal(g.faults, 20);
	assert_int_equal(g.oom_kills, 28);
	assert_int_equal(g.forks, 77);
	assert_int_equal(g.taint, 512);
	assert_false(g.is_panicked);
}

/* The current task is one that waits: the CPU is between two tasks. */
static void leaves_switches_to_the_next_period(void **state)
{
	struct gn_globals g;

	find(GN_IMAGE_NEW, false);
	gn_image_put64(gn_image_task(&image, 0) + 0x98, 4900);
	assert_int_equal(gn_globals(&kernel, &g), 0);
	assert_int_equal(g.cpus[0].busy_ns, 1000);
	assert_true(g.retries > 0);
}

static void survives_wild_cpus(void **state)
{
	struct gn_globals g;

	find(GN_IMAGE_NEW, false);
	gn_image_put64(image.bytes + 0x380000 + 0x1000 + 0x18, UINT64_MAX - 7);
	assert_int_equal(gn_globals(&kernel, &g), 0);
	assert_false(g.has_cpu);
	find(GN_IMAGE_NEW, false);
	gn_image_put64((uint8_t *)gn_image_at(&image, GN_IMAGE_DATA) + 0x440, UINT64_MAX);
	assert_int_equal(gn_globals(&kernel, &g), 0);
	assert_int_equal(g.free_pages, 0);
}

/* Counters that overflow when they are added up; run with -fsanitize=undefined. */
static void survives_impossible_memory(void **state)
{
	uint8_t *data;
	struct gn_globals g;

	for (unsigned shift = 0; shift < 12; shift++) {
		find(GN_IMAGE_NEW, false);
		data = gn_image_at(&image, GN_IMAGE_DATA);
		for (unsigned i = 0; i < 4; i++)
			gn_image_put64(data + 0x480 + 8 * i, UINT64_MAX >> shift);
		gn_image_put64(data + 0x440, UINT64_MAX >> (shift + 1));
		gn_image_put64(data + 0x508, (uint64_t)1 << (63 - shift));
		assert_int_equal(gn_globals(&kernel, &g), 0);
		assert_true(g.available_pages <= (uint64_t)1 << 60);
	}
}

/* ---- log ----------------------------------------------------------------------------------------
 */

static void reads_new_lines_once(void **state)
{
	struct gn_klog log = {.next_seq = 0};
	struct gn_klog_news news;
	uint8_t *info;

	find(GN_IMAGE_OLD, false);
	info = (uint8_t *)gn_image_at(&image, GN_IMAGE_LOG) + 0x800;
	assert_int_equal(gn_klog_read(&kernel, &log, 1000, &news), 0);
	assert_int_equal(news.n_records, GN_IMAGE_LOG_LINES);
	assert_int_equal(news.n_errors, 4);
	assert_string_equal(news.text,
	                    "line 0?....."); /* the worst; lines have their number's level */
	assert_int_equal(news.level, 0);
	assert_int_equal(news.at_ns, 1000 * 40);
	assert_int_equal(gn_klog_read(&kernel, &log, 1000, &news), 0);
	assert_int_equal(news.n_records, 0);
	log.next_seq = 46;
	info[46 % 16 * 40 + 19] = 2 << 5;
	assert_int_equal(gn_klog_read(&kernel, &log, 1000, &news), 0);
	assert_int_equal(news.n_records, 2);
	assert_int_equal(news.n_errors, 1);
	assert_string_equal(news.text, "line 6?.....");
	log.next_seq = 30; /* slow reader */
	assert_int_equal(gn_klog_read(&kernel, &log, 1000, &news), 0);
	assert_int_equal(news.n_lost, 10);
}

static void reads_a_part(void **state)
{
	struct gn_klog log = {.next_seq = 0};
	struct gn_klog_news news;

	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_klog_read(&kernel, &log, 3, &news), 0);
	assert_int_equal(news.n_records, 3);
	assert_int_equal(gn_klog_read(&kernel, &log, 1000, &news), 0);
	assert_int_equal(news.n_records, GN_IMAGE_LOG_LINES - 3);
	assert_int_equal(news.n_lost, 0);
}

static void hostile_log_is_bounded(void **state)
{
	struct gn_klog_news news;

	for (unsigned at = 0; at < 96; at += 8)
		for (int bit = 0; bit < 64; bit += 3) {
			struct gn_klog log = {.next_seq = 0};
			uint8_t *ring;
			uint64_t value;

			if (!at && !bit)
				find(GN_IMAGE_OLD, false);
			ring = gn_image_at(&image, GN_IMAGE_LOG);
			memcpy(&value, ring + at, 8);
			gn_image_put64(ring + at, value ^ (1ull << bit));
			gn_klog_read(&kernel, &log, 100000, &news);
			assert_true(news.n_records <= 1u << 24);
			gn_image_put64(ring + at, value);
		}
}

/* ---- the whole
 * -------------------------------------------------------------------------------------- */

static const struct gn_observer_config config = {.period_us = 1000000,
                                                 .n_top = 3,
                                                 .max_processes = 64,
                                                 .stale_us = 1500000,
                                                 .give_up_us = 2000000,
                                                 .limits = {.stuck_us = 3000000}};

static void advance(uint64_t ns)
{
	uint8_t *jiffies = (uint8_t *)gn_image_at(&image, GN_IMAGE_DATA) + 0x530;
	uint64_t value;

	memcpy(&value, jiffies, 8);
	gn_image_put64(jiffies, value + 1);
	for (unsigned i = 0; i < GN_IMAGE_CPUS; i++) {
		uint8_t *rq = image.bytes + 0x380000 + 0x4000 * i + 0x1000;

		memcpy(&value, rq + 0x60, 8);
		gn_image_put64(rq + 0x60, value + ns);
	}
}

static void observes_compares_and_notices_death(void **state)
{
	struct gn_observer *o;
	static struct gn_report r;
	uint64_t next;

	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_observer_create(&image.memory, &config, &o), 0);
	assert_true(gn_observer_step(o, 1000000, &r, &next));
	assert_int_equal(r.state, GN_GUEST_SCANNING);
	assert_true(next < 1100000);
	advance(0);
	assert_true(gn_observer_step(o, next, &r, &next));
	assert_int_equal(r.state, GN_GUEST_READY);
	assert_true(r.is_fresh);
	assert_int_equal(r.confidence, 100);
	advance(500000000);
	assert_false(gn_observer_step(o, next - 1, &r, &next));
	assert_true(gn_observer_step(o, next, &r, &next));
	assert_int_equal(r.period_us, 1000000);
	assert_int_equal(r.busy_milli, 1000);
	assert_int_equal(r.cpu_busy_milli[0], 500);
	assert_int_equal(r.n_stuck, 0);
	assert_true(gn_observer_step(o, next, &r, &next)); /* stands still from here on */
	assert_int_equal(r.state, GN_GUEST_READY);
	assert_false(r.is_fresh);
	while (r.state == GN_GUEST_READY)
		gn_observer_step(o, next, &r, &next);
	assert_int_equal(r.state, GN_GUEST_STALE);
	assert_non_null(strstr(r.reason, "stood still"));
	advance(0);
	while (r.state == GN_GUEST_STALE)
		gn_observer_step(o, next, &r, &next);
	assert_int_equal(r.state, GN_GUEST_READY);
	assert_true(r.n_stuck > 0 && r.stuck_pid > 0);
	gn_observer_destroy(o);
}

static void loses_and_finds_again(void **state)
{
	static uint8_t copy[GN_IMAGE_SIZE];
	struct gn_observer *o;
	static struct gn_report r;
	uint64_t next;

	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_observer_create(&image.memory, &config, &o), 0);
	gn_observer_step(o, 1000000, &r, &next);
	advance(0);
	gn_observer_step(o, next, &r, &next);
	assert_int_equal(r.state, GN_GUEST_READY);
	memcpy(copy, image.bytes, sizeof copy);
	memset(image.bytes, 0, sizeof image.bytes);
	while (r.state == GN_GUEST_READY)
		gn_observer_step(o, next, &r, &next);
	assert_int_equal(r.state, GN_GUEST_SCANNING);
	while (r.state == GN_GUEST_SCANNING)
		gn_observer_step(o, next, &r, &next);
	assert_int_equal(r.state, GN_GUEST_UNSUPPORTED);
	assert_non_null(strstr(r.reason, "BTF"));
	memcpy(image.bytes, copy, sizeof copy);
	for (int i = 0; i < 1000 && r.state != GN_GUEST_READY; i++) {
		advance(0);
		gn_observer_step(o, next, &r, &next);
	}
	assert_int_equal(r.state, GN_GUEST_READY);
	gn_observer_destroy(o);
}

static void budget_makes_the_period_longer(void **state)
{
	struct gn_observer_config tight = config;
	struct gn_observer *o;
	static struct gn_report r;
	uint64_t next, before;

	tight.budget_bytes = 1024;
	find(GN_IMAGE_OLD, false);
	assert_int_equal(gn_observer_create(&image.memory, &tight, &o), 0);
	gn_observer_step(o, 1000000, &r, &next);
	advance(0);
	gn_observer_step(o, next, &r, &next);
	before = next;
	advance(0);
	gn_observer_step(o, next, &r, &next);
	assert_true(r.is_throttled);
	assert_true(next - before > 1000000);
	assert_true(r.read_bytes * 1000000 / (next - before) <= 1024);
	gn_observer_destroy(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(found_by_each_way),
	        cmocka_unit_test(found_without_addresses_of_symbols),
	        cmocka_unit_test(found_by_structure),
	        cmocka_unit_test(says_why_not),
	        cmocka_unit_test(knows_ciphertext),
	        cmocka_unit_test(refuses_what_stood_still),
	        cmocka_unit_test(passes_over_decoys),
	        cmocka_unit_test(gives_up_on_many_decoys),
	        cmocka_unit_test(nested_members_are_bounded),
	        cmocka_unit_test(reads_every_process),
	        cmocka_unit_test(room_for_fewer),
	        cmocka_unit_test(broken_links_tear),
	        cmocka_unit_test(broken_threads_tear),
	        cmocka_unit_test(endless_threads_are_bounded),
	        cmocka_unit_test(ends_without_tasks),
	        cmocka_unit_test(names_states),
	        cmocka_unit_test(reads_counters),
	        cmocka_unit_test(leaves_switches_to_the_next_period),
	        cmocka_unit_test(survives_wild_cpus),
	        cmocka_unit_test(survives_impossible_memory),
	        cmocka_unit_test(reads_new_lines_once),
	        cmocka_unit_test(reads_a_part),
	        cmocka_unit_test(hostile_log_is_bounded),
	        cmocka_unit_test(observes_compares_and_notices_death),
	        cmocka_unit_test(loses_and_finds_again),
	        cmocka_unit_test(budget_makes_the_period_longer),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
