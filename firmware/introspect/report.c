/* report.c - names, and the check of foreign reports (report.h). */
#include "firmware/introspect/report.h"

#include <string.h>

#define MAX_MILLI ((uint64_t)1 << 40)

const char *gn_guest_state_name(enum gn_guest_state state)
{
	switch (state) {
#define NAME(name, number)                                                                         \
	case GN_GUEST_##name:                                                                      \
		return #name;
		GN_GUEST_STATES(NAME)
#undef NAME
	}
	return "UNSPECIFIED";
}

const char *gn_guest_capability_name(enum gn_guest_capability capability)
{
#define NAME(name, reason) #name,
	static const char *const names[] = {GN_GUEST_CAPABILITIES(NAME)};
#undef NAME

	return names[capability];
}

const char *gn_guest_capability_reason(enum gn_guest_capability capability)
{
#define REASON(name, reason) reason,
	static const char *const reasons[] = {GN_GUEST_CAPABILITIES(REASON)};
#undef REASON

	return reasons[capability];
}

static void mend_text(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static bool is_bool(const bool *value)
{
	uint8_t byte;

	memcpy(&byte, value, 1);
	return byte <= 1;
}

static bool check_bools(const struct gn_report *r)
{
	for (unsigned i = 0; i < GN_GUEST_N_CAPABILITIES; i++)
		if (!is_bool(&r->has[i]))
			return false;
	for (unsigned i = 0; i < r->n_top; i++)
		if (!is_bool(&r->top[i].process.is_kernel))
			return false;
	return is_bool(&r->is_fresh) && is_bool(&r->is_throttled) && is_bool(&r->is_oops) &&
	       is_bool(&r->is_panic) && is_bool(&r->is_lockup) && is_bool(&r->has_leak);
}

static bool is_state(enum gn_guest_state state)
{
	switch (state) {
#define CASE(name, number) case GN_GUEST_##name:
		GN_GUEST_STATES(CASE)
#undef CASE
		return true;
	}
	return false;
}

bool gn_report_check(struct gn_report *r)
{
	if (!is_state(r->state) || (unsigned)r->way > GN_BOOTSTRAP_STRUCTURE ||
	    r->n_cpus > GN_REPORT_MAX_CPUS || r->n_top > GN_TOP_MAX || r->confidence > 100 ||
	    !check_bools(r))
		return false;
	mend_text(r->reason, sizeof r->reason);
	mend_text(r->release, sizeof r->release);
	mend_text(r->log_text, sizeof r->log_text);
	for (unsigned i = 0; i < r->n_top; i++) {
		struct gn_process *p = &r->top[i].process;

		mend_text(p->comm, sizeof p->comm);
		if (p->state < ' ' || p->state > '~')
			p->state = '?';
	}
	for (unsigned i = 0; i < r->n_cpus; i++)
		if (r->cpu_busy_milli[i] > 1000)
			r->cpu_busy_milli[i] = 1000;
	if (r->demand_milli > MAX_MILLI || r->busy_milli > MAX_MILLI || r->wait_milli > MAX_MILLI)
		return false;
	return true;
}
