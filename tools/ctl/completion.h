/* completion.h - the shells' completion script, made from the table of commands. */
#ifndef GN_CTL_COMPLETION_H
#define GN_CTL_COMPLETION_H

/* Prints the script for "bash" or "zsh". 0, or -EINVAL for another shell. */
int gn_ctl_print_completion(const char *shell);

#endif
