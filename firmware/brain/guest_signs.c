/* guest_signs.c - see guest_signs.h. */
#include "firmware/brain/guest_signs.h"

#include "firmware/core/text.h"

#define CLOCK_US 5000000u
#define MIB      ((uint64_t)1 << 20)
#define DAY_H    24

const char *gn_guest_sign_name(enum gn_guest_sign sign)
{
	static const char *const names[GN_N_GUEST_SIGNS] = {
#define NAME(name, text) text,
	        GN_GUEST_SIGNS(NAME)
#undef NAME
	};

	return names[sign];
}

bool gn_guest_sign_is_kept(const struct gn_guest_signs *s, enum gn_guest_sign sign, uint64_t now_us)
{
	uint64_t newest_us = s->signs[sign].newest_us;

	return newest_us && now_us < newest_us + GN_GUEST_SIGN_KEPT_US;
}

static int64_t number(uint64_t value)
{
	return (int64_t)(value & INT64_MAX);
}

static bool is_leaking(const Gnomon__V1__GuestSample *g)
{
	int64_t day = DAY_H * (g->signs->leak_bytes_per_hour / (int64_t)MIB);

	return g->signs->has_leak && g->memory && day > 0 &&
	       (uint64_t)day >= g->memory->available_bytes / MIB;
}

static bool is_seen(const Gnomon__V1__GuestSample *g, enum gn_guest_sign sign)
{
	const Gnomon__V1__GuestSigns *s = g->signs;

	switch (sign) {
	case GN_GUEST_SIGN_PANIC:
		return s->panic;
	case GN_GUEST_SIGN_OOPS:
		return s->oops;
	case GN_GUEST_SIGN_LOCKUP:
		return s->lockup;
	case GN_GUEST_SIGN_CLOCK:
		return s->clock_stopped_us >= CLOCK_US;
	case GN_GUEST_SIGN_STUCK:
		return s->stuck_threads != 0;
	case GN_GUEST_SIGN_MEMORY:
		return s->oom_kills != 0;
	case GN_GUEST_SIGN_LOG:
		return s->log_errors != 0;
	case GN_GUEST_SIGN_LEAK:
		return is_leaking(g);
	case GN_N_GUEST_SIGNS:
		break;
	}
	return false;
}

static void say_stuck(struct gn_text *text, const Gnomon__V1__GuestSigns *s)
{
	gn_text_add_int(text, s->stuck_threads);
	gn_text_add(text, " threads are stuck in uninterruptible sleep, process ");
	gn_text_add_int(text, s->stuck_pid);
	gn_text_add(text, " for ");
	gn_text_add_duration(text, s->longest_sleep_us);
}

static void say_log(struct gn_text *text, const Gnomon__V1__GuestSigns *s, uint64_t count)
{
	gn_text_add_int(text, number(count));
	gn_text_add(text, " errors in its log");
	if (s->log_text[0]) {
		gn_text_add(text, ", the newest: ");
		gn_text_add(text, s->log_text);
	}
}

static void say_leak(struct gn_text *text, const Gnomon__V1__GuestSample *g)
{
	gn_text_add(text, "memory in use grows by ");
	gn_text_add_int(text, g->signs->leak_bytes_per_hour / (int64_t)MIB);
	gn_text_add(text, " MiB an hour; ");
	gn_text_add_int(text, number(g->memory->available_bytes / MIB));
	gn_text_add(text, " MiB are available");
}

static void say(struct gn_text *text, const Gnomon__V1__GuestSample *g, enum gn_guest_sign sign,
                uint64_t count)
{
	switch (sign) {
	case GN_GUEST_SIGN_PANIC:
		gn_text_add(text, "the kernel has panicked");
		break;
	case GN_GUEST_SIGN_OOPS:
		gn_text_add(text, "the kernel had an oops");
		break;
	case GN_GUEST_SIGN_LOCKUP:
		gn_text_add(text, "a CPU was locked up");
		break;
	case GN_GUEST_SIGN_CLOCK:
		gn_text_add(text, "its clock has stood still for ");
		gn_text_add_duration(text, g->signs->clock_stopped_us);
		break;
	case GN_GUEST_SIGN_STUCK:
		say_stuck(text, g->signs);
		break;
	case GN_GUEST_SIGN_MEMORY:
		gn_text_add(text, "processes killed for want of memory: ");
		gn_text_add_int(text, number(count));
		break;
	case GN_GUEST_SIGN_LOG:
		say_log(text, g->signs, count);
		break;
	case GN_GUEST_SIGN_LEAK:
		say_leak(text, g);
		break;
	case GN_N_GUEST_SIGNS:
		break;
	}
}

static uint64_t newly_counted(const Gnomon__V1__GuestSigns *s, enum gn_guest_sign sign)
{
	return sign == GN_GUEST_SIGN_MEMORY ? s->oom_kills
	       : sign == GN_GUEST_SIGN_LOG  ? s->log_errors
	                                    : 0;
}

uint32_t gn_guest_signs_take(struct gn_guest_signs *signs, const Gnomon__V1__GuestSample *sample,
                             uint64_t now_us)
{
	uint32_t fresh = 0;

	for (unsigned i = 0; i < GN_N_GUEST_SIGNS && sample->signs; i++) {
		enum gn_guest_sign sign = (enum gn_guest_sign)i;
		struct gn_text text;

		if (!is_seen(sample, sign))
			continue;
		if (!gn_guest_sign_is_kept(signs, sign, now_us)) {
			fresh |= 1u << i;
			signs->signs[i].since_us = now_us;
			signs->signs[i].count = 0;
		}
		signs->signs[i].newest_us = now_us;
		signs->signs[i].count += newly_counted(sample->signs, sign);
		gn_text_init(&text, signs->signs[i].detail, sizeof signs->signs[i].detail);
		say(&text, sample, sign, signs->signs[i].count);
	}
	return fresh;
}
