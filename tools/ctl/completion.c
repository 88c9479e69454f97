/* completion.c - see completion.h. The script finds the words that are not global options,
 * then offers nouns, verbs, names (asked of the card, with the same global options) or the
 * command's own options. */
#include "tools/ctl/completion.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl/command.h"
#include "tools/ctl/format.h"

#define GLOBALS_WITH_FILE  "--config|--ca|--cert|--key"
#define GLOBALS_WITH_VALUE "--server|--events|--timeout"

static const char head[] = "_gnomonctl() {\n"
                           "\tlocal word=${COMP_WORDS[COMP_CWORD]} choices='' kind='' own='' i\n"
                           "\tlocal -a words=() globals=()\n"
                           "\tCOMPREPLY=()\n"
                           "\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n"
                           "\t" GLOBALS_WITH_FILE "|" GLOBALS_WITH_VALUE ") return ;;\n"
                           "\tesac\n"
                           "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
                           "\t\tcase ${COMP_WORDS[i]} in\n"
                           "\t\t" GLOBALS_WITH_FILE "|" GLOBALS_WITH_VALUE ")\n"
                           "\t\t\tglobals+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\")\n"
                           "\t\t\t((++i)) ;;\n"
                           "\t\t--json) ;;\n"
                           "\t\t*) words+=(\"${COMP_WORDS[i]}\") ;;\n"
                           "\t\tesac\n"
                           "\tdone\n";

static const char tail[] =
        "\tcase $kind in\n"
        "\tvm|plan)\n"
        "\t\tchoices=$(\"${COMP_WORDS[0]}\" \"${globals[@]}\" --timeout 2s $kind list --names "
        "2>/dev/null) ;;\n"
        "\tesac\n"
        "\t[[ $word == -* ]] && choices=\"$own --json --help\"\n"
        "\twhile IFS= read -r i; do\n"
        "\t\tCOMPREPLY+=(\"$i\")\n"
        "\tdone < <(compgen -W \"$choices\" -- \"$word\")\n"
        "}\n"
        "complete -o default -F _gnomonctl gnomonctl";

static void print_nouns(void)
{
	const char *last = "";

	printf("\t0) choices='");
	for (size_t i = 0; i < gn_ctl_n_entries; i++) {
		if (strcmp(gn_ctl_entries[i].noun, last))
			printf("%s ", gn_ctl_entries[i].noun);
		last = gn_ctl_entries[i].noun;
	}
	puts("completion help'\n"
	     "\t\town='--config --server --events --ca --cert --key --timeout --version' ;;");
}

static void print_verbs(void)
{
	const char *last = "";

	puts("\t1) case ${words[0]} in\n"
	     "\t\tcompletion) choices='bash zsh' ;;");
	for (size_t i = 0; i < gn_ctl_n_entries; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];

		if (!entry->verb)
			continue;
		if (strcmp(entry->noun, last))
			printf("%s\t\t%s) choices='%s", last[0] ? "' ;;\n" : "", entry->noun,
			       entry->verb);
		else
			printf(" %s", entry->verb);
		last = entry->noun;
	}
	puts("' ;;\n\t\tesac ;;");
}

/* What the command's first argument is: "vm", "plan" or nothing to ask for. */
static const char *kind_of(const struct gn_ctl_entry *entry)
{
	if (!strncmp(entry->arguments, "VM", 2) || !strncmp(entry->arguments, "[VM]", 4))
		return "vm";
	return !strncmp(entry->arguments, "PLAN", 4) ? "plan" : "";
}

static void print_commands(void)
{
	puts("\tcase \"${words[*]} \" in");
	for (size_t i = 0; i < gn_ctl_n_entries; i++) {
		const struct gn_ctl_entry *entry = &gn_ctl_entries[i];
		int n_name = entry->verb ? 2 : 1;

		printf("\t'%s%s%s '*) own='%s'", entry->noun, entry->verb ? " " : "",
		       entry->verb ? entry->verb : "", entry->options);
		if (kind_of(entry)[0])
			printf("\n\t\t[ ${#words[@]} -eq %d ] && kind=%s", n_name, kind_of(entry));
		if (strstr(entry->arguments, "RESOURCE")) {
			printf("\n\t\t[ ${#words[@]} -eq %d ] && choices='", n_name + 1);
			for (int r = 1; r <= GN_FORMAT_RESOURCES; r++)
				printf("%s%s", r > 1 ? " " : "", gn_format_resource(r));
			putchar('\'');
		}
		puts(" ;;");
	}
	puts("\tesac");
}

int gn_ctl_print_completion(const char *shell)
{
	if (strcmp(shell, "bash") && strcmp(shell, "zsh"))
		return -EINVAL;
	if (!strcmp(shell, "zsh"))
		puts("autoload -U +X bashcompinit && bashcompinit");
	fputs(head, stdout);
	puts("\tcase ${#words[@]} in");
	print_nouns();
	print_verbs();
	puts("\tesac");
	print_commands();
	puts(tail);
	return 0;
}
