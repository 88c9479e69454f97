/* mirror_store.c - the journal store of a mirrored volume: what the last run left, and the rounds
 * that make bitmap, superblock and journal durable.
 *
 * Layout, in sectors of 512 bytes: 0 and 1 superblock, 2 and 3 lease, from 4 on the bitmap, from
 * 64 KiB on the ring. */
#include "dataplane/volume/mirror_internal.h"

#include <errno.h>
#include <string.h>

#define LEASE_SECTOR  2u
#define BITMAP_SECTOR 4u
#define GATHER_US     100000u    /* from one round to the next, when nobody waits for it */
#define GATHER_BYTES  (1u << 20) /* of records, likewise */

_Static_assert((BITMAP_SECTOR + GN_BITMAP_MAX_SECTORS) * GN_JOURNAL_SECTOR <= GN_VMIRROR_META_BYTES,
               "the ring begins behind the bitmap");

enum { FLUSH_FIRST, READ_META, CHECK_META, TAKE_LEASE, FLUSH_LEASE, FIND_SUPER, SCAN };

/* ---- loading ----------------------------------------------------------------- */

static void load_failed(struct gn_vmirror *m, int error)
{
	m->error = error;
	m->reason = GN_REPLICA_JOURNAL;
	m->untracked = true;
	m->retry_at_us = m->now_us + m->config.retry_us;
	m->load_step = FLUSH_FIRST;
	gn_vmirror_event(m, GN_REPLICA_UNREADABLE);
}

static struct gn_vmirror *of_load(struct gn_volume_request *io)
{
	return (struct gn_vmirror *)((char *)io - offsetof(struct gn_vmirror, load));
}

static void on_load(struct gn_volume_request *io, int error)
{
	struct gn_vmirror *m = of_load(io);

	m->load_busy = false;
	if (error)
		load_failed(m, error);
	else
		m->load_step++;
}

static void load_io(struct gn_vmirror *m, enum gn_volume_op op, uint64_t offset, void *data,
                    size_t size)
{
	struct gn_volume_request *io = &m->load;

	m->load_iov = (struct iovec){data, size};
	*io = (struct gn_volume_request){.op = op,
	                                 .offset_bytes = offset,
	                                 .length_bytes = size,
	                                 .iov = &m->load_iov,
	                                 .n_iov = 1,
	                                 .done = on_load};
	m->load_busy = gn_volume_submit(m->store, &io, 1) == 1;
}

static void check_lease(struct gn_vmirror *m)
{
	struct gn_lease *slots = (struct gn_lease *)(m->meta + LEASE_SECTOR * GN_LEASE_SECTOR);
	struct gn_lease lease;
	unsigned slot;

	switch (gn_lease_attach(slots, m->config.token, m->config.holder, &lease, &slot)) {
	case GN_LEASE_HELD:
		m->load_step = FIND_SUPER;
		break;
	case GN_LEASE_TAKE:
		slots[slot] = lease;
		m->load_step = TAKE_LEASE;
		load_io(m, GN_VOLUME_WRITE, (LEASE_SECTOR + slot) * GN_LEASE_SECTOR, &slots[slot],
		        GN_LEASE_SECTOR);
		break;
	case GN_LEASE_REFUSED:
		m->reason = GN_REPLICA_LEASE;
		gn_vmirror_event(m, GN_REPLICA_REFUSED);
		break;
	}
}

static void set_all(struct gn_vmirror *m)
{
	gn_bitmap_set(&m->bitmap, 0, m->bitmap.n);
}

static void found_nothing(struct gn_vmirror *m)
{
	set_all(m);
	m->point = GN_JOURNAL_POINT_NONE;
	/* Not an epoch of whatever the ring may hold. */
	gn_journal_restart(&m->journal, m->config.wall_us(m->config.clock), 0);
	gn_vmirror_event(m, GN_REPLICA_FOUND_NOTHING);
}

static bool fits(const struct gn_vmirror *m, const struct gn_journal_super *super)
{
	return super->volume_bytes == m->primary->size_bytes &&
	       super->granule_bytes == m->bitmap.granule_bytes &&
	       super->ring_bytes == m->journal.ring_bytes &&
	       super->ram_bytes == m->journal.ram_bytes;
}

static void find_super(struct gn_vmirror *m)
{
	const struct gn_journal_super *slots = (const struct gn_journal_super *)m->meta;
	const struct gn_journal_super *super = gn_journal_super_choose(&slots[0], &slots[1]);

	if (!super || !fits(m, super)) {
		found_nothing(m);
		return;
	}
	m->super = *super;
	m->has_super = true;
	m->point = (enum gn_journal_point)super->point;
	m->point_wall_us = super->wall_us;
	for (uint32_t i = 0; i < GN_BITMAP_SECTORS(m->bitmap.n); i++)
		gn_bitmap_decode(
		        &m->bitmap, i,
		        (const uint64_t *)(m->meta + (BITMAP_SECTOR + i) * GN_BITMAP_SECTOR));
	if (m->untracked)
		set_all(m);
	gn_journal_restart(&m->journal, super->epoch, super->tail);
	m->journal.tail_sequence = super->tail_sequence;
	m->apply_next = m->scan = m->scan_end = m->ram_valid = super->tail;
	m->apply_sequence = m->flushed_sequence = m->scan_sequence = super->tail_sequence;
	m->reason = GN_REPLICA_RESTARTED;
	if (m->point == GN_JOURNAL_POINT_SHADOW)
		m->load_step = SCAN;
	else
		gn_vmirror_event(m, GN_REPLICA_FOUND_PARTIAL);
}

/* The record at 'scan', when all of it is in 'spill'. '*more': it may be beyond what is. */
static const struct gn_journal_record *scanned(const struct gn_vmirror *m, bool *more)
{
	const struct gn_journal_record *record;

	*more = m->scan < m->spill_begin || m->scan + sizeof *record > m->spill_end;
	if (*more)
		return NULL;
	record = (const struct gn_journal_record *)(m->spill + (m->scan - m->spill_begin));
	if (gn_journal_check(record, m->super.epoch, m->scan, m->scan_sequence,
	                     m->primary->size_bytes) != 0)
		return NULL;
	if (record->op == GN_JOURNAL_PAD)
		return record;
	*more = m->scan + gn_journal_record_size(record) > m->spill_end;
	if (*more)
		return NULL;
	return gn_journal_payload_size(record) && !gn_journal_check_payload(record, record + 1)
	               ? NULL
	               : record;
}

static void end_scan(struct gn_vmirror *m)
{
	struct gn_journal *journal = &m->journal;

	journal->head = journal->ready = journal->written = journal->durable = m->scan_end;
	m->ram_valid = m->applied_before = m->scan_end;
	m->spill_begin = m->spill_end = 0;
	gn_vmirror_event(m, GN_REPLICA_FOUND_PREFIX);
}

static void scan(struct gn_vmirror *m)
{
	const uint64_t limit = m->super.tail + m->journal.ring_bytes;
	bool more = false;

	while (m->phase == GN_REPLICA_LOADING && !m->spill_busy) {
		const struct gn_journal_record *record = m->scan < limit ? scanned(m, &more) : NULL;

		if (record) {
			m->scan += gn_journal_record_size(record);
			m->scan_sequence++;
			if (record->op != GN_JOURNAL_PAD && !(record->flags & GN_JOURNAL_MORE))
				m->scan_end = m->scan;
		} else if (more && m->scan < limit && m->spill_begin != m->scan) {
			gn_vmirror_spill(m, m->scan, limit);
		} else if (more && m->spill_begin == m->scan && !m->spill_end) {
			gn_vmirror_spill(m, m->scan, limit);
		} else {
			end_scan(m);
		}
	}
}

void gn_vmirror_load(struct gn_vmirror *m)
{
	if ((m->load_busy || m->spill_busy) && m->now_us - m->load_since_us > m->config.patience_us)
		m->untracked = true; /* writes need not wait any longer */
	if (m->load_busy || m->stops)
		return;
	switch (m->load_step) {
	case FLUSH_FIRST:
		/* What a killed process wrote can be read but may not be durable; whatever is
		 * concluded from it has to be. */
		m->load_since_us = m->now_us;
		load_io(m, GN_VOLUME_FLUSH, 0, NULL, 0);
		break;
	case READ_META:
		m->spill_begin = m->spill_end = 0;
		load_io(m, GN_VOLUME_READ, 0, m->meta, GN_VMIRROR_META_BYTES);
		break;
	case CHECK_META:
		check_lease(m);
		break;
	case TAKE_LEASE: /* only while its write could not be submitted */
		m->load_step = CHECK_META;
		break;
	case FLUSH_LEASE:
		load_io(m, GN_VOLUME_FLUSH, 0, NULL, 0);
		break;
	case FIND_SUPER:
		find_super(m);
		break;
	case SCAN:
		scan(m);
		break;
	}
}

/* ---- reading the journal back ------------------------------------------------ */

static void on_spill(struct gn_volume_request *io, int error)
{
	struct gn_vmirror *m =
	        (struct gn_vmirror *)((char *)io - offsetof(struct gn_vmirror, spill_io));

	m->spill_busy = false;
	if (!error) {
		m->spill_end = m->spill_begin + io->length_bytes;
		return;
	}
	m->spill_end = m->spill_begin = 0;
	if (m->phase == GN_REPLICA_LOADING)
		load_failed(m, error);
	else
		gn_vmirror_journal_failed(m, error);
}

void gn_vmirror_spill(struct gn_vmirror *m, uint64_t begin, uint64_t limit)
{
	struct gn_volume_request *io = &m->spill_io;
	uint64_t size = m->journal.ram_bytes - begin % m->journal.ram_bytes;

	if (size > m->spill_size)
		size = m->spill_size;
	if (size > limit - begin)
		size = limit - begin;
	m->spill_begin = begin;
	m->spill_end = 0;
	m->spill_iov = (struct iovec){m->spill, size};
	*io = (struct gn_volume_request){.op = GN_VOLUME_READ,
	                                 .offset_bytes =
	                                         m->ring_offset + begin % m->journal.ring_bytes,
	                                 .length_bytes = size,
	                                 .iov = &m->spill_iov,
	                                 .n_iov = 1,
	                                 .done = on_spill};
	m->spill_busy = gn_volume_submit(m->store, &io, 1) == 1;
	if (!m->spill_busy)
		m->spill_begin = 0;
}

/* ---- the commit cycle -------------------------------------------------------- */

static struct gn_vmirror *of_cycle(struct cycle *cycle)
{
	return (struct gn_vmirror *)((char *)cycle - offsetof(struct gn_vmirror, cycle));
}

static void give_up_cycle(struct gn_vmirror *m)
{
	struct cycle *cycle = &m->cycle;

	for (unsigned i = 0; i < cycle->n_sectors; i++)
		gn_bitmap_failed(&m->bitmap, cycle->numbers[i]);
	m->super_wanted |= cycle->has_super;
	gn_vmirror_journal_failed(m, cycle->error);
}

static bool has_stale(const struct gn_vmirror *m)
{
	for (unsigned i = 0; i < sizeof m->bitmap.stale / 8; i++)
		if (m->bitmap.stale[i])
			return true;
	return false;
}

static void finish_cycle(struct gn_vmirror *m)
{
	struct cycle *cycle = &m->cycle;

	for (unsigned i = 0; i < cycle->n_sectors; i++)
		gn_bitmap_commit(&m->bitmap, cycle->numbers[i], cycle->sectors[i]);
	if (!m->ring_write.error)
		m->journal_failed = false;
	if (!has_stale(m))
		m->untracked = false;
	if (cycle->epoch == m->journal.epoch)
		m->journal.durable = cycle->until;
	if (!cycle->has_super)
		return;
	m->super = *cycle->super;
	m->has_super = true;
	if (m->super.epoch != m->journal.epoch)
		return;
	m->journal.tail = m->super.tail;
	m->journal.tail_sequence = m->super.tail_sequence;
	if (m->super_wanted || m->super.point != m->point)
		return;
	/* A write that could not wait is not in the new epoch. */
	gn_vmirror_event(m, m->phase == GN_REPLICA_RESUMING && (m->active.first || m->n_to_copy)
	                            ? GN_REPLICA_DRAINED
	                            : GN_REPLICA_MARKED);
}

static void on_flushed(struct gn_volume_request *io, int error)
{
	struct cycle *cycle = (struct cycle *)((char *)io - offsetof(struct cycle, flush));
	struct gn_vmirror *m = of_cycle(cycle);

	cycle->is_running = cycle->is_flushing = false;
	cycle->error = error;
	if (error)
		give_up_cycle(m);
	else
		finish_cycle(m);
}

/* Once its writes and the ring's are done. */
static void flush_cycle(struct gn_vmirror *m)
{
	struct gn_volume_request *io = &m->cycle.flush;

	if (!m->cycle.is_running || m->cycle.is_flushing || m->cycle.n_outstanding ||
	    m->ring_write.n_outstanding)
		return;
	m->cycle.is_flushing = true;
	m->cycle.epoch = m->journal.epoch;
	m->cycle.until = m->journal.written;
	*io = (struct gn_volume_request){.op = GN_VOLUME_FLUSH, .done = on_flushed};
	if (gn_volume_submit(m->store, &io, 1) != 1)
		on_flushed(io, -EIO); /* cannot be: its writes had more places */
}

static void end_write(struct gn_vmirror *m, int error)
{
	struct cycle *cycle = &m->cycle;

	if (error)
		cycle->error = error;
	if (--cycle->n_outstanding)
		return;
	if (!cycle->error) {
		flush_cycle(m);
		return;
	}
	cycle->is_running = false;
	give_up_cycle(m);
}

static void on_written(struct gn_volume_request *io, int error)
{
	end_write(((struct cycle_write *)io)->mirror, error);
}

static void prepare_write(struct gn_vmirror *m, struct cycle_write *write, uint64_t offset,
                          void *data, uint64_t size)
{
	write->mirror = m;
	write->iov = (struct iovec){data, size};
	write->io = (struct gn_volume_request){.op = GN_VOLUME_WRITE,
	                                       .offset_bytes = offset,
	                                       .length_bytes = size,
	                                       .iov = &write->iov,
	                                       .n_iov = 1};
}

static void add_write(struct gn_vmirror *m, uint64_t offset, void *data, uint64_t size)
{
	struct cycle_write *write = &m->cycle.writes[m->cycle.n_writes++];

	prepare_write(m, write, offset, data, size);
	write->io.done = on_written;
}

static void add_bitmap(struct gn_vmirror *m)
{
	struct cycle *cycle = &m->cycle;
	int number;

	while ((number = gn_bitmap_take_stale(&m->bitmap)) >= 0) {
		unsigned i = cycle->n_sectors++;

		cycle->numbers[i] = (uint8_t)number;
		gn_bitmap_encode(&m->bitmap, (uint32_t)number, cycle->sectors[i]);
		add_write(m, (BITMAP_SECTOR + (uint64_t)number) * GN_BITMAP_SECTOR,
		          cycle->sectors[i], GN_BITMAP_SECTOR);
	}
}

static void add_super(struct gn_vmirror *m)
{
	struct gn_journal_super *super = m->cycle.super;

	memset(super, 0, sizeof *super);
	super->generation = m->super.generation + 1;
	super->volume_bytes = m->primary->size_bytes;
	super->granule_bytes = m->bitmap.granule_bytes;
	super->ring_bytes = m->journal.ring_bytes;
	super->ram_bytes = m->journal.ram_bytes;
	super->epoch = m->journal.epoch;
	super->tail = m->journal.flushed;
	super->tail_sequence = m->flushed_sequence;
	super->point = m->point;
	super->wall_us = m->point_wall_us;
	gn_journal_super_seal(super);
	m->super_wanted = false;
	m->cycle.has_super = true;
	add_write(m, (super->generation & 1) * GN_JOURNAL_SECTOR, super, sizeof *super);
}

/* ---- records into the ring --------------------------------------------------- */

static void end_ring_write(struct gn_vmirror *m, int error)
{
	struct ring_write *ring = &m->ring_write;

	if (error)
		ring->error = error;
	if (--ring->n_outstanding)
		return;
	if (ring->error)
		gn_vmirror_journal_failed(m, ring->error);
	else if (ring->epoch == m->journal.epoch)
		m->journal.written = ring->until;
	flush_cycle(m);
}

static void on_ring_written(struct gn_volume_request *io, int error)
{
	end_ring_write(((struct cycle_write *)io)->mirror, error);
}

/* The records that are complete, once the superblock names their epoch. */
static bool has_records(const struct gn_vmirror *m)
{
	const struct gn_journal *journal = &m->journal;

	return !m->ring_write.n_outstanding && !m->journal_failed &&
	       m->super.epoch == journal->epoch && m->apply_end == UINT64_MAX &&
	       journal->written < journal->ready;
}

static void write_records(struct gn_vmirror *m)
{
	struct gn_journal *journal = &m->journal;
	struct ring_write *ring = &m->ring_write;
	struct gn_volume_request *ios[2];
	uint64_t at = journal->written;
	unsigned n = 0;

	if (!has_records(m))
		return;
	ring->begin = at;
	ring->until = journal->ready;
	ring->epoch = journal->epoch;
	ring->error = 0;
	ring->since_us = m->now_us;
	while (at < ring->until) {
		uint64_t size = journal->ram_bytes - at % journal->ram_bytes;

		if (size > ring->until - at)
			size = ring->until - at;
		prepare_write(m, &ring->writes[n], m->ring_offset + at % journal->ring_bytes,
		              m->ram + at % journal->ram_bytes, size);
		ring->writes[n].io.done = on_ring_written;
		ios[n] = &ring->writes[n].io;
		n++;
		at += size;
	}
	ring->n_outstanding = n;
	for (unsigned i = 0; i < n; i++)
		if (gn_volume_submit(m->store, &ios[i], 1) != 1)
			end_ring_write(m, -EIO); /* cannot be: the store is deeper than that */
}

/* In a round the ring's writes come first; while it flushes they need not wait for the next. */
static void write_ahead(struct gn_vmirror *m)
{
	const struct gn_journal *journal = &m->journal;

	if ((m->cycle.is_running && !m->cycle.is_flushing) || m->hurries)
		return;
	if (m->config.mode == GN_VMIRROR_IN_STEP ||
	    journal->ready - journal->written >= GATHER_BYTES)
		write_records(m);
}

static void want_tail(struct gn_vmirror *m)
{
	uint64_t behind = m->journal.flushed - m->journal.tail;

	if (m->phase == GN_REPLICA_LIVE &&
	    (behind > m->journal.ring_bytes / 8 || (behind && m->stops)))
		m->super_wanted = true;
}

static void submit_cycle(struct gn_vmirror *m)
{
	struct cycle *cycle = &m->cycle;
	unsigned n = cycle->n_writes;

	cycle->n_outstanding = n;
	for (unsigned i = 0; i < n; i++) {
		struct gn_volume_request *io = &cycle->writes[i].io;

		if (gn_volume_submit(m->store, &io, 1) != 1)
			end_write(m, -EIO); /* cannot be: the store is deeper than a round */
	}
}

/* Nobody waits for a round: more records are gathered for one flush. A request that waits does so
 * for its dirty bits or for room; in mode in_step every request waits in the end. */
static bool can_gather(const struct gn_vmirror *m)
{
	return m->config.mode == GN_VMIRROR_ASYNC && m->phase == GN_REPLICA_LIVE && !m->stops &&
	       !m->holds && !m->waiting.first && !m->super_wanted &&
	       !gn_vmirror_verify_hurries(m) &&
	       m->journal.ready - m->journal.durable < m->journal.ram_bytes &&
	       m->now_us - m->cycle.since_us < GATHER_US;
}

/* A store that does not answer. */
static bool is_overdue(const struct gn_vmirror *m)
{
	const struct cycle *cycle = &m->cycle;
	const struct ring_write *ring = &m->ring_write;

	return !m->journal_failed &&
	       ((cycle->is_running && m->now_us - cycle->since_us > m->config.patience_us) ||
	        (ring->n_outstanding && m->now_us - ring->since_us > m->config.patience_us));
}

static void begin_cycle(struct gn_vmirror *m)
{
	struct cycle *cycle = &m->cycle;
	bool with_super;

	cycle->n_writes = cycle->n_sectors = 0;
	cycle->has_super = false;
	cycle->error = 0;
	if (!m->ring_write.n_outstanding)
		m->ring_write.error = 0;
	cycle->since_us = m->now_us;
	m->super_wanted |= m->journal_failed; /* to see whether it works again */
	/* Bits that nobody waited for must not be newer than what names the bitmap valid. */
	with_super = m->super_wanted && (!has_stale(m) || (m->has_super && !m->untracked));
	write_records(m);
	add_bitmap(m);
	if (with_super)
		add_super(m);
	if (!cycle->n_writes && !m->ring_write.n_outstanding &&
	    m->journal.durable == m->journal.written)
		return;
	cycle->is_running = true;
	submit_cycle(m);
	flush_cycle(m);
}

void gn_vmirror_commit(struct gn_vmirror *m)
{
	if (is_overdue(m))
		gn_vmirror_journal_failed(m, -ETIMEDOUT);
	if (m->phase == GN_REPLICA_LOADING || m->phase == GN_REPLICA_LOST ||
	    m->phase == GN_REPLICA_FENCED)
		return;
	write_ahead(m);
	if (m->cycle.is_running || m->hurries ||
	    (m->journal_failed && m->now_us < m->journal_retry_us))
		return;
	want_tail(m);
	if (!can_gather(m))
		begin_cycle(m);
}

/* ---- clearing bits ----------------------------------------------------------- */

/* With its neighbours: the next writes nearby, which are likely, then find their bits durable. It
 * costs that a resynchronisation looks at more. */
void gn_vmirror_mark_dirty(struct gn_vmirror *m, const struct gn_volume_request *io)
{
	const uint32_t region = m->config.region_granules;
	uint32_t first, end;

	gn_bitmap_range(&m->bitmap, io->offset_bytes, io->length_bytes, &first, &end);
	first -= first % region;
	end += (region - end % region) % region;
	gn_bitmap_set(&m->bitmap, first, end < m->bitmap.n ? end : m->bitmap.n);
}

static void keep_active(struct gn_vmirror *m)
{
	for (const struct op_list *list = &m->active; list;
	     list = list == &m->active ? &m->waiting : NULL)
		for (const struct op *op = list->first; op; op = op->next)
			gn_vmirror_mark_dirty(m, &op->io);
}

/* Clears the bits of the region that begins there, if none of it was written lately. */
static void sweep_region(struct gn_vmirror *m, uint32_t first)
{
	uint32_t end = first + m->config.region_granules;

	if (end > m->bitmap.n)
		end = m->bitmap.n;
	for (uint32_t i = first; i < end; i++)
		if (m->last_position[i] > m->sweep_limit)
			return;
	for (uint32_t i = first; i < end; i++)
		gn_bitmap_clear(&m->bitmap, i);
}

static void on_sweep_flushed(struct gn_volume_request *io, int error)
{
	struct gn_vmirror *m =
	        (struct gn_vmirror *)((char *)io - offsetof(struct gn_vmirror, sweep_flush));

	m->sweep_busy = false;
	if (error || m->phase != GN_REPLICA_LIVE || m->sweep_epoch != m->journal.epoch)
		return;
	for (uint32_t i = 0; i < m->bitmap.n; i += m->config.region_granules)
		sweep_region(m, i);
	keep_active(m);
}

/* A bit goes when both have the granule's last write durably, and no write came since the sweep
 * before. Without the primary's flush a power cut could take from it what the shadow has, and no
 * bit would tell. */
void gn_vmirror_sweep(struct gn_vmirror *m)
{
	struct gn_volume_request *io = &m->sweep_flush;

	if (m->phase != GN_REPLICA_LIVE || m->super.point != GN_JOURNAL_POINT_SHADOW ||
	    m->super.epoch != m->journal.epoch || m->hurries || !m->bitmap.n_set || m->sweep_busy ||
	    (!m->stops && m->now_us - m->swept_us < m->config.sweep_us))
		return;
	m->sweep_limit = m->stops ? m->journal.flushed : m->swept_position;
	m->sweep_epoch = m->journal.epoch;
	m->swept_us = m->now_us;
	m->swept_position = m->journal.flushed;
	*io = (struct gn_volume_request){.op = GN_VOLUME_FLUSH, .done = on_sweep_flushed};
	m->sweep_busy = m->primary->n_in_flight < m->primary->depth &&
	                gn_volume_submit(m->primary, &io, 1) == 1;
}
