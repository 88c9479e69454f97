/* fe_blk.c - gn-fe-blk: random disk load on a vhost-user-blk socket, as a guest would make
 * it. Prints one JSON object; exits 0 only when nothing was lost, repeated or wrong. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include "firmware/core/log.h"
#include "tests/frontend/blkload.h"
#include "tests/frontend/options.h"

static volatile int stop;

struct arguments {
	struct gn_blkload_config load;
	const char *cpu;
};

#define LOAD(field)   offsetof(struct arguments, load.field)
#define DRIVER(field) offsetof(struct arguments, load.driver.field)

static const struct gn_option table[] = {
        {"socket", GN_OPTION_TEXT, DRIVER(socket_path), "the back end's socket", 0, 0},
        {"read", GN_OPTION_U32, LOAD(mix.read), "weight of reads (1, if no weight is given)", 0, 0},
        {"write", GN_OPTION_U32, LOAD(mix.write), "weight of writes (the same)", 0, 0},
        {"zeroes", GN_OPTION_U32, LOAD(mix.zeroes), "weight of write-zeroes", 0, 0},
        {"discard", GN_OPTION_U32, LOAD(mix.discard), "weight of discards", 0, 0},
        {"flush", GN_OPTION_U32, LOAD(mix.flush), "weight of flushes", 0, 0},
        {"block", GN_OPTION_U32, LOAD(block_bytes), "bytes of a request (4096)", 0, 0},
        {"segment", GN_OPTION_U32, DRIVER(segment_bytes), "bytes of a descriptor (all data)", 0, 0},
        {"depth", GN_OPTION_U32, DRIVER(depth), "requests in flight per queue (32)", 0, 0},
        {"queues", GN_OPTION_U32, DRIVER(n_queues), "(1)", 0, 0},
        {"regions", GN_OPTION_U32, DRIVER(n_regions), "memory regions of the guest (1)", 0, 0},
        {"span", GN_OPTION_U64, LOAD(span_bytes), "use only so much of the disk's start", 0, 0},
        {"ops", GN_OPTION_U64, LOAD(n_ops), "stop after so many requests", 0, 0},
        {"seconds", GN_OPTION_SECONDS, LOAD(duration_us), "stop after so long", 0, 0},
        {"rate", GN_OPTION_U64, LOAD(rate), "requests per second at most", 0, 0},
        {"seed", GN_OPTION_U64, LOAD(seed), "of the random choices (1)", 0, 0},
        {"verify", GN_OPTION_FLAG, LOAD(verify), "check every read, and everything at the end", 0,
         0},
        {"image", GN_OPTION_TEXT, LOAD(image_path), "with --verify: compare this file too", 0, 0},
        {"reconnect", GN_OPTION_U32, LOAD(reconnect_ms), "ms to wait for a back end that died", 0,
         0},
        {"stuck", GN_OPTION_U32, LOAD(stuck_ms), "ms without a completion that are a failure", 0,
         0},
        {"wait", GN_OPTION_U32, DRIVER(wait_ms), "ms to wait for the socket (5000)", 0, 0},
        {"poll", GN_OPTION_FLAG, LOAD(busy_poll), "spin on the rings instead of sleeping", 0, 0},
        {"no-event-idx", GN_OPTION_FLAG, DRIVER(no_event_idx), "do not negotiate it", 0, 0},
        {"no-indirect", GN_OPTION_FLAG, DRIVER(no_indirect), "do not negotiate it", 0, 0},
        {"cpu", GN_OPTION_TEXT, offsetof(struct arguments, cpu), "run on this CPU", 0, 0},
        {NULL, GN_OPTION_FLAG, 0, NULL, 0, 0}};

static const char summary[] =
        "gn-fe-blk: random disk load on a vhost-user-blk socket, as a guest would make it.\n"
        "Prints JSON; exits 0 only when nothing was lost, repeated or wrong.\n"
        "example: gn-fe-blk --socket /tmp/v/a.sock --seconds 5 --depth 32 --verify";

static void on_signal(int number)
{
	stop = 1;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	struct gn_blkload_mix *mix = &a->load.mix;
	int result = gn_options_parse(table, summary, argc, argv, a);

	if (result)
		return result;
	if (!a->load.driver.socket_path || (!a->load.n_ops && !a->load.duration_us)) {
		fputs("give --socket, and --ops or --seconds; see --help\n", stderr);
		return -EINVAL;
	}
	if (!(mix->read + mix->write + mix->zeroes + mix->discard + mix->flush))
		mix->read = mix->write = 1;
	return 0;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000.0;
}

static void print_result(const struct gn_blkload_result *r, const struct gn_status *status)
{
	uint64_t n = r->reads + r->writes + r->others;
	double seconds = (double)r->elapsed_us / 1e6;
	json_t *latency = json_pack(
	        "{s:f,s:f,s:f,s:f,s:f,s:f}", "mean", n ? us(r->latency.sum_ns) / (double)n : 0.0,
	        "p50", us(gn_latency_quantile(&r->latency, 500)), "p90",
	        us(gn_latency_quantile(&r->latency, 900)), "p99",
	        us(gn_latency_quantile(&r->latency, 990)), "p999",
	        us(gn_latency_quantile(&r->latency, 999)), "max", us(r->latency.max_ns));
	json_t *root = json_pack(
	        "{s:I,s:I,s:I,s:I,s:f,s:f,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:s}", "ops",
	        (json_int_t)n, "reads", (json_int_t)r->reads, "writes", (json_int_t)r->writes,
	        "others", (json_int_t)r->others, "seconds", seconds, "ops_per_s",
	        seconds > 0 ? (double)n / seconds : 0.0, "latency_us", latency, "kicks",
	        (json_int_t)r->kicks, "errors", (json_int_t)r->errors, "mismatches",
	        (json_int_t)r->mismatches, "duplicates", (json_int_t)r->duplicates, "lost",
	        (json_int_t)r->lost, "reconnects", (json_int_t)r->reconnects, "verified_blocks",
	        (json_int_t)r->verified_blocks, "longest_gap_ms", (double)r->longest_gap_us / 1e3,
	        "failure", status->message);

	json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(root);
}

int main(int argc, char **argv)
{
	struct arguments a = {
	        .load = {.block_bytes = 4096, .seed = 1, .driver.wait_ms = 5000, .stop = &stop}};
	struct gn_blkload_result *result = calloc(1, sizeof(*result));
	struct gn_status status = {0};
	int error = result ? parse(argc, argv, &a) : -ENOMEM;

	if (error) {
		free(result);
		return error == 1 ? 0 : 2;
	}
	gn_log_init("gn-fe-blk", GN_LOG_INFO);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	gn_options_pin(a.cpu);
	error = gn_blkload_run(&a.load, result, &status);
	print_result(result, &status);
	if (error)
		gn_log(GN_LOG_ERROR, "%s", status.message);
	error = error || result->errors || result->mismatches || result->duplicates || result->lost;
	free(result);
	return error ? 1 : 0;
}
