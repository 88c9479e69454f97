/* main.c - gnomon-init: the card's first process. Brings the card up, runs its services, feeds the
 * hardware watchdog while the dataplane lives, and takes the card down in order.
 *
 * SIGTERM or 'busybox reboot' reboots; SIGUSR1 or 'busybox halt', SIGUSR2 or 'poweroff' end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "firmware/init/boot.h"
#include "firmware/init/progress.h"
#include "firmware/init/service.h"
#include "firmware/init/vitality.h"

#define TICK_MS    1000
#define STOP_US    5000000u /* for the services to end */
#define WATCHDOG_S 60

struct init {
	struct gn_boot boot;
	struct gn_services services;
	struct gn_vitality vitality;
	struct gn_progress *progress;
	int signals, watchdog;
	uint64_t ticked_us;
	int reboot; /* for reboot(2); 0: goes on */
};

static int open_signals(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int open_watchdog(void)
{
	int fd = open("/dev/watchdog", O_WRONLY | O_CLOEXEC), seconds = WATCHDOG_S;

	if (fd < 0)
		dprintf(STDERR_FILENO, "init: no hardware watchdog: %s\n", strerror(errno));
	else
		ioctl(fd, WDIOC_SETTIMEOUT, &seconds);
	return fd;
}

/* ---- services -----------------------------------------------------------------------------------
 */

static void reap(struct init *init)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct gn_service *service = gn_services_by_pid(&init->services, pid);

		if (!service)
			continue; /* an orphan that came to us */
		dprintf(STDERR_FILENO, "init: %s has ended (%s %d)\n", service->name,
		        WIFSIGNALED(status) ? "signal" : "status",
		        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		gn_service_ended(service, status, "/data/crash", gn_clock_wall_us(),
		                 gn_clock_monotonic_us());
	}
}

static void start_due(struct init *init)
{
	uint64_t now_us = gn_clock_monotonic_us();

	for (size_t i = 0; i < init->services.n; i++) {
		struct gn_service *service = &init->services.all[i];
		int error;

		if (!gn_supervise_is_due(&service->supervise, now_us))
			continue;
		error = gn_service_start(service, now_us);
		if (error)
			dprintf(STDERR_FILENO, "init: %s cannot be started: %s\n", service->name,
			        strerror(-error));
	}
}

static void take_signals(struct init *init)
{
	struct signalfd_siginfo info;

	while (read(init->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(init);
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			init->reboot = RB_AUTOBOOT;
		else if (info.ssi_signo == SIGUSR1)
			init->reboot = RB_HALT_SYSTEM;
		else if (info.ssi_signo == SIGUSR2)
			init->reboot = RB_POWER_OFF;
	}
}

/* ---- the loop
 * ------------------------------------------------------------------------------------- */

static void on_loops(void *context, uint64_t loops)
{
	struct init *init = context;

	gn_vitality_observe(&init->vitality, loops, gn_clock_monotonic_us());
}

static void tick(struct init *init)
{
	uint64_t now_us = gn_clock_monotonic_us();

	if (now_us - init->ticked_us < TICK_MS * 1000u)
		return;
	init->ticked_us = now_us;
	gn_progress_ask(init->progress);
	if (init->vitality.on_trial && !access("/run/gnomon/good", F_OK))
		gn_vitality_good(&init->vitality);
	if (gn_vitality_trial_failed(&init->vitality, now_us)) {
		dprintf(STDERR_FILENO, "init: nobody says that this slot is good; restarting\n");
		init->reboot = RB_AUTOBOOT;
	}
	if (init->watchdog >= 0 && gn_vitality_may_feed(&init->vitality, now_us) &&
	    write(init->watchdog, "\n", 1) < 0)
		dprintf(STDERR_FILENO, "init: the watchdog cannot be fed: %s\n", strerror(errno));
}

static int wait_ms(const struct init *init, uint64_t now_us)
{
	uint64_t until_us = now_us + TICK_MS * 1000u;

	for (size_t i = 0; i < init->services.n; i++) {
		uint64_t due_us = gn_supervise_due_us(&init->services.all[i].supervise);

		if (due_us < until_us)
			until_us = due_us;
	}
	return until_us > now_us ? (int)((until_us - now_us) / 1000 + 1) : 0;
}

static void turn(struct init *init)
{
	struct pollfd fds[GN_SERVICES + 2];
	struct gn_service *of[GN_SERVICES];
	nfds_t n = 2;

	fds[0] = (struct pollfd){.fd = init->signals, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = gn_progress_fd(init->progress), .events = POLLIN};
	for (size_t i = 0; i < init->services.n; i++) {
		if (init->services.all[i].output < 0)
			continue;
		of[n - 2] = &init->services.all[i];
		fds[n++] = (struct pollfd){.fd = init->services.all[i].output, .events = POLLIN};
	}
	poll(fds, n, wait_ms(init, gn_clock_monotonic_us()));
	for (nfds_t i = 2; i < n; i++)
		if (fds[i].revents)
			gn_service_read(of[i - 2], STDERR_FILENO);
	if (fds[1].revents)
		gn_progress_process(init->progress);
	take_signals(init);
	start_due(init);
	tick(init);
}

/* ---- down
 * ------------------------------------------------------------------------------------------ */

static bool any_runs(const struct init *init)
{
	for (size_t i = 0; i < init->services.n; i++)
		if (init->services.all[i].pid)
			return true;
	return false;
}

static void go_down(struct init *init)
{
	uint64_t until_us = gn_clock_monotonic_us() + STOP_US;

	for (size_t i = 0; i < init->services.n; i++) {
		gn_supervise_stop(&init->services.all[i].supervise);
		if (init->services.all[i].pid)
			kill(init->services.all[i].pid, SIGTERM);
	}
	while (any_runs(init) && gn_clock_monotonic_us() < until_us)
		turn(init);
	kill(-1, SIGKILL);
	sync();
	umount2("/data", 0);
	umount2("/boot", 0);
	mount(NULL, "/data", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	sync();
	/* The watchdog stays open: it resets a card that hangs here. */
	reboot(init->reboot);
}

int main(void)
{
	static struct init init;
	struct gn_status status;

	if (getpid() != 1) {
		fputs("gnomon-init is the card's first process and runs nowhere else\n", stderr);
		return 1;
	}
	gn_boot(&init.boot);
	init.signals = open_signals();
	init.watchdog = open_watchdog();
	gn_vitality_init(&init.vitality, !strcmp(init.boot.state, "trial"),
	                 gn_clock_monotonic_us());
	if (gn_progress_create("ipc:///run/gnomon/dataplane.ipc", on_loops, &init, &init.progress))
		dprintf(STDERR_FILENO, "init: the dataplane cannot be watched: no memory\n");
	if (gn_services_load("/etc/gnomon/services", &init.services, gn_clock_monotonic_us(),
	                     &status))
		dprintf(STDERR_FILENO, "init: %s\n", status.message);
	dprintf(STDERR_FILENO, "init: gnomon %s, slot %s, %zu services\n", GN_VERSION,
	        init.boot.slot[0] ? init.boot.slot : "-", init.services.n);
	while (!init.reboot)
		turn(&init);
	go_down(&init);
	return 0;
}
