/* cli.c - gnomonctl from argv to exit code: global options, then one command of the table
 * (command.c). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl/command.h"
#include "tools/ctl/completion.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

#define TIMEOUT_US     30000000u
#define TIMEOUT_MAX_US 86400000000u /* of channel.h */

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
	    (gn_parse_duration(timeout, &ctl->timeout_us) || !ctl->timeout_us ||
	     ctl->timeout_us > TIMEOUT_MAX_US))
		gn_ctl_usage("--timeout %s: give a duration such as 10s, at most 1d", timeout);
}

static int run_command(struct gn_ctl *ctl, const struct gn_ctl_settings *settings,
                       const struct gn_ctl_entry *entry, struct gn_ctl_arguments *arguments)
{
	struct gn_status status = {0};
	int code;

	/* 'board check' is about a file alone: no card need be configured. */
	if (entry->run != gn_ctl_board_check &&
	    gn_ctl_connection_create(settings, &ctl->connection, &status))
		gn_ctl_usage("%s", status.message);
	code = entry->run(ctl, arguments);
	gn_ctl_connection_destroy(ctl->connection);
	if (fflush(stdout) || ferror(stdout)) {
		gn_output_error("standard output cannot be written: %s", strerror(errno));
		return code ? code : GN_CTL_REFUSED;
	}
	return code;
}

/* Ends the program when the words name no command. */
static const struct gn_ctl_entry *find_command(struct gn_ctl_arguments *a)
{
	const struct gn_ctl_entry *entry;
	char verbs[256];
	bool noun_known;
	int taken = 0;

	entry = gn_ctl_find(a->n_words, a->words, &taken, &noun_known);
	if (entry)
		gn_ctl_remove_words(a, 0, taken);
	else if (!a->n_words)
		gn_ctl_usage("a command is missing");
	else if (!noun_known)
		gn_ctl_usage("there is no command '%s'", a->words[0]);
	else if (a->n_words > 1)
		gn_ctl_usage("'%s' cannot be done with '%s'; verbs: %s", a->words[1], a->words[0],
		             gn_ctl_verbs(a->words[0], verbs, sizeof verbs));
	else
		gn_ctl_usage("'%s' needs a verb: %s", a->words[0],
		             gn_ctl_verbs(a->words[0], verbs, sizeof verbs));
	return entry;
}

/* "--help", "vm --help", "vm show --help", and the same words after "help". */
static int help_on(struct gn_ctl_arguments *a)
{
	bool noun_known;
	int taken;
	const struct gn_ctl_entry *entry = gn_ctl_find(a->n_words, a->words, &taken, &noun_known);

	if (!a->n_words || !strcmp(a->words[0], "completion"))
		gn_ctl_print_overview();
	else if (entry)
		gn_ctl_print_help(entry);
	else if (noun_known && a->n_words == 1)
		gn_ctl_print_noun(a->words[0]);
	else
		find_command(a);
	return GN_CTL_OK;
}

static int complete(struct gn_ctl_arguments *a)
{
	const char *shell;

	gn_ctl_remove_words(a, 0, 1);
	shell = gn_ctl_word(a, "the shell (bash or zsh)");
	gn_ctl_end(a);
	if (gn_ctl_print_completion(shell))
		gn_ctl_usage("no completion for '%s': bash or zsh", shell);
	return GN_CTL_OK;
}

int gn_ctl_main(int argc, char **argv)
{
	struct gn_ctl_arguments arguments = {argc > 0 ? argc - 1 : 0, argv + 1};
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
	help = gn_ctl_flag(&arguments, "--help") | gn_ctl_flag(&arguments, "-h");
	take_globals(&arguments, &ctl, &settings);
	if (arguments.n_words && !strcmp(arguments.words[0], "help")) {
		gn_ctl_remove_words(&arguments, 0, 1);
		help = true;
	}
	if (help)
		return help_on(&arguments);
	if (arguments.n_words && !strcmp(arguments.words[0], "completion"))
		return complete(&arguments);
	entry = find_command(&arguments);
	return run_command(&ctl, &settings, entry, &arguments);
}
