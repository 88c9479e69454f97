/* screen.c - see screen.h. */
#include "tools/ctl/screen.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "tools/ctl/connection.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

#define ASK_US 2000000u /* keys are not heard while the card is asked */

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

/* Waits for the next picture, or for a key, which draws anew at once. True: 'q' was typed, the
 * terminal went away or a signal came. */
static bool wait_for_end(const struct gn_screen *screen)
{
	struct pollfd fd = {.fd = is_raw ? STDIN_FILENO : -1, .events = POLLIN};
	char c;

	if (interrupted)
		return true;
	if (poll(&fd, 1, (int)(screen->interval_us / 1000)) <= 0)
		return interrupted;
	if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q')
		return true;
	if (screen->key)
		screen->key(screen->context, c);
	return false;
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

static int draw(const struct gn_screen *screen)
{
	char *text = NULL;
	size_t size = 0;
	FILE *memory = gn_output_checked(open_memstream(&text, &size));
	int code = screen->compose(screen->context, memory);

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

void gn_screen_take_options(struct gn_ctl_arguments *arguments, struct gn_screen *screen)
{
	const char *value;

	screen->interval_us = 2000000;
	screen->count = UINT64_MAX;
	if (gn_ctl_option(arguments, "--interval", &value) &&
	    (gn_parse_duration(value, &screen->interval_us) || screen->interval_us < 100000 ||
	     screen->interval_us > 86400000000u))
		gn_ctl_usage("--interval %s: give 100ms to 1d", value);
	if (gn_ctl_option(arguments, "--count", &value) &&
	    (gn_parse_number(value, UINT32_MAX, &screen->count) || !screen->count))
		gn_ctl_usage("--count %s: give how many times", value);
}

ProtobufCMessage *gn_screen_ask(struct gn_ctl *ctl, const char *method,
                                const ProtobufCMessage *request, struct gn_status *status)
{
	ProtobufCMessage *reply = NULL;
	uint64_t timeout_us = ctl->timeout_us < ASK_US ? ctl->timeout_us : ASK_US;

	if (gn_ctl_connection_call(ctl->connection, method, request, timeout_us, &reply, status))
		return NULL;
	return reply;
}

int gn_screen_run(const struct gn_screen *screen)
{
	uint64_t left = screen->count;
	int code;

	take_terminal();
	do
		code = draw(screen);
	while (!ferror(stdout) && --left && !wait_for_end(screen));
	restore_terminal();
	return code;
}
