/* mirror_request.c - the guest's requests: into the journal in their order, to the primary, back.
 */
#include "dataplane/volume/mirror_internal.h"

#include <errno.h>
#include <string.h>

#define HICCUP_US 250000u /* longest that a write of mode async waits for room in the RAM */

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

	if (op->rewrites) {
		m->verify->is_rewriting = false;
		return;
	}
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

/* The oldest position that is still read from RAM. */
static uint64_t ram_floor(const struct gn_vmirror *m)
{
	uint64_t floor = m->journal.head;

	for (const struct op *op = m->active.first; op; op = op->next) {
		if (!op->epoch)
			continue;
		floor = op->begin;
		break;
	}
	if (m->ring_write.n_outstanding && m->ring_write.begin < floor)
		floor = m->ring_write.begin;
	for (unsigned i = 0; i < N_APPLIES; i++)
		if (m->applies[i].busy && m->applies[i].from_ram && m->applies[i].begin < floor)
			floor = m->applies[i].begin;
	return floor;
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

static bool has_payload(const struct op *op)
{
	return op->io.op == GN_VOLUME_WRITE || op->rewrites;
}

static void append(struct gn_vmirror *m, struct op *op)
{
	struct reader reader = {op->guest->iov, 0};
	bool payload = has_payload(op);
	uint64_t max = gn_journal_max_payload(&m->journal);
	uint64_t offset = op->io.offset_bytes, left = op->io.length_bytes;

	op->begin = m->journal.head;
	op->epoch = m->journal.epoch;
	op->n_pieces = 0;
	do {
		uint64_t size = payload && left > max ? max : left;
		struct gn_journal_record *record;
		struct iovec *piece = &op->pieces[op->n_pieces++];

		pad_for(m, payload ? size : 0);
		record = new_record(m, journal_op(op->io.op), offset, size);
		*piece = (struct iovec){record + 1, payload ? size : 0};
		if (!op->rewrites)
			gather(&reader, piece->iov_base, piece->iov_len);
		offset += size;
		left -= size;
		record->flags = left ? GN_JOURNAL_MORE : 0;
	} while (left);
	op->end = m->journal.head;
	if (payload) {
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
	if (error && error != -EOPNOTSUPP && op->epoch && !op->rewrites)
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
void gn_vmirror_answer_in_step(struct gn_vmirror *m)
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
	gn_vmirror_mark_dirty(m, &op->io);
	if (gn_bitmap_is_durable(&m->bitmap, first, end))
		return true;
	if (!m->journal_failed && is_patient(m, op))
		return false;
	m->untracked = true;
	return true;
}

/* A journal that is full is given up. In mode in_step not before the shadow had its time; and in
 * any while only the RAM is short, which a hiccup of the disks does, and a resynchronisation would
 * cost the VM more. */
static bool waits_for_room(const struct gn_vmirror *m, const struct op *op)
{
	if (op->io.length_bytes > m->journal.ram_bytes / 2)
		return false;
	if (m->config.mode == GN_VMIRROR_IN_STEP && m->phase == GN_REPLICA_LIVE)
		return is_patient(m, op);
	return gn_journal_has_room(&m->journal, has_payload(op) ? op->io.length_bytes : 0) &&
	       m->now_us - op->since_us < HICCUP_US;
}

/* Puts it into the journal when that is where writes go. False: wait. */
static bool journal(struct gn_vmirror *m, struct op *op)
{
	uint32_t first, end;

	op->epoch = 0;
	if (!gn_replica_journals(m->phase))
		return true;
	if (!gn_journal_fits(&m->journal, has_payload(op) ? op->io.length_bytes : 0,
	                     ram_floor(m))) {
		if (op->rewrites)
			return true; /* not at the cost of the VM's */
		if (waits_for_room(m, op))
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
	return !overlaps_active(m, op) && !gn_vmirror_verify_holds(m, op) && is_noted(m, op);
}

void gn_vmirror_start_waiting(struct gn_vmirror *m)
{
	while (m->waiting.first) {
		struct op *op = m->waiting.first;
		struct gn_volume_request *io = &op->io;

		if (m->primary->n_in_flight >= m->primary->depth || !may_start(m, op) ||
		    !journal(m, op))
			return;
		pop(&m->waiting);
		if (op->rewrites && !op->epoch) {
			op->error = -EAGAIN;
			push(&m->finished, op);
			continue;
		}
		gn_vmirror_verify_touch(m, io);
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

void gn_vmirror_take(struct gn_vmirror *m, struct gn_volume_request *guest)
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
	    m->phase != GN_REPLICA_LOADING)
		gn_vmirror_mark_dirty(m, io);
	push(&m->waiting, op);
}

void gn_vmirror_rewrite(struct gn_vmirror *m, struct op *op, struct gn_volume_request *guest)
{
	op->guest = guest;
	op->epoch = 0;
	op->since_us = m->now_us;
	op->io = *guest;
	op->io.done = on_changed;
	push(&m->waiting, op);
}

void gn_vmirror_answer_finished(struct gn_vmirror *m)
{
	while (m->finished.first) {
		struct op *op = pop(&m->finished);

		answer(op);
		free_op(op);
	}
}

void gn_vmirror_init_requests(struct gn_vmirror *m)
{
	list_init(&m->waiting);
	list_init(&m->active);
	list_init(&m->in_step);
	list_init(&m->finished);
	for (unsigned i = 0; i < m->volume.depth; i++) {
		m->ops[i].mirror = m;
		m->ops[i].next = m->free_ops;
		m->free_ops = &m->ops[i];
	}
}
