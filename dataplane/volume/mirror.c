/* mirror.c - a mirrored volume's front: requests, their order, the phases. See mirror.h for what
 * is promised and mirror_internal.h for who does what. */
#include "dataplane/volume/mirror_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DEFAULT_RAM_BYTES   (32u << 20)
#define DEFAULT_PATIENCE_US 5000000u
#define DEFAULT_RETRY_US    2000000u
#define DEFAULT_SWEEP_US    5000000u

/* ---- lists ------------------------------------------------------------------- */

static void list_init(struct op_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void push(struct op_list *list, struct op *op)
{
	op->next = NULL;
	*list->end = op;
	list->end = &op->next;
}

static struct op *pop(struct op_list *list)
{
	struct op *op = list->first;

	list->first = op->next;
	if (!list->first)
		list->end = &list->first;
	return op;
}

static void free_op(struct op *op)
{
	struct gn_vmirror *m = op->mirror;

	op->next = m->free_ops;
	m->free_ops = op;
	m->volume.n_in_flight--;
}

static void answer(struct op *op)
{
	struct gn_volume_request *guest = op->guest;

	op->guest = NULL;
	guest->done(guest, op->error);
}

/* ---- phases ------------------------------------------------------------------ */

uint64_t gn_vmirror_ram_floor(const struct gn_vmirror *m)
{
	uint64_t floor = m->journal.head;

	for (const struct op *op = m->active.first; op; op = op->next) {
		if (!op->epoch)
			continue;
		floor = op->begin;
		break;
	}
	for (unsigned i = 0; i < N_APPLIES; i++)
		if (m->applies[i].busy && m->applies[i].from_ram && m->applies[i].begin < floor)
			floor = m->applies[i].begin;
	return floor;
}

static void copy_nothing(struct gn_vmirror *m)
{
	m->n_to_copy = 0;
	memset(m->to_copy, 0, GN_BITMAP_WORDS(m->bitmap.n) * sizeof *m->to_copy);
}

/* All that may differ is to be copied. */
static void copy_dirty(struct gn_vmirror *m)
{
	copy_nothing(m);
	for (uint32_t i = 0; i < m->bitmap.n; i++)
		if (gn_bitmap_get(&m->bitmap, i))
			gn_vmirror_mark_copy(m, i, i + 1);
	m->copied_bytes = 0;
	m->copy_start_us = m->now_us;
	m->n_resyncs++;
}

/* The journal of a catch-up is given up: what it holds is copied instead. */
static void copy_journaled(struct gn_vmirror *m)
{
	for (uint32_t i = 0; i < m->bitmap.n; i++)
		if (m->last_position[i] > m->armed)
			gn_vmirror_mark_copy(m, i, i + 1);
}

static void want_super(struct gn_vmirror *m)
{
	m->super_wanted = true;
}

static void arm(struct gn_vmirror *m)
{
	gn_journal_restart(&m->journal, m->journal.epoch + 1, m->journal.head);
	m->armed = m->apply_next = m->journal.head;
	m->apply_sequence = m->flushed_sequence = 0;
	m->apply_in_request = false;
	m->apply_end = UINT64_MAX;
	want_super(m);
}

static void enter(struct gn_vmirror *m, enum gn_replica_phase from)
{
	switch (m->phase) {
	case GN_REPLICA_MARKING:
		if (from == GN_REPLICA_SNAPSHOT)
			m->point = GN_JOURNAL_POINT_SNAPSHOT;
		want_super(m);
		break;
	case GN_REPLICA_COPYING:
		if (gn_replica_journals(from))
			copy_journaled(m);
		else if (from != GN_REPLICA_HALTED)
			copy_dirty(m);
		m->copy_granted = 2 * m->n_to_copy + 16;
		break;
	case GN_REPLICA_HALTED:
		if (gn_replica_journals(from))
			copy_journaled(m);
		break;
	case GN_REPLICA_RESUMING:
		copy_nothing(m);
		arm(m);
		break;
	case GN_REPLICA_ARMING:
		arm(m);
		break;
	case GN_REPLICA_CATCHING_UP:
		m->apply_end = UINT64_MAX; /* whatever failed while nothing was journaled */
		break;
	case GN_REPLICA_LEVELLING:
		m->level = m->journal.head;
		m->level_flushed = false;
		break;
	case GN_REPLICA_SETTLING:
		m->point = GN_JOURNAL_POINT_SHADOW;
		m->point_wall_us = m->config.wall_us(m->config.clock);
		want_super(m);
		break;
	case GN_REPLICA_LIVE:
		if (from == GN_REPLICA_SETTLING)
			m->config.snapshots.drop(m->config.snapshots.context);
		m->apply_end = UINT64_MAX;
		m->reason = GN_REPLICA_FINE;
		m->error = 0;
		break;
	case GN_REPLICA_LOADING:
	case GN_REPLICA_RETRYING:
	case GN_REPLICA_BROKEN:
	case GN_REPLICA_DRAINING:
	case GN_REPLICA_SNAPSHOT:
	case GN_REPLICA_LOST:
	case GN_REPLICA_FENCED:
	case GN_REPLICA_N_PHASES:
		break;
	}
}

void gn_vmirror_event(struct gn_vmirror *m, enum gn_replica_event event)
{
	enum gn_replica_phase from = m->phase;

	m->phase = gn_replica_step(from, event);
	if (m->phase != from)
		enter(m, from);
}

void gn_vmirror_gap(struct gn_vmirror *m, enum gn_replica_reason reason)
{
	if (!gn_replica_journals(m->phase))
		return;
	if (m->reason == GN_REPLICA_FINE || reason != GN_REPLICA_JOURNAL_FULL)
		m->reason = reason;
	gn_vmirror_event(m, GN_REPLICA_GAP);
}

void gn_vmirror_journal_failed(struct gn_vmirror *m, int error)
{
	m->error = error;
	m->journal_failed = true;
	m->journal_retry_us = m->now_us + m->config.retry_us;
	if (m->apply_end > m->journal.durable)
		m->apply_end = m->journal.durable;
	gn_vmirror_gap(m, GN_REPLICA_JOURNAL);
}

/* ---- into the journal -------------------------------------------------------- */

static uint32_t journal_op(enum gn_volume_op op)
{
	switch (op) {
	case GN_VOLUME_DISCARD:
		return GN_JOURNAL_DISCARD;
	case GN_VOLUME_WRITE_ZEROES:
		return GN_JOURNAL_ZEROES;
	case GN_VOLUME_WRITE_ZEROES_UNMAP:
		return GN_JOURNAL_ZEROES_UNMAP;
	case GN_VOLUME_READ:
	case GN_VOLUME_WRITE:
	case GN_VOLUME_FLUSH:
		break;
	}
	return GN_JOURNAL_WRITE;
}

static struct gn_journal_record *new_record(struct gn_vmirror *m, uint32_t op, uint64_t offset,
                                            uint64_t length)
{
	struct gn_journal *journal = &m->journal;
	struct gn_journal_record *record =
	        (struct gn_journal_record *)(m->ram + journal->head % journal->ram_bytes);

	memset(record, 0, sizeof *record);
	record->epoch = journal->epoch;
	record->position = journal->head;
	record->sequence = journal->sequence++;
	record->op = op;
	record->offset_bytes = offset;
	record->length_bytes = length;
	journal->head += gn_journal_record_size(record);
	return record;
}

static void pad_for(struct gn_vmirror *m, uint64_t payload)
{
	uint64_t left = m->journal.ram_bytes - m->journal.head % m->journal.ram_bytes;

	if (left < GN_JOURNAL_SECTOR + payload)
		gn_journal_seal(new_record(m, GN_JOURNAL_PAD, 0, left), NULL);
}

struct reader {
	const struct iovec *iov;
	size_t skip;
};

static void gather(struct reader *reader, uint8_t *to, uint64_t size)
{
	while (size) {
		size_t n = reader->iov->iov_len - reader->skip;

		if (n > size)
			n = (size_t)size;
		memcpy(to, (const uint8_t *)reader->iov->iov_base + reader->skip, n);
		to += n;
		size -= n;
		reader->skip += n;
		if (reader->skip == reader->iov->iov_len) {
			reader->iov++;
			reader->skip = 0;
		}
	}
}

static void append(struct gn_vmirror *m, struct op *op)
{
	struct reader reader = {op->guest->iov, 0};
	bool has_payload = op->io.op == GN_VOLUME_WRITE;
	uint64_t max = gn_journal_max_payload(&m->journal);
	uint64_t offset = op->io.offset_bytes, left = op->io.length_bytes;

	op->begin = m->journal.head;
	op->epoch = m->journal.epoch;
	op->n_pieces = 0;
	do {
		uint64_t size = has_payload && left > max ? max : left;
		struct gn_journal_record *record;
		struct iovec *piece = &op->pieces[op->n_pieces++];

		pad_for(m, has_payload ? size : 0);
		record = new_record(m, journal_op(op->io.op), offset, size);
		*piece = (struct iovec){record + 1, has_payload ? size : 0};
		gather(&reader, piece->iov_base, piece->iov_len);
		offset += size;
		left -= size;
		record->flags = left ? GN_JOURNAL_MORE : 0;
	} while (left);
	op->end = m->journal.head;
	if (has_payload) {
		op->io.iov = op->pieces;
		op->io.n_iov = op->n_pieces;
	}
	gn_lag_add(&m->lag, op->begin, m->now_us);
}

static void seal(struct op *op)
{
	for (unsigned i = 0; i < op->n_pieces; i++) {
		struct iovec *piece = &op->pieces[i];
		struct gn_journal_record *record = (struct gn_journal_record *)piece->iov_base - 1;

		if (op->error)
			record->op = piece->iov_len ? GN_JOURNAL_SKIP : GN_JOURNAL_PAD;
		if (op->error && !piece->iov_len)
			record->length_bytes = GN_JOURNAL_SECTOR;
		gn_journal_seal(record, piece->iov_len ? piece->iov_base : NULL);
	}
}

/* ---- completions of the primary ---------------------------------------------- */

static bool waits_for_shadow(const struct gn_vmirror *m, const struct op *op)
{
	return m->config.mode == GN_VMIRROR_IN_STEP && op->epoch == m->journal.epoch &&
	       !op->error && (m->phase == GN_REPLICA_LIVE || m->phase == GN_REPLICA_SETTLING) &&
	       m->journal.applied < op->end;
}

static void retire(struct gn_vmirror *m)
{
	while (m->active.first && m->active.first->done) {
		struct op *op = pop(&m->active);

		if (op->epoch && op->epoch == m->journal.epoch)
			m->journal.ready = op->end;
		if (op->guest)
			push(&m->in_step, op);
		else
			free_op(op);
	}
}

static void note_change(struct gn_vmirror *m, struct op *op)
{
	uint32_t first, end;

	/* What the journal does not bring to the shadow has to be copied (again). */
	if (op->epoch && op->epoch == m->journal.epoch && gn_replica_journals(m->phase))
		return;
	gn_bitmap_range(&m->bitmap, op->io.offset_bytes, op->io.length_bytes, &first, &end);
	gn_vmirror_mark_copy(m, first, end);
}

static void on_changed(struct gn_volume_request *io, int error)
{
	struct op *op = (struct op *)io;
	struct gn_vmirror *m = op->mirror;

	op->done = true;
	op->error = error;
	if (op->epoch)
		seal(op);
	else
		m->n_loose--;
	if (error && error != -EOPNOTSUPP && op->epoch)
		gn_vmirror_gap(m, GN_REPLICA_PRIMARY);
	note_change(m, op);
	if (!waits_for_shadow(m, op))
		answer(op);
	retire(m);
}

static void on_done(struct gn_volume_request *io, int error)
{
	struct op *op = (struct op *)io;

	op->error = error;
	answer(op);
	free_op(op);
}

/* Answers what the shadow has, or what shall not wait for it any more. */
static void answer_in_step(struct gn_vmirror *m)
{
	while (m->in_step.first && !waits_for_shadow(m, m->in_step.first)) {
		struct op *op = pop(&m->in_step);

		answer(op);
		free_op(op);
	}
}

/* ---- starting requests ------------------------------------------------------- */

static bool overlaps_active(const struct gn_vmirror *m, const struct op *op)
{
	uint64_t end = op->io.offset_bytes + op->io.length_bytes;

	for (const struct op *other = m->active.first; other; other = other->next)
		if (!other->done && other->io.offset_bytes < end &&
		    op->io.offset_bytes < other->io.offset_bytes + other->io.length_bytes)
			return true;
	return false;
}

static bool is_patient(const struct gn_vmirror *m, const struct op *op)
{
	return m->now_us - op->since_us < m->config.patience_us;
}

/* Whether its dirty bits are where they must be. Waiting ends when the store has failed. */
static bool is_noted(struct gn_vmirror *m, const struct op *op)
{
	uint32_t first, end;

	if (((m->phase == GN_REPLICA_LOADING && !m->untracked) ||
	     m->phase == GN_REPLICA_RESUMING) &&
	    is_patient(m, op))
		return false;
	if (m->phase == GN_REPLICA_LOADING || m->phase == GN_REPLICA_LOST ||
	    m->phase == GN_REPLICA_FENCED) {
		m->untracked = true;
		return true;
	}
	gn_bitmap_range(&m->bitmap, op->io.offset_bytes, op->io.length_bytes, &first, &end);
	/* Again: it may have been swept while it waited. */
	gn_bitmap_set(&m->bitmap, first, end);
	if (gn_bitmap_is_durable(&m->bitmap, first, end))
		return true;
	if (!m->journal_failed && is_patient(m, op))
		return false;
	m->untracked = true;
	return true;
}

/* Puts it into the journal when that is where writes go. False: wait. */
static bool journal(struct gn_vmirror *m, struct op *op)
{
	uint32_t first, end;

	op->epoch = 0;
	if (!gn_replica_journals(m->phase))
		return true;
	if (!gn_journal_fits(&m->journal, op->io.op == GN_VOLUME_WRITE ? op->io.length_bytes : 0,
	                     gn_vmirror_ram_floor(m))) {
		if (m->config.mode == GN_VMIRROR_IN_STEP && m->phase == GN_REPLICA_LIVE &&
		    op->io.length_bytes <= m->journal.ram_bytes / 2 && is_patient(m, op))
			return false;
		gn_vmirror_gap(m, GN_REPLICA_JOURNAL_FULL);
		return true;
	}
	append(m, op);
	gn_bitmap_range(&m->bitmap, op->io.offset_bytes, op->io.length_bytes, &first, &end);
	for (uint32_t i = first; i < end; i++)
		m->last_position[i] = op->end;
	return true;
}

static bool may_start(struct gn_vmirror *m, const struct op *op)
{
	return !overlaps_active(m, op) && is_noted(m, op);
}

static void start_waiting(struct gn_vmirror *m)
{
	while (m->waiting.first) {
		struct op *op = m->waiting.first;
		struct gn_volume_request *io = &op->io;

		if (m->primary->n_in_flight >= m->primary->depth || !may_start(m, op) ||
		    !journal(m, op))
			return;
		pop(&m->waiting);
		op->done = false;
		push(&m->active, op);
		if (!op->epoch) {
			m->n_loose++;
			gn_lag_add(&m->lag, m->journal.head, m->now_us);
		}
		if (gn_volume_submit(m->primary, &io, 1) != 1)
			on_changed(io, -EIO); /* cannot be: there was room */
	}
}

static bool changes(enum gn_volume_op op)
{
	return op != GN_VOLUME_READ && op != GN_VOLUME_FLUSH;
}

static void take(struct gn_vmirror *m, struct gn_volume_request *guest)
{
	struct op *op = m->free_ops;
	struct gn_volume_request *io = &op->io;

	m->free_ops = op->next;
	m->volume.n_in_flight++;
	op->guest = guest;
	op->epoch = 0;
	op->since_us = m->now_us;
	*io = (struct gn_volume_request){
	        .op = guest->op,
	        .offset_bytes = guest->offset_bytes,
	        .length_bytes = guest->length_bytes,
	        .iov = guest->iov,
	        .n_iov = guest->n_iov,
	        .done = on_done,
	};
	if (!changes(guest->op) || !guest->length_bytes) {
		if (gn_volume_submit(m->primary, &io, 1) == 1)
			return;
		op->error = -EIO; /* cannot be: the primary is as deep as we and the copies */
		push(&m->finished, op);
		return;
	}
	io->done = on_changed;
	if (m->phase != GN_REPLICA_LOST && m->phase != GN_REPLICA_FENCED &&
	    m->phase != GN_REPLICA_LOADING) {
		uint32_t first, end;

		gn_bitmap_range(&m->bitmap, io->offset_bytes, io->length_bytes, &first, &end);
		gn_bitmap_set(&m->bitmap, first, end);
	}
	push(&m->waiting, op);
}

static struct gn_vmirror *to_mirror(struct gn_volume *volume)
{
	return (struct gn_vmirror *)volume;
}

static unsigned mirror_submit(struct gn_volume *volume, struct gn_volume_request **requests,
                              unsigned n)
{
	struct gn_vmirror *m = to_mirror(volume);
	unsigned i;

	for (i = 0; i < n && volume->n_in_flight < volume->depth; i++)
		take(m, requests[i]);
	start_waiting(m);
	return i;
}

/* ---- time -------------------------------------------------------------------- */

static void retry(struct gn_vmirror *m)
{
	bool waits = m->phase == GN_REPLICA_LOST || m->phase == GN_REPLICA_RETRYING ||
	             m->phase == GN_REPLICA_BROKEN || m->phase == GN_REPLICA_HALTED;

	if (!waits || m->now_us < m->retry_at_us || !gn_vmirror_shadow_is_quiet(m))
		return;
	if (m->phase == GN_REPLICA_RETRYING || m->phase == GN_REPLICA_BROKEN) {
		if (m->apply_next > m->applied_before)
			m->applied_before = m->apply_next;
		m->apply_next = m->journal.applied = m->journal.flushed;
		m->apply_sequence = m->flushed_sequence;
	}
	gn_vmirror_event(m, GN_REPLICA_RETRY);
}

static void take_snapshot(struct gn_vmirror *m)
{
	struct gn_vmirror_snapshots *snapshots = &m->config.snapshots;
	int result = 0;

	if (m->phase != GN_REPLICA_SNAPSHOT || m->now_us < m->retry_at_us)
		return;
	if (!m->snapshot_runs)
		result = snapshots->start(snapshots->context);
	if (!result) {
		m->snapshot_runs = true;
		result = snapshots->poll(snapshots->context);
	}
	if (!result)
		return;
	m->snapshot_runs = false;
	if (result > 0) {
		gn_vmirror_event(m, GN_REPLICA_SNAPSHOT_TAKEN);
		return;
	}
	m->reason = GN_REPLICA_SNAPSHOTS;
	m->error = result;
	m->retry_at_us = m->now_us + m->config.retry_us;
}

/* The journal has ended and is applied. */
static void finish_draining(struct gn_vmirror *m)
{
	uint64_t end = m->apply_end < m->journal.head ? m->apply_end : m->journal.head;

	if (m->phase != GN_REPLICA_DRAINING || m->journal.flushed < end ||
	    !gn_vmirror_shadow_is_quiet(m))
		return;
	/* Writes that are neither durable in the bitmap nor done will be. */
	if (!m->bitmap.n_set && !m->active.first && !m->untracked && !m->journal_failed)
		gn_vmirror_event(m, GN_REPLICA_DRAINED_CLEAN);
	else
		gn_vmirror_event(m, GN_REPLICA_DRAINED);
}

static void keep_time(struct gn_vmirror *m)
{
	m->now_us = m->config.mono_us(m->config.clock);
	retry(m);
	finish_draining(m);
	take_snapshot(m);
	if (m->phase == GN_REPLICA_LEVELLING && m->level_flushed)
		gn_vmirror_event(m, GN_REPLICA_LEVEL);
	if (m->phase == GN_REPLICA_LIVE || m->phase == GN_REPLICA_SETTLING) {
		gn_lag_applied(&m->lag, m->journal.applied);
		if (m->journal.applied == m->journal.head && !m->n_loose)
			gn_lag_clear(&m->lag);
	}
}

static unsigned mirror_poll(struct gn_volume *volume)
{
	struct gn_vmirror *m = to_mirror(volume);
	unsigned work;

	keep_time(m);
	if (m->phase == GN_REPLICA_LOADING)
		gn_vmirror_load(m);
	while (m->finished.first) {
		struct op *op = pop(&m->finished);

		answer(op);
		free_op(op);
	}
	start_waiting(m);
	gn_vmirror_apply(m);
	gn_vmirror_copy(m);
	gn_vmirror_sweep(m);
	gn_vmirror_commit(m);
	work = gn_volume_poll(m->primary);
	work += gn_volume_poll(m->store);
	work += gn_volume_poll(m->shadow);
	answer_in_step(m);
	return work;
}

static bool arm_store(struct gn_volume *store)
{
	return !store->ops->arm || store->ops->arm(store);
}

static void disarm_store(struct gn_volume *store)
{
	if (store->ops->disarm)
		store->ops->disarm(store);
}

static bool mirror_arm(struct gn_volume *volume)
{
	struct gn_vmirror *m = to_mirror(volume);

	/* Nothing is in flight to wake us for what could be started now. */
	if (m->finished.first || (m->waiting.first && !m->active.first && !m->cycle.is_running))
		return false;
	return arm_store(m->primary) && arm_store(m->shadow) && arm_store(m->store);
}

static void mirror_disarm(struct gn_volume *volume)
{
	struct gn_vmirror *m = to_mirror(volume);

	disarm_store(m->primary);
	disarm_store(m->shadow);
	disarm_store(m->store);
}

/* ---- create, destroy --------------------------------------------------------- */

static void free_mirror(struct gn_vmirror *m)
{
	if (m->volume.event_fd >= 0)
		close(m->volume.event_fd);
	free(m->ops);
	free(m->ram);
	free(m->last_position);
	free(m->bitmap.bits);
	free(m->bitmap.durable);
	free(m->cycle.sectors);
	free(m->cycle.super);
	free(m->meta);
	free(m->spill);
	free(m->to_copy);
	free(m->copy_memory);
	free(m);
}

struct gn_volume *gn_vmirror_detach(struct gn_vmirror *m)
{
	struct gn_volume *primary = m->primary;

	gn_volume_destroy(m->shadow);
	gn_volume_destroy(m->store);
	free_mirror(m);
	return primary;
}

static void mirror_destroy(struct gn_volume *volume)
{
	gn_volume_destroy(gn_vmirror_detach(to_mirror(volume)));
}

static const struct gn_volume_ops mirror_ops = {
        .submit = mirror_submit,
        .poll = mirror_poll,
        .arm = mirror_arm,
        .disarm = mirror_disarm,
        .destroy = mirror_destroy,
};

static int check(const struct gn_vmirror_config *config, struct gn_status *status)
{
	if (config->ram_bytes % GN_VMIRROR_MIN_RAM_BYTES ||
	    config->ram_bytes < GN_VMIRROR_MIN_RAM_BYTES ||
	    config->ram_bytes > GN_VMIRROR_MAX_RAM_BYTES)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a journal with %llu bytes of RAM; choose 64 KiB to 64 MiB, a "
		                     "multiple of 64 KiB",
		                     (unsigned long long)config->ram_bytes);
	if (config->shadow->size_bytes < config->primary->size_bytes || config->shadow->read_only)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the shadow has %llu bytes, the volume %llu; make the "
		                     "shadow as large, and writable",
		                     (unsigned long long)config->shadow->size_bytes,
		                     (unsigned long long)config->primary->size_bytes);
	if (config->journal->size_bytes < GN_VMIRROR_META_BYTES + 2 * config->ram_bytes ||
	    config->journal->block_bytes != GN_JOURNAL_SECTOR)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the journal has %llu bytes in blocks of %u; it needs %llu in "
		        "blocks of 512",
		        (unsigned long long)config->journal->size_bytes,
		        config->journal->block_bytes,
		        (unsigned long long)(GN_VMIRROR_META_BYTES + 2 * config->ram_bytes));
	if (config->shadow->block_bytes > config->primary->block_bytes)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the shadow has blocks of %u, the volume of %u bytes; put "
		                     "the shadow on a store with smaller ones",
		                     config->shadow->block_bytes, config->primary->block_bytes);
	return 0;
}

static void *aligned(size_t size)
{
	void *memory;

	if (posix_memalign(&memory, 4096, size) != 0)
		return NULL;
	return memset(memory, 0, size);
}

static bool allocate(struct gn_vmirror *m)
{
	uint64_t size = m->config.primary->size_bytes;
	uint32_t n = (uint32_t)((size + m->config.granule_bytes - 1) / m->config.granule_bytes);
	uint64_t *bits = calloc(GN_BITMAP_WORDS(n), sizeof *bits);
	uint64_t *durable = calloc(GN_BITMAP_WORDS(n), sizeof *durable);

	m->journal.ram_bytes = m->config.ram_bytes;
	m->spill_size = gn_journal_max_payload(&m->journal) + GN_JOURNAL_SECTOR;
	m->copy_size = m->config.granule_bytes < COPY_BYTES ? m->config.granule_bytes : COPY_BYTES;
	m->bitmap.bits = bits;
	m->bitmap.durable = durable;
	m->ops = calloc(m->volume.depth, sizeof *m->ops);
	m->ram = aligned(m->config.ram_bytes);
	m->last_position = calloc(n, sizeof *m->last_position);
	m->cycle.sectors = aligned(GN_BITMAP_MAX_SECTORS * sizeof *m->cycle.sectors);
	m->cycle.super = aligned(sizeof *m->cycle.super);
	m->meta = aligned(GN_VMIRROR_META_BYTES);
	m->spill = aligned(m->spill_size);
	m->to_copy = calloc(GN_BITMAP_WORDS(n), sizeof *m->to_copy);
	m->copy_memory = aligned(N_COPIES * m->copy_size);
	if (!bits || !durable || !m->ops || !m->ram || !m->last_position || !m->cycle.sectors ||
	    !m->cycle.super || !m->meta || !m->spill || !m->to_copy || !m->copy_memory)
		return false;
	gn_bitmap_init(&m->bitmap, bits, durable, size, m->config.granule_bytes);
	return true;
}

static void set_up(struct gn_vmirror *m)
{
	const struct gn_vmirror_config *config = &m->config;
	uint64_t ring = config->journal->size_bytes - GN_VMIRROR_META_BYTES;

	list_init(&m->waiting);
	list_init(&m->active);
	list_init(&m->in_step);
	list_init(&m->finished);
	for (unsigned i = 0; i < m->volume.depth; i++) {
		m->ops[i].mirror = m;
		m->ops[i].next = m->free_ops;
		m->free_ops = &m->ops[i];
	}
	for (unsigned i = 0; i < N_APPLIES; i++)
		m->applies[i].mirror = m;
	for (unsigned i = 0; i < N_COPIES; i++) {
		m->copies[i].mirror = m;
		m->copies[i].iov.iov_base = m->copy_memory + i * m->copy_size;
	}
	m->primary = config->primary;
	m->shadow = config->shadow;
	m->store = config->journal;
	m->ring_offset = GN_VMIRROR_META_BYTES;
	m->journal.ring_bytes = ring - ring % config->ram_bytes;
	m->apply_end = UINT64_MAX;
	m->shadow_us = m->flush_us = m->copy_budget_us = config->mono_us(config->clock);
	m->reason = GN_REPLICA_RESTARTED;
	m->now_us = m->swept_us = config->mono_us(config->clock);
}

/* One descriptor that is readable when any of the three is. */
static int join_events(struct gn_vmirror *m)
{
	struct gn_volume *stores[] = {m->primary, m->shadow, m->store};
	struct epoll_event event = {.events = EPOLLIN};

	m->volume.event_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->volume.event_fd < 0)
		return -errno;
	for (unsigned i = 0; i < 3; i++)
		if (stores[i]->event_fd >= 0 &&
		    epoll_ctl(m->volume.event_fd, EPOLL_CTL_ADD, stores[i]->event_fd, &event) != 0)
			return -errno;
	return 0;
}

static void set_defaults(struct gn_vmirror_config *config)
{
	if (!config->ram_bytes)
		config->ram_bytes = DEFAULT_RAM_BYTES;
	if (!config->granule_bytes)
		config->granule_bytes = gn_bitmap_granule(config->primary->size_bytes);
	if (!config->patience_us)
		config->patience_us = DEFAULT_PATIENCE_US;
	if (!config->retry_us)
		config->retry_us = DEFAULT_RETRY_US;
	if (!config->sweep_us)
		config->sweep_us = DEFAULT_SWEEP_US;
}

int gn_vmirror_create(const struct gn_vmirror_config *config, struct gn_vmirror **out,
                      struct gn_status *status)
{
	struct gn_vmirror *m = calloc(1, sizeof *m);
	int err;

	if (!m)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a mirror");
	m->config = *config;
	m->volume = *config->primary;
	m->volume.ops = &mirror_ops;
	m->volume.event_fd = -1;
	m->volume.n_in_flight = 0;
	/* The copies have their place in the primary's queue. */
	m->volume.depth = config->primary->depth - N_COPIES;
	set_defaults(&m->config);
	err = config->primary->depth > 2 * N_COPIES
	              ? check(&m->config, status)
	              : gn_status_set(status, GN_INVALID_ARGUMENT, "a depth of %u is too small",
	                              config->primary->depth);
	if (!err && !allocate(m))
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a mirror");
	if (!err) {
		set_up(m);
		err = join_events(m);
	}
	if (err) {
		free_mirror(m);
		return err;
	}
	*out = m;
	return 0;
}

struct gn_volume *gn_vmirror_volume(struct gn_vmirror *mirror)
{
	return &mirror->volume;
}

struct gn_volume *gn_vmirror_primary(struct gn_vmirror *mirror)
{
	return mirror->primary;
}

void gn_vmirror_set_mode(struct gn_vmirror *mirror, enum gn_vmirror_mode mode,
                         uint64_t resync_bytes_per_s)
{
	mirror->config.mode = mode;
	mirror->config.resync_bytes_per_s = resync_bytes_per_s;
}

void gn_vmirror_stop(struct gn_vmirror *mirror, bool hurry)
{
	mirror->stops = true;
	mirror->hurries = hurry;
}

void gn_vmirror_hold(struct gn_vmirror *mirror)
{
	mirror->holds = true;
}

void gn_vmirror_release(struct gn_vmirror *mirror)
{
	mirror->holds = false;
}

enum gn_vmirror_hold gn_vmirror_held(const struct gn_vmirror *m, uint64_t *wall_us)
{
	if (m->phase == GN_REPLICA_LIVE) {
		if (m->n_applies || m->apply_in_request || m->journal.applied < m->applied_before)
			return GN_VMIRROR_HOLD_WAIT;
		*wall_us = m->config.wall_us(m->config.clock) - gn_lag_age_us(&m->lag, m->now_us);
		return GN_VMIRROR_HOLD_SHADOW;
	}
	if (m->has_super && m->super.point == GN_JOURNAL_POINT_SNAPSHOT) {
		*wall_us = m->point_wall_us;
		return GN_VMIRROR_HOLD_SNAPSHOT;
	}
	return GN_VMIRROR_HOLD_NONE;
}

void gn_vmirror_abandon(struct gn_vmirror *mirror)
{
	gn_vmirror_event(mirror, GN_REPLICA_ABANDONED);
	gn_vmirror_stop(mirror, true);
}

static bool is_clean(const struct gn_vmirror *m)
{
	return !m->bitmap.n_set && m->journal.tail == m->journal.head && !m->super_wanted;
}

bool gn_vmirror_is_idle(const struct gn_vmirror *m)
{
	bool quiet = gn_vmirror_shadow_is_quiet(m) && !m->cycle.is_running && !m->load_busy &&
	             !m->spill_busy && !m->snapshot_runs && !m->sweep_busy;

	return quiet && m->stops && (m->hurries || m->phase != GN_REPLICA_LIVE || is_clean(m));
}

void gn_vmirror_get_status(const struct gn_vmirror *m, struct gn_vmirror_status *out)
{
	uint64_t elapsed = m->now_us - m->copy_start_us;
	uint64_t granule = m->bitmap.granule_bytes;
	bool is_prefix = m->phase == GN_REPLICA_LIVE || m->phase == GN_REPLICA_RETRYING ||
	                 m->phase == GN_REPLICA_SETTLING;

	*out = (struct gn_vmirror_status){
	        .mode = m->config.mode,
	        .phase = m->phase,
	        .state = gn_replica_state(m->phase),
	        .reason = m->phase == GN_REPLICA_LIVE ? GN_REPLICA_FINE : m->reason,
	        .error = m->error,
	        .lag_bytes = is_prefix ? m->journal.head - m->journal.applied
	                               : (uint64_t)m->bitmap.n_set * granule,
	        .lag_writes = gn_lag_writes(&m->lag),
	        .lag_us = gn_lag_age_us(&m->lag, m->now_us),
	        .journal_bytes = m->journal.head - m->journal.tail,
	        .journal_size_bytes = m->journal.ring_bytes,
	        .dirty_bytes = (uint64_t)m->bitmap.n_set * granule,
	        .point_wall_us = m->point_wall_us,
	        .tracked = !m->untracked && m->phase != GN_REPLICA_LOST,
	        .writes_applied = m->writes_applied,
	        .bytes_applied = m->bytes_applied,
	        .n_resyncs = m->n_resyncs,
	};
	if (is_prefix)
		out->point_wall_us = m->config.wall_us(m->config.clock) - out->lag_us;
	if (out->state != GN_REPLICA_SYNCING && m->phase != GN_REPLICA_HALTED)
		return;
	out->resync_left_bytes = m->n_to_copy * granule;
	out->resync_done_bytes = m->copied_bytes;
	if (m->copied_bytes)
		out->resync_left_us = (uint64_t)((unsigned __int128)out->resync_left_bytes *
		                                 elapsed / m->copied_bytes);
}
