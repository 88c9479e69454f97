/* main.c - gnomon-console: the operators' side over HTTPS, and the accounts of those who use it. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "firmware/console/console.h"
#include "firmware/console/accounts.h"
#include "firmware/console/crypto.h"
#include "firmware/console/route.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"

#define PROCESS "gnomon-console"

static const char usage[] =
        "usage: " PROCESS " --config FILE [--check]\n"
        "       " PROCESS " --config FILE account list\n"
        "       " PROCESS
        " --config FILE account add NAME ROLE      ROLE: viewer, operator, admin\n"
        "       " PROCESS " --config FILE account second-factor NAME\n"
        "       " PROCESS " --config FILE account remove NAME\n"
        "\n"
        "Serves the console, the API and the metrics of the card over HTTPS.\n"
        "\n"
        "  -c, --config FILE   gnomon-console.yaml\n"
        "      --check         read the configuration, say what is wrong, exit\n"
        "      --version       print the version\n"
        "  -h, --help          print this\n"
        "\n"
        "'account add' reads the password from the terminal or the first line of standard input;\n"
        "its owner has to change it at the first login. A running console takes changes over at "
        "once.\n"
        "\n"
        "  openssl rand -base64 12 | tee /dev/tty | " PROCESS " -c FILE account add ann operator\n";

struct options {
	const char *config;
	bool check_only;
	char **command; /* "account", ...; NULL terminated */
};

static int wrong(const char *text)
{
	fprintf(stderr, "%s; try '" PROCESS " --help'\n", text);
	return 2;
}

/* Returns an exit code, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"check", no_argument, NULL, 'k'},
	        {"version", no_argument, NULL, 'V'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
		if (option == 'c') {
			o->config = optarg;
		} else if (option == 'k') {
			o->check_only = true;
		} else if (option == 'V') {
			printf(PROCESS " %s\n", GN_VERSION);
			return 0;
		} else if (option == 'h') {
			fputs(usage, stdout);
			return 0;
		} else {
			return wrong("unknown option");
		}
	}
	if (!o->config)
		return wrong("--config is needed");
	o->command = argv + optind;
	return -1;
}

/* ---- accounts ---------------------------------------------------------------------------------
 */

/* One line without its end; false: none. Not echoed on a terminal. */
static bool read_password(char *out, size_t size)
{
	struct termios before, silent;
	bool terminal = !tcgetattr(STDIN_FILENO, &before);
	bool read;

	if (terminal) {
		fputs("password: ", stderr);
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	read = fgets(out, (int)size, stdin);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	if (read)
		out[strcspn(out, "\r\n")] = '\0';
	return read;
}

static int add_account(struct gn_accounts *accounts, const char *name, const char *role,
                       struct gn_status *status)
{
	char password[256];
	enum gn_role r = gn_role_of(role);
	int error;

	if (r == GN_ROLE_NONE)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' is no role: give viewer, operator or admin", role);
	if (!read_password(password, sizeof password))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "no password came on standard input");
	error = gn_accounts_set(accounts, name, (Gnomon__V1__Account__Role)r, password, true,
	                        gn_clock_wall_us(), status);
	gn_crypto_wipe(password, sizeof password);
	if (!error)
		printf("account '%s' (%s): the password must be changed at the first login\n", name,
		       role);
	return error;
}

/* Prints the secret once, as authenticator programs take it (RFC 4648 base 32). */
static int add_second_factor(struct gn_accounts *accounts, const char *name,
                             struct gn_status *status)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t secret[20];
	int error;

	gn_crypto_random(secret, sizeof secret);
	error = gn_accounts_set_totp(accounts, name, secret, sizeof secret, status);
	if (error)
		return error;
	printf("otpauth://totp/gnomon:%s?issuer=gnomon&secret=", name);
	for (unsigned bit = 0; bit < 8 * sizeof secret; bit += 5) {
		unsigned value = 0;

		for (unsigned i = bit; i < bit + 5; i++)
			value = value << 1 | (secret[i / 8] >> (7 - i % 8) & 1);
		putchar(digits[value]);
	}
	putchar('\n');
	gn_crypto_wipe(secret, sizeof secret);
	return 0;
}

static void list_accounts(struct gn_accounts *accounts)
{
	const Gnomon__V1__Account *account;

	printf("%-32s %-9s %-13s %s\n", "NAME", "ROLE", "SECOND FACTOR", "STATE");
	for (size_t i = 0; (account = gn_accounts_at(accounts, i)); i++)
		printf("%-32s %-9s %-13s %s\n", account->name,
		       gn_role_name((enum gn_role)account->role),
		       account->totp_secret.len ? "yes" : "no",
		       account->locked_until_us > gn_clock_wall_us() ? "locked"
		       : account->must_change                        ? "password must be changed"
		                                                     : "good");
}

/* Returns an exit code. */
static int run_account(struct gn_accounts *accounts, char **words, int n)
{
	struct gn_status status;
	int error = 0;

	if (n == 1 && !strcmp(words[0], "list"))
		list_accounts(accounts);
	else if (n == 3 && !strcmp(words[0], "add"))
		error = add_account(accounts, words[1], words[2], &status);
	else if (n == 2 && !strcmp(words[0], "second-factor"))
		error = add_second_factor(accounts, words[1], &status);
	else if (n == 2 && !strcmp(words[0], "remove"))
		error = gn_accounts_remove(accounts, words[1], &status);
	else
		return wrong("account list, add NAME ROLE, second-factor NAME, or remove NAME");
	if (error)
		fprintf(stderr, PROCESS ": %s\n", status.message);
	return error ? 1 : 0;
}

/* Whom 'config' says to become; '*is_set' is false when nobody. */
static int find_user(const struct gn_console_config *config, struct gn_confine_user *user,
                     bool *is_set, struct gn_status *status)
{
	int error;

	*is_set = config->user && !geteuid();
	if (!*is_set)
		return 0;
	error = gn_confine_find_user(config->user, user, status);
	return error ? error : gn_confine_prepare(config->accounts_file, user, status);
}

static int run_command(const struct gn_console_config *config, char **command)
{
	struct gn_confine_user user;
	struct gn_accounts *accounts;
	struct gn_status status;
	bool is_set;
	int n = 0, code;

	if (strcmp(command[0], "account"))
		return wrong("unknown command");
	while (command[1 + n])
		n++;
	/* The file must be the service's own. */
	if (find_user(config, &user, &is_set, &status) ||
	    (is_set && gn_confine_become(&user, &status)) ||
	    gn_accounts_load(config->accounts_file, &accounts, &status)) {
		fprintf(stderr, PROCESS ": %s\n", status.message);
		return 1;
	}
	code = run_account(accounts, command + 1, n);
	gn_accounts_free(accounts);
	return code;
}

/* ---- the service --------------------------------------------------------------------------------
 */

static char *directory_of(const char *path, char copy[PATH_MAX])
{
	snprintf(copy, PATH_MAX, "%s", path);
	return dirname(copy);
}

/* All that is opened from here on: our files, and what turns a host's name into an address. A
 * kernel without Landlock leaves it at users and system calls. */
static int confine_files(const struct gn_console_config *config, struct gn_status *status)
{
	char accounts[PATH_MAX];
	const struct gn_confine_path paths[] = {
	        {directory_of(config->accounts_file, accounts), true},
	        {config->web_dir, false},
	        {config->metrics_token_file ? config->metrics_token_file : config->web_dir, false},
	        {config->tls ? config->tls->ca : config->web_dir, false},
	        {config->tls ? config->tls->cert : config->web_dir, false},
	        {config->tls ? config->tls->key : config->web_dir, false},
	        {"/etc/hosts", false},
	        {"/etc/nsswitch.conf", false},
	        {"/etc/resolv.conf", false},
	        {"/etc/gai.conf", false},
	        {"/dev/urandom", false},
	};
	int error = gn_confine_files(paths, sizeof paths / sizeof paths[0], status);

	if (error != -EOPNOTSUPP)
		return error;
	gn_log(GN_LOG_WARNING, "%s", status->message);
	return 0;
}

static int open_confined(const struct gn_console_config *config, struct gn_loop *loop,
                         struct gn_console **console, struct gn_status *status)
{
	struct gn_confine_user user;
	bool is_set;
	int error = find_user(config, &user, &is_set, status);

	if (!error)
		error = confine_files(config, status);
	if (!error)
		error = gn_console_create(config, is_set ? &user : NULL, loop, console, status);
	if (!error)
		error = gn_confine_calls(status);
	if (!error && !geteuid())
		gn_log(GN_LOG_WARNING, "runs as root: 'user' in the configuration changes that");
	return error;
}

static int serve(const struct gn_console_config *config)
{
	struct gn_console *console = NULL;
	struct gn_loop *loop = NULL;
	struct gn_status status;
	int code = 1;

	signal(SIGPIPE, SIG_IGN);
	if (gn_loop_create(&loop)) {
		gn_log(GN_LOG_ERROR, "no event loop");
	} else if (open_confined(config, loop, &console, &status)) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
	} else {
		gn_log(GN_LOG_INFO, "serves %s, port %u", config->listen, gn_console_port(console));
		if (gn_console_is_fresh(console))
			gn_log(GN_LOG_WARNING, "nobody can log in yet: '" PROCESS
			                       " --config FILE account add NAME admin'");
		gn_loop_notify_ready();
		code = gn_loop_run(loop) ? 1 : 0;
	}
	gn_console_destroy(console);
	gn_loop_destroy(loop);
	return code;
}

int main(int argc, char **argv)
{
	struct options options = {.config = NULL};
	struct gn_console_config *config;
	struct gn_status status;
	int code = parse_options(argc, argv, &options);

	if (code >= 0)
		return code;
	gn_log_init(PROCESS, GN_LOG_INFO);
	if (gn_console_config_load(options.config, &config, &status)) {
		gn_log(GN_LOG_ERROR, "%s", status.message);
		return 1;
	}
	if (options.command[0])
		code = run_command(config, options.command);
	else if (options.check_only)
		code = printf("%s is good\n", options.config) < 0;
	else
		code = serve(config);
	gn_console_config_free(config);
	return code;
}
