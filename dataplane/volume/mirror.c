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
#define DEFAULT_SWEEP_US    30000000u
#define DEFAULT_REGION      64u

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
		gn_vmirror_take(m, requests[i]);
	gn_vmirror_start_waiting(m);
	return i;
}

static unsigned mirror_poll(struct gn_volume *volume)
{
	struct gn_vmirror *m = to_mirror(volume);
	unsigned work;

	gn_vmirror_keep_time(m);
	if (m->phase == GN_REPLICA_LOADING)
		gn_vmirror_load(m);
	gn_vmirror_answer_finished(m);
	gn_vmirror_start_waiting(m);
	gn_vmirror_apply(m);
	gn_vmirror_copy(m);
	gn_vmirror_verify(m);
	gn_vmirror_sweep(m);
	gn_vmirror_commit(m);
	work = gn_volume_poll(m->primary);
	work += gn_volume_poll(m->store);
	work += gn_volume_poll(m->shadow);
	gn_vmirror_answer_in_step(m);
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
	if (m->finished.first || (m->waiting.first && !m->active.first && !m->cycle.is_running &&
	                          !m->ring_write.n_outstanding))
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
	gn_vmirror_verify_destroy(m->verify);
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

	gn_vmirror_init_requests(m);
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
	m->reason = GN_REPLICA_FINE;
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
	if (!config->region_granules)
		config->region_granules = DEFAULT_REGION;
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

struct gn_volume *gn_vmirror_shadow(struct gn_vmirror *mirror)
{
	return mirror->shadow;
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
	bool quiet = gn_vmirror_shadow_is_quiet(m) && !m->cycle.is_running &&
	             !m->ring_write.n_outstanding && !m->load_busy && !m->spill_busy &&
	             !m->snapshot_runs && !m->sweep_busy;

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
