/* metrics.c - see metrics.h. One family after the other, each with its samples together, as
 * the format demands; so the lists are walked once per family. */
#include "firmware/console/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* ---- the format ----------------------------------------------------------------------------- */

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value; quotes, backslashes and line ends are escaped. */
static void put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void label(FILE *out, bool first, const char *name, const char *value)
{
	fprintf(out, "%c%s=\"", first ? '{' : ',', name);
	put_text(out, value);
	fputc('"', out);
}

/* A value in thousandths, millionths ... of the unit, exactly, without floating point. */
static void put_value(FILE *out, int64_t value, int64_t per_unit)
{
	uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	uint64_t unit = (uint64_t)per_unit, rest = size % unit;
	int digits = 0;

	while (unit > 1) {
		unit /= 10;
		digits++;
	}
	fprintf(out, "} %s%" PRIu64, value < 0 ? "-" : "", size / (uint64_t)per_unit);
	if (digits && rest)
		fprintf(out, ".%0*" PRIu64, digits, rest);
	fputc('\n', out);
}

static void put_plain(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* A horizon's label: seconds, with as many decimals as it needs. */
static const char *seconds(uint64_t us, char out[32])
{
	size_t length;

	snprintf(out, 32, "%" PRIu64 ".%03" PRIu64, us / 1000000, us / 1000 % 1000);
	for (length = strlen(out); out[length - 1] == '0'; length--)
		out[length - 1] = '\0';
	if (out[length - 1] == '.')
		out[length - 1] = '\0';
	return out;
}

/* "web-1" of "vms/web-1/shadow", into 'out'. */
static const char *short_name(const char *resource, char out[65])
{
	const char *from = strchr(resource, '/');

	from = from ? from + 1 : resource;
	snprintf(out, 65, "%.*s", (int)strcspn(from, "/"), from);
	return out;
}

/* ---- resources in base units ------------------------------------------------------------------
 */

struct unit {
	Gnomon__V1__Resource resource;
	const char *what;          /* in the family's name */
	const char *unit;          /* likewise, at its end */
	const char *key, *value;   /* a further label */
	int64_t divisor, per_unit; /* the family's value is resource / divisor / per_unit */
};

static const struct unit units[] = {
        {GNOMON__V1__RESOURCE__CPU, "cpu", "vcpus", NULL, NULL, 1, 1000},
        {GNOMON__V1__RESOURCE__MEMORY, "memory", "bytes", NULL, NULL, 1, 1},
        {GNOMON__V1__RESOURCE__NETWORK_RX, "network", "bytes_per_second", "direction", "rx", 8, 1},
        {GNOMON__V1__RESOURCE__NETWORK_TX, "network", "bytes_per_second", "direction", "tx", 8, 1},
        {GNOMON__V1__RESOURCE__DISK_READ, "disk", "bytes_per_second", "direction", "read", 1, 1},
        {GNOMON__V1__RESOURCE__DISK_WRITE, "disk", "bytes_per_second", "direction", "write", 1, 1},
        {GNOMON__V1__RESOURCE__DISK_OPERATIONS, "disk", "operations_per_second", NULL, NULL, 1, 1},
};
#define N_UNITS (sizeof units / sizeof units[0])

static bool same_family(const struct unit *a, const struct unit *b)
{
	return !strcmp(a->what, b->what) && !strcmp(a->unit, b->unit);
}

static const struct unit *unit_in(const struct unit *of, Gnomon__V1__Resource resource)
{
	for (size_t i = 0; i < N_UNITS; i++)
		if (units[i].resource == resource && same_family(&units[i], of))
			return &units[i];
	return NULL;
}

static void put_resource(FILE *out, const struct unit *unit, int64_t value)
{
	if (unit->key)
		label(out, false, unit->key, unit->value);
	put_value(out, value / unit->divisor, unit->per_unit);
}

static void print_demands(const struct gn_metrics *metrics, const struct unit *of, bool allocated,
                          FILE *out)
{
	char name[96], vm[65];

	snprintf(name, sizeof name, "gnomon_vm_%s_%s_%s", of->what,
	         allocated ? "allocated" : "demand", of->unit);
	family(out, name, "gauge",
	       allocated ? "What the VM has; VMs without a limit are left out."
	                 : "What the VM used or wanted, newest period.");
	for (size_t i = 0; metrics->vms && i < metrics->vms->n_vms; i++) {
		const Gnomon__V1__Vm *v = metrics->vms->vms[i];

		for (size_t k = 0; k < v->n_demands; k++) {
			const Gnomon__V1__Demand *demand = v->demands[k];
			const struct unit *unit = unit_in(of, demand->resource);

			if (!unit || (allocated && !demand->allocated))
				continue;
			fputs(name, out);
			label(out, true, "vm", short_name(v->name, vm));
			put_resource(out, unit, allocated ? demand->allocated : demand->value);
		}
	}
}

static void print_forecast(const char *name, const char *vm, const Gnomon__V1__Forecast *f,
                           const struct unit *unit, FILE *out)
{
	static const char *const quantiles[] = {"0.5", "0.9", "0.95", "0.99"};
	const int64_t values[] = {f->p50, f->p90, f->p95, f->p99};
	char horizon[32];

	seconds(f->horizon_us, horizon);
	for (size_t q = 0; q < 4; q++) {
		fputs(name, out);
		label(out, true, "vm", vm);
		label(out, false, "horizon_seconds", horizon);
		label(out, false, "forecast_quantile", quantiles[q]);
		put_resource(out, unit, values[q]);
	}
}

static void print_forecasts(const struct gn_metrics *metrics, const struct unit *of, FILE *out)
{
	char name[96], vm[65];

	snprintf(name, sizeof name, "gnomon_vm_%s_forecast_%s", of->what, of->unit);
	family(out, name, "gauge", "What the VM will need, as quantiles ahead of now.");
	for (size_t i = 0; i < metrics->n_forecasts; i++) {
		const Gnomon__V1__ForecastSet *set = metrics->forecasts[i];

		for (size_t k = 0; k < set->n_forecasts; k++) {
			const struct unit *unit = unit_in(of, set->forecasts[k]->resource);

			if (unit)
				print_forecast(name, short_name(set->vm, vm), set->forecasts[k],
				               unit, out);
		}
	}
}

static void print_resources(const struct gn_metrics *metrics, FILE *out)
{
	for (size_t i = 0; i < N_UNITS; i++) {
		if (i && same_family(&units[i], &units[i - 1]))
			continue;
		print_demands(metrics, &units[i], false, out);
		print_demands(metrics, &units[i], true, out);
		print_forecasts(metrics, &units[i], out);
	}
}

/* ---- accuracy ---------------------------------------------------------------------------------
 */

static const char *resource_name(Gnomon__V1__Resource resource, char out[32])
{
	const ProtobufCEnumValue *value =
	        protobuf_c_enum_descriptor_get_value(&gnomon__v1__resource__descriptor, resource);
	size_t i = 0;

	for (const char *at = value ? value->name : "unknown"; *at && i < 31; at++)
		out[i++] = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
	out[i] = '\0';
	return out;
}

static void print_accuracy(const struct gn_metrics *metrics, bool trusted, FILE *out)
{
	const char *name =
	        trusted ? "gnomon_vm_forecast_trusted" : "gnomon_vm_forecast_error_ratio";
	char vm[65], resource[32], horizon[32];

	family(out, name, "gauge",
	       trusted ? "1: enough history and better than naive."
	               : "Running loss over that of the naive forecast; below 1 is better.");
	for (size_t i = 0; i < metrics->n_forecasts; i++) {
		const Gnomon__V1__ForecastSet *set = metrics->forecasts[i];

		for (size_t k = 0; k < set->n_forecasts; k++) {
			const Gnomon__V1__Forecast *f = set->forecasts[k];

			seconds(f->horizon_us, horizon);
			fputs(name, out);
			label(out, true, "vm", short_name(set->vm, vm));
			label(out, false, "resource", resource_name(f->resource, resource));
			label(out, false, "horizon_seconds", horizon);
			put_value(out, trusted ? f->trusted : f->error_ratio_q16 * 1000 / 65536,
			          trusted ? 1 : 1000);
		}
	}
}

/* ---- shadows, mirrors, ports, volumes -----------------------------------------------------------
 */

/* An enum's name in small letters. */
static const char *small(const char *name, char out[32])
{
	size_t n = 0;

	for (; *name && n < 31; name++)
		out[n++] = *name == '_' ? '_' : (char)(*name | 0x20);
	out[n] = '\0';
	return out;
}

static void print_shadows(const Gnomon__V1__ShadowList *list, FILE *out)
{
	const ProtobufCEnumDescriptor *states = &gnomon__v1__shadow_state__descriptor;
	char vm[65], state[32];

	family(out, "gnomon_shadow_state", "gauge", "1 for the state that the shadow is in.");
	for (size_t i = 0; list && i < list->n_shadows; i++) {
		for (unsigned k = 1; k < states->n_values; k++) {
			fputs("gnomon_shadow_state", out);
			label(out, true, "vm", short_name(list->shadows[i]->vm, vm));
			label(out, false, "state", small(states->values[k].name, state));
			put_value(out, (int)list->shadows[i]->state == states->values[k].value, 1);
		}
	}
}

/* How far a shadow's disks are behind; fields of ShadowLag, all uint64_t. */
static const struct {
	const char *family, *help;
	size_t offset;
	int64_t per_unit;
} lag_gauges[] = {
        {"gnomon_shadow_lag_bytes", "Written to the VM's disks, not yet to the shadow's.",
         offsetof(Gnomon__V1__ShadowLag, bytes), 1},
        {"gnomon_shadow_lag_writes", "Writes of which the shadow's disks have nothing yet.",
         offsetof(Gnomon__V1__ShadowLag, writes), 1},
        {"gnomon_shadow_lag_seconds", "Age of the oldest of these writes.",
         offsetof(Gnomon__V1__ShadowLag, us), 1000000},
        {"gnomon_shadow_journal_used_bytes", "Of the journals of its disks.",
         offsetof(Gnomon__V1__ShadowLag, journal_bytes), 1},
        {"gnomon_shadow_journal_size_bytes", "Of the journals of its disks.",
         offsetof(Gnomon__V1__ShadowLag, journal_size_bytes), 1},
        {"gnomon_shadow_resync_done_bytes", "Copied by the synchronisation under way.",
         offsetof(Gnomon__V1__ShadowLag, resync_done_bytes), 1},
        {"gnomon_shadow_resync_left_bytes", "Still to be copied by it.",
         offsetof(Gnomon__V1__ShadowLag, resync_left_bytes), 1},
        {"gnomon_shadow_resync_left_seconds", "How long that may take; 0: unknown.",
         offsetof(Gnomon__V1__ShadowLag, resync_left_us), 1000000},
};

static void print_shadow_lag(const Gnomon__V1__ShadowList *list, FILE *out)
{
	char vm[65];

	for (size_t k = 0; k < sizeof lag_gauges / sizeof lag_gauges[0]; k++) {
		family(out, lag_gauges[k].family, "gauge", lag_gauges[k].help);
		for (size_t i = 0; list && i < list->n_shadows; i++) {
			const uint8_t *lag = (const uint8_t *)list->shadows[i]->lag;

			if (!lag)
				continue;
			fputs(lag_gauges[k].family, out);
			label(out, true, "vm", short_name(list->shadows[i]->vm, vm));
			put_value(out, *(const int64_t *)(lag + lag_gauges[k].offset),
			          lag_gauges[k].per_unit);
		}
	}
}

/* When the content was the VM's that a promotion would have, and who is to blame if it is old. */
static void print_shadow_points(const Gnomon__V1__ShadowList *list, FILE *out)
{
	const ProtobufCEnumDescriptor *causes =
	        &gnomon__v1__volume_mirror_status__reason__descriptor;
	char vm[65], cause[32];

	family(out, "gnomon_shadow_point_timestamp_seconds", "gauge",
	       "When the shadow's consistent content was the VM's.");
	for (size_t i = 0; list && i < list->n_shadows; i++) {
		if (!list->shadows[i]->disk_point_us)
			continue;
		fputs("gnomon_shadow_point_timestamp_seconds", out);
		label(out, true, "vm", short_name(list->shadows[i]->vm, vm));
		put_value(out, (int64_t)list->shadows[i]->disk_point_us, 1000000);
	}
	family(out, "gnomon_shadow_cause", "gauge",
	       "1 for who is to blame that its disks do not follow.");
	for (size_t i = 0; list && i < list->n_shadows; i++) {
		const Gnomon__V1__ShadowLag *lag = list->shadows[i]->lag;

		for (unsigned k = 0; lag && k < causes->n_values; k++) {
			fputs("gnomon_shadow_cause", out);
			label(out, true, "vm", short_name(list->shadows[i]->vm, vm));
			label(out, false, "cause", small(causes->values[k].name, cause));
			put_value(out, (int)lag->cause == causes->values[k].value, 1);
		}
	}
}

static const Gnomon__V1__Rehearsal *rehearsal_of(const Gnomon__V1__ShadowList *list, size_t i)
{
	return list->shadows[i]->rehearsal;
}

/* Whether its shadow would boot, and how fast; of the newest rehearsal. */
static void print_rehearsals(const Gnomon__V1__ShadowList *list, FILE *out)
{
	enum { WHEN, PASSED, RTO, N };
	static const struct {
		const char *family, *help;
	} gauges[N] = {
	        {"gnomon_shadow_rehearsal_timestamp_seconds", "When it was last rehearsed."},
	        {"gnomon_shadow_rehearsal_passed", "1 if that rehearsal gave a sign of life."},
	        {"gnomon_shadow_rehearsal_rto_seconds",
	         "From the start command to the sign of life, in that rehearsal."},
	};
	char vm[65];

	for (unsigned k = 0; k < N; k++) {
		family(out, gauges[k].family, "gauge", gauges[k].help);
		for (size_t i = 0; list && i < list->n_shadows; i++) {
			const Gnomon__V1__Rehearsal *r = rehearsal_of(list, i);

			if (!r || (k == RTO && !r->passed))
				continue;
			fputs(gauges[k].family, out);
			label(out, true, "vm", short_name(list->shadows[i]->vm, vm));
			put_value(out,
			          k == PASSED ? r->passed
			          : k == WHEN ? (int64_t)r->begun_us
			                      : (int64_t)r->rto_us,
			          k == PASSED ? 1 : 1000000);
		}
	}
}

static void print_mirror_family(const Gnomon__V1__MirrorList *list, bool bytes, FILE *out)
{
	static const char *const outcomes[] = {"copied", "filtered", "sampled_out", "dropped"};
	const char *name = bytes ? "gnomon_mirror_bytes_total" : "gnomon_mirror_packets_total";
	char vm[65];

	family(out, name, "counter",
	       bytes ? "Bytes of what the mirror session saw, by what became of it."
	             : "Packets that the mirror session saw, by what became of them.");
	for (size_t i = 0; list && i < list->n_mirrors; i++) {
		const Gnomon__V1__Mirror *m = list->mirrors[i];
		const Gnomon__V1__MirrorCounters *c = m->counters;
		const char *session = strrchr(m->name, '/');

		for (size_t k = 0; c && k < 4; k++) {
			const uint64_t packets[] = {c->copied, c->filtered, c->sampled_out,
			                            c->dropped};
			const uint64_t sizes[] = {c->copied_bytes, c->filtered_bytes,
			                          c->sampled_out_bytes, c->dropped_bytes};

			fputs(name, out);
			label(out, true, "vm", short_name(m->name, vm));
			label(out, false, "session", session ? session + 1 : m->name);
			label(out, false, "outcome", outcomes[k]);
			put_value(out, (int64_t)(bytes ? sizes[k] : packets[k]), 1);
		}
	}
}

/* A counter of message PortCounters or VolumeCounters, as a sample of a family. */
struct counter {
	const char *family, *help; /* help of the family's first only */
	const char *key, *value;   /* a further label */
	const char *field;
};

static const struct counter port_counters[] = {
        {"gnomon_port_packets_total", "Packets, as the VM sees them.", "direction", "rx",
         "rx_packets"},
        {"gnomon_port_packets_total", NULL, "direction", "tx", "tx_packets"},
        {"gnomon_port_bytes_total", "Bytes, as the VM sees them.", "direction", "rx", "rx_bytes"},
        {"gnomon_port_bytes_total", NULL, "direction", "tx", "tx_bytes"},
        {"gnomon_port_dropped_packets_total", "Packets dropped, by reason.", "reason", "ring",
         "rx_dropped_ring"},
        {"gnomon_port_dropped_packets_total", NULL, "reason", "rx_meter", "rx_dropped_meter"},
        {"gnomon_port_dropped_packets_total", NULL, "reason", "tx_meter", "tx_dropped_meter"},
        {"gnomon_port_dropped_packets_total", NULL, "reason", "malformed", "tx_dropped_malformed"},
        {"gnomon_port_dropped_packets_total", NULL, "reason", "isolated", "tx_dropped_isolated"},
        {"gnomon_port_dropped_packets_total", NULL, "reason", "spoofed", "tx_dropped_spoofed"},
};
static const struct counter volume_counters[] = {
        {"gnomon_volume_operations_total", "Requests completed.", "operation", "read", "reads"},
        {"gnomon_volume_operations_total", NULL, "operation", "write", "writes"},
        {"gnomon_volume_operations_total", NULL, "operation", "flush", "flushes"},
        {"gnomon_volume_operations_total", NULL, "operation", "discard", "discards"},
        {"gnomon_volume_bytes_total", "Bytes moved.", "operation", "read", "read_bytes"},
        {"gnomon_volume_bytes_total", NULL, "operation", "write", "write_bytes"},
        {"gnomon_volume_errors_total", "Requests answered with an error.", "kind", "io", "errors"},
        {"gnomon_volume_errors_total", NULL, "kind", "malformed", "rejected"},
};

static uint64_t field_of(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
	        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

	return *(const uint64_t *)((const char *)message + field->offset);
}

/* What has counters: its name, without the collection, and the counters. */
struct counted {
	const char *name;
	const ProtobufCMessage *counters;
};

static struct counted port_of(const Gnomon__V1__Vm *vm, size_t i)
{
	if (i >= vm->n_ports)
		return (struct counted){NULL, NULL};
	return (struct counted){vm->ports[i]->name,
	                        vm->ports[i]->counters ? &vm->ports[i]->counters->base : NULL};
}

static struct counted volume_of(const Gnomon__V1__Vm *vm, size_t i)
{
	if (i >= vm->n_volumes)
		return (struct counted){NULL, NULL};
	return (struct counted){vm->volumes[i]->name,
	                        vm->volumes[i]->counters ? &vm->volumes[i]->counters->base : NULL};
}

static void print_counter(const Gnomon__V1__VmList *list, const struct counter *counter,
                          const char *kind, struct counted (*of)(const Gnomon__V1__Vm *, size_t),
                          FILE *out)
{
	struct counted counted;
	char vm[65], name[65];

	if (counter->help)
		family(out, counter->family, "counter", counter->help);
	for (size_t i = 0; list && i < list->n_vms; i++) {
		for (size_t k = 0; (counted = of(list->vms[i], k)).name; k++) {
			if (!counted.counters)
				continue;
			fputs(counter->family, out);
			label(out, true, "vm", short_name(list->vms[i]->name, vm));
			label(out, false, kind, short_name(counted.name, name));
			label(out, false, counter->key, counter->value);
			put_value(out, (int64_t)field_of(counted.counters, counter->field), 1);
		}
	}
}

static void print_counters(const Gnomon__V1__VmList *list, FILE *out)
{
	for (size_t i = 0; i < sizeof port_counters / sizeof port_counters[0]; i++)
		print_counter(list, &port_counters[i], "port", port_of, out);
	for (size_t i = 0; i < sizeof volume_counters / sizeof volume_counters[0]; i++)
		print_counter(list, &volume_counters[i], "volume", volume_of, out);
}

/* ---- the card -----------------------------------------------------------------------------------
 */

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	family(out, name, "gauge", help);
	put_plain(out, name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	family(out, name, "counter", help);
	put_plain(out, name, value);
}

static void print_ledger(const Gnomon__V1__Ledger *ledger, FILE *out)
{
	if (!ledger)
		return;
	family(out, "gnomon_host_cpu_capacity_vcpus", "gauge", "What may be promised.");
	fputs("gnomon_host_cpu_capacity_vcpus{", out);
	put_value(out, (int64_t)ledger->cpu_capacity_milli, 1000);
	family(out, "gnomon_host_cpu_promised_vcpus", "gauge", "What is promised.");
	fputs("gnomon_host_cpu_promised_vcpus{", out);
	put_value(out, (int64_t)ledger->cpu_promised_milli, 1000);
	gauge(out, "gnomon_host_memory_capacity_bytes", "What may be promised.",
	      ledger->memory_capacity_bytes);
	gauge(out, "gnomon_host_memory_promised_bytes", "What is promised.",
	      ledger->memory_promised_bytes);
}

static void print_dataplane(const Gnomon__V1__DataplaneStatus *d, FILE *out)
{
	if (!d)
		return;
	counter(out, "gnomon_dataplane_loops_total", "Turns of the workers' loops.", d->loops);
	counter(out, "gnomon_dataplane_busy_cycles_total", "Cycles spent on work.", d->busy_cycles);
	counter(out, "gnomon_dataplane_idle_cycles_total", "Cycles without work.", d->idle_cycles);
	gauge(out, "gnomon_dataplane_buffers", "Packet buffers.", d->mbufs_total);
	gauge(out, "gnomon_dataplane_buffers_free", "Packet buffers not in use.", d->mbufs_free);
	gauge(out, "gnomon_dataplane_addresses", "MAC addresses learnt.", d->fdb_entries);
}

static void print_card(const Gnomon__V1__CardStatus *s, FILE *out)
{
	family(out, "gnomon_card_info", "gauge", "1; what runs on the card.");
	fputs("gnomon_card_info", out);
	label(out, true, "version", s->version);
	label(out, false, "board", s->board);
	put_value(out, 1, 1);
	gauge(out, "gnomon_shim_connected", "1: the host's shim answers.", !!s->shim_connected);
	gauge(out, "gnomon_dataplane_connected", "1: the dataplane answers.",
	      !!s->dataplane_connected);
	gauge(out, "gnomon_start_time_seconds", "When gnomond started, since the epoch.",
	      s->started_us / 1000000);
	counter(out, "gnomon_samples_total", "Samples taken in.", s->samples);
	counter(out, "gnomon_samples_lost_total", "Gaps in the samples' sequence.",
	        s->samples_lost);
	counter(out, "gnomon_forecasts_total", "Forecasts computed.", s->forecasts);
	gauge(out, "gnomon_store_bytes", "Size of the card's database.", s->store_bytes);
	gauge(out, "gnomon_store_failing", "1: nothing can be stored at present.",
	      s->store_error && s->store_error[0]);
	gauge(out, "gnomon_vms", "VMs behind the card.", s->vms);
	gauge(out, "gnomon_shadows", "Shadows.", s->shadows);
	gauge(out, "gnomon_plans_pending", "Plans that wait for an operator.", s->plans_pending);
	print_ledger(s->ledger, out);
	print_dataplane(s->dataplane, out);
}

void gn_metrics_print(const struct gn_metrics *metrics, FILE *out)
{
	gauge(out, "gnomon_up", "1: gnomond answered all that this page shows.",
	      metrics->status && metrics->vms && metrics->shadows && metrics->mirrors);
	if (metrics->status)
		print_card(metrics->status, out);
	print_resources(metrics, out);
	print_accuracy(metrics, false, out);
	print_accuracy(metrics, true, out);
	print_shadows(metrics->shadows, out);
	print_shadow_lag(metrics->shadows, out);
	print_shadow_points(metrics->shadows, out);
	print_rehearsals(metrics->shadows, out);
	print_mirror_family(metrics->mirrors, false, out);
	print_mirror_family(metrics->mirrors, true, out);
	print_counters(metrics->vms, out);
}
