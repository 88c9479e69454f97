/* watch.c - see watch.h. */
#include "firmware/alert/watch.h"

#include <string.h>
#include <sys/statvfs.h>
#include "firmware/message/message.h"
#include "firmware/core/fixed.h"

#define SECOND_US  ((uint64_t)1000000)
#define LATELY_US  (10 * SECOND_US)
#define POOL_US    (10 * SECOND_US)
#define DAY_US     (86400 * SECOND_US)
#define POOL_MILLI 950 /* fuller than that is short now */
#define HALF_Q16   32768u

/* ---- shortage of a VM -------------------------------------------------------------------- */

uint32_t gn_watch_exceeds_q16(const struct gn_predict_forecast *forecast, int64_t limit)
{
	static const uint32_t above_q16[GN_PREDICT_N_QUANTILES] = {32768, 6554, 3277, 655};
	const int64_t *q = forecast->quantiles;

	if (limit < q[GN_P50])
		return HALF_Q16;
	for (unsigned i = GN_P50; i < GN_P99; i++) {
		int64_t width = q[i + 1] - q[i];

		if (limit >= q[i + 1])
			continue;
		return (uint32_t)(above_q16[i] - gn_div_shift(limit - q[i], width, 16) *
		                                         (above_q16[i] - above_q16[i + 1]) / 65536);
	}
	return limit > q[GN_P99] ? 0 : above_q16[GN_P99];
}

/* A plan is on its way, or nothing is to be done. */
static bool is_cared_for(const struct gn_policy_decision *d)
{
	return d->bound == GN_POLICY_BOUND_OFF || d->bound == GN_POLICY_BOUND_NOT_LIMITED ||
	       d->bound == GN_POLICY_BOUND_ESTIMATED || d->bound == GN_POLICY_BOUND_HISTORY ||
	       d->bound == GN_POLICY_BOUND_INTERRUPTED || d->demoted ||
	       (d->verdict == GN_POLICY_GROW && !d->advisory && !d->must_move);
}

/* The most probable shortage up to the policy's horizon, and the first instant of one. */
static uint32_t shortage_of(const struct gn_series *s, uint64_t period_us, uint64_t *ahead_us)
{
	uint32_t most = s->decision.saturated ? HALF_Q16 : 0;

	*ahead_us = 0;
	for (uint32_t i = 0; i < s->n_forecasts && !s->decision.saturated; i++) {
		const struct gn_predict_forecast *f = &s->forecasts[i];
		uint32_t level = f->reason == GN_PREDICT_TRUSTED
		                         ? gn_watch_exceeds_q16(f, s->newest.allocated)
		                         : 0;

		if (level > most && !*ahead_us)
			*ahead_us = f->horizon * period_us;
		most = level > most ? level : most;
		if (f->horizon * period_us >= s->rules.horizon_us)
			break;
	}
	return most;
}

static void say_shortage(struct gn_text *text, const struct gn_vm *vm, const struct gn_series *s,
                         uint64_t ahead_us, uint32_t level_q16, int64_t needed)
{
	gn_text_add(text, gn_resource_label(s->resource));
	gn_text_add(text, " of ");
	gn_text_add(text, vm->name);
	if (ahead_us) {
		gn_text_add(text, " may be short in ");
		gn_text_add_duration(text, ahead_us);
		gn_text_add(text, " (probability ");
		gn_text_add_ratio(text, level_q16, 65536, 2);
		gn_text_add(text, "): needs ");
	} else {
		gn_text_add(text, " is short: needs ");
	}
	gn_resource_add_value(text, s->resource, needed);
	gn_text_add(text, ", has ");
	gn_resource_add_value(text, s->resource, s->newest.allocated);
	if (s->decision.must_move)
		gn_text_add(text, "; the host has no room, the VM must move");
	else if (s->decision.bound != GN_POLICY_BOUND_NONE) {
		gn_text_add(text, "; bound by: ");
		gn_text_add(text, gn_policy_bound_text(s->decision.bound));
	} else if (s->decision.advisory)
		gn_text_add(text, "; its mode is FORECAST_ONLY, so nothing is changed");
}

static void watch_series(struct gn_watch *watch, const struct gn_vm *vm, const struct gn_series *s,
                         struct gn_time now)
{
	const struct gn_config *config = watch->brain->config;
	const struct gn_alert_rules rules = {
	        .raise_q16 = config->alerts.shortage_milli * 65536u / 1000,
	        .clear_q16 = config->alerts.shortage_milli * 65536u / 2000,
	        .raise_after_us = config->alerts.raise_after_ms * 1000ull,
	        .clear_after_us = config->alerts.clear_after_ms * 1000ull,
	};
	struct gn_alert_report report = {
	        .kind = GNOMON__V1__ALERT__KIND__RESOURCE_SHORTAGE,
	        .resource = vm->name,
	        .subject = gn_resource_key(s->resource),
	};
	uint64_t ahead_us = 0;
	char words[512];
	struct gn_text text;
	int64_t needed;

	if (!s->has_decision)
		return;
	if (!is_cared_for(&s->decision) && s->newest.allocated > 0)
		report.level_q16 = shortage_of(s, config->predict_period_ms * 1000ull, &ahead_us);
	if (report.level_q16 >= rules.clear_q16) {
		needed =
		        s->decision.saturated ? s->decision.uncapped_target : s->decision.predicted;
		gn_text_init(&text, words, sizeof words);
		say_shortage(&text, vm, s, ahead_us, report.level_q16, needed);
		report.text = words;
		report.expected_us = now.wall_us + ahead_us;
		report.missing = gn_max64(needed - s->newest.allocated, 0);
	}
	gn_alerts_report(watch->alerts, &report, &rules, now);
}

/* ---- failure of a VM ----------------------------------------------------------------------- */

/* The signs that add at least a tenth of a unit of log-odds, strongest first. */
static void say_signs(struct gn_text *text, const struct gn_vm *vm,
                      const struct gn_signs_hazard *hazard)
{
	bool said[GN_N_SIGNS] = {false};

	for (unsigned n = 0; n < 4; n++) {
		int best = -1;

		for (int s = 0; s < GN_N_SIGNS; s++)
			if (!said[s] && hazard->contributions_q8[s] >= 26 &&
			    (best < 0 ||
			     hazard->contributions_q8[s] > hazard->contributions_q8[best]))
				best = s;
		if (best < 0)
			return;
		said[best] = true;
		gn_text_add(text, n ? "; " : ": ");
		gn_hazard_vm_describe(vm->hazard, (enum gn_sign)best, text);
	}
}

/* The shortest horizon within which it is as likely as the alert asks for. */
static unsigned horizon_of(const struct gn_signs_hazard hazards[GN_HAZARD_HORIZONS],
                           uint32_t level_q16)
{
	for (unsigned h = 0; h < GN_HAZARD_HORIZONS; h++)
		if (hazards[h].probability_q16 >= level_q16)
			return h;
	return GN_HAZARD_HORIZONS - 1;
}

static uint64_t expected(const struct gn_vm *vm, unsigned horizon, struct gn_time now)
{
	struct gn_exhaustion_forecast memory = gn_hazard_vm_memory(vm->hazard);

	if (memory.likely_us < (int64_t)gn_hazard_horizons_us[horizon])
		return now.wall_us + (uint64_t)memory.likely_us;
	return now.wall_us + gn_hazard_horizons_us[horizon];
}

static void watch_failure(struct gn_watch *watch, const struct gn_vm *vm, uint64_t card_us,
                          struct gn_time now)
{
	const struct gn_config_alerts *config = &watch->brain->config->alerts;
	const struct gn_alert_rules rules = {
	        .raise_q16 = config->failure_milli * 65536u / 1000,
	        .clear_q16 = config->failure_milli * 65536u / 2000,
	        .raise_after_us = config->raise_after_ms * 1000ull,
	        .clear_after_us = config->clear_after_ms * 1000ull,
	};
	struct gn_alert_report report = {
	        .kind = GNOMON__V1__ALERT__KIND__POTENTIAL_FAILURE,
	        .resource = vm->name,
	        .subject = "failure",
	};
	struct gn_signs_hazard hazards[GN_HAZARD_HORIZONS];
	char words[900];
	struct gn_text text;
	unsigned h;

	gn_hazards_of(watch->brain, vm, card_us, hazards);
	report.level_q16 = hazards[GN_HAZARD_HORIZONS - 1].probability_q16;
	if (report.level_q16 >= rules.clear_q16) {
		h = horizon_of(hazards, rules.raise_q16);
		gn_text_init(&text, words, sizeof words);
		gn_text_add(&text, vm->name);
		gn_text_add(&text, " may fail within ");
		gn_text_add_duration(&text, gn_hazard_horizons_us[h]);
		gn_text_add(&text, " (probability ");
		gn_text_add_ratio(&text, hazards[h].probability_q16, 65536, 2);
		gn_text_add(&text, ")");
		say_signs(&text, vm, &hazards[h]);
		report.text = words;
		report.expected_us = expected(vm, h, now);
	}
	gn_alerts_report(watch->alerts, &report, &rules, now);
}

/* ---- the host's drives ------------------------------------------------------------------------
 */

static void say_drive(struct gn_text *text, const struct gn_drive *drive)
{
	Gnomon__V1__Hazard *hazard = gn_drive_message(drive);

	gn_text_add(text, drive->name);
	gn_text_add(text, " (");
	gn_text_add(text, drive->device);
	gn_text_add(text, ") may fail within 30 days of operation: ");
	for (size_t i = 0; i < hazard->n_signs && i < 3; i++) {
		gn_text_add(text, i ? "; " : "");
		gn_text_add(text, hazard->signs[i]->name);
		gn_text_add(text, ": ");
		gn_text_add(text, hazard->signs[i]->detail);
	}
	gn_message_free(&hazard->base);
}

static void watch_drive(struct gn_watch *watch, const struct gn_drive *drive, struct gn_time now)
{
	const struct gn_config_alerts *config = &watch->brain->config->alerts;
	const struct gn_alert_rules rules = {
	        .raise_q16 = gn_drive_probability_q16(GN_DRIVE_ALARM_Q8),
	        .clear_q16 = gn_drive_probability_q16(GN_DRIVE_ALARM_Q8 - 128),
	        .raise_after_us = config->raise_after_ms * 1000ull,
	        .clear_after_us = config->clear_after_ms * 1000ull,
	};
	struct gn_alert_report report = {
	        .kind = GNOMON__V1__ALERT__KIND__POTENTIAL_FAILURE,
	        .resource = drive->name,
	        .subject = "drive",
	};
	int32_t features[GN_DRIVE_N_FEATURES];
	char words[600];
	struct gn_text text;

	report.level_q16 = gn_drive_probability_q16(gn_drive_hazard(drive, features));
	if (report.level_q16 >= rules.clear_q16) {
		gn_text_init(&text, words, sizeof words);
		say_drive(&text, drive);
		report.text = words;
	}
	gn_alerts_report(watch->alerts, &report, &rules, now);
}

/* ---- the card's pool ------------------------------------------------------------------------- */

static void say_pool(struct gn_text *text, const char *path, int64_t size, int64_t used,
                     const struct gn_exhaustion_forecast *f, bool is_near)
{
	gn_text_add(text, "the file system of ");
	gn_text_add(text, path);
	gn_text_add(text, " is to ");
	gn_text_add_ratio(text, used / 1024 * 100, gn_max64(size / 1024, 1), 1);
	gn_text_add(text, " % full");
	if (!is_near)
		return;
	gn_text_add(text, ", and wholly in ");
	gn_text_add_duration(text, (uint64_t)f->likely_us);
	gn_text_add(text, " (");
	gn_text_add_duration(text, (uint64_t)f->soonest_us);
	gn_text_add(text, " to ");
	gn_text_add_duration(text, (uint64_t)f->latest_us);
	gn_text_add(text, ")");
}

static void report_pool(struct gn_watch *watch, int64_t size, int64_t used, struct gn_time now)
{
	const struct gn_config *config = watch->brain->config;
	const struct gn_alert_rules rules = {
	        HALF_Q16, HALF_Q16, config->alerts.raise_after_ms * 1000ull,
	        gn_max64(config->alerts.clear_after_ms * 1000ll, 2 * (int64_t)POOL_US)};
	struct gn_exhaustion_forecast f = gn_exhaustion_forecast(&watch->pool, size);
	int64_t seen_us = (int64_t)(watch->pool.at_us[watch->pool.n - 1] - watch->pool.at_us[0]);
	bool is_near = f.latest_us <= (int64_t)DAY_US && f.likely_us <= 4 * seen_us;
	bool is_full = used / 1024 >= size / 1024 * POOL_MILLI / 1000;
	struct gn_alert_report report = {
	        .kind = GNOMON__V1__ALERT__KIND__RESOURCE_SHORTAGE,
	        .resource = "card",
	        .subject = "shadow pool",
	        .level_q16 = is_full   ? 65535
	                     : is_near ? HALF_Q16
	                               : 0,
	};
	char words[512];
	struct gn_text text;

	gn_text_init(&text, words, sizeof words);
	say_pool(&text, config->pool_path, size, used, &f, is_near && !is_full);
	report.text = words;
	report.expected_us = now.wall_us + (is_near ? (uint64_t)f.likely_us : 0);
	gn_alerts_report(watch->alerts, &report, &rules, now);
}

static void watch_pool(struct gn_watch *watch, uint64_t card_us, struct gn_time now)
{
	const char *path = watch->brain->config->pool_path;
	struct statvfs fs;
	int64_t size, used;

	if (!path || now.monotonic_us - watch->pool_us < POOL_US)
		return;
	watch->pool_us = now.monotonic_us;
	if (statvfs(path, &fs) || !fs.f_blocks)
		return; /* not made yet */
	size = gn_clamp64((int64_t)(fs.f_blocks * fs.f_frsize & INT64_MAX), 1, (int64_t)1 << 60);
	used = gn_clamp64(size - (int64_t)(fs.f_bavail * fs.f_frsize & INT64_MAX), 0, size);
	gn_exhaustion_observe(&watch->pool, card_us, used);
	if (watch->pool.n)
		report_pool(watch, size, used, now);
}

/* ---- turns --------------------------------------------------------------------------------------
 */

void gn_watch_init(struct gn_watch *watch, struct gn_brain *brain, struct gn_alerts *alerts)
{
	*watch = (struct gn_watch){.brain = brain, .alerts = alerts};
	gn_exhaustion_init(&watch->pool, POOL_US, 7 * DAY_US);
}

void gn_watch_tick(struct gn_watch *watch, struct gn_time now)
{
	struct gn_brain *brain = watch->brain;
	uint64_t card_us = gn_brain_card_time(brain, now);
	uint64_t lately_us =
	        (uint64_t)gn_max64((int64_t)LATELY_US, 3000 * (int64_t)brain->config->period_ms);

	if (watch->looked_us && now.monotonic_us - watch->looked_us < SECOND_US)
		return;
	watch->looked_us = now.monotonic_us;
	for (size_t i = 0; i < brain->n_vms; i++) {
		const struct gn_vm *vm = brain->vms[i];

		if (now.wall_us > vm->last_sample_us + lately_us)
			continue;
		for (unsigned k = 1; k < GN_RESOURCE_END; k++)
			watch_series(watch, vm, &vm->series[k], now);
		watch_failure(watch, vm, card_us, now);
	}
	gn_alerts_end_gone(watch->alerts, now);
	for (size_t i = 0; i < brain->drives.n; i++)
		watch_drive(watch, &brain->drives.list[i], now);
	watch_pool(watch, card_us, now);
}
