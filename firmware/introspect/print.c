/* print.c - output of --dump (print.h). Text of the guest was made printable when it was read;
 * what JSON needs escaped is left out here. */
#include "firmware/introspect/print.h"

#include <inttypes.h>
#include "firmware/introspect/globals.h"

#define MIB (1024 * 1024)

/* ---- text ------------------------------------------------------------------------------ */

static void print_capabilities(FILE *file, const struct gn_report *r)
{
	for (int i = 0; i < GN_GUEST_N_CAPABILITIES; i++)
		if (!r->has[i])
			fprintf(file, "%-7s not available: %s\n",
			        gn_guest_capability_name((enum gn_guest_capability)i),
			        gn_guest_capability_reason((enum gn_guest_capability)i));
}

static void print_signs(FILE *file, const struct gn_report *r)
{
	fprintf(file,
	        "signs   taint 0x%" PRIx64 "%s%s%s, %u threads stuck, %" PRIu64
	        " errors in the log\n",
	        r->taint, r->is_oops ? ", oops" : "", r->is_panic ? ", panic" : "",
	        r->is_lockup ? ", lockup" : "", r->n_stuck, r->log_errors);
	if (r->log_text[0])
		fprintf(file, "log     <%u> %s\n", r->log_level, r->log_text);
}

static void print_top(FILE *file, const struct gn_report *r)
{
	fprintf(file, "\n%8s %-16s %c %8s %10s %12s %12s\n", "PID", "NAME", 'S', "THREADS",
	        "RSS KiB", "CPU ms", "CALLS");
	for (unsigned i = 0; i < r->n_top; i++) {
		const struct gn_process *p = &r->top[i].process;

		fprintf(file, "%8d %-16s %c %8u %10" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n",
		        p->pid, p->comm, p->state, p->n_threads, p->rss_pages * 4,
		        p->runtime_ns / 1000000, p->read_calls + p->write_calls);
	}
}

void gn_print_text(FILE *file, const struct gn_report *r)
{
	fprintf(file, "state   %s%s%s\n", gn_guest_state_name(r->state), r->reason[0] ? ": " : "",
	        r->reason);
	if (!r->confidence)
		return;
	fprintf(file, "kernel  %s, found by %s in %" PRIu64 " us of CPU time\n", r->release,
	        gn_bootstrap_way_name(r->way), r->bootstrap_us);
	fprintf(file, "cpu     %u on-line, load %u.%02u %u.%02u %u.%02u\n", r->n_online,
	        r->load_milli[0] / 1000, r->load_milli[0] % 1000 / 10, r->load_milli[1] / 1000,
	        r->load_milli[1] % 1000 / 10, r->load_milli[2] / 1000,
	        r->load_milli[2] % 1000 / 10);
	if (r->period_us)
		fprintf(file,
		        "        wanted %" PRIu64 " milli-vCPU, got %" PRIu64 ", waited %" PRIu64
		        "\n",
		        r->demand_milli, r->busy_milli, r->wait_milli);
	fprintf(file, "memory  %" PRIu64 " MiB, %" PRIu64 " available, %" PRIu64 " cache\n",
	        r->total_bytes / MIB, r->available_bytes / MIB, r->cache_bytes / MIB);
	fprintf(file, "tasks   %u processes, %u threads, %u running, %u blocked\n", r->n_processes,
	        r->n_threads, r->n_running, r->n_blocked);
	print_signs(file, r);
	print_capabilities(file, r);
	print_top(file, r);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void print_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else
			fputc(*text, file);
	fputc('"', file);
}

static void print_process(FILE *file, const struct gn_process *p)
{
	fprintf(file, "{\"pid\":%d,\"ppid\":%d,\"comm\":", p->pid, p->ppid);
	print_string(file, p->comm);
	fprintf(file,
	        ",\"state\":\"%c\",\"kernel\":%d,\"start_ns\":%" PRIu64 ",\"threads\":%u,"
	        "\"runtime_ns\":%" PRIu64 ",\"wait_ns\":%" PRIu64 ",\"rss_pages\":%" PRIu64
	        ",\"minor_faults\":%" PRIu64 ",\"major_faults\":%" PRIu64 ",\"read_calls\":%" PRIu64
	        ",\"write_calls\":%" PRIu64 ",\"read_bytes\":%" PRIu64 ",\"write_bytes\":%" PRIu64
	        "}",
	        p->state, p->is_kernel, p->start_ns, p->n_threads, p->runtime_ns, p->wait_ns,
	        p->rss_pages, p->minor_faults, p->major_faults, p->read_calls, p->write_calls,
	        p->read_bytes, p->write_bytes);
}

static void print_globals(FILE *file, const struct gn_globals *g)
{
	fprintf(file,
	        ",\"globals\":{\"load_milli\":[%u,%u,%u],\"jiffies\":%" PRIu64 ",\"threads\":%u,"
	        "\"forks\":%" PRIu64 ",\"total_pages\":%" PRIu64 ",\"free_pages\":%" PRIu64
	        ",\"available_pages\":%" PRIu64 ",\"cache_pages\":%" PRIu64
	        ",\"swap_total_pages\":%" PRIu64 ",\"swap_free_pages\":%" PRIu64
	        ",\"faults\":%" PRIu64 ",\"major_faults\":%" PRIu64 ",\"swapped_in\":%" PRIu64
	        ",\"swapped_out\":%" PRIu64 ",\"oom_kills\":%" PRIu64 ",\"taint\":%" PRIu64
	        ",\"panic\":%d,\"cpus\":[",
	        g->load_milli[0], g->load_milli[1], g->load_milli[2], g->jiffies, g->n_threads,
	        g->forks, g->total_pages, g->free_pages, g->available_pages, g->cache_pages,
	        g->swap_total_pages, g->swap_free_pages, g->faults, g->major_faults,
	        g->swapped_in_pages, g->swapped_out_pages, g->oom_kills, g->taint, g->is_panicked);
	for (uint32_t i = 0; i < g->n_cpus; i++)
		fprintf(file,
		        "%s{\"online\":%d,\"busy_ns\":%" PRIu64 ",\"wait_ns\":%" PRIu64
		        ",\"clock_ns\":%" PRIu64 ",\"idle_ns\":%" PRIu64 ",\"running\":%u}",
		        i ? "," : "", g->cpus[i].is_online, g->cpus[i].busy_ns, g->cpus[i].wait_ns,
		        g->cpus[i].clock_ns, g->cpus[i].idle_ns, g->cpus[i].n_running);
	fputs("]}", file);
}

static void print_report(FILE *file, const struct gn_report *r)
{
	fprintf(file, "{\"state\":\"%s\",\"reason\":", gn_guest_state_name(r->state));
	print_string(file, r->reason);
	fputs(",\"release\":", file);
	print_string(file, r->release);
	fprintf(file,
	        ",\"found_by\":\"%s\",\"confidence\":%u,\"retries\":%u,\"torn\":%u,\"fresh\":%d,"
	        "\"cost_us\":%" PRIu64 ",\"read_bytes\":%" PRIu64 ",\"bootstrap_us\":%" PRIu64
	        ",\"period_us\":%" PRIu64 ",\"demand_milli\":%" PRIu64 ",\"busy_milli\":%" PRIu64
	        ",\"wait_milli\":%" PRIu64 ",\"log_errors\":%" PRIu64 ",\"log_level\":%u,"
	        "\"log_text\":",
	        gn_bootstrap_way_name(r->way), r->confidence, r->retries, r->torn, r->is_fresh,
	        r->cost_us, r->read_bytes, r->bootstrap_us, r->period_us, r->demand_milli,
	        r->busy_milli, r->wait_milli, r->log_errors, r->log_level);
	print_string(file, r->log_text);
	fputs(",\"capabilities\":{", file);
	for (int i = 0; i < GN_GUEST_N_CAPABILITIES; i++)
		fprintf(file, "%s\"%s\":%d", i ? "," : "",
		        gn_guest_capability_name((enum gn_guest_capability)i), r->has[i]);
	fputs("}", file);
}

void gn_print_json(FILE *file, const struct gn_observer *observer, const struct gn_report *r)
{
	const struct gn_walk *walk = gn_observer_walk(observer);
	const struct gn_globals *globals = gn_observer_globals(observer);

	print_report(file, r);
	if (globals)
		print_globals(file, globals);
	fputs(",\"processes\":[", file);
	for (uint32_t i = 0; walk && i < walk->n; i++) {
		fputs(i ? ",\n" : "\n", file);
		print_process(file, &walk->processes[i]);
	}
	fputs("]}\n", file);
}
