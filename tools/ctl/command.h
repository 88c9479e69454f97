/* command.h - the const table of commands; parsing, help and completion read it. */
#ifndef GN_CTL_COMMAND_H
#define GN_CTL_COMMAND_H

#include <stddef.h>
#include "tools/ctl/ctl.h"

struct gn_ctl_entry {
	const char *noun;
	const char *verb; /* NULL: the noun is the whole command */
	gn_ctl_command *run;
	const char *arguments; /* for the synopsis */
	const char *summary;
	const char *help; /* options and examples; NULL: none */
};

extern const struct gn_ctl_entry gn_ctl_entries[];
extern const size_t gn_ctl_n_entries;

/* The entry for the words, and how many of them it took. NULL: none; '*noun_known' tells
 * whether the first word at least is one. */
const struct gn_ctl_entry *gn_ctl_find(int n_words, char *const *words, int *taken,
                                       bool *noun_known);
void gn_ctl_print_help(const struct gn_ctl_entry *entry);
void gn_ctl_print_overview(void);
/* 0, or -EINVAL for a shell that is not known. */
int gn_ctl_print_completion(const char *shell);

#endif
