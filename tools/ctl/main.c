/* main.c - gnomonctl: options, then one command of the table (command.c). */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/command.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/json.h"
#include "tools/ctl/parse.h"

#define TIMEOUT_US 30000000u

void gn_ctl_usage(const char *format, ...)
{
	va_list args;

	fputs("gnomonctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see 'gnomonctl --help'\n", stderr);
	exit(GN_CTL_USAGE);
}

/* ---- words --------------------------------------------------------------------------- */

static void remove_words(struct gn_ctl_arguments *a, int at, int n)
{
	memmove(a->words + at, a->words + at + n, (size_t)(a->n_words - at - n) * sizeof *a->words);
	a->n_words -= n;
}

bool gn_ctl_option(struct gn_ctl_arguments *a, const char *name, const char **value)
{
	for (int i = 0; i < a->n_words; i++) {
		if (strcmp(a->words[i], name))
			continue;
		if (i + 1 == a->n_words)
			gn_ctl_usage("%s needs a value", name);
		*value = a->words[i + 1];
		remove_words(a, i, 2);
		return true;
	}
	return false;
}

bool gn_ctl_flag(struct gn_ctl_arguments *a, const char *name)
{
	for (int i = 0; i < a->n_words; i++) {
		if (strcmp(a->words[i], name))
			continue;
		remove_words(a, i, 1);
		return true;
	}
	return false;
}

const char *gn_ctl_word(struct gn_ctl_arguments *a, const char *what)
{
	const char *word = a->n_words ? a->words[0] : NULL;

	if (!word)
		gn_ctl_usage("%s is missing", what);
	if (word[0] == '-')
		gn_ctl_usage("unknown option '%s'", word);
	remove_words(a, 0, 1);
	return word;
}

const char *gn_ctl_vm_name(struct gn_ctl_arguments *a, const char *suffix)
{
	static char name[256];
	const char *word = gn_ctl_word(a, "the name of a VM");

	snprintf(name, sizeof name, "%s%s%s", strncmp(word, "vms/", 4) ? "vms/" : "", word, suffix);
	return name;
}

void gn_ctl_end(const struct gn_ctl_arguments *a)
{
	if (a->n_words)
		gn_ctl_usage(a->words[0][0] == '-' ? "unknown option '%s'" : "'%s' is too much",
		             a->words[0]);
}

/* ---- calls --------------------------------------------------------------------------- */

static int exit_code(enum gn_code code)
{
	return code == GN_UNAVAILABLE || code == GN_DEADLINE_EXCEEDED || code == GN_UNAUTHENTICATED
	               ? GN_CTL_UNREACHABLE
	               : GN_CTL_REFUSED;
}

ProtobufCMessage *gn_ctl_call(struct gn_ctl *ctl, const char *method,
                              const ProtobufCMessage *request)
{
	ProtobufCMessage *reply = NULL;
	struct gn_status status = {0};

	if (!gn_ctl_connection_call(ctl->connection, method, request, ctl->timeout_us, &reply,
	                            &status))
		return reply;
	fprintf(stderr, "gnomonctl: %s (%s)\n", status.message, gn_code_name(status.code));
	exit(exit_code(status.code));
}

void gn_ctl_free(ProtobufCMessage *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

ProtobufCMessage *gn_ctl_call_name(struct gn_ctl *ctl, const char *method, const char *name)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;

	request.name = (char *)name;
	return gn_ctl_call(ctl, method, &request.base);
}

ProtobufCMessage *gn_ctl_call_empty(struct gn_ctl *ctl, const char *method)
{
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;

	return gn_ctl_call(ctl, method, &request.base);
}

bool gn_ctl_print_json(const struct gn_ctl *ctl, const ProtobufCMessage *message)
{
	if (ctl->json && gn_json_print(message, 0, stdout))
		exit(GN_CTL_REFUSED);
	return ctl->json;
}

/* ---- main ---------------------------------------------------------------------------- */

/* Global options may stand anywhere. */
static void take_globals(struct gn_ctl_arguments *a, struct gn_ctl *ctl,
                         struct gn_ctl_settings *settings)
{
	const char *timeout = NULL;

	ctl->json = gn_ctl_flag(a, "--json");
	gn_ctl_option(a, "--config", &settings->config);
	gn_ctl_option(a, "--server", &settings->server);
	gn_ctl_option(a, "--events", &settings->events);
	gn_ctl_option(a, "--ca", &settings->ca);
	gn_ctl_option(a, "--cert", &settings->cert);
	gn_ctl_option(a, "--key", &settings->key);
	if (gn_ctl_option(a, "--timeout", &timeout) &&
	    (gn_parse_duration(timeout, &ctl->timeout_us) || !ctl->timeout_us))
		gn_ctl_usage("--timeout %s: give a duration such as 10s", timeout);
}

static int run_command(struct gn_ctl *ctl, const struct gn_ctl_settings *settings,
                       const struct gn_ctl_entry *entry, struct gn_ctl_arguments *arguments)
{
	struct gn_status status = {0};
	int code;

	if (gn_ctl_connection_create(settings, &ctl->connection, &status))
		gn_ctl_usage("%s", status.message);
	code = entry->run(ctl, arguments);
	gn_ctl_connection_destroy(ctl->connection);
	return code;
}

static const struct gn_ctl_entry *find_command(struct gn_ctl_arguments *a)
{
	const struct gn_ctl_entry *entry;
	bool noun_known;
	int taken = 0;

	entry = gn_ctl_find(a->n_words, a->words, &taken, &noun_known);
	if (entry)
		remove_words(a, 0, taken);
	else if (!a->n_words)
		gn_ctl_usage("a command is missing");
	else if (!noun_known)
		gn_ctl_usage("there is no command '%s'", a->words[0]);
	else
		gn_ctl_usage("'%s' needs a verb that it has", a->words[0]);
	return entry;
}

int main(int argc, char **argv)
{
	struct gn_ctl_arguments arguments = {argc - 1, argv + 1};
	struct gn_ctl_settings settings = {0};
	struct gn_ctl ctl = {.timeout_us = TIMEOUT_US};
	const struct gn_ctl_entry *entry;
	bool help;

	signal(SIGPIPE, SIG_DFL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (gn_ctl_flag(&arguments, "--version")) {
		puts("gnomonctl " GN_VERSION);
		return GN_CTL_OK;
	}
	take_globals(&arguments, &ctl, &settings);
	help = gn_ctl_flag(&arguments, "--help") || gn_ctl_flag(&arguments, "-h");
	if (help && !arguments.n_words) {
		gn_ctl_print_overview();
		return GN_CTL_OK;
	}
	if (arguments.n_words == 2 && !strcmp(arguments.words[0], "completion")) {
		if (gn_ctl_print_completion(arguments.words[1]))
			gn_ctl_usage("no completion for '%s': bash or zsh", arguments.words[1]);
		return GN_CTL_OK;
	}
	entry = find_command(&arguments);
	if (help) {
		gn_ctl_print_help(entry);
		return GN_CTL_OK;
	}
	return run_command(&ctl, &settings, entry, &arguments);
}
