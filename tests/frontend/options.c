/* options.c - see options.h. */
#include "tests/frontend/options.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct gn_option *table, const char *summary)
{
	printf("%s\n", summary);
	for (; table->name; table++)
		printf("  --%-14s %s\n", table->name, table->help);
}

static const struct gn_option *find(const struct gn_option *table, const char *word)
{
	if (strncmp(word, "--", 2) != 0)
		return NULL;
	for (; table->name; table++)
		if (strcmp(table->name, word + 2) == 0)
			return table;
	return NULL;
}

static int complain(const char *word, const char *what)
{
	fprintf(stderr, "%s: %s; see --help\n", word, what);
	return -EINVAL;
}

static int set_number(const struct gn_option *o, const char *text, uint8_t *field)
{
	uint64_t max = o->kind == GN_OPTION_U16   ? UINT16_MAX
	               : o->kind == GN_OPTION_U32 ? UINT32_MAX
	                                          : UINT64_MAX;
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || text[0] == '-' || value > max)
		return complain(text, "not a number that this option takes");
	if (o->kind == GN_OPTION_U16)
		*(uint16_t *)field = (uint16_t)value;
	else if (o->kind == GN_OPTION_U32)
		*(uint32_t *)field = (uint32_t)value;
	else
		*(uint64_t *)field = value;
	return 0;
}

static int set_seconds(const char *text, uint64_t *us)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value < 1e9))
		return complain(text, "not a number of seconds");
	*us = (uint64_t)(value * 1e6);
	return 0;
}

static int set(const struct gn_option *o, char *text, uint8_t *target)
{
	uint8_t *field = target + o->offset;
	unsigned *count = (unsigned *)(target + o->count_offset);

	switch (o->kind) {
	case GN_OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case GN_OPTION_U16:
	case GN_OPTION_U32:
	case GN_OPTION_U64:
		return set_number(o, text, field);
	case GN_OPTION_SECONDS:
		return set_seconds(text, (uint64_t *)field);
	case GN_OPTION_TEXT:
		*(const char **)field = text;
		return 0;
	case GN_OPTION_TEXTS:
		if (*count >= o->max_texts)
			return complain(text, "too many of these");
		((const char **)field)[(*count)++] = text;
		return 0;
	}
	return -EINVAL;
}

int gn_options_parse(const struct gn_option *table, const char *summary, int argc, char **argv,
                     void *target)
{
	for (int i = 1; i < argc; i++) {
		const struct gn_option *o = find(table, argv[i]);
		char *text = NULL;
		int error;

		if (strcmp(argv[i], "--help") == 0) {
			print_help(table, summary);
			return 1;
		}
		if (!o)
			return complain(argv[i], "unknown option");
		if (o->kind != GN_OPTION_FLAG) {
			if (i + 1 >= argc)
				return complain(argv[i], "needs a value");
			text = argv[++i];
		}
		error = set(o, text, target);
		if (error)
			return error;
	}
	return 0;
}

void gn_options_pin(const char *cpu)
{
	cpu_set_t mask;

	if (!cpu)
		return;
	CPU_ZERO(&mask);
	CPU_SET((unsigned)strtoul(cpu, NULL, 0) % CPU_SETSIZE, &mask);
	if (sched_setaffinity(0, sizeof(mask), &mask) < 0)
		fprintf(stderr, "cannot run on CPU %s: %s\n", cpu, strerror(errno));
}
