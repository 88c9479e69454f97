/* cmd_top.c - top: the VMs, again and again, on the terminal's other screen. */
#include "tools/ctl/ctl.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/format.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/text.h"

static struct termios saved;
static bool is_raw;
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static void restore_terminal(void)
{
	if (!is_raw)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	is_raw = false;
}

static void take_terminal(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct termios raw;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &saved))
		return;
	raw = saved;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	is_raw = true;
	fputs("\033[?1049h\033[?25l", stdout);
}

/* Waits, and tells whether 'q' was typed or a signal came. */
static bool wait_for_end(uint64_t interval_us)
{
	struct pollfd fd = {.fd = is_raw ? STDIN_FILENO : -1, .events = POLLIN};
	char c;

	if (poll(&fd, 1, (int)(interval_us / 1000)) > 0 && read(STDIN_FILENO, &c, 1) == 1)
		return c == 'q' || c == 'Q';
	return interrupted;
}

/* A card that is away for a while is shown as such; top goes on. */
static ProtobufCMessage *ask(struct gn_ctl *ctl, const char *method, struct gn_status *status)
{
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;
	ProtobufCMessage *reply = NULL;

	if (gn_ctl_connection_call(ctl->connection, method, &request.base, 5000000, &reply, status))
		return NULL;
	return reply;
}

static void print_head(const Gnomon__V1__CardStatus *s)
{
	char cpu[GN_FORMAT_SIZE], cpus[GN_FORMAT_SIZE], memory[GN_FORMAT_SIZE];
	time_t now = time(NULL);
	struct tm local;
	char clock[16];

	localtime_r(&now, &local);
	strftime(clock, sizeof clock, "%T", &local);
	printf("gnomon %s  %s  shim %s  dataplane %s  plans to approve %u\n", s->board, clock,
	       s->shim_connected ? "up" : "DOWN", s->dataplane_connected ? "up" : "DOWN",
	       s->plans_pending);
	if (s->ledger)
		printf("promised %s of %s, %s\n",
		       gn_format_milli_vcpu((int64_t)s->ledger->cpu_promised_milli, cpu,
		                            sizeof cpu),
		       gn_format_milli_vcpu((int64_t)s->ledger->cpu_capacity_milli, cpus,
		                            sizeof cpus),
		       gn_format_bytes(s->ledger->memory_promised_bytes, memory, sizeof memory));
	putchar('\n');
}

static void draw(struct gn_ctl *ctl)
{
	struct gn_status status = {0};
	ProtobufCMessage *card = ask(ctl, "GetStatus", &status);
	ProtobufCMessage *vms = card ? ask(ctl, "ListVms", &status) : NULL;

	if (is_raw)
		fputs("\033[H\033[J", stdout);
	if (card && vms) {
		print_head((const Gnomon__V1__CardStatus *)card);
		gn_ctl_print_vms((const Gnomon__V1__VmList *)vms);
	} else {
		printf("%s\n", status.message);
	}
	fflush(stdout);
	if (card)
		gn_ctl_free(card);
	if (vms)
		gn_ctl_free(vms);
}

int gn_ctl_top(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	uint64_t interval_us = 2000000, count = 0;
	const char *value;

	if (gn_ctl_option(arguments, "--interval", &value) &&
	    (gn_parse_duration(value, &interval_us) || interval_us < 100000))
		gn_ctl_usage("--interval %s: give 100ms or more", value);
	if (gn_ctl_option(arguments, "--count", &value) &&
	    (gn_parse_number(value, UINT32_MAX, &count) || !count))
		gn_ctl_usage("--count %s: give how many times", value);
	gn_ctl_end(arguments);
	take_terminal();
	do
		draw(ctl);
	while (--count && !wait_for_end(interval_us));
	restore_terminal();
	return GN_CTL_OK;
}
