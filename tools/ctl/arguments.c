/* arguments.c - the words of a command line: options are taken out, what is left is named. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/ctl.h"
#include "tools/ctl/output.h"

#define NAME_MAX_BYTES 128 /* of common.proto's NameRequest */

void gn_ctl_usage(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	gn_output_error("%s; see 'gnomonctl --help'", text);
	exit(GN_CTL_USAGE);
}

void gn_ctl_remove_words(struct gn_ctl_arguments *a, int at, int n)
{
	memmove(a->words + at, a->words + at + n, (size_t)(a->n_words - at - n) * sizeof *a->words);
	a->n_words -= n;
}

/* "--name value" or "--name=value". */
bool gn_ctl_option(struct gn_ctl_arguments *a, const char *name, const char **value)
{
	size_t length = strlen(name);

	for (int i = 0; i < a->n_words; i++) {
		const char *word = a->words[i];

		if (strncmp(word, name, length) || (word[length] && word[length] != '='))
			continue;
		if (word[length] == '=') {
			*value = word + length + 1;
			gn_ctl_remove_words(a, i, 1);
			return true;
		}
		if (i + 1 == a->n_words || !strncmp(a->words[i + 1], "--", 2))
			gn_ctl_usage("%s needs a value", name);
		*value = a->words[i + 1];
		gn_ctl_remove_words(a, i, 2);
		return true;
	}
	return false;
}

bool gn_ctl_flag(struct gn_ctl_arguments *a, const char *name)
{
	for (int i = 0; i < a->n_words; i++) {
		if (strcmp(a->words[i], name))
			continue;
		gn_ctl_remove_words(a, i, 1);
		return true;
	}
	return false;
}

static void __attribute__((noreturn)) refuse_option(const char *word)
{
	gn_ctl_usage("'%s' is no option here, or is given more often than it may be", word);
}

const char *gn_ctl_word(struct gn_ctl_arguments *a, const char *what)
{
	const char *word = a->n_words ? a->words[0] : NULL;

	if (!word || !word[0])
		gn_ctl_usage("%s is missing", what);
	if (word[0] == '-')
		refuse_option(word);
	gn_ctl_remove_words(a, 0, 1);
	return word;
}

const char *gn_ctl_vm_name(struct gn_ctl_arguments *a, const char *suffix)
{
	static char name[NAME_MAX_BYTES + 1];
	const char *word = gn_ctl_word(a, "the name of a VM");
	const char *prefix = strncmp(word, "vms/", 4) ? "vms/" : "";

	if (snprintf(name, sizeof name, "%s%s%s", prefix, word, suffix) >= (int)sizeof name)
		gn_ctl_usage("'%.40s...' is too long: names have at most %d bytes", word,
		             NAME_MAX_BYTES);
	return name;
}

void gn_ctl_end(const struct gn_ctl_arguments *a)
{
	if (!a->n_words)
		return;
	if (a->words[0][0] == '-')
		refuse_option(a->words[0]);
	gn_ctl_usage("'%s' is one word too many", a->words[0]);
}
