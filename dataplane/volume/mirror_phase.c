/* mirror_phase.c - a mirror's life: what each phase begins with, and what time brings about. */
#include "dataplane/volume/mirror_internal.h"

#include <string.h>

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

static bool keeps_points(const struct gn_vmirror *m)
{
	return m->config.snapshots.start;
}

/* The shadow stops being a consistent point. */
static void leave_point(struct gn_vmirror *m)
{
	m->point = GN_JOURNAL_POINT_SNAPSHOT;
	if (keeps_points(m))
		return;
	m->point = GN_JOURNAL_POINT_NONE;
	m->point_wall_us = 0;
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
			leave_point(m);
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
		if (from == GN_REPLICA_SETTLING && keeps_points(m))
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

static void retry(struct gn_vmirror *m)
{
	bool waits = m->phase == GN_REPLICA_LOST || m->phase == GN_REPLICA_RETRYING ||
	             m->phase == GN_REPLICA_BROKEN || m->phase == GN_REPLICA_HALTED;

	/* One that is elsewhere is tried when there is a link: the volume sees to that. */
	if (!waits || m->now_us < m->retry_at_us || !gn_vmirror_shadow_is_quiet(m) ||
	    (m->phase != GN_REPLICA_LOST && m->shadow->is_unreachable))
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
	int result = keeps_points(m) ? 0 : 1;

	if (m->phase != GN_REPLICA_SNAPSHOT || m->now_us < m->retry_at_us)
		return;
	if (!result && !m->snapshot_runs)
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

void gn_vmirror_keep_time(struct gn_vmirror *m)
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
