/* cmd_vm_top.c - vm top: the guest's processes as the guest's own top would show them, read out
 * of its memory by gnomon-introspect. All names are the guest's and may hold anything: the table
 * cleans them. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/screen.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define CPUS_SHOWN 16

/* ---- order ------------------------------------------------------------------------------ */

enum order { ORDER_CPU, ORDER_RSS, ORDER_IO, ORDER_CALLS, ORDER_PID, N_ORDERS };

static const struct {
	const char *name;
	char key;
} orders[N_ORDERS] = {
        [ORDER_CPU] = {"cpu", 'c'},     [ORDER_RSS] = {"rss", 'm'}, [ORDER_IO] = {"io", 'i'},
        [ORDER_CALLS] = {"calls", 's'}, [ORDER_PID] = {"pid", 'p'},
};

static uint64_t weight(const Gnomon__V1__GuestProcess *p, enum order order)
{
	switch (order) {
	case ORDER_CPU:
		return p->cpu_milli;
	case ORDER_RSS:
		return p->rss_bytes;
	case ORDER_IO:
		return p->read_bytes + p->write_bytes;
	case ORDER_CALLS:
		return p->read_calls + p->write_calls;
	case ORDER_PID:
	case N_ORDERS:
		break;
	}
	return 0;
}

static int compare(const void *a, const void *b, void *order)
{
	const Gnomon__V1__GuestProcess *x = *(Gnomon__V1__GuestProcess *const *)a;
	const Gnomon__V1__GuestProcess *y = *(Gnomon__V1__GuestProcess *const *)b;
	uint64_t first = weight(x, *(enum order *)order), second = weight(y, *(enum order *)order);

	if (first != second)
		return first > second ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* ---- the head ----------------------------------------------------------------------------- */

static void write_cpu(const Gnomon__V1__GuestCpu *c, FILE *out)
{
	char wanted[GN_FORMAT_SIZE], used[GN_FORMAT_SIZE], waiting[GN_FORMAT_SIZE];

	fprintf(out, "cpu     %s wanted: %s used, %s waiting; %u online:",
	        gn_format_milli_vcpu((int64_t)c->demand_milli, wanted, sizeof wanted),
	        gn_format_milli_vcpu((int64_t)c->busy_milli, used, sizeof used),
	        gn_format_milli_vcpu((int64_t)c->wait_milli, waiting, sizeof waiting), c->online);
	for (size_t i = 0; i < c->n_cpu_busy_milli && i < CPUS_SHOWN; i++)
		fprintf(out, " %" PRIu64 "%%", c->cpu_busy_milli[i] / 10);
	fprintf(out, "%s\nload    %u.%02u %u.%02u %u.%02u\n",
	        c->n_cpu_busy_milli > CPUS_SHOWN ? " ..." : "", c->load1_milli / 1000,
	        c->load1_milli % 1000 / 10, c->load5_milli / 1000, c->load5_milli % 1000 / 10,
	        c->load15_milli / 1000, c->load15_milli % 1000 / 10);
}

static void write_memory(const Gnomon__V1__GuestMemory *m, FILE *out)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE], c[GN_FORMAT_SIZE], d[GN_FORMAT_SIZE];

	fprintf(out, "memory  %s: %s available, %s free, %s cache",
	        gn_format_bytes(m->total_bytes, a, sizeof a),
	        gn_format_bytes(m->available_bytes, b, sizeof b),
	        gn_format_bytes(m->free_bytes, c, sizeof c),
	        gn_format_bytes(m->cache_bytes, d, sizeof d));
	if (m->swap_total_bytes)
		fprintf(out, "; swap %s, %s free",
		        gn_format_bytes(m->swap_total_bytes, a, sizeof a),
		        gn_format_bytes(m->swap_free_bytes, b, sizeof b));
	fputc('\n', out);
}

static void write_signs(const Gnomon__V1__GuestSigns *s, FILE *out)
{
	char text[GN_FORMAT_SIZE];

	if (s->panic || s->oops || s->lockup)
		fprintf(out, "KERNEL %s%s%s\n", s->panic ? " PANIC" : "", s->oops ? " OOPS" : "",
		        s->lockup ? " SOFT LOCKUP" : "");
	if (s->clock_stopped_us >= 1000000)
		fprintf(out, "clock   stands still for %s\n",
		        gn_format_duration(s->clock_stopped_us, text, sizeof text));
	if (s->stuck_threads)
		fprintf(out, "stuck   %u threads sleep uninterruptibly, process %d for %s\n",
		        s->stuck_threads, s->stuck_pid,
		        gn_format_duration(s->longest_sleep_us, text, sizeof text));
	if (s->oom_kills)
		fprintf(out, "memory  %" PRIu64 " processes killed for want of it\n", s->oom_kills);
	if (s->log_errors)
		fprintf(out, "log     %" PRIu64 " errors, the last: %s\n", s->log_errors,
		        s->log_text);
	if (s->has_leak && s->leak_bytes_per_hour >= 1 << 20)
		fprintf(out, "leak    memory in use grows by %s an hour\n",
		        gn_format_bytes((uint64_t)s->leak_bytes_per_hour, text, sizeof text));
}

/* What cannot be read of this guest, and why. */
static void write_missing(const Gnomon__V1__GuestSample *g, FILE *out)
{
	for (size_t i = 0; i < g->n_capabilities; i++)
		if (!g->capabilities[i]->available)
			fprintf(out, "no %-4s %s\n", g->capabilities[i]->name,
			        g->capabilities[i]->reason);
}

static void write_head(const Gnomon__V1__Guest *guest, FILE *out)
{
	const Gnomon__V1__GuestSample *g = guest->sample;
	char text[GN_FORMAT_SIZE];

	fprintf(out, "%s  %s", guest->vm, g ? gn_text_guest_state(g->state) : "UNKNOWN");
	if (g && g->kernel_release[0])
		fprintf(out, "  Linux %s", g->kernel_release);
	if (g)
		fprintf(out, "  %s  confidence %u%s",
		        gn_format_clock(guest->sampled_us, text, sizeof text), g->confidence,
		        g->throttled ? "  throttled by its read budget" : "");
	fputc('\n', out);
	if (guest->note[0])
		fprintf(out, "note    %s\n", guest->note);
	if (!g)
		return;
	if (g->reason[0])
		fprintf(out, "why     %s\n", g->reason);
	if (g->cpu)
		write_cpu(g->cpu, out);
	if (g->tasks)
		fprintf(out,
		        "tasks   %u processes, %u threads: %u running, %u blocked; %" PRIu64
		        " forks\n",
		        g->tasks->processes, g->tasks->threads, g->tasks->running,
		        g->tasks->blocked, g->tasks->forks);
	if (g->memory)
		write_memory(g->memory, out);
	if (g->signs)
		write_signs(g->signs, out);
	write_missing(g, out);
}

/* ---- the processes ------------------------------------------------------------------------ */

static uint64_t per_second(uint64_t n, uint64_t period_us)
{
	return period_us ? (uint64_t)((double)n * 1e6 / (double)period_us + 0.5) : 0;
}

static void add_rate(struct gn_table *table, uint64_t bytes, uint64_t period_us)
{
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", gn_format_bytes(per_second(bytes, period_us), text, sizeof text));
}

static void write_processes(const Gnomon__V1__Guest *guest, FILE *out)
{
	static const char *const heads[] = {">PID",     "S",         ">CPU %",   ">RSS",
	                                    ">READ/S",  ">WRITE/S",  ">READS/S", ">WRITES/S",
	                                    ">THREADS", ">CPU TIME", "NAME",     NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < guest->sample->n_top; i++) {
		const Gnomon__V1__GuestProcess *p = guest->sample->top[i];

		gn_table_add(table, "%d", p->pid);
		gn_table_add(table, "%s", p->state);
		gn_table_add(table, "%" PRIu64 ".%" PRIu64, p->cpu_milli / 10, p->cpu_milli % 10);
		gn_table_add(table, "%s", gn_format_bytes(p->rss_bytes, text, sizeof text));
		add_rate(table, p->read_bytes, guest->period_us);
		add_rate(table, p->write_bytes, guest->period_us);
		gn_table_add(table, "%" PRIu64, per_second(p->read_calls, guest->period_us));
		gn_table_add(table, "%" PRIu64, per_second(p->write_calls, guest->period_us));
		gn_table_add(table, "%u", p->threads);
		gn_table_add(table, "%" PRIu64 ".%02" PRIu64 " s", p->cpu_total_us / 1000000,
		             p->cpu_total_us % 1000000 / 10000);
		gn_table_add(table, p->kernel ? "[%s]" : "%s", p->name);
	}
	gn_table_write(table, out);
}

/* Everything of a guest is its own: one pass over the whole picture but its newlines. */
static void write_clean(const Gnomon__V1__Guest *guest, FILE *out)
{
	char *text = NULL, *state, *line;
	size_t size = 0;
	FILE *memory = gn_output_checked(open_memstream(&text, &size));

	write_head(guest, memory);
	if (fclose(memory))
		gn_output_checked(NULL);
	for (line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		gn_output_clean(line);
		fprintf(out, "%s\n", line);
	}
	free(text);
}

/* ---- the command ---------------------------------------------------------------------------- */

struct top {
	struct gn_ctl *ctl;
	const char *vm;
	enum order order;
};

static int compose(void *context, FILE *out)
{
	struct top *top = context;
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_status status = {0};
	Gnomon__V1__Guest *guest;

	request.name = (char *)top->vm;
	guest = (Gnomon__V1__Guest *)gn_screen_ask(top->ctl, "GetGuest", &request.base, &status);
	if (!guest) {
		gn_output_clean(status.message);
		fprintf(out, "%s\n", status.message);
		return gn_ctl_exit_code(top->ctl, status.code);
	}
	write_clean(guest, out);
	if (guest->sample && guest->sample->n_top) {
		qsort_r(guest->sample->top, guest->sample->n_top, sizeof *guest->sample->top,
		        compare, &top->order);
		fputc('\n', out);
		write_processes(guest, out);
	}
	gn_ctl_free(&guest->base);
	return GN_CTL_OK;
}

static void on_key(void *context, char key)
{
	struct top *top = context;

	for (unsigned i = 0; i < N_ORDERS; i++)
		if (orders[i].key == key)
			top->order = (enum order)i;
}

static enum order order_of(const char *name)
{
	for (unsigned i = 0; i < N_ORDERS; i++)
		if (strcmp(orders[i].name, name) == 0)
			return (enum order)i;
	gn_ctl_usage("--sort %s: give cpu, rss, io, calls or pid", name);
}

static int print_once(struct gn_ctl *ctl, const char *vm)
{
	ProtobufCMessage *guest = gn_ctl_call_name(ctl, "GetGuest", vm);

	gn_ctl_print_json(ctl, guest);
	gn_ctl_free(guest);
	return GN_CTL_OK;
}

int gn_ctl_vm_top(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct top top = {.ctl = ctl};
	struct gn_screen screen = {.context = &top, .compose = compose, .key = on_key};
	const char *value;
	char vm[160];

	gn_screen_take_options(arguments, &screen);
	if (gn_ctl_option(arguments, "--sort", &value))
		top.order = order_of(value);
	if (gn_ctl_flag(arguments, "--once"))
		screen.count = 1;
	snprintf(vm, sizeof vm, "%s", gn_ctl_vm_name(arguments, ""));
	top.vm = vm;
	gn_ctl_end(arguments);
	return ctl->json ? print_once(ctl, vm) : gn_screen_run(&screen);
}
