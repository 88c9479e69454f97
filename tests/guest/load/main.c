/* main.c - gn-load: the test guest's only user program. Follows patterns (pattern.h) given
 * on the kernel command line, gn.cpu= gn.memory= gn.udp= gn.http= gn.disk= and gn.peer=, and
 * on the serial console, one command a line:
 *
 *   cpu|memory|udp|http|disk PATTERN    follow another pattern from now on
 *   verify SECONDS                      the verified disk writer (load.h)
 *   status                              one line of counters; cpu_ms is the time since the
 *                                       CPU pattern was set
 *   run COMMAND                         a busybox shell command; its output, then its status
 *   poweroff
 *
 * Each answer is one line that begins with "gn: ". A command may begin with "@WORD "; its
 * answer then begins with "gn: @WORD ", so that late answers are told apart. It also puts
 * hot-plugged vCPUs on-line, as udev does in a real guest. */
#include "tests/guest/load/load.h"
#include "tests/guest/load/pattern.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum what { CPU, MEMORY, UDP, HTTP, DISK, N_WHAT };

static const char *const names[N_WHAT] = {"cpu", "memory", "udp", "http", "disk"};
static struct {
	struct gn_pattern pattern;
	uint64_t since_ms;
	uint64_t value;
} loads[N_WHAT];
static uint64_t held_mib;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void apply(enum what what, uint64_t value)
{
	loads[what].value = value;
	switch (what) {
	case CPU:
		gn_load_cpu_set(value);
		break;
	case MEMORY:
		held_mib = gn_load_memory_set(value);
		break;
	case UDP:
		gn_load_network_set_udp(value);
		break;
	case HTTP:
		gn_load_network_set_http(value);
		break;
	case DISK:
		gn_load_disk_set(value);
		break;
	case N_WHAT:
		break;
	}
}

static bool set_pattern(const char *name, const char *text)
{
	for (int i = 0; i < N_WHAT; i++) {
		if (strcmp(name, names[i]))
			continue;
		if (gn_pattern_parse(text, &loads[i].pattern))
			return false;
		loads[i].since_ms = now_ms();
		return true;
	}
	return false;
}

static long online_cpus(void)
{
	char path[64];

	for (int i = 1; i < 64; i++) {
		FILE *file;

		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", i);
		file = fopen(path, "r+");
		if (!file)
			continue;
		if (fgetc(file) == '0') {
			rewind(file);
			fputc('1', file);
		}
		fclose(file);
	}
	return sysconf(_SC_NPROCESSORS_ONLN);
}

/* "@WORD " before a command, or "". */
static char tag[24];

static void print_status(void)
{
	struct gn_load_network n;
	struct gn_load_disk d;

	gn_load_network_get(&n);
	gn_load_disk_get(&d);
	printf("gn: %sstatus uptime_ms=%llu cpu_ms=%llu vcpus=%ld cpu=%llu memory=%llu "
	       "udp_sent=%llu "
	       "udp_received=%llu udp_lost=%llu http_ok=%llu http_failed=%llu http_served=%llu "
	       "gap_ms=%llu disk_reads=%llu disk_writes=%llu disk_errors=%llu disk_longest_ms=%llu "
	       "verify_running=%d verify_writes=%llu verify_checked=%llu verify_wrong=%llu\n",
	       tag, (unsigned long long)now_ms(),
	       (unsigned long long)(now_ms() - loads[CPU].since_ms), sysconf(_SC_NPROCESSORS_ONLN),
	       (unsigned long long)loads[CPU].value, (unsigned long long)held_mib,
	       (unsigned long long)n.udp_sent, (unsigned long long)n.udp_received,
	       (unsigned long long)n.udp_lost, (unsigned long long)n.http_ok,
	       (unsigned long long)n.http_failed, (unsigned long long)n.http_served,
	       (unsigned long long)n.longest_gap_ms, (unsigned long long)d.reads,
	       (unsigned long long)d.writes, (unsigned long long)d.errors,
	       (unsigned long long)d.longest_ms, d.verify_running,
	       (unsigned long long)d.verify_writes, (unsigned long long)d.verify_checked,
	       (unsigned long long)d.verify_wrong);
}

static char *take_tag(char *line)
{
	size_t length = strcspn(line, " ");

	tag[0] = '\0';
	if (line[0] != '@' || !line[length] || length + 2 > sizeof tag)
		return line;
	snprintf(tag, sizeof tag, "%.*s", (int)length + 1, line);
	return line + length + 1;
}

static void handle(char *line)
{
	char *argument;

	line = take_tag(line);
	argument = strchr(line, ' ');
	if (argument)
		*argument++ = '\0';
	if (!strcmp(line, "status"))
		print_status();
	else if (!strcmp(line, "poweroff"))
		reboot(RB_POWER_OFF);
	else if (argument && !strcmp(line, "verify")) {
		gn_load_disk_verify_start(strtoull(argument, NULL, 10));
		printf("gn: %sok verify\n", tag);
	} else if (argument && !strcmp(line, "run"))
		printf("gn: %sok run %d\n", tag, WEXITSTATUS(system(argument)));
	else if (argument && set_pattern(line, argument))
		printf("gn: %sok %s %s\n", tag, line, argument);
	else
		printf("gn: %serror unknown command or pattern '%s'\n", tag, line);
}

static bool console_has_input(int timeout_ms)
{
	return poll(&(struct pollfd){.fd = STDIN_FILENO, .events = POLLIN}, 1, timeout_ms) == 1;
}

static void read_console(void)
{
	static char line[512];
	static size_t length;
	char c;

	while (console_has_input(0) && read(STDIN_FILENO, &c, 1) == 1) {
		if (c != '\n' && c != '\r') {
			if (length < sizeof line - 1)
				line[length++] = c;
		} else if (length) {
			line[length] = '\0';
			length = 0;
			handle(line);
		}
	}
}

/* Finds "gn.NAME=VALUE" on the kernel command line; the value ends at a blank. */
static const char *boot_argument(const char *command_line, const char *name, char *value,
                                 size_t size)
{
	char key[32];
	const char *at;

	snprintf(key, sizeof key, "gn.%s=", name);
	at = strstr(command_line, key);
	if (!at)
		return NULL;
	at += strlen(key);
	snprintf(value, size, "%.*s", (int)strcspn(at, " \n"), at);
	return value;
}

static void read_boot_arguments(void)
{
	static char command_line[4096];
	char value[128], peer[64];
	FILE *file = fopen("/proc/cmdline", "r");

	if (file) {
		size_t n = fread(command_line, 1, sizeof command_line - 1, file);

		command_line[n] = '\0';
		fclose(file);
	}
	for (int i = 0; i < N_WHAT; i++)
		if (boot_argument(command_line, names[i], value, sizeof value) &&
		    !set_pattern(names[i], value))
			printf("gn: error gn.%s=%s is no pattern\n", names[i], value);
	gn_load_network_start(boot_argument(command_line, "peer", peer, sizeof peer));
}

int main(void)
{
	uint64_t last_second = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	read_boot_arguments();
	printf("gn: ready\n");
	for (;;) {
		console_has_input(100);
		read_console();
		for (int i = 0; i < N_WHAT; i++)
			apply((enum what)i,
			      gn_pattern_value(&loads[i].pattern, now_ms() - loads[i].since_ms));
		if (now_ms() / 1000 != last_second) {
			last_second = now_ms() / 1000;
			online_cpus();
		}
	}
}
