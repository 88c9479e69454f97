/* fe_blk.c - gn-fe-blk: random disk load on a vhost-user-blk socket, as a guest would make
 * it. Prints one JSON object; exits 0 only when nothing was lost, repeated or wrong. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/core/log.h"
#include "tests/frontend/blkload.h"

static volatile int stop;

static const char *const usage =
        "usage: gn-fe-blk --socket PATH [options]\n"
        "  --read N --write N --zeroes N --discard N --flush N   weights (default: read 1, write "
        "1)\n"
        "  --block BYTES       of a request (4096)\n"
        "  --segment BYTES     of a descriptor (0: one for the data)\n"
        "  --depth N           requests in flight per queue (32)\n"
        "  --queues N          (1)\n"
        "  --regions N         memory regions of the guest (1)\n"
        "  --span BYTES        use only the disk's start (0: all)\n"
        "  --ops N, --seconds S  when to stop; --rate N: operations per second at most\n"
        "  --seed N\n"
        "  --verify            check every read, and everything at the end\n"
        "  --image FILE        with --verify: compare the back end's file too\n"
        "  --reconnect MS      wait so long for a back end that died (0: fail)\n"
        "  --stuck MS          no completion for so long is a failure (30000)\n"
        "  --wait MS           for the socket to appear (5000)\n"
        "  --poll              spin on the rings instead of sleeping\n"
        "  --no-event-idx --no-indirect\n"
        "  --cpu N             run on this CPU\n"
        "example: gn-fe-blk --socket /tmp/v/a.sock --seconds 5 --depth 32 --verify\n";

enum option_id {
	O_SOCKET = 256,
	O_READ,
	O_WRITE,
	O_ZEROES,
	O_DISCARD,
	O_FLUSH,
	O_BLOCK,
	O_SEGMENT,
	O_DEPTH,
	O_QUEUES,
	O_REGIONS,
	O_SPAN,
	O_OPS,
	O_SECONDS,
	O_RATE,
	O_SEED,
	O_VERIFY,
	O_IMAGE,
	O_RECONNECT,
	O_STUCK,
	O_WAIT,
	O_POLL,
	O_NO_EVENT_IDX,
	O_NO_INDIRECT,
	O_CPU,
	O_HELP,
};

static const struct option options[] = {{"socket", 1, NULL, O_SOCKET},
                                        {"read", 1, NULL, O_READ},
                                        {"write", 1, NULL, O_WRITE},
                                        {"zeroes", 1, NULL, O_ZEROES},
                                        {"discard", 1, NULL, O_DISCARD},
                                        {"flush", 1, NULL, O_FLUSH},
                                        {"block", 1, NULL, O_BLOCK},
                                        {"segment", 1, NULL, O_SEGMENT},
                                        {"depth", 1, NULL, O_DEPTH},
                                        {"queues", 1, NULL, O_QUEUES},
                                        {"regions", 1, NULL, O_REGIONS},
                                        {"span", 1, NULL, O_SPAN},
                                        {"ops", 1, NULL, O_OPS},
                                        {"seconds", 1, NULL, O_SECONDS},
                                        {"rate", 1, NULL, O_RATE},
                                        {"seed", 1, NULL, O_SEED},
                                        {"verify", 0, NULL, O_VERIFY},
                                        {"image", 1, NULL, O_IMAGE},
                                        {"reconnect", 1, NULL, O_RECONNECT},
                                        {"stuck", 1, NULL, O_STUCK},
                                        {"wait", 1, NULL, O_WAIT},
                                        {"poll", 0, NULL, O_POLL},
                                        {"no-event-idx", 0, NULL, O_NO_EVENT_IDX},
                                        {"no-indirect", 0, NULL, O_NO_INDIRECT},
                                        {"cpu", 1, NULL, O_CPU},
                                        {"help", 0, NULL, O_HELP},
                                        {NULL, 0, NULL, 0}};

static void on_signal(int number)
{
	stop = 1;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		gn_log(GN_LOG_WARNING, "cannot run on CPU %u: %s", cpu, strerror(errno));
}

/* The unsigned options; false: not one of them. */
static bool set_number(struct gn_blkload_config *c, int id, uint64_t v)
{
	struct gn_blkdrv_config *d = &c->driver;

	switch (id) {
	case O_READ:
		c->mix.read = (unsigned)v;
		break;
	case O_WRITE:
		c->mix.write = (unsigned)v;
		break;
	case O_ZEROES:
		c->mix.zeroes = (unsigned)v;
		break;
	case O_DISCARD:
		c->mix.discard = (unsigned)v;
		break;
	case O_FLUSH:
		c->mix.flush = (unsigned)v;
		break;
	case O_BLOCK:
		c->block_bytes = (uint32_t)v;
		break;
	case O_SEGMENT:
		d->segment_bytes = (uint32_t)v;
		break;
	case O_DEPTH:
		d->depth = (unsigned)v;
		break;
	case O_QUEUES:
		d->n_queues = (unsigned)v;
		break;
	case O_REGIONS:
		d->n_regions = (unsigned)v;
		break;
	case O_SPAN:
		c->span_bytes = v;
		break;
	case O_OPS:
		c->n_ops = v;
		break;
	case O_RATE:
		c->rate = v;
		break;
	case O_SEED:
		c->seed = v;
		break;
	case O_RECONNECT:
		c->reconnect_ms = (uint32_t)v;
		break;
	case O_STUCK:
		c->stuck_ms = (uint32_t)v;
		break;
	case O_WAIT:
		d->wait_ms = (unsigned)v;
		break;
	case O_CPU:
		pin((unsigned)v);
		break;
	default:
		return false;
	}
	return true;
}

static bool set_other(struct gn_blkload_config *c, int id)
{
	switch (id) {
	case O_SOCKET:
		c->driver.socket_path = optarg;
		break;
	case O_SECONDS:
		c->duration_us = (uint64_t)(strtod(optarg, NULL) * 1e6);
		break;
	case O_IMAGE:
		c->image_path = optarg;
		break;
	case O_VERIFY:
		c->verify = true;
		break;
	case O_POLL:
		c->busy_poll = true;
		break;
	case O_NO_EVENT_IDX:
		c->driver.no_event_idx = true;
		break;
	case O_NO_INDIRECT:
		c->driver.no_indirect = true;
		break;
	default:
		return false;
	}
	return true;
}

static int parse(int argc, char **argv, struct gn_blkload_config *c)
{
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == O_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		if (!set_other(c, id) &&
		    !(optarg && set_number(c, id, strtoull(optarg, NULL, 0)))) {
			fputs(usage, stderr);
			return -EINVAL;
		}
	}
	if (!c->driver.socket_path || (!c->n_ops && !c->duration_us)) {
		fputs("give --socket, and --ops or --seconds\n", stderr);
		return -EINVAL;
	}
	if (!(c->mix.read + c->mix.write + c->mix.zeroes + c->mix.discard + c->mix.flush))
		c->mix.read = c->mix.write = 1;
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
	struct gn_blkload_config config = {
	        .block_bytes = 4096, .seed = 1, .driver.wait_ms = 5000, .stop = &stop};
	struct gn_blkload_result *result = calloc(1, sizeof(*result));
	struct gn_status status = {0};
	int error;

	gn_log_init("gn-fe-blk", GN_LOG_INFO);
	if (!result || parse(argc, argv, &config))
		return 2;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	error = gn_blkload_run(&config, result, &status);
	print_result(result, &status);
	if (error)
		gn_log(GN_LOG_ERROR, "%s", status.message);
	error = error || result->errors || result->mismatches || result->duplicates || result->lost;
	free(result);
	return error ? 1 : 0;
}
