/* mirror_apply.c - everything that goes to the shadow: the journal's records in their order, copied
 * granules, flushes. */
#include "dataplane/volume/mirror_internal.h"

#include <errno.h>
#include <string.h>

#define FLUSH_US 1000000u /* longest between two flushes of the shadow while it is written */

bool gn_vmirror_shadow_is_quiet(const struct gn_vmirror *m)
{
	return !m->n_applies && !m->n_copies && !m->flush_busy && !m->spill_busy &&
	       !gn_vmirror_verify_is_busy(m);
}

void gn_vmirror_shadow_failed(struct gn_vmirror *m, int error)
{
	m->error = error;
	m->reason = m->shadow->is_unreachable ? GN_REPLICA_LINK : GN_REPLICA_SHADOW;
	m->retry_at_us = m->now_us + m->config.retry_us;
	gn_vmirror_event(m, GN_REPLICA_SHADOW_FAILED);
}

/* ---- the journal applied ----------------------------------------------------- */

static void note_applied(struct gn_vmirror *m)
{
	uint64_t applied = m->apply_next;

	if (!gn_replica_applies(m->phase))
		return;
	for (unsigned i = 0; i < N_APPLIES; i++)
		if (m->applies[i].busy && m->applies[i].begin < applied)
			applied = m->applies[i].begin;
	m->journal.applied = applied;
}

static uint64_t applied_sequence(const struct gn_vmirror *m)
{
	uint64_t sequence = m->apply_sequence;

	for (unsigned i = 0; i < N_APPLIES; i++)
		if (m->applies[i].busy && m->applies[i].sequence < sequence)
			sequence = m->applies[i].sequence;
	return sequence;
}

static void on_applied(struct gn_volume_request *io, int error)
{
	struct apply *apply = (struct apply *)io;
	struct gn_vmirror *m = apply->mirror;

	apply->busy = false;
	m->n_applies--;
	m->shadow_us = m->now_us;
	if (error) {
		gn_vmirror_shadow_failed(m, error);
		return;
	}
	m->writes_applied += apply->n_records;
	m->bytes_applied += apply->io.length_bytes;
	note_applied(m);
}

/* Held still, it goes on until it is a prefix again. */
static bool may_apply(const struct gn_vmirror *m)
{
	return gn_replica_applies(m->phase) && m->apply_next < m->journal.durable &&
	       m->apply_next < m->apply_end &&
	       (!m->holds || m->apply_next < m->applied_before || m->apply_in_request);
}

static enum gn_volume_op volume_op(const struct gn_journal_record *record)
{
	switch (record->op) {
	case GN_JOURNAL_DISCARD:
	case GN_JOURNAL_ZEROES_UNMAP:
		/* A discarded part reads as zeroes here, and may not be left undefined there. */
		return GN_VOLUME_WRITE_ZEROES_UNMAP;
	case GN_JOURNAL_ZEROES:
		return GN_VOLUME_WRITE_ZEROES;
	default:
		return GN_VOLUME_WRITE;
	}
}

static bool overlaps_applies(const struct gn_vmirror *m, const struct gn_journal_record *record)
{
	uint64_t begin = record->offset_bytes, end = begin + record->length_bytes;

	for (unsigned i = 0; i < N_APPLIES; i++) {
		const struct gn_volume_request *io = &m->applies[i].io;

		if (m->applies[i].busy && io->offset_bytes < end &&
		    begin < io->offset_bytes + io->length_bytes)
			return true;
	}
	return false;
}

static struct apply *free_apply(struct gn_vmirror *m)
{
	for (unsigned i = 0; i < N_APPLIES; i++)
		if (!m->applies[i].busy)
			return &m->applies[i];
	return NULL;
}

/* How many requests the shadow may have at once. While the VM is at work its disk comes first, and
 * the journal takes what comes; the fuller it is, the more the shadow gets. */
static unsigned applies_allowed(const struct gn_vmirror *m)
{
	uint64_t behind = m->journal.head - m->journal.applied;

	if (m->phase != GN_REPLICA_LIVE || m->config.mode == GN_VMIRROR_IN_STEP || m->holds ||
	    m->stops || gn_vmirror_verify_hurries(m) || !m->primary->n_in_flight)
		return N_APPLIES;
	return 1 + (unsigned)(2 * N_APPLIES * behind / m->journal.ring_bytes);
}

static void fill_apply(struct gn_vmirror *m, struct apply *apply,
                       const struct gn_journal_record *record, bool from_ram)
{
	apply->begin = m->apply_next;
	apply->sequence = m->apply_sequence;
	apply->n_records = 1;
	apply->from_ram = from_ram;
	apply->iov[0] =
	        (struct iovec){(void *)(uintptr_t)(record + 1), gn_journal_payload_size(record)};
	apply->io = (struct gn_volume_request){.op = volume_op(record),
	                                       .offset_bytes = record->offset_bytes,
	                                       .length_bytes = record->length_bytes,
	                                       .iov = apply->iov,
	                                       .n_iov = 1,
	                                       .done = on_applied};
}

static void advance(struct gn_vmirror *m, const struct gn_journal_record *record)
{
	m->apply_next += gn_journal_record_size(record);
	m->apply_sequence++;
	if (record->op != GN_JOURNAL_PAD)
		m->apply_in_request = record->flags & GN_JOURNAL_MORE;
}

static bool is_in_ram(const struct gn_vmirror *m)
{
	return m->apply_next >= m->ram_valid && gn_journal_in_ram(&m->journal, m->apply_next);
}

static const struct gn_journal_record *ram_record(const struct gn_vmirror *m)
{
	return (const struct gn_journal_record *)(m->ram + m->apply_next % m->journal.ram_bytes);
}

/* Writes that follow at once, where this one ends on the disk, go with it. */
static void merge(struct gn_vmirror *m, struct apply *apply)
{
	struct gn_volume_request *io = &apply->io;

	while (io->op == GN_VOLUME_WRITE && apply->from_ram && io->n_iov < N_MERGED &&
	       may_apply(m) && is_in_ram(m)) {
		const struct gn_journal_record *record = ram_record(m);

		if (record->op != GN_JOURNAL_WRITE ||
		    record->offset_bytes != io->offset_bytes + io->length_bytes ||
		    overlaps_applies(m, record))
			break;
		apply->iov[io->n_iov++] =
		        (struct iovec){(void *)(uintptr_t)(record + 1), record->length_bytes};
		io->length_bytes += record->length_bytes;
		apply->n_records++;
		advance(m, record);
	}
}

static bool submit_apply(struct gn_vmirror *m, const struct gn_journal_record *record,
                         bool from_ram)
{
	struct apply *apply = free_apply(m);
	struct gn_volume_request *io;

	if (!apply || m->n_applies >= applies_allowed(m) || overlaps_applies(m, record) ||
	    m->shadow->n_in_flight >= m->shadow->depth)
		return false;
	fill_apply(m, apply, record, from_ram);
	advance(m, record);
	merge(m, apply);
	io = &apply->io;
	if (!m->shadow->n_in_flight)
		m->shadow_us = m->now_us;
	apply->busy = true;
	m->n_applies++;
	if (gn_volume_submit(m->shadow, &io, 1) != 1)
		on_applied(io, -EIO); /* cannot be: there was room */
	return true;
}

/* The record at 'apply_next' from the file; NULL: not now. */
static const struct gn_journal_record *spilled(struct gn_vmirror *m)
{
	const uint64_t at = m->apply_next;
	const struct gn_journal_record *record;
	bool whole = false;

	if (m->spill_busy)
		return NULL;
	record = (const struct gn_journal_record *)(m->spill + (at - m->spill_begin));
	if (at >= m->spill_begin && at + sizeof *record <= m->spill_end) {
		if (gn_journal_check(record, m->journal.epoch, at, m->apply_sequence,
		                     m->primary->size_bytes) != 0)
			goto corrupt;
		whole = record->op == GN_JOURNAL_PAD ||
		        at + gn_journal_record_size(record) <= m->spill_end;
		if (!whole && m->spill_begin == at)
			goto corrupt;
	}
	if (!whole) {
		if (!m->n_applies) /* they may be reading from it */
			gn_vmirror_spill(m, at, m->journal.durable);
		return NULL;
	}
	if (!gn_journal_payload_size(record) || gn_journal_check_payload(record, record + 1))
		return record;
corrupt:
	m->spill_begin = m->spill_end = 0;
	m->apply_end = at;
	gn_vmirror_journal_failed(m, -EBADMSG);
	return NULL;
}

static void apply_records(struct gn_vmirror *m)
{
	while (may_apply(m)) {
		bool from_ram = is_in_ram(m);
		const struct gn_journal_record *record = from_ram ? ram_record(m) : spilled(m);

		if (!record)
			break;
		if (record->op == GN_JOURNAL_PAD || record->op == GN_JOURNAL_SKIP)
			advance(m, record);
		else if (!submit_apply(m, record, from_ram))
			break;
	}
	note_applied(m);
}

/* ---- flushes of the shadow --------------------------------------------------- */

static void on_shadow_flushed(struct gn_volume_request *io, int error)
{
	struct gn_vmirror *m =
	        (struct gn_vmirror *)((char *)io - offsetof(struct gn_vmirror, shadow_flush));

	m->flush_busy = false;
	m->shadow_us = m->flush_us = m->now_us;
	if (error) {
		m->level_flushing = false;
		gn_vmirror_shadow_failed(m, error);
		return;
	}
	m->level_flushed |= m->level_flushing && m->phase == GN_REPLICA_LEVELLING;
	m->level_flushing = false;
	if (m->flushing <= m->journal.flushed)
		return;
	m->journal.flushed = m->flushing;
	m->flushed_sequence = m->flushing_sequence;
}

static bool wants_flush(const struct gn_vmirror *m)
{
	uint64_t behind = m->journal.applied - m->journal.flushed;

	if (m->phase == GN_REPLICA_LEVELLING)
		return m->journal.applied >= m->level && !m->level_flushed;
	if (!behind)
		return false;
	if (m->phase == GN_REPLICA_DRAINING || m->stops)
		return !m->n_applies;
	return behind > m->journal.ring_bytes / 8 || m->now_us - m->flush_us > FLUSH_US;
}

static void flush_shadow(struct gn_vmirror *m)
{
	struct gn_volume_request *io = &m->shadow_flush;

	if (m->flush_busy || !gn_replica_applies(m->phase) || !wants_flush(m))
		return;
	*io = (struct gn_volume_request){.op = GN_VOLUME_FLUSH, .done = on_shadow_flushed};
	m->flushing = m->journal.applied;
	m->flushing_sequence = applied_sequence(m);
	m->level_flushing = m->phase == GN_REPLICA_LEVELLING;
	if (!m->shadow->n_in_flight)
		m->shadow_us = m->now_us;
	m->flush_busy = gn_volume_submit(m->shadow, &io, 1) == 1;
}

/* Also with nothing to do: who looks at the state must learn that there is no link. */
static bool waits_for_shadow(const struct gn_vmirror *m)
{
	bool is_used = gn_replica_applies(m->phase) || gn_replica_copies(m->phase);

	return m->shadow->n_in_flight || (is_used && m->shadow->is_unreachable);
}

void gn_vmirror_apply(struct gn_vmirror *m)
{
	if (waits_for_shadow(m) && m->now_us - m->shadow_us > m->config.patience_us) {
		m->shadow_us = m->now_us;
		gn_vmirror_shadow_failed(m, -ETIMEDOUT);
	}
	if (m->hurries)
		return;
	apply_records(m);
	flush_shadow(m);
}

/* ---- copying granules -------------------------------------------------------- */

void gn_vmirror_mark_copy(struct gn_vmirror *m, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		m->n_to_copy += !(m->to_copy[i / 64] >> i % 64 & 1);
		m->to_copy[i / 64] |= 1ull << i % 64;
	}
}

static void end_copy(struct copy *copy, int error)
{
	struct gn_vmirror *m = copy->mirror;

	copy->busy = false;
	m->n_copies--;
	if (error)
		gn_vmirror_mark_copy(m, copy->granule, copy->granule + 1);
	else
		m->copied_bytes += copy->io.length_bytes;
}

static void on_copied(struct gn_volume_request *io, int error)
{
	struct copy *copy = (struct copy *)io;

	copy->mirror->shadow_us = copy->mirror->now_us;
	end_copy(copy, error);
	if (error)
		gn_vmirror_shadow_failed(copy->mirror, error);
}

static bool is_zero(const uint8_t *data, size_t size)
{
	return !data[0] && memcmp(data, data + 1, size - 1) == 0;
}

static void on_copy_read(struct gn_volume_request *io, int error)
{
	struct copy *copy = (struct copy *)io;
	struct gn_vmirror *m = copy->mirror;

	if (error) {
		end_copy(copy, error);
		gn_vmirror_shadow_failed(m, error);
		m->reason = GN_REPLICA_PRIMARY;
		return;
	}
	io->op = is_zero(copy->iov.iov_base, copy->iov.iov_len) ? GN_VOLUME_WRITE_ZEROES_UNMAP
	                                                        : GN_VOLUME_WRITE;
	io->done = on_copied;
	if (!m->shadow->n_in_flight)
		m->shadow_us = m->now_us;
	if (gn_volume_submit(m->shadow, &io, 1) != 1)
		end_copy(copy, -EBUSY); /* again later */
}

static struct copy *free_copy(struct gn_vmirror *m)
{
	for (unsigned i = 0; i < N_COPIES; i++)
		if (!m->copies[i].busy)
			return &m->copies[i];
	return NULL;
}

static bool is_being_copied(const struct gn_vmirror *m, uint32_t granule)
{
	for (unsigned i = 0; i < N_COPIES; i++)
		if (m->copies[i].busy && m->copies[i].granule == granule)
			return true;
	return false;
}

/* Begins with the next granule that is to be copied. */
static bool next_granule(struct gn_vmirror *m)
{
	uint64_t granule = m->bitmap.granule_bytes;

	for (uint32_t n = 0; n < m->bitmap.n; n++) {
		uint32_t i = m->copy_granule + 1 + n;

		i -= i >= m->bitmap.n ? m->bitmap.n : 0;
		if (!m->to_copy[i / 64] && i % 64 == 0 && i + 64 <= m->bitmap.n) {
			n += 63;
			continue;
		}
		if (!(m->to_copy[i / 64] >> i % 64 & 1) || is_being_copied(m, i))
			continue;
		m->to_copy[i / 64] &= ~(1ull << i % 64);
		m->n_to_copy--;
		m->copy_granted -= m->copy_granted > 0;
		m->copy_granule = i;
		m->copy_offset = i * granule;
		m->copy_end = m->copy_offset + granule;
		if (m->copy_end > m->primary->size_bytes)
			m->copy_end = m->primary->size_bytes;
		return true;
	}
	return false;
}

static bool grant(struct gn_vmirror *m, uint64_t bytes)
{
	uint64_t rate = m->config.resync_bytes_per_s;
	uint64_t elapsed = m->now_us - m->copy_budget_us;

	if (!rate)
		return true;
	if (elapsed > 100000)
		elapsed = 100000;
	m->copy_budget += rate * elapsed / 1000000;
	if (rate * elapsed >= 1000000)
		m->copy_budget_us = m->now_us;
	if (m->copy_budget > rate / 10 + COPY_BYTES)
		m->copy_budget = rate / 10 + COPY_BYTES;
	if (m->copy_budget < bytes)
		return false;
	m->copy_budget -= bytes;
	return true;
}

static void start_copy(struct gn_vmirror *m, struct copy *copy, uint64_t size)
{
	struct gn_volume_request *io = &copy->io;

	copy->granule = m->copy_granule;
	copy->iov.iov_len = size;
	*io = (struct gn_volume_request){.op = GN_VOLUME_READ,
	                                 .offset_bytes = m->copy_offset,
	                                 .length_bytes = size,
	                                 .iov = &copy->iov,
	                                 .n_iov = 1,
	                                 .done = on_copy_read};
	copy->busy = true;
	m->n_copies++;
	m->copy_offset += size;
	if (gn_volume_submit(m->primary, &io, 1) != 1)
		end_copy(copy, -EBUSY);
}

static bool few_are_dirty(const struct gn_vmirror *m)
{
	uint64_t few = m->journal.ring_bytes / 4 / m->bitmap.granule_bytes;

	return m->n_to_copy <= few || !m->copy_granted;
}

/* Requests on their way to the primary whose records, if any, are of an epoch that was given up:
 * what they wrote has to be copied once they are done. */
static bool has_loose(const struct gn_vmirror *m)
{
	for (const struct op *op = m->active.first; op; op = op->next)
		if (!op->done && op->epoch != m->journal.epoch)
			return true;
	return false;
}

/* The phases after copying. */
static void look_at_rest(struct gn_vmirror *m)
{
	bool is_done = !m->n_to_copy && !m->n_copies && m->copy_offset == m->copy_end;

	if (m->phase == GN_REPLICA_COPYING && few_are_dirty(m) && !m->journal_failed)
		gn_vmirror_event(m, GN_REPLICA_FEW_DIRTY);
	else if (m->phase == GN_REPLICA_CATCHING_UP && is_done && !has_loose(m))
		gn_vmirror_event(m, GN_REPLICA_COPIED);
}

void gn_vmirror_copy(struct gn_vmirror *m)
{
	/* What is still applied of a journal that was given up is older than what is copied. */
	while (gn_replica_copies(m->phase) && !m->stops && !m->holds && !m->n_applies) {
		struct copy *copy = free_copy(m);
		uint64_t size;

		if (!copy || m->primary->n_in_flight >= m->primary->depth)
			break;
		if (m->copy_offset == m->copy_end && !next_granule(m))
			break;
		size = m->copy_end - m->copy_offset;
		if (size > m->copy_size)
			size = m->copy_size;
		if (!grant(m, size))
			break;
		start_copy(m, copy, size);
	}
	look_at_rest(m);
}
