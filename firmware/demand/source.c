/* source.c - see source.h. Values are clamped to MAX_VALUE, which keeps the products of the
 * shift within 64 bits. */
#include "firmware/demand/source.h"

#include <string.h>
#include "firmware/core/fixed.h"

#define MAX_VALUE ((int64_t)1 << 46)
#define ONE_Q16   65536
/* Readings that the means remember, and that a shift needs. */
#define MEAN_LENGTH 8
#define MIN_BOTH    3
/* The two sources' periods do not end at the same instant: a busy second of the guest's may be
 * an idle one of the host's. Only what is far beyond is a lie. */
#define BOUND_FACTOR      2
#define BOUND_SLACK_MILLI 500
/* Wanted CPUs are believed up to that many times what the VM may ever have. */
#define MAX_WANTED 4
/* A kernel's own share of its memory: this and a sixteenth at most. */
#define KERNEL_KEEPS_BYTES ((uint64_t)64 << 20)

const char *gn_doubt_text(enum gn_doubt doubt)
{
#define TEXT(name, text) text,
	static const char *const texts[] = {GN_SOURCE_DOUBTS(TEXT)};
#undef TEXT

	return (unsigned)doubt < GN_N_DOUBTS ? texts[doubt] : "";
}

static int64_t clamp(int64_t value)
{
	return gn_clamp64(value, 0, MAX_VALUE);
}

/* ---- the shift ------------------------------------------------------------------------- */

/* What remains of the shift at 'now_us', for a reading of 'value'. */
static int64_t shift_of(const struct gn_source *s, uint64_t now_us, int64_t value)
{
	uint64_t age = now_us > s->shift_us ? now_us - s->shift_us : 0;
	int64_t shift = s->shift;

	if (shift == 0 || (age >= GN_SOURCE_FADE_US && !s->is_shift_kept))
		return 0;
	if (!s->is_shift_kept)
		shift = shift * (int64_t)((GN_SOURCE_FADE_US - age) * ONE_Q16 / GN_SOURCE_FADE_US) /
		        ONE_Q16;
	if (value < s->shift_at)
		return shift * (value * ONE_Q16 / s->shift_at) / ONE_Q16;
	return shift > 0 ? gn_max64(0, shift - (value - s->shift_at)) : shift;
}

/* Makes the other instrument the one in use. What was learnt so far is the old one with what
 * remained of its own shift. */
static void switch_to(struct gn_source *s, bool is_guest, uint64_t now_us)
{
	int64_t old_mean = is_guest ? s->host_mean : s->guest_mean;
	int64_t new_mean = is_guest ? s->guest_mean : s->host_mean;
	int64_t learnt = clamp(old_mean + shift_of(s, now_us, old_mean));

	s->shift = s->n_both >= MIN_BOTH ? learnt - new_mean : 0;
	s->shift_at = new_mean;
	s->shift_us = now_us;
	s->is_shift_kept = !is_guest && s->host.value.estimated;
	s->is_guest = is_guest;
	s->since_us = now_us;
	s->n_both = 0;
}

static void correct(struct gn_source *s, uint64_t now_us, struct gn_demand_value *value)
{
	s->correction = shift_of(s, now_us, clamp(value->value));
	value->value = clamp(clamp(value->value) + s->correction);
}

/* ---- the guest's standing ---------------------------------------------------------------- */

static void lose(struct gn_source *s, uint64_t now_us)
{
	switch_to(s, false, now_us);
	s->n_needed =
	        s->n_needed * 2 < GN_SOURCE_MOST_NEEDED ? s->n_needed * 2 : GN_SOURCE_MOST_NEEDED;
}

static bool is_silent(const struct gn_source *s, uint64_t now_us, uint64_t gap_us)
{
	return now_us > s->heard_us && now_us - s->heard_us > gap_us;
}

static int64_t mean_of(int64_t mean, int64_t value, uint32_t n)
{
	return mean + (value - mean) / (n < MEAN_LENGTH ? n : MEAN_LENGTH);
}

/* Both instruments at the same time: what one reads where the other reads so much. */
static void note_both(struct gn_source *s, uint64_t now_us, uint64_t gap_us, int64_t guest)
{
	if (!s->host.at_us || (now_us > s->host.at_us && now_us - s->host.at_us > gap_us))
		return;
	if (s->n_both < UINT32_MAX)
		s->n_both++;
	s->host_mean = mean_of(s->host_mean, clamp(s->host.value.value), s->n_both);
	s->guest_mean = mean_of(s->guest_mean, clamp(guest), s->n_both);
}

void gn_source_resume(struct gn_source *s, uint64_t now_us)
{
	s->is_guest = true;
	s->n_needed = GN_SOURCE_NEEDED;
	s->doubt = GN_DOUBT_SILENT;
	s->heard_us = now_us;
}

bool gn_source_take_host(struct gn_source *s, uint64_t now_us, uint64_t gap_us,
                         struct gn_demand_value *value)
{
	s->host = (struct gn_source_reading){now_us, *value};
	if (is_silent(s, now_us, gap_us)) {
		s->doubt = s->heard_us ? GN_DOUBT_SILENT : GN_DOUBT_NEVER;
		s->n_good = 0;
		if (s->is_guest)
			lose(s, now_us);
	}
	if (s->is_guest)
		return false;
	correct(s, now_us, value);
	return true;
}

static bool take_bad(struct gn_source *s, uint64_t now_us, enum gn_doubt doubt)
{
	s->doubt = doubt;
	s->n_good = 0;
	s->n_bad++;
	if (s->is_guest && s->n_bad >= GN_SOURCE_MAX_BAD)
		lose(s, now_us);
	else if (!s->is_guest)
		s->n_both = 0; /* the means begin anew with the next trial */
	return false;
}

bool gn_source_take_guest(struct gn_source *s, uint64_t now_us, uint64_t gap_us,
                          enum gn_doubt doubt, struct gn_demand_value *value)
{
	if (!s->n_needed)
		s->n_needed = GN_SOURCE_NEEDED;
	s->heard_us = now_us;
	if (doubt == GN_DOUBT_NONE && !s->host.at_us)
		doubt = GN_DOUBT_NO_ALLOCATION;
	if (doubt != GN_DOUBT_NONE)
		return take_bad(s, now_us, doubt);
	s->n_bad = 0;
	s->n_good++;
	note_both(s, now_us, gap_us, value->value);
	value->valid = true;
	value->allocated = s->host.value.allocated;
	value->maximum = s->host.value.maximum;
	value->estimated = false;
	s->guest = (struct gn_source_reading){now_us, *value};
	s->doubt = s->is_guest || s->n_good >= s->n_needed ? GN_DOUBT_NONE : GN_DOUBT_TRIAL;
	if (s->doubt == GN_DOUBT_TRIAL)
		return false;
	if (!s->is_guest)
		switch_to(s, true, now_us);
	if (s->n_good >= GN_SOURCE_STEADY)
		s->n_needed = GN_SOURCE_NEEDED;
	correct(s, now_us, value);
	/* What still leans on an estimate is one. */
	value->estimated = s->host.value.estimated && s->correction != 0;
	return true;
}

/* ---- what a sample says ------------------------------------------------------------------- */

static bool can(const Gnomon__V1__GuestSample *guest, const char *name)
{
	size_t i;

	for (i = 0; i < guest->n_capabilities; i++)
		if (strcmp(guest->capabilities[i]->name, name) == 0)
			return guest->capabilities[i]->available;
	return false;
}

void gn_source_bound(struct gn_source *s, const Gnomon__V1__CpuSample *cpu)
{
	int64_t given = clamp(gn_min64(MAX_VALUE, (int64_t)(cpu->used_milli & INT64_MAX)) +
	                      gn_min64(MAX_VALUE, (int64_t)(cpu->wait_milli & INT64_MAX)));

	/* At once up, slowly down: the two periods do not end together. */
	s->host_bound = given > s->host_bound ? given : s->host_bound + (given - s->host_bound) / 4;
}

/* The part of what waited that more CPUs would have to serve. Where CPUs idle most of the time,
 * tasks waited because they came at once, and were served soon after: what was wanted is what was
 * used. Where they never idle, whatever waits is wanted. In between by the fourth power of the
 * share in use: 6 % at a half, 66 % at nine tenths. */
static int64_t waiting_part(int64_t busy, int64_t wait, uint32_t n_cpus)
{
	int64_t all = (int64_t)n_cpus * 1000, share_q16;

	if (!all)
		return 0;
	share_q16 = gn_min64(busy, all) * ONE_Q16 / all;
	share_q16 = share_q16 * share_q16 / ONE_Q16;
	share_q16 = share_q16 * share_q16 / ONE_Q16;
	return wait * share_q16 / ONE_Q16;
}

static enum gn_doubt read_cpu(const struct gn_source *s, const Gnomon__V1__GuestSample *guest,
                              struct gn_demand_value *value)
{
	int64_t most = gn_max64(s->host.value.maximum, s->host.value.allocated) * MAX_WANTED;
	int64_t busy, wait;

	if (!guest->cpu || !can(guest, "cpu"))
		return GN_DOUBT_ABSENT;
	if (guest->cpu->busy_milli > (uint64_t)(s->host_bound * BOUND_FACTOR + BOUND_SLACK_MILLI))
		return GN_DOUBT_IMPLAUSIBLE;
	busy = (int64_t)guest->cpu->busy_milli; /* below the bound */
	wait = (int64_t)(guest->cpu->wait_milli < (uint64_t)most ? guest->cpu->wait_milli
	                                                         : (uint64_t)most);
	value->value = gn_min64(most, busy + waiting_part(busy, wait, guest->cpu->online));
	return GN_DOUBT_NONE;
}

/* As libvirt's figure: what the guest has less what it could still give away. Both are of one read
 * of the guest: the balloon's size is known from another instant, and around a resize their
 * difference would be demand that nobody had. What the kernel keeps for itself counts as used; what
 * is missing beyond that is a resize under way. */
static enum gn_doubt read_memory(const Gnomon__V1__GuestSample *guest, uint64_t balloon_bytes,
                                 struct gn_demand_value *value)
{
	uint64_t total, available, kept, most = balloon_bytes / 16 + KERNEL_KEEPS_BYTES;

	if (!guest->memory || !can(guest, "memory"))
		return GN_DOUBT_ABSENT;
	if (!balloon_bytes)
		return GN_DOUBT_NO_ALLOCATION;
	total = guest->memory->total_bytes;
	available = guest->memory->available_bytes;
	if (!total || available > total || total > INT64_MAX / 2)
		return GN_DOUBT_CONTRADICTS;
	kept = balloon_bytes > total ? balloon_bytes - total : 0;
	value->value = (int64_t)(total - available + (kept < most ? kept : most));
	return GN_DOUBT_NONE;
}

enum gn_doubt gn_source_read_guest(const struct gn_source *s, const Gnomon__V1__Sample *sample,
                                   enum gn_resource resource, uint64_t balloon_bytes,
                                   uint64_t gap_us, struct gn_demand_value *value)
{
	const Gnomon__V1__GuestSample *guest = sample->guest;

	if (!guest || guest->state != GNOMON__V1__GUEST_STATE__GUEST_STATE_READY)
		return guest && guest->state == GNOMON__V1__GUEST_STATE__GUEST_STATE_STALE
		               ? GN_DOUBT_STALE
		               : GN_DOUBT_STATE;
	if (!guest->fresh)
		return GN_DOUBT_STALE;
	if (guest->confidence < GN_SOURCE_MIN_CONFIDENCE)
		return GN_DOUBT_UNSURE;
	if (!sample->period_us || sample->period_us > gap_us)
		return GN_DOUBT_SELDOM;
	return resource == GN_RESOURCE_CPU ? read_cpu(s, guest, value)
	                                   : read_memory(guest, balloon_bytes, value);
}
