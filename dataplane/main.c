/* main.c - gnomon-dataplane: options, DPDK's start, and the control thread's event loop.
 * Everything else is behind dataplane/control/dataplane.h. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <systemd/sd-daemon.h>
#include "dataplane/control/service.h"
#include "dataplane/guard/fault.h"
#include "dataplane/ram/ram.h"
#include "dataplane/state/state.h"
#include "firmware/core/log.h"

#define PROCESS      "gnomon-dataplane"
#define MAX_EAL_ARGS 64

static const char usage[] =
        "usage: " PROCESS " --config FILE [--check]\n"
        "\n"
        "Switches, mirrors, meters and measures the VMs' packets, and serves their disks.\n"
        "\n"
        "  -c, --config FILE  gnomon-dataplane.yaml\n"
        "      --check        read the configuration and the board, say what is wrong, exit\n"
        "      --version      print the version\n"
        "  -h, --help         print this\n"
        "\n"
        "The file's keys are described in dataplane/config/config.h. A minimal one:\n"
        "  board: /usr/share/gnomon/board/devbox/board.yaml\n"
        "  run_dir: /run/gnomon\n"
        "  state_dir: /var/lib/gnomon/dataplane\n";

struct process {
	const char *config_path;
	bool check_only;
	struct gn_config *config;
	struct gn_board *board;
	int lock_fd;
	bool eal;
	sd_event *event;
	struct gn_dataplane *dp;
	struct gn_service *service;
	struct gn_telemetry *telemetry;
};

/* ---- options ------------------------------------------------------------------------- */

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct process *process)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"check", no_argument, NULL, 'k'},
	        {"version", no_argument, NULL, 'V'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			process->config_path = optarg;
			break;
		case 'k':
			process->check_only = true;
			break;
		case 'V':
			puts(PROCESS " " GN_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs("try '" PROCESS " --help'\n", stderr);
			return 2;
		}
	}
	if (process->config_path && optind == argc)
		return -1;
	fputs(process->config_path ? "there is nothing to give but options; try '" PROCESS
	                             " --help'\n"
	                           : "give --config FILE; try '" PROCESS " --help'\n",
	      stderr);
	return 2;
}

/* ---- privileges ------------------------------------------------------------------------ */

/* What ports (taps, raw sockets, cards), volumes of other owners, socket_user and locked memory
 * need. The rest goes before any other thread exists. */
static const int kept_capabilities[] = {
        CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,    CAP_NET_ADMIN,
        CAP_NET_RAW, CAP_IPC_LOCK,     CAP_SYS_NICE,        CAP_SYS_RAWIO,
};

static void drop_privileges(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	uint64_t keep = 0;
	size_t i;
	int capability;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (i = 0; i < sizeof kept_capabilities / sizeof kept_capabilities[0]; i++)
		keep |= 1ull << kept_capabilities[i];
	for (capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (!(keep >> capability & 1))
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) != 0)
		return;
	for (i = 0; i < 2; i++) {
		uint32_t mask = (uint32_t)(keep >> 32 * i);

		data[i].effective &= mask;
		data[i].permitted &= mask;
		data[i].inheritable = 0;
	}
	syscall(SYS_capset, &header, data);
}

/* ---- DPDK ------------------------------------------------------------------------------- */

struct eal_args {
	int n;
	char *argv[MAX_EAL_ARGS];
};

static void add_arg(struct eal_args *args, const char *text)
{
	if (args->n < MAX_EAL_ARGS - 1)
		args->argv[args->n++] = strdup(text);
}

/* A polling lcore has its CPU; one that sleeps runs where the scheduler puts it. */
static void add_lcores(struct eal_args *args, const struct gn_board *board)
{
	bool floats = board->idle == GN_BOARD_BACKOFF;
	char text[1024];
	char cpus[32];
	int n;
	unsigned i;

	snprintf(cpus, sizeof cpus, "(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
	n = snprintf(text, sizeof text, "%u%s%s", board->main_lcore, floats ? "@" : "",
	             floats ? cpus : "");
	for (i = 0; i < board->workers_count && n < (int)sizeof text - 64; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, ",%u%s%s", board->workers[i],
		              floats ? "@" : "", floats ? cpus : "");
	add_arg(args, "--lcores");
	add_arg(args, text);
	snprintf(text, sizeof text, "%u", board->main_lcore);
	add_arg(args, "--main-lcore");
	add_arg(args, text);
}

static bool names_devices(const struct gn_board *board)
{
	unsigned i;

	for (i = 0; i < board->eal_args_count; i++)
		if (strncmp(board->eal_args[i], "-a", 2) == 0 ||
		    strncmp(board->eal_args[i], "--allow", 7) == 0)
			return true;
	return false;
}

static void make_eal_args(const struct process *process, struct eal_args *args)
{
	const struct gn_board *board = process->board;
	char text[32];
	unsigned i;

	add_arg(args, PROCESS);
	add_lcores(args, board);
	snprintf(text, sizeof text, "%u", board->memory_mib);
	add_arg(args, "-m");
	add_arg(args, text);
	if (board->hugepages) {
		add_arg(args, "--in-memory");
	} else {
		add_arg(args, "--no-huge");
		add_arg(args, "--no-shconf");
	}
	add_arg(args, "--file-prefix");
	add_arg(args, process->config->file_prefix);
	add_arg(args, "--no-telemetry");
	if (!names_devices(board))
		add_arg(args, "--no-pci");
	for (i = 0; i < board->eal_args_count; i++)
		add_arg(args, board->eal_args[i]);
}

/* A guest can make rte_vhost log; so it may only say what ends the process. */
static int start_dpdk(struct process *process)
{
	struct eal_args args = {.n = 0};

	make_eal_args(process, &args);
	rte_log_set_global_level(RTE_LOG_ERR);
	if (rte_eal_init(args.n, args.argv) < 0) {
		gn_log(GN_LOG_ERROR, "DPDK does not start (%s): %s", rte_strerror(rte_errno),
		       process->board->hugepages
		               ? "are there enough free huge pages for the board's memory_mib "
		                 "(sysctl vm.nr_hugepages)? Else set 'hugepages: false'"
		               : "check the board's lcores and memory_mib");
		return -1;
	}
	process->eal = true;
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_CRIT);
	/* It reports every kernel feature that it then does without. */
	rte_log_set_level_pattern("pmd.net.tap", RTE_LOG_CRIT);
	return 0;
}

/* ---- start and end ------------------------------------------------------------------------ */

static bool make_directory(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST;
}

static int make_run_dir(const struct gn_config *config)
{
	char vhost[128], nbd[128];

	snprintf(vhost, sizeof vhost, "%s/vhost", config->run_dir);
	snprintf(nbd, sizeof nbd, "%s/nbd", config->run_dir);
	if (make_directory(config->run_dir) && make_directory(vhost) && make_directory(nbd))
		return 0;
	gn_log(GN_LOG_ERROR, "run_dir '%s' cannot be made: %s", config->run_dir, strerror(errno));
	return -1;
}

static int stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Before other threads exist, so that all of them leave the signals to the loop, and real-time
 * signals to the lcores that ask for them (ethdev.c). A tap whose queue of these is full
 * sends SIGIO in their place. */
static int make_loop(struct process *process)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	if (sd_event_default(&process->event) < 0 ||
	    sd_event_add_signal(process->event, NULL, SIGTERM, stop, NULL) < 0 ||
	    sd_event_add_signal(process->event, NULL, SIGINT, stop, NULL) < 0)
		return -1;
	sd_event_set_watchdog(process->event, true);
	return 0;
}

static int load(struct process *process)
{
	struct gn_status status;

	if (gn_config_load(process->config_path, &process->config, &status) != 0 ||
	    gn_board_load(process->config->board, &process->board, &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return -1;
	}
	return 0;
}

/* Before anything is restored, so that a reader misses nothing. */
static int listen_for_introspection(struct process *process, struct gn_status *status)
{
	char path[128];

	snprintf(path, sizeof path, "%s/ram.sock", process->config->run_dir);
	return gn_ram_listen(process->event, path, status);
}

static int start(struct process *process)
{
	struct gn_status status = {.code = GN_OK};

	process->lock_fd = gn_state_lock(process->config->state_dir, &status);
	if (process->lock_fd < 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return -1;
	}
	drop_privileges();
	if (make_run_dir(process->config) != 0 || make_loop(process) != 0 ||
	    start_dpdk(process) != 0)
		return -1;
	if (gn_fault_install() != 0) {
		gn_log(GN_LOG_ERROR, "the SIGBUS handler cannot be installed");
		return -1;
	}
	if (gn_dataplane_create(process->config, process->board, process->event, &process->dp,
	                        &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return -1;
	}
	if (listen_for_introspection(process, &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return -1;
	}
	gn_dataplane_restore(process->dp);
	if (gn_service_create(process->dp, &process->service, &status) != 0 ||
	    gn_telemetry_create(process->dp, &process->telemetry, &status) != 0) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return -1;
	}
	return 0;
}

/* DPDK leaves its directory behind, which is empty: nothing is shared. */
static void finish_dpdk(void)
{
	char directory[PATH_MAX];

	snprintf(directory, sizeof directory, "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(directory);
}

static void finish(struct process *process)
{
	gn_telemetry_destroy(process->telemetry);
	gn_service_destroy(process->service);
	gn_dataplane_destroy(process->dp);
	gn_ram_stop();
	if (process->eal)
		finish_dpdk();
	sd_event_unref(process->event);
	gn_board_free(process->board);
	gn_config_free(process->config);
	if (process->lock_fd >= 0)
		close(process->lock_fd);
}

/* Also what more workers do and do not bring. */
static void print_good(const struct process *process)
{
	const struct gn_board *board = process->board;

	printf("%s and %s are good\n", process->config_path, process->config->board);
	if (board->workers_count == 1)
		printf("lcore %u runs the network and the volumes\n", board->workers[0]);
	else
		printf("lcore %u runs the whole network, the other %u only volumes\n",
		       board->workers[0], board->workers_count - 1);
}

int main(int argc, char **argv)
{
	struct process process = {.lock_fd = -1};
	int code = parse_options(argc, argv, &process);

	if (code >= 0)
		return code;
	gn_log_init(PROCESS, GN_LOG_INFO);
	code = load(&process) ? 1 : 0;
	if (!code && process.check_only) {
		print_good(&process);
	} else if (!code) {
		code = start(&process) ? 1 : 0;
		if (!code) {
			gn_log(GN_LOG_INFO, "serves %s on board %s", process.config->control_url,
			       process.board->name);
			sd_notify(0, "READY=1");
			code = sd_event_loop(process.event) < 0 ? 1 : 0;
			sd_notify(0, "STOPPING=1");
		}
	}
	finish(&process);
	return code;
}
