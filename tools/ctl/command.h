/* command.h - the const table of commands; parsing, help and completion read it. */
#ifndef GN_CTL_COMMAND_H
#define GN_CTL_COMMAND_H

#include <stddef.h>

#include "tools/ctl/ctl.h"

struct gn_ctl_entry {
	const char *noun;
	const char *verb; /* NULL: the noun is the whole command */
	gn_ctl_command *run;
	const char
	        *arguments;  /* for the synopsis; begins with VM, [VM] or PLAN when it takes one */
	const char *options; /* its own, for completion: "--a --b" */
	const char *summary;
	const char *help; /* options and examples; NULL: none */
};

extern const struct gn_ctl_entry gn_ctl_entries[];
extern const size_t gn_ctl_n_entries;

/* The entry for the words, and how many of them it took. NULL: none; '*noun_known' tells
 * whether the first word at least is one. */
const struct gn_ctl_entry *gn_ctl_find(int n_words, char *const *words, int *taken,
                                       bool *noun_known);
/* The noun's verbs, "list, show or create"; "" when it has none. Returns 'text'. */
const char *gn_ctl_verbs(const char *noun, char *text, size_t size);
void gn_ctl_print_help(const struct gn_ctl_entry *entry);
/* All commands of the noun. */
void gn_ctl_print_noun(const char *noun);
void gn_ctl_print_overview(void);

#endif
