/* vm.c - see vm.h. */
#include "firmware/hazard/vm.h"

#include <string.h>

#include "firmware/core/fixed.h"

#define MINUTE_US    ((uint64_t)60000000)
#define LEVEL_MAX    (16 << 8)
#define QUIET_US     (60 * MINUTE_US) /* one event, one alarm */
#define FAILED_AGAIN (10 * MINUTE_US)
#define HUNG_US      MINUTE_US
#define STOPPED_US   (MINUTE_US / 6)
#define BELIEVE      4 /* times what was seen */
#define START_US     (MINUTE_US / 2)
#define SHARE_MEMORY 64

const uint64_t gn_hazard_horizons_us[GN_HAZARD_HORIZONS] = {10 * MINUTE_US, 60 * MINUTE_US,
                                                            24 * 60 * MINUTE_US};

static const uint64_t spans_us[GN_HAZARD_TRENDS] = {4 * MINUTE_US, 60 * MINUTE_US,
                                                    24 * 60 * MINUTE_US};

/* How long until a sign's level is half; 0: it holds the newest level. */
static const uint64_t half_lives_us[GN_N_SIGNS] = {
        [GN_SIGN_ANOMALY] = 5 * MINUTE_US,
        [GN_SIGN_LATENCY] = 5 * MINUTE_US,
        [GN_SIGN_IO_ERRORS] = 15 * MINUTE_US,
        [GN_SIGN_KERNEL] = 15 * MINUTE_US,
};

void gn_hazard_input_init(struct gn_hazard_input *input, uint64_t now_us, uint64_t period_us)
{
	*input = (struct gn_hazard_input){.now_us = now_us, .period_us = period_us};
	for (uint32_t i = 0; i < GN_HAZARD_N_METRICS; i++)
		input->metrics[i] = GN_HAZARD_UNSEEN;
}

/* Samples in the quiet time. */
static uint32_t quiet_of(uint64_t period_us)
{
	return (uint32_t)gn_min64((int64_t)(QUIET_US / period_us), 100000);
}

void gn_hazard_vm_init(struct gn_hazard_vm *vm, uint64_t period_us)
{
	uint64_t period = period_us ? period_us : 1;

	memset(vm, 0, sizeof(*vm));
	vm->worst_metric = vm->worst_latency = -1;
	for (uint32_t i = 0; i < GN_HAZARD_N_METRICS; i++)
		gn_anomaly_init(&vm->anomalies[i], quiet_of(period));
	for (uint32_t i = 0; i < GN_HAZARD_TRENDS; i++)
		gn_exhaustion_init(&vm->memory[i], period, spans_us[i]);
}

/* ---- levels that fade ------------------------------------------------------------------ */

static int32_t level_at(const struct gn_hazard_vm *vm, enum gn_sign sign, uint64_t now_us)
{
	const struct gn_hazard_sign *s = &vm->signs[sign];
	uint64_t half_life = half_lives_us[sign], age, halvings;
	int32_t level;

	if (!half_life || now_us <= s->at_us)
		return s->level_q8;
	age = now_us - s->at_us;
	halvings = age / half_life;
	if (halvings > 16)
		return 0;
	level = s->level_q8 >> halvings;
	/* between two halvings: a straight line */
	return level -
	       (int32_t)(((uint64_t)level / 2 * (age % half_life / 1000)) / (half_life / 1000));
}

static void set(struct gn_hazard_vm *vm, enum gn_sign sign, int64_t level_q8, uint64_t now_us)
{
	vm->signs[sign] = (struct gn_hazard_sign){.level_q8 = gn_clamp32(level_q8, 0, LEVEL_MAX),
	                                          .at_us = now_us};
}

static void add(struct gn_hazard_vm *vm, enum gn_sign sign, uint64_t n, int64_t each_q8,
                uint64_t now_us)
{
	int64_t more =
	        gn_min64((int64_t)gn_min64((int64_t)(n & INT64_MAX), 1000) * each_q8, LEVEL_MAX);

	if (n)
		set(vm, sign, level_at(vm, sign, now_us) + more, now_us);
}

static void raise_to(struct gn_hazard_vm *vm, enum gn_sign sign, int64_t level_q8, uint64_t now_us)
{
	if (level_q8 > level_at(vm, sign, now_us))
		set(vm, sign, level_q8, now_us);
}

/* ---- one period ------------------------------------------------------------------------- */

static void observe_metrics(struct gn_hazard_vm *vm, const struct gn_hazard_input *in,
                            uint32_t budget_q8)
{
	for (uint32_t i = 0; i < GN_HAZARD_N_METRICS; i++) {
		bool is_latency = i == GN_HAZARD_DISK_LATENCY || i == GN_HAZARD_HANDSHAKE;
		enum gn_sign sign = is_latency ? GN_SIGN_LATENCY : GN_SIGN_ANOMALY;
		struct gn_anomaly_result result;
		int64_t level;

		if (in->metrics[i] < 0)
			continue;
		result = gn_anomaly_observe(&vm->anomalies[i], in->metrics[i], in->period_us);
		if (result.score_q16 <= 0 || (is_latency && !result.above))
			continue;
		level = (int64_t)budget_q8 * 256 / gn_max64(result.per_month_q8, 1);
		if (level <= level_at(vm, sign, in->now_us))
			continue;
		set(vm, sign, level, in->now_us);
		*(is_latency ? &vm->worst_latency : &vm->worst_metric) = (int32_t)i;
	}
}

/* A running share of 'part' in 'whole', Q24; nothing new without a whole. */
static void average(uint32_t *share_q24, uint64_t part, uint64_t whole)
{
	int64_t newest;

	if (!whole)
		return;
	part = part < whole ? part : whole;
	newest = gn_div_shift((int64_t)(part & INT64_MAX), (int64_t)(whole & INT64_MAX), 24);
	*share_q24 = (uint32_t)(*share_q24 + (newest - (int64_t)*share_q24) / SHARE_MEMORY);
}

static void observe_network(struct gn_hazard_vm *vm, const struct gn_hazard_input *in)
{
	average(&vm->retransmitted_q24, in->retransmissions, in->packets);
	average(&vm->reset_q24, in->resets, in->opened + in->resets);
	set(vm, GN_SIGN_RETRANSMISSIONS, vm->retransmitted_q24 * 50ll / 65536, in->now_us);
	set(vm, GN_SIGN_RESETS, vm->reset_q24 * 4ll / 65536, in->now_us);
}

/* What the sign is made of, for describe_kernel(). */
static void note_kernel(struct gn_hazard_vm *vm, const struct gn_hazard_input *in)
{
	if (level_at(vm, GN_SIGN_KERNEL, in->now_us) < 16) {
		vm->n_log_errors = vm->n_oom_kills = 0;
		vm->has_oops = vm->has_panic = vm->has_lockup = false;
	}
	vm->n_log_errors += in->log_errors;
	vm->n_oom_kills += in->oom_kills;
	vm->has_oops |= in->has_oops;
	vm->has_panic |= in->has_panic;
	vm->has_lockup |= in->has_lockup;
}

static void observe_guest(struct gn_hazard_vm *vm, const struct gn_hazard_input *in)
{
	bool stopped = in->clock_stopped_us >= STOPPED_US;

	note_kernel(vm, in);
	vm->clock_stopped_us = in->clock_stopped_us;
	vm->stuck_threads = in->stuck_threads;
	set(vm, GN_SIGN_STUCK_TASKS,
	    gn_min64((int64_t)(in->stuck_threads & INT32_MAX), 16) * 256 + (stopped ? 768 : 0),
	    in->now_us);
	add(vm, GN_SIGN_KERNEL, in->log_errors, 32, in->now_us);
	add(vm, GN_SIGN_KERNEL, in->oom_kills, 512, in->now_us);
	if (in->has_oops || in->has_panic || in->has_lockup)
		raise_to(vm, GN_SIGN_KERNEL, 1024, in->now_us);
}

static bool has_failed(struct gn_hazard_vm *vm, const struct gn_hazard_input *in)
{
	if (!in->has_guest ||
	    !(in->has_panic || in->oom_kills || in->clock_stopped_us >= HUNG_US) ||
	    (vm->failed_us && in->now_us - vm->failed_us < FAILED_AGAIN))
		return false;
	vm->failed_us = in->now_us;
	return true;
}

bool gn_hazard_vm_observe(struct gn_hazard_vm *vm, const struct gn_hazard_input *input,
                          uint32_t budget_q8)
{
	struct gn_hazard_input in = *input;

	if (in.period_us == 0)
		return false;
	/* Sources take turns; their clocks agree to about a period. */
	if (in.now_us < vm->newest_us)
		in.now_us = vm->newest_us;
	vm->newest_us = in.now_us;
	observe_metrics(vm, &in, budget_q8);
	if (in.metrics[GN_HAZARD_MEMORY] >= 0 && in.memory_limit > 0) {
		vm->memory_limit = in.memory_limit;
		for (uint32_t i = 0; i < GN_HAZARD_TRENDS; i++)
			gn_exhaustion_observe(&vm->memory[i], in.now_us,
			                      in.metrics[GN_HAZARD_MEMORY]);
	}
	if (in.has_disk) {
		if (level_at(vm, GN_SIGN_IO_ERRORS, in.now_us) < 16)
			vm->n_disk_errors = 0;
		vm->n_disk_errors += in.disk_errors;
		add(vm, GN_SIGN_IO_ERRORS, in.disk_errors, 128, in.now_us);
	}
	if (in.has_network)
		observe_network(vm, &in);
	if (in.has_guest)
		observe_guest(vm, &in);
	return has_failed(vm, &in);
}

/* ---- what follows ------------------------------------------------------------------------ */

/* A trend that not even the slowest tenth of the slopes shares is none. */
static bool is_believed(const struct gn_exhaustion *trend, const struct gn_exhaustion_forecast *f)
{
	int64_t seen_us = trend->n ? (int64_t)(trend->at_us[trend->n - 1] - trend->at_us[0]) : 0;

	return f->likely_us == 0 ||
	       (seen_us >= (int64_t)START_US && f->latest_us != GN_EXHAUSTION_NEVER &&
	        f->likely_us <= BELIEVE * seen_us);
}

struct gn_exhaustion_forecast gn_hazard_vm_memory(const struct gn_hazard_vm *vm)
{
	struct gn_exhaustion_forecast best = {.soonest_us = GN_EXHAUSTION_NEVER,
	                                      .likely_us = GN_EXHAUSTION_NEVER,
	                                      .latest_us = GN_EXHAUSTION_NEVER};

	for (uint32_t i = 0; i < GN_HAZARD_TRENDS && vm->memory_limit > 0; i++) {
		struct gn_exhaustion_forecast f =
		        gn_exhaustion_forecast(&vm->memory[i], vm->memory_limit);

		if (is_believed(&vm->memory[i], &f) && f.likely_us < best.likely_us)
			best = f;
	}
	return best;
}

static int32_t exhaustion_level(const struct gn_hazard_vm *vm, uint64_t horizon_us)
{
	struct gn_exhaustion_forecast f = gn_hazard_vm_memory(vm);
	int64_t horizon = (int64_t)horizon_us;

	if (f.likely_us == 0)
		return 1024;
	return 256 *
	       ((f.soonest_us <= horizon) + (f.likely_us <= horizon) + (f.latest_us <= horizon));
}

void gn_hazard_vm_levels(const struct gn_hazard_vm *vm, uint64_t now_us, uint64_t horizon_us,
                         int32_t levels_q8[GN_N_SIGNS])
{
	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		levels_q8[s] = level_at(vm, (enum gn_sign)s, now_us);
	levels_q8[GN_SIGN_EXHAUSTION] = exhaustion_level(vm, horizon_us);
}

void gn_hazard_vm_examine(struct gn_hazard_vm *vm, struct gn_signs models[GN_HAZARD_HORIZONS],
                          uint64_t now_us, bool failed)
{
	for (uint32_t h = 0; h < GN_HAZARD_HORIZONS; h++) {
		struct gn_hazard_exam *exam = &vm->exams[h];

		if (exam->due_us && (failed || now_us >= exam->due_us)) {
			gn_signs_learn(&models[h], exam->levels_q8, failed);
			exam->due_us = 0;
		}
		/* After a failure only once it can be told from the next one. */
		if (exam->due_us || (vm->failed_us && now_us - vm->failed_us < FAILED_AGAIN))
			continue;
		exam->due_us = now_us + gn_hazard_horizons_us[h];
		gn_hazard_vm_levels(vm, now_us, gn_hazard_horizons_us[h], exam->levels_q8);
	}
}

/* ---- state from elsewhere ------------------------------------------------------------------- */

uint64_t gn_hazard_vm_n_observed(const struct gn_hazard_vm *vm)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < GN_HAZARD_N_METRICS; i++)
		most = vm->anomalies[i].n > most ? vm->anomalies[i].n : most;
	return most;
}

static bool levels_are_sound(const int32_t levels_q8[GN_N_SIGNS])
{
	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		if (levels_q8[s] < 0 || levels_q8[s] > LEVEL_MAX)
			return false;
	return true;
}

static bool signs_are_sound(const struct gn_hazard_vm *vm)
{
	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		if (vm->signs[s].level_q8 < 0 || vm->signs[s].level_q8 > LEVEL_MAX ||
		    vm->signs[s].at_us > vm->newest_us)
			return false;
	return true;
}

bool gn_hazard_vm_is_sound(const struct gn_hazard_vm *vm, uint64_t period_us, uint64_t latest_us)
{
	if (vm->newest_us > latest_us || vm->failed_us > latest_us || vm->memory_limit < 0 ||
	    vm->worst_metric < -1 || vm->worst_metric >= GN_HAZARD_N_METRICS ||
	    vm->worst_latency < -1 || vm->worst_latency >= GN_HAZARD_N_METRICS ||
	    vm->retransmitted_q24 > 1 << 24 || vm->reset_q24 > 1 << 24 || !signs_are_sound(vm))
		return false;
	for (uint32_t i = 0; i < GN_HAZARD_N_METRICS; i++)
		if (!gn_anomaly_is_sound(&vm->anomalies[i], quiet_of(period_us ? period_us : 1)))
			return false;
	for (uint32_t i = 0; i < GN_HAZARD_TRENDS; i++)
		if (!gn_exhaustion_is_sound(&vm->memory[i], spans_us[i], vm->newest_us))
			return false;
	for (uint32_t h = 0; h < GN_HAZARD_HORIZONS; h++)
		if (vm->exams[h].due_us > latest_us + gn_hazard_horizons_us[h] ||
		    !levels_are_sound(vm->exams[h].levels_q8))
			return false;
	return true;
}

/* ---- in words ----------------------------------------------------------------------------- */

static const char *metric_text(int32_t metric)
{
	static const char *const texts[GN_HAZARD_N_METRICS] = {
	        "CPU", "memory", "network", "disk", "disk requests", "TCP handshakes"};

	return metric >= 0 && metric < GN_HAZARD_N_METRICS ? texts[metric] : "a metric";
}

static void describe_memory(const struct gn_hazard_vm *vm, struct gn_text *text)
{
	struct gn_exhaustion_forecast f = gn_hazard_vm_memory(vm);

	if (f.likely_us == 0) {
		gn_text_add(text, "memory is full");
		return;
	}
	if (f.likely_us == GN_EXHAUSTION_NEVER)
		return;
	gn_text_add(text, "memory is full in ");
	gn_text_add_duration(text, (uint64_t)f.likely_us);
	gn_text_add(text, " (");
	gn_text_add_duration(text, (uint64_t)f.soonest_us);
	gn_text_add(text, " to ");
	gn_text_add_duration(text, (uint64_t)f.latest_us);
	gn_text_add(text, ") as it grows by ");
	gn_text_add_ratio(text, f.per_hour, (int64_t)1 << 20, 1);
	gn_text_add(text, " MiB an hour");
}

static void describe_share(struct gn_text *text, uint32_t share_q24, const char *of)
{
	gn_text_add_ratio(text, (int64_t)share_q24 * 100, 1 << 24, 1);
	gn_text_add(text, of);
}

static void describe_stuck(const struct gn_hazard_vm *vm, struct gn_text *text)
{
	if (vm->clock_stopped_us >= STOPPED_US) {
		gn_text_add(text, "the guest's clock has stood still for ");
		gn_text_add_duration(text, vm->clock_stopped_us);
		return;
	}
	gn_text_add_int(text, (int64_t)(vm->stuck_threads & INT64_MAX));
	gn_text_add(text, " threads of the guest are stuck in uninterruptible sleep");
}

static void add_part(struct gn_text *text, bool *is_first, const char *part)
{
	gn_text_add(text, *is_first ? "" : ", ");
	gn_text_add(text, part);
	*is_first = false;
}

static void describe_kernel(const struct gn_hazard_vm *vm, struct gn_text *text)
{
	bool is_first = true;

	gn_text_add(text, "the guest's kernel: ");
	if (vm->has_panic)
		add_part(text, &is_first, "panic");
	if (vm->has_oops)
		add_part(text, &is_first, "oops");
	if (vm->has_lockup)
		add_part(text, &is_first, "soft lockup");
	if (vm->n_oom_kills) {
		add_part(text, &is_first, "processes killed for want of memory: ");
		gn_text_add_int(text, (int64_t)(vm->n_oom_kills & INT64_MAX));
	}
	if (vm->n_log_errors || is_first) {
		add_part(text, &is_first, "errors in its log: ");
		gn_text_add_int(text, (int64_t)(vm->n_log_errors & INT64_MAX));
	}
}

void gn_hazard_vm_describe(const struct gn_hazard_vm *vm, enum gn_sign sign, struct gn_text *text)
{
	switch (sign) {
	case GN_SIGN_ANOMALY:
		gn_text_add(text, metric_text(vm->worst_metric));
		gn_text_add(text, " left its usual range");
		break;
	case GN_SIGN_LATENCY:
		gn_text_add(text, metric_text(vm->worst_latency));
		gn_text_add(text, " take longer than ever lately");
		break;
	case GN_SIGN_IO_ERRORS:
		gn_text_add_int(text, (int64_t)(vm->n_disk_errors & INT64_MAX));
		gn_text_add(text, " disk requests failed");
		break;
	case GN_SIGN_RETRANSMISSIONS:
		describe_share(text, vm->retransmitted_q24, " % of the packets are sent again");
		break;
	case GN_SIGN_RESETS:
		describe_share(text, vm->reset_q24, " % of the connections are reset");
		break;
	case GN_SIGN_STUCK_TASKS:
		describe_stuck(vm, text);
		break;
	case GN_SIGN_KERNEL:
		describe_kernel(vm, text);
		break;
	case GN_SIGN_EXHAUSTION:
		describe_memory(vm, text);
		break;
	case GN_SIGN_DRIVE:
	case GN_N_SIGNS:
		gn_text_add(text, gn_sign_text(sign));
		break;
	}
}
