/* options.h - command lines as tables: "--name VALUE" into a field of a struct.
 * For the test programs; errors go to standard error. */
#ifndef GN_TESTS_FRONTEND_OPTIONS_H
#define GN_TESTS_FRONTEND_OPTIONS_H

#include <stddef.h>

enum gn_option_kind {
	GN_OPTION_FLAG, /* bool, no value */
	GN_OPTION_U16,
	GN_OPTION_U32, /* also unsigned */
	GN_OPTION_U64,
	GN_OPTION_SECONDS, /* decimal; uint64_t microseconds */
	GN_OPTION_TEXT,    /* const char *, borrowed from argv */
	GN_OPTION_TEXTS,   /* const char *[], counted in the unsigned at 'count_offset' */
};

struct gn_option {
	const char *name; /* NULL ends the table */
	enum gn_option_kind kind;
	size_t offset;
	const char *help;
	size_t count_offset;
	unsigned max_texts;
};

/* Parses all of argv into 'target'. 0; 1: help was asked for and printed; -EINVAL with a
 * sentence on standard error. */
int gn_options_parse(const struct gn_option *table, const char *summary, int argc, char **argv,
                     void *target);

/* Runs this process on one CPU only, if 'cpu' is a number. */
void gn_options_pin(const char *cpu);

#endif
