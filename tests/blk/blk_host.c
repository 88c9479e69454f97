/* blk_host.c - gn-blk-host: one volume on one worker and nothing else, for measurements and for
 * looking at the block device apart from the dataplane. Ends on SIGTERM or SIGINT and then prints
 * its counters.
 *
 *   gn-blk-host IMAGE SOCKET [--backoff] [--read-only] [--queues N] [--cpu N] */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rte_common.h>
#include <rte_eal.h>
#include "dataplane/blk/blk.h"
#include "dataplane/worker/worker.h"

static int start_eal(const char *cpu)
{
	char lcores[64];
	char words[][16] = {"gn-blk-host", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
	                    "64",          "--no-telemetry", "--log-level=4", "--lcores"};
	char *args[RTE_DIM(words) + 1];
	long last = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	size_t i;

	for (i = 0; i < RTE_DIM(words); i++)
		args[i] = words[i];
	if (cpu)
		snprintf(lcores, sizeof lcores, "0@(0-%ld),1@%s", last, cpu);
	else
		snprintf(lcores, sizeof lcores, "0@(0-%ld),1@(0-%ld)", last, last);
	args[i++] = lcores;
	return rte_eal_init((int)i, args);
}

static void print_stats(struct gn_blk *blk)
{
	static const char *const names[GN_BLK_N_OPS] = {"reads", "writes", "flushes", "discards"};
	struct gn_blk_stats stats;

	gn_blk_get_stats(blk, &stats);
	for (unsigned i = 0; i < GN_BLK_N_OPS; i++)
		printf("%s=%" PRIu64 " ", names[i], stats.op[i].operations);
	printf("errors=%" PRIu64 " rejected=%" PRIu64 " resubmitted=%" PRIu64 "\n", stats.errors,
	       stats.rejected, stats.resubmitted);
}

static int serve(const struct gn_blk_config *config, enum gn_worker_idle idle)
{
	struct gn_status status = {.code = GN_OK};
	struct gn_worker *worker;
	struct gn_blk *blk;
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (gn_worker_create(1, idle, &worker) != 0)
		return 1;
	if (gn_blk_create(worker, config, &blk, &status) != 0) {
		fprintf(stderr, "%s\n", status.message);
		gn_worker_destroy(worker);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	sigwait(&set, &number);
	print_stats(blk);
	printf("loops=%" PRIu64 " sleeps=%" PRIu64 "\n", gn_worker_stats(worker)->loops,
	       gn_worker_stats(worker)->sleeps);
	gn_blk_destroy(blk);
	gn_worker_destroy(worker);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"backoff", no_argument, NULL, 'b'},
	                                        {"read-only", no_argument, NULL, 'r'},
	                                        {"queues", required_argument, NULL, 'q'},
	                                        {"cpu", required_argument, NULL, 'c'},
	                                        {NULL, 0, NULL, 0}};
	struct gn_blk_config config = {.name = "volumes/test-vda"};
	enum gn_worker_idle idle = GN_WORKER_POLL;
	const char *cpu = NULL;
	int option, result;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'b')
			idle = GN_WORKER_BACKOFF;
		else if (option == 'r')
			config.read_only = true;
		else if (option == 'q')
			config.queues = (unsigned)atoi(optarg);
		else if (option == 'c')
			cpu = optarg;
		else
			return 2;
	}
	if (argc - optind != 2) {
		fputs("usage: gn-blk-host IMAGE SOCKET [--backoff] [--read-only] [--queues N] "
		      "[--cpu N]\n",
		      stderr);
		return 2;
	}
	config.path = argv[optind];
	config.socket_path = argv[optind + 1];
	if (start_eal(cpu) < 0)
		return 1;
	result = serve(&config, idle);
	rte_eal_cleanup();
	return result;
}
