/* powercut.c - the real mirror code over simulated stores, killed and cut off power everywhere.
 *
 *   powercut                 all seeds and all stops; prints TAP
 *   powercut --seed N        one random schedule, with a trace
 *   powercut --seed N --stop S [--kill]   the schedule N, ended at its persistent step S
 *   powercut --rot --seed N  the schedule N of a shadow that rots
 *   powercut --seeds N       N random schedules instead of the usual number
 *
 * What must hold. After any end: every sector of the primary holds the last write that was
 * acknowledged (after a power cut: acknowledged before an acknowledged flush) or a later one. When
 * the mirror keeps a snapshot of the shadow, and when it says IN_STEP, the shadow's content is the
 * primary's after some prefix of the writes; in mode in_step the prefix has every write that
 * was acknowledged while IN_STEP. While the superblock says that the snapshot is the consistent
 * point, there is one. Once all stores are well the mirror becomes IN_STEP with both equal. A
 * mirror with an older lease never touches the shadow. */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/volume/journal.h"
#include "dataplane/volume/mirror.h"
#include "tests/powercut/sim.h"

#define N_SECTORS     256u
#define DISK_BYTES    (N_SECTORS * SIM_SECTOR)
#define GRANULE       4096u
#define RAM_BYTES     65536u
#define JOURNAL_BYTES (GN_VMIRROR_META_BYTES + 2 * RAM_BYTES)
#define DEPTH         16u
#define MAX_SECTORS   48u
#define N_HISTORIES   4u
#define MAX_OPS       4096u
#define NO_SEED       UINT64_MAX

struct change {
	uint32_t first, n;
	uint64_t stamp; /* 0: zeroes */
	bool failed;
	bool answered;
	bool flushed; /* an acknowledged flush came after it was answered */
};

/* What the disk was, and every change since, in order. */
struct history {
	uint64_t base[N_SECTORS];
	struct change ops[MAX_OPS];
	unsigned n;
	unsigned floor; /* the shadow has at least so many */
};

struct guest_op {
	struct gn_volume_request request;
	struct iovec iov[2];
	uint8_t data[MAX_SECTORS * SIM_SECTOR];
	struct test *test;
	unsigned index;      /* in the history */
	unsigned n_before;   /* FLUSH: see flush_order */
	uint64_t flush_mark; /* FLUSH: answers so far when it was given */
	bool busy;
};

struct test {
	struct sim_world world;
	struct sim_store primary, shadow, journal;
	struct gn_vmirror *mirror;
	enum gn_vmirror_mode mode;
	struct guest_op guest[DEPTH];
	struct history *histories[N_HISTORIES]; /* the newest first */
	uint64_t answered_at[MAX_OPS];          /* of the newest history */
	uint64_t n_answers;
	uint64_t next_stamp;
	uint64_t snapshot[N_SECTORS], pending[N_SECTORS];
	bool has_snapshot, has_pending;
	uint64_t n_in_step, n_snapshots, n_ends, n_points, n_compared;
	bool holds;            /* the shadow is kept still */
	unsigned flush_chance; /* of a request to be a flush, in 16 */
	unsigned n_written;    /* the guest uses so many sectors */
	bool is_calm;          /* it never fills the journal */
	bool in_bursts;        /* the guest rests now and then, so that dirty bits go */
	bool trace;
	char failure[256];
};

static void fail(struct test *t, const char *format, ...)
{
	va_list args;

	if (t->failure[0])
		return;
	va_start(args, format);
	vsnprintf(t->failure, sizeof t->failure, format, args);
	va_end(args);
}

static uint64_t below(struct test *t, uint64_t n)
{
	return sim_below(&t->world, n);
}

/* ---- the model --------------------------------------------------------------- */

static void stamps_of(struct test *t, const struct sim_store *store, uint64_t *stamps,
                      const char *what)
{
	for (unsigned i = 0; i < N_SECTORS; i++) {
		const uint64_t *words = (const uint64_t *)(store->content + i * SIM_SECTOR);

		stamps[i] = words[0];
		for (unsigned k = 1; k < SIM_SECTOR / 8; k++)
			if (words[k] != words[0])
				fail(t, "sector %u of the %s is of two writes", i, what);
	}
}

/* The longest prefix that gives 'stamps'; -1: none does. */
static int find_prefix(const struct history *history, const uint64_t *stamps)
{
	uint64_t now[N_SECTORS];
	unsigned differ = 0;
	int found;

	memcpy(now, history->base, sizeof now);
	for (unsigned i = 0; i < N_SECTORS; i++)
		differ += now[i] != stamps[i];
	found = differ ? -1 : 0;
	for (unsigned k = 0; k < history->n; k++) {
		const struct change *op = &history->ops[k];

		for (unsigned i = op->first; i < op->first + op->n && !op->failed; i++) {
			differ -= now[i] != stamps[i];
			now[i] = op->stamp;
			differ += now[i] != stamps[i];
		}
		if (!differ)
			found = (int)k + 1;
	}
	return found;
}

/* The shadow must be a prefix, and not of less than what is promised. */
static void check_prefix(struct test *t, const uint64_t *stamps, const char *when)
{
	for (unsigned h = 0; h < N_HISTORIES && t->histories[h]; h++) {
		struct history *history = t->histories[h];
		int k = find_prefix(history, stamps);

		if (t->trace)
			printf("# %s: history %u: prefix %d of %u, floor %u\n", when, h, k,
			       history->n, history->floor);
		if (k >= (int)history->floor) {
			history->floor = (unsigned)k;
			return;
		}
		if (k >= 0) {
			fail(t, "%s: the shadow has %d writes, %u were promised", when, k,
			     history->floor);
			return;
		}
		if (history->floor)
			break; /* older ones do not do any more */
	}
	fail(t, "%s: the shadow is not a prefix", when);
}

static bool may_hold(const struct history *history, unsigned sector, uint64_t stamp, bool power)
{
	bool ok = history->base[sector] == stamp;

	for (unsigned k = 0; k < history->n; k++) {
		const struct change *op = &history->ops[k];

		if (sector < op->first || sector >= op->first + op->n)
			continue;
		if (!op->failed && op->answered && (!power || op->flushed))
			ok = false; /* this one or a later one */
		ok |= op->stamp == stamp;
	}
	return ok;
}

static void check_primary(struct test *t, bool power, uint64_t *stamps)
{
	stamps_of(t, &t->primary, stamps, "primary");
	for (unsigned i = 0; i < N_SECTORS; i++)
		if (!may_hold(t->histories[0], i, stamps[i], power))
			fail(t, "the primary lost a write: sector %u holds %" PRIu64, i, stamps[i]);
}

static void new_history(struct test *t, const uint64_t *stamps)
{
	struct history *oldest = t->histories[N_HISTORIES - 1];

	for (unsigned h = N_HISTORIES - 1; h > 0; h--)
		t->histories[h] = t->histories[h - 1];
	t->histories[0] = oldest ? oldest : malloc(sizeof *oldest);
	if (!t->histories[0])
		abort();
	memcpy(t->histories[0]->base, stamps, sizeof t->histories[0]->base);
	t->histories[0]->n = t->histories[0]->floor = 0;
}

/* ---- snapshots --------------------------------------------------------------- */

static int snapshot_start(void *context)
{
	struct test *t = context;

	stamps_of(t, &t->shadow, t->pending, "shadow");
	check_prefix(t, t->pending, "snapshot");
	t->has_pending = true;
	return 0;
}

static int snapshot_poll(void *context)
{
	struct test *t = context;

	if (below(t, 4))
		return 0;
	if (below(t, 16) == 0)
		return -28;
	if (sim_step(&t->world))
		return 0;
	memcpy(t->snapshot, t->pending, sizeof t->snapshot);
	t->has_snapshot = true;
	t->n_snapshots++;
	return 1;
}

static void snapshot_drop(void *context)
{
	struct test *t = context;

	if (!sim_step(&t->world))
		t->has_snapshot = false;
}

static uint64_t clock_us(void *context)
{
	return ((struct test *)context)->world.now_us;
}

/* ---- the guest --------------------------------------------------------------- */

static void on_flush(struct test *t, const struct guest_op *op)
{
	struct history *history = t->histories[0];

	for (unsigned k = 0; k < history->n; k++)
		if (history->ops[k].answered && t->answered_at[k] <= op->flush_mark)
			history->ops[k].flushed = true;
}

static void on_change(struct test *t, const struct guest_op *op, int error)
{
	struct history *history = t->histories[0];
	struct gn_vmirror_status status;

	history->ops[op->index].answered = true;
	history->ops[op->index].failed = error;
	t->answered_at[op->index] = ++t->n_answers;
	gn_vmirror_get_status(t->mirror, &status);
	if (!error && t->mode == GN_VMIRROR_IN_STEP && status.phase == GN_REPLICA_LIVE &&
	    history->floor < op->index + 1) {
		history->floor = op->index + 1;
		t->n_in_step++;
	}
}

static void on_done(struct gn_volume_request *request, int error)
{
	struct guest_op *op = (struct guest_op *)request;

	op->busy = false;
	if (request->op == GN_VOLUME_FLUSH && !error)
		on_flush(op->test, op);
	else if (request->op != GN_VOLUME_FLUSH && request->op != GN_VOLUME_READ)
		on_change(op->test, op, error);
}

static void fill(struct test *t, struct guest_op *op, uint64_t stamp)
{
	uint64_t *words = (uint64_t *)op->data;
	size_t size = op->request.length_bytes;
	size_t cut = size > SIM_SECTOR ? below(t, size / SIM_SECTOR - 1) + 1 : 1;

	for (size_t i = 0; i < size / 8; i++)
		words[i] = stamp;
	op->iov[0] = (struct iovec){op->data, cut * SIM_SECTOR};
	op->iov[1] = (struct iovec){op->data + cut * SIM_SECTOR, size - cut * SIM_SECTOR};
	op->request.iov = op->iov;
	op->request.n_iov = op->iov[1].iov_len ? 2 : 1;
}

static void choose(struct test *t, struct guest_op *op)
{
	static const enum gn_volume_op ops[] = {
	        GN_VOLUME_WRITE,        GN_VOLUME_WRITE,
	        GN_VOLUME_WRITE,        GN_VOLUME_WRITE,
	        GN_VOLUME_READ,         GN_VOLUME_DISCARD,
	        GN_VOLUME_WRITE_ZEROES, GN_VOLUME_WRITE_ZEROES_UNMAP};
	enum gn_volume_op kind = below(t, 16) < t->flush_chance
	                                 ? GN_VOLUME_FLUSH
	                                 : ops[below(t, sizeof ops / sizeof *ops)];
	uint64_t n = t->is_calm || below(t, 10) ? 1 + below(t, 8) : 1 + below(t, MAX_SECTORS);
	uint64_t first = below(t, t->n_written - n + 1);

	op->request = (struct gn_volume_request){.op = kind, .done = on_done};
	op->flush_mark = t->n_answers;
	if (kind == GN_VOLUME_FLUSH)
		return;
	op->request.offset_bytes = first * SIM_SECTOR;
	op->request.length_bytes = n * SIM_SECTOR;
	fill(t, op, ++t->next_stamp);
	if (kind == GN_VOLUME_READ)
		return;
	op->index = t->histories[0]->n++;
	t->histories[0]->ops[op->index] = (struct change){
	        .first = (uint32_t)first,
	        .n = (uint32_t)n,
	        .stamp = kind == GN_VOLUME_WRITE ? t->next_stamp : 0,
	};
}

static void submit(struct test *t)
{
	struct gn_volume *volume = gn_vmirror_volume(t->mirror);

	for (unsigned i = 0; i < (t->is_calm ? DEPTH / 4 : DEPTH); i++) {
		struct guest_op *op = &t->guest[i];
		struct gn_volume_request *request = &op->request;

		if (op->busy || below(t, 3) || t->histories[0]->n == MAX_OPS)
			continue;
		op->test = t;
		op->busy = true;
		choose(t, op);
		if (gn_volume_submit(volume, &request, 1) != 1)
			fail(t, "a request was refused");
	}
}

/* ---- starting and ending ----------------------------------------------------- */

static bool start(struct test *t, uint64_t token)
{
	struct gn_status status = {.code = GN_OK};
	struct gn_vmirror_config config = {
	        .primary = &t->primary.volume,
	        .shadow = &t->shadow.volume,
	        .journal = &t->journal.volume,
	        .mode = t->mode,
	        .token = token,
	        .holder = 1,
	        .ram_bytes = RAM_BYTES,
	        .granule_bytes = GRANULE,
	        .region_granules = 2,
	        .resync_bytes_per_s = below(t, 3) ? 0 : 4u << 20,
	        .patience_us = 50000,
	        .retry_us = 10000,
	        .sweep_us = 20000,
	        .mono_us = clock_us,
	        .wall_us = clock_us,
	        .clock = t,
	        .snapshots = {snapshot_start, snapshot_poll, snapshot_drop, t},
	};

	if (gn_vmirror_create(&config, &t->mirror, &status) == 0)
		return true;
	fail(t, "create: %s", status.message);
	return false;
}

static void forget_mirror(struct test *t)
{
	gn_volume_destroy(gn_vmirror_volume(t->mirror));
	t->mirror = NULL;
	t->holds = false;
	for (unsigned i = 0; i < DEPTH; i++)
		t->guest[i].busy = false;
}

/* While the shadow is not a prefix there must be a snapshot that is. */
static void check_point(struct test *t)
{
	const struct gn_journal_super *slots = (const struct gn_journal_super *)t->journal.content;
	const struct gn_journal_super *super = gn_journal_super_choose(&slots[0], &slots[1]);

	if (super && super->point == GN_JOURNAL_POINT_SNAPSHOT && !t->has_snapshot)
		fail(t, "there is no consistent point");
	if (super && super->point == GN_JOURNAL_POINT_SNAPSHOT)
		check_prefix(t, t->snapshot, "kept snapshot");
}

static void crash(struct test *t, bool power)
{
	struct gn_vmirror_status status;
	uint64_t stamps[N_SECTORS];

	gn_vmirror_get_status(t->mirror, &status);
	if (t->trace)
		printf("# %s at step %" PRIu64 " in %s\n", power ? "power cut" : "kill",
		       t->world.steps, gn_replica_phase_name(status.phase));
	sim_store_crash(&t->primary, power);
	sim_store_crash(&t->shadow, power);
	sim_store_crash(&t->journal, power);
	forget_mirror(t);
	t->world.has_stopped = false;
	t->world.stop_at = 0;
	t->n_ends++;
	t->primary.health = t->shadow.health = t->journal.health = SIM_WELL;
	check_point(t);
	check_primary(t, power, stamps);
	/* The model has no memory of what a kill left unflushed, so that becomes durable. */
	sim_store_harden(&t->primary);
	new_history(t, stamps);
	/* Control remembers what the journal store could not: mirror.h, 'tracked'. */
	if (!status.tracked)
		memset(t->journal.content, 0, 2 * SIM_SECTOR);
}

static void change_health(struct test *t, bool spare_journal)
{
	struct sim_store *store = below(t, 4) || spare_journal ? &t->shadow : &t->journal;

	if (below(t, 60))
		return;
	store->health = (enum sim_health)below(t, 4);
	if (below(t, 2))
		store->health = SIM_WELL;
}

/* Now and then somebody copies the shadow: what it is held still for must be a prefix. */
static void look_at_point(struct test *t)
{
	uint64_t stamps[N_SECTORS], wall_us;

	if (!t->holds && below(t, 200) == 0) {
		gn_vmirror_hold(t->mirror);
		t->holds = true;
	}
	if (!t->holds)
		return;
	switch (gn_vmirror_held(t->mirror, &wall_us)) {
	case GN_VMIRROR_HOLD_WAIT:
		return;
	case GN_VMIRROR_HOLD_SHADOW:
		stamps_of(t, &t->shadow, stamps, "held shadow");
		check_prefix(t, stamps, "held");
		t->n_points++;
		break;
	case GN_VMIRROR_HOLD_SNAPSHOT:
		if (!t->has_snapshot)
			fail(t, "the snapshot that it tells of is not there");
		else
			check_prefix(t, t->snapshot, "held snapshot");
		break;
	case GN_VMIRROR_HOLD_NONE:
		break;
	}
	if (below(t, 3))
		return; /* a copy takes its time */
	gn_vmirror_release(t->mirror);
	t->holds = false;
}

static void begin_comparison(struct test *t, bool repairs)
{
	struct gn_vmirror_verify *verify = gn_vmirror_verify_create(t->mirror, repairs, 0);

	if (!verify)
		abort();
	gn_vmirror_verify_start(t->mirror, &verify);
	gn_vmirror_verify_destroy(verify); /* the former, or this one while that one runs */
}

/* Now and then both are compared, whatever else goes on: nothing may seem to differ. */
static void compare_both(struct test *t)
{
	struct gn_vmirror_verify_status verify;

	gn_vmirror_get_verify(t->mirror, &verify);
	if (verify.result.differing_bytes && !verify.repairs)
		fail(t, "what is equal is said to differ");
	if (verify.state == GN_VMIRROR_VERIFY_RUNNING || below(t, 300))
		return;
	t->n_compared += verify.state == GN_VMIRROR_VERIFY_DONE;
	begin_comparison(t, below(t, 2));
}

static bool step(struct test *t, bool busy)
{
	t->world.now_us += below(t, 1500);
	if (busy)
		submit(t);
	gn_volume_poll(gn_vmirror_volume(t->mirror));
	if (!t->world.has_stopped) {
		look_at_point(t);
		compare_both(t);
	}
	return !t->world.has_stopped && !t->failure[0];
}

static void run(struct test *t, unsigned rounds, bool with_faults, bool spare_journal)
{
	for (unsigned i = 0; i < rounds && !t->failure[0]; i++) {
		bool goes_on;

		if (with_faults)
			change_health(t, spare_journal);
		goes_on = step(t, !t->in_bursts || t->world.now_us / 100000 % 2);
		if (!goes_on)
			return;
	}
}

static bool is_settled(struct test *t)
{
	struct gn_vmirror_status status;

	gn_vmirror_get_status(t->mirror, &status);
	return status.phase == GN_REPLICA_LIVE && !status.lag_bytes &&
	       !gn_vmirror_volume(t->mirror)->n_in_flight;
}

/* All stores are well: in the end both are equal, and a clean stop leaves no bit. */
static void settle(struct test *t)
{
	struct gn_vmirror_status status;
	uint64_t primary[N_SECTORS], shadow[N_SECTORS];
	unsigned i;

	t->primary.health = t->shadow.health = t->journal.health = SIM_WELL;
	t->primary.error_percent = 0;
	for (i = 0; i < 20000 && step(t, i < 20) && !is_settled(t); i++)
		;
	gn_vmirror_get_status(t->mirror, &status);
	if (!is_settled(t))
		fail(t, "it stays %s: %s", gn_replica_phase_name(status.phase),
		     gn_replica_reason_text(status.reason));
	stamps_of(t, &t->primary, primary, "primary");
	stamps_of(t, &t->shadow, shadow, "shadow");
	for (i = 0; i < N_SECTORS && t->trace; i++)
		if (primary[i] != shadow[i])
			printf("# sector %u: primary %" PRIu64 ", shadow %" PRIu64 "\n", i,
			       primary[i], shadow[i]);
	check_prefix(t, shadow, "settled");
	if (memcmp(primary, shadow, sizeof primary) != 0)
		fail(t, "primary and shadow differ in the end");
	gn_vmirror_stop(t->mirror, false);
	for (i = 0; i < 20000 && !gn_vmirror_is_idle(t->mirror); i++)
		step(t, false);
	gn_vmirror_get_status(t->mirror, &status);
	if (!gn_vmirror_is_idle(t->mirror) || status.dirty_bytes)
		fail(t, "it does not stop cleanly");
	forget_mirror(t);
}

/* The shadow was promoted: its former writer comes back with the token it had. */
static void check_fence(struct test *t)
{
	uint64_t before = t->shadow.clock;
	struct gn_vmirror_status status;

	if (!start(t, 2))
		return;
	for (unsigned i = 0; i < 200; i++)
		step(t, true);
	gn_vmirror_get_status(t->mirror, &status);
	if (status.phase != GN_REPLICA_FENCED || t->shadow.clock != before)
		fail(t, "a mirror with an old lease wrote");
	for (unsigned i = 0; i < 200; i++)
		step(t, false);
	if (gn_vmirror_volume(t->mirror)->n_in_flight)
		fail(t, "a fenced mirror keeps requests");
	forget_mirror(t);
}

static void init(struct test *t, uint64_t seed, bool trace)
{
	const uint64_t zero[N_SECTORS] = {0};

	memset(t, 0, sizeof *t);
	t->world.random = seed * 0x2545f4914f6cdd1dull + 1;
	t->world.now_us = 1000000;
	t->trace = trace;
	sim_store_init(&t->primary, &t->world, DISK_BYTES);
	sim_store_init(&t->shadow, &t->world, DISK_BYTES);
	sim_store_init(&t->journal, &t->world, JOURNAL_BYTES);
	new_history(t, zero);
	t->mode = below(t, 2) ? GN_VMIRROR_IN_STEP : GN_VMIRROR_ASYNC;
	t->flush_chance = (unsigned)below(t, 3);
	t->in_bursts = below(t, 2);
	t->n_written = N_SECTORS;
}

static void fini(struct test *t)
{
	if (t->mirror)
		forget_mirror(t);
	sim_store_fini(&t->primary);
	sim_store_fini(&t->shadow);
	sim_store_fini(&t->journal);
	for (unsigned h = 0; h < N_HISTORIES; h++)
		free(t->histories[h]);
}

/* ---- schedules --------------------------------------------------------------- */

/* Faults, ends and restarts at random. */
static void random_schedule(struct test *t)
{
	unsigned ends = (unsigned)below(t, 4);

	t->primary.error_percent = below(t, 8) ? 0 : 1;
	if (!start(t, 1))
		return;
	for (unsigned i = 0; i <= ends && !t->failure[0]; i++) {
		bool power = below(t, 2);

		if (i < ends)
			t->world.stop_at = t->world.steps + 1 + below(t, 1500);
		run(t, 100 + (unsigned)below(t, 500), below(t, 3), below(t, 2));
		if (i == ends || t->failure[0])
			break;
		crash(t, power);
		if (!start(t, 1))
			return;
	}
	if (!t->failure[0])
		settle(t);
	if (!t->failure[0] && start(t, 3))
		settle(t);
	if (!t->failure[0])
		check_fence(t);
}

/* The same short life every time, ended at step 'stop': first synchronisation, IN_STEP, a shadow
 * that fails until the journal is full, resynchronisation. False when it has fewer steps. */
static bool stopped_schedule(struct test *t, uint64_t stop, bool power)
{
	bool was_stopped;

	if (!start(t, 1))
		return true;
	t->world.stop_at = stop;
	for (unsigned i = 0; i < 60 && step(t, i % 4 == 0); i++)
		;
	t->shadow.health = SIM_FAILING;
	for (unsigned i = 0; i < 40 && step(t, true); i++)
		;
	t->shadow.health = SIM_WELL;
	for (unsigned i = 0; i < 150 && step(t, i % 8 == 0); i++)
		;
	was_stopped = t->world.has_stopped;
	crash(t, power);
	if (!t->failure[0] && start(t, 1)) {
		run(t, 20, false, true);
		settle(t);
	}
	return was_stopped;
}

/* What rots in the shadow, where the guest does not write, while it writes elsewhere. */
static void rot(struct test *t, unsigned sector)
{
	t->shadow.content[sector * SIM_SECTOR + below(t, SIM_SECTOR)] ^=
	        (uint8_t)(1 + below(t, 255));
}

static void await_comparison(struct test *t, struct gn_vmirror_verify_status *verify)
{
	struct gn_vmirror_status status;

	for (unsigned i = 0; i < 20000; i++) {
		t->world.now_us += below(t, 1500);
		gn_vmirror_get_status(t->mirror, &status);
		if (status.journal_bytes < RAM_BYTES / 2) /* a full journal would copy what rots */
			submit(t);
		gn_volume_poll(gn_vmirror_volume(t->mirror));
		gn_vmirror_get_verify(t->mirror, verify);
		if (verify->state != GN_VMIRROR_VERIFY_RUNNING)
			return;
	}
	fail(t, "the comparison does not end");
}

static void compare_rotten(struct test *t, unsigned first, unsigned n)
{
	struct gn_vmirror_verify_status verify;
	const struct gn_verify_range *range = &verify.result.ranges[0];

	begin_comparison(t, false);
	await_comparison(t, &verify);
	if (verify.result.differing_bytes != n * SIM_SECTOR || verify.result.n_ranges != 1 ||
	    range->offset_bytes != first * SIM_SECTOR || range->length_bytes != n * SIM_SECTOR)
		fail(t, "%u sectors rot, %" PRIu64 " bytes are found", n,
		     verify.result.differing_bytes);
	begin_comparison(t, true);
	await_comparison(t, &verify);
	if (verify.result.repaired_bytes != n * SIM_SECTOR)
		fail(t, "%" PRIu64 " of %u bytes are repaired", verify.result.repaired_bytes,
		     n * SIM_SECTOR);
	if (verify.result.unsettled_bytes || verify.result.done_bytes != DISK_BYTES)
		fail(t, "%" PRIu64 " bytes are left out", verify.result.unsettled_bytes);
	t->n_compared++;
}

/* The guest works on, on some sectors so fast that they are never still. */
static void rotten_schedule(struct test *t)
{
	const unsigned n = 1 + (unsigned)below(t, 16);

	t->n_written = below(t, 2) ? 8 : N_SECTORS / 2;
	t->is_calm = true;
	if (!start(t, 1))
		return;
	for (unsigned i = 0; i < 20000 && !is_settled(t) && !t->failure[0]; i++)
		step(t, i < 20);
	gn_vmirror_release(t->mirror);
	t->holds = false;
	for (unsigned round = 0; round < 2 && !t->failure[0]; round++) {
		unsigned first = N_SECTORS / 2 + (unsigned)below(t, N_SECTORS / 2 - n);
		struct gn_vmirror_verify_status verify;

		await_comparison(t, &verify); /* one may be under way */
		for (unsigned i = first; i < first + n; i++)
			rot(t, i);
		compare_rotten(t, first, n);
	}
	if (!t->failure[0])
		settle(t);
}

struct totals {
	uint64_t ends, snapshots, in_step, points, compared;
};

static bool run_rotten(uint64_t seed, bool trace, struct totals *totals)
{
	struct test *t = malloc(sizeof *t);
	bool passed;

	if (!t)
		abort();
	init(t, seed, trace);
	rotten_schedule(t);
	passed = !t->failure[0];
	if (!passed)
		printf("# --rot --seed %" PRIu64 ": %s\n", seed, t->failure);
	totals->compared += t->n_compared;
	fini(t);
	free(t);
	return passed;
}

static bool run_one(uint64_t seed, uint64_t stop, bool power, bool trace, struct totals *totals,
                    bool *was_stopped)
{
	struct test *t = malloc(sizeof *t);
	bool passed;

	if (!t)
		abort();
	init(t, seed, trace);
	if (stop) /* half of the seeds in each mode */
		t->mode = seed % 2 ? GN_VMIRROR_ASYNC : GN_VMIRROR_IN_STEP;
	if (stop)
		*was_stopped = stopped_schedule(t, stop, power);
	else
		random_schedule(t);
	passed = !t->failure[0];
	if (!passed && stop)
		printf("# --seed %" PRIu64 " --stop %" PRIu64 "%s: %s\n", seed, stop,
		       power ? "" : " --kill", t->failure);
	else if (!passed)
		printf("# --seed %" PRIu64 ": %s\n", seed, t->failure);
	totals->ends += t->n_ends;
	totals->snapshots += t->n_snapshots;
	totals->in_step += t->n_in_step;
	totals->points += t->n_points;
	totals->compared += t->n_compared;
	fini(t);
	free(t);
	return passed;
}

static unsigned run_stops(uint64_t seed, bool power, struct totals *totals)
{
	unsigned failures = 0;
	bool was_stopped = true;

	for (uint64_t stop = 1; was_stopped && failures < 5; stop++)
		failures += !run_one(seed, stop, power, false, totals, &was_stopped);
	return failures;
}

static int report(unsigned number, bool passed, const char *name, const struct totals *totals)
{
	printf("%s %u - %s\n# %" PRIu64 " ends, %" PRIu64 " snapshots, %" PRIu64
	       " writes acknowledged in step, %" PRIu64 " points held, %" PRIu64 " comparisons\n",
	       passed ? "ok" : "not ok", number, name, totals->ends, totals->snapshots,
	       totals->in_step, totals->points, totals->compared);
	fflush(stdout);
	return !passed;
}

static int run_all(unsigned n_seeds)
{
	struct totals random = {0}, cuts = {0}, kills = {0}, rots = {0};
	unsigned failures = 0;
	bool unused;
	int result;

	printf("TAP version 13\n1..4\n");
	for (uint64_t seed = 1; seed <= n_seeds && failures < 5; seed++)
		failures += !run_one(seed, 0, false, false, &random, &unused);
	result = report(1,
	                !failures && random.ends && random.snapshots && random.in_step &&
	                        random.compared,
	                "random schedules", &random);
	failures = run_stops(1, true, &cuts) + run_stops(2, true, &cuts);
	result |= report(2, !failures && cuts.snapshots && cuts.in_step,
	                 "power cut at every persistent step", &cuts);
	failures = run_stops(1, false, &kills) + run_stops(2, false, &kills);
	result |= report(3, !failures && kills.snapshots && kills.in_step,
	                 "kill at every persistent step", &kills);
	failures = 0;
	for (uint64_t seed = 1; seed <= n_seeds / 4 && failures < 5; seed++)
		failures += !run_rotten(seed, false, &rots);
	result |= report(4, !failures, "what rots in the shadow is found and repaired", &rots);
	return result;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"seed", required_argument, NULL, 's'},  {"stop", required_argument, NULL, 'p'},
	        {"seeds", required_argument, NULL, 'n'}, {"kill", no_argument, NULL, 'k'},
	        {"rot", no_argument, NULL, 'r'},         {NULL, 0, NULL, 0}};
	uint64_t seed = NO_SEED, stop = 0;
	unsigned n_seeds = 1000;
	struct totals totals = {0};
	bool power = true, rots = false, was_stopped;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (option == 'p')
			stop = strtoull(optarg, NULL, 10);
		else if (option == 'n')
			n_seeds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'k')
			power = false;
		else if (option == 'r')
			rots = true;
		else
			return 2;
	}
	if (seed == NO_SEED)
		return run_all(n_seeds);
	if (rots)
		return !run_rotten(seed, true, &totals);
	return !run_one(seed, stop, power, true, &totals, &was_stopped);
}
