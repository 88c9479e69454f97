/* cmd_top.c - top: the VMs, again and again, on the terminal's other screen. */
#include "tools/ctl/ctl.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define ASK_US 2000000u /* q is not heard while the card is asked */

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
	fputs("\033[?1049h\033[?25l\033[2J", stdout);
}

/* Waits, and tells whether 'q' was typed, the terminal went away or a signal came. Any other
 * key draws anew. */
static bool wait_for_end(uint64_t interval_us)
{
	struct pollfd fd = {.fd = is_raw ? STDIN_FILENO : -1, .events = POLLIN};
	char c;

	if (interrupted)
		return true;
	if (poll(&fd, 1, (int)(interval_us / 1000)) > 0)
		return read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q';
	return interrupted;
}

/* A card that is away for a while is shown as such; top goes on. */
static ProtobufCMessage *ask(struct gn_ctl *ctl, const char *method, struct gn_status *status)
{
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;
	ProtobufCMessage *reply = NULL;
	uint64_t timeout_us = ctl->timeout_us < ASK_US ? ctl->timeout_us : ASK_US;

	if (gn_ctl_connection_call(ctl->connection, method, &request.base, timeout_us, &reply,
	                           status))
		return NULL;
	return reply;
}

static void write_head(const Gnomon__V1__CardStatus *s, FILE *out)
{
	char cpu[GN_FORMAT_SIZE], cpus[GN_FORMAT_SIZE], memory[GN_FORMAT_SIZE], all[GN_FORMAT_SIZE];

	fprintf(out, "gnomon %s  %s  shim %s  dataplane %s  plans to approve %u\n", s->board,
	        gn_format_clock(gn_clock_wall_us(), cpu, sizeof cpu),
	        s->shim_connected ? "up" : "DOWN", s->dataplane_connected ? "up" : "DOWN",
	        s->plans_pending);
	if (s->ledger)
		fprintf(out, "promised %s of %s, %s of %s\n",
		        gn_format_milli_vcpu((int64_t)s->ledger->cpu_promised_milli, cpu,
		                             sizeof cpu),
		        gn_format_milli_vcpu((int64_t)s->ledger->cpu_capacity_milli, cpus,
		                             sizeof cpus),
		        gn_format_bytes(s->ledger->memory_promised_bytes, memory, sizeof memory),
		        gn_format_bytes(s->ledger->memory_capacity_bytes, all, sizeof all));
	fputc('\n', out);
}

/* The whole picture as text; 0, or the exit code of a card that does not answer. */
static int compose(struct gn_ctl *ctl, FILE *out)
{
	struct gn_status status = {0};
	ProtobufCMessage *card = ask(ctl, "GetStatus", &status);
	ProtobufCMessage *vms = card ? ask(ctl, "ListVms", &status) : NULL;
	int code = 0;

	if (card && vms) {
		write_head((const Gnomon__V1__CardStatus *)card, out);
		gn_table_write(gn_ctl_vm_table((const Gnomon__V1__VmList *)vms), out);
	} else {
		gn_output_clean(status.message);
		fprintf(out, "%s\n", status.message);
		code = gn_ctl_exit_code(ctl, status.code);
	}
	if (card)
		gn_ctl_free(card);
	if (vms)
		gn_ctl_free(vms);
	return code;
}

/* Line by line over what was there, so that nothing flickers; cut at the screen's edges. */
static void show(char *text)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	char *state = text, *line;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	fputs("\033[H", stdout);
	for (int row = 0; row < size.ws_row && (line = strsep(&state, "\n")) && state; row++)
		printf("%s%.*s\033[K", row ? "\r\n" : "", gn_output_cut(line, size.ws_col), line);
	fputs("\033[J", stdout);
}

static int draw(struct gn_ctl *ctl)
{
	char *text = NULL;
	size_t size = 0;
	FILE *memory = gn_output_checked(open_memstream(&text, &size));
	int code = compose(ctl, memory);

	if (fclose(memory))
		gn_output_checked(NULL);
	if (is_raw)
		show(text);
	else
		fputs(text, stdout);
	fflush(stdout);
	free(text);
	return code;
}

int gn_ctl_top(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	uint64_t interval_us = 2000000, count = UINT64_MAX;
	const char *value;
	int code;

	if (ctl->json)
		gn_ctl_usage("top has no --json: use 'gnomonctl --json vm list'");
	if (gn_ctl_option(arguments, "--interval", &value) &&
	    (gn_parse_duration(value, &interval_us) || interval_us < 100000 ||
	     interval_us > 86400000000u))
		gn_ctl_usage("--interval %s: give 100ms to 1d", value);
	if (gn_ctl_option(arguments, "--count", &value) &&
	    (gn_parse_number(value, UINT32_MAX, &count) || !count))
		gn_ctl_usage("--count %s: give how many times", value);
	gn_ctl_end(arguments);
	take_terminal();
	do
		code = draw(ctl);
	while (!ferror(stdout) && --count && !wait_for_end(interval_us));
	restore_terminal();
	return code;
}
