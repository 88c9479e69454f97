/* main.c - gnomon-ca: the command line of ca.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ca/ca.h"

#define DEFAULT_ROOT_DAYS 3650
#define DEFAULT_DAYS      825

static const char help[] =
        "gnomon-ca - makes the certificates that gnomon's cards, hosts and operators trust.\n"
        "\n"
        "  gnomon-ca init DIR [--days N] [--if-missing]\n"
        "      Makes four roots in DIR: operators, cards, hosts and updates (valid for 3650 "
        "days).\n"
        "  gnomon-ca issue DIR ROOT NAME [--san NAME|ADDRESS]... [--days N] [--if-missing]\n"
        "      Makes DIR/ROOT/NAME.pem and .key, signed by ROOT (valid for 825 days).\n"
        "\n"
        "  gnomon-ca revoke DIR ROOT NAME\n"
        "      Adds DIR/ROOT/NAME.pem to DIR/ROOT.revoked. Copy that beside each ROOT.pem: it "
        "holds\n"
        "      at once, nothing is restarted.\n"
        "\n"
        "  --san NAME|ADDRESS  a further DNS name or IP address the certificate is good for\n"
        "  --role ROLE         of an operator: viewer, operator or admin (admin)\n"
        "  --days N            days until it expires\n"
        "  --if-missing        keep what is there and usable; without it that is an error\n"
        "\n"
        "Who trusts whom: a card's operator endpoint trusts operators.pem; operators and shims\n"
        "trust cards.pem; a card trusts hosts.pem when it calls a shim, and updates.pem for who\n"
        "signed a new image. Keep DIR (the roots' keys) off the cards and hosts; copy to each\n"
        "only its own .pem and .key and the roots it trusts.\n"
        "\n"
        "Example:\n"
        "  gnomon-ca init ~/gnomon-ca\n"
        "  gnomon-ca issue ~/gnomon-ca cards card-1 --san card-1.example.net --san 192.0.2.7\n"
        "  gnomon-ca issue ~/gnomon-ca hosts host-1 --san 192.0.2.1\n"
        "  gnomon-ca issue ~/gnomon-ca operators alice\n";

struct arguments {
	const char *words[4];
	int n_words;
	int days; /* 0: not given */
	bool if_missing;
	struct gn_ca_request request;
};

static int usage(const char *problem, const char *word)
{
	fprintf(stderr, "gnomon-ca: %s%s%s; see 'gnomon-ca --help'\n", problem, word ? ": " : "",
	        word ? word : "");
	return 2;
}

static int parse_days(const char *text, int *days)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (!*text || *end || value < 1 || value > GN_CA_MAX_DAYS)
		return -1;
	*days = (int)value;
	return 0;
}

/* Returns -1 to go on, or the exit code. */
static int parse_option(int option, struct arguments *arguments)
{
	switch (option) {
	case 'h':
		fputs(help, stdout);
		return 0;
	case 'V':
		puts("gnomon-ca " GN_VERSION);
		return 0;
	case 's':
		if (arguments->request.n_sans == GN_CA_MAX_SANS)
			return usage("too many --san", optarg);
		arguments->request.sans[arguments->request.n_sans++] = optarg;
		return -1;
	case 'd':
		if (parse_days(optarg, &arguments->days))
			return usage("--days takes 1 to 36500, not", optarg);
		return -1;
	case 'r':
		arguments->request.role = optarg;
		return -1;
	case 'm':
		arguments->if_missing = true;
		return -1;
	default:
		return usage("unknown option or missing value", NULL);
	}
}

static int parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
	        {"help", no_argument, NULL, 'h'},
	        {"version", no_argument, NULL, 'V'},
	        {"san", required_argument, NULL, 's'},
	        {"days", required_argument, NULL, 'd'},
	        {"if-missing", no_argument, NULL, 'm'},
	        {"role", required_argument, NULL, 'r'},
	        {0},
	};
	int option, rc;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		rc = parse_option(option, arguments);
		if (rc >= 0)
			return rc;
	}
	for (; optind < argc; optind++) {
		if (arguments->n_words == 4)
			return usage("one word too many", argv[optind]);
		arguments->words[arguments->n_words++] = argv[optind];
	}
	return -1;
}

static int report(int rc, const struct gn_status *status)
{
	if (rc)
		fprintf(stderr, "gnomon-ca: %s\n", status->message);
	return rc ? 1 : 0;
}

static int run_init(const struct arguments *arguments)
{
	int n_made, days = arguments->days ? arguments->days : DEFAULT_ROOT_DAYS;
	struct gn_status status = {0};
	int rc;

	if (arguments->n_words != 2 || arguments->request.n_sans)
		return usage("init takes a directory", NULL);
	rc = gn_ca_init(arguments->words[1], days, arguments->if_missing, &n_made, &status);
	if (!rc)
		printf("%d roots made in %s%s\n", n_made, arguments->words[1],
		       n_made ? ": keep their .key files secret and safe" : ", all were there");
	return report(rc, &status);
}

static int run_issue(struct arguments *arguments)
{
	struct gn_ca_request *request = &arguments->request;
	struct gn_status status = {0};
	bool made;
	int rc;

	if (arguments->n_words != 4)
		return usage("issue takes a directory, a root and a name", NULL);
	request->root = arguments->words[2];
	request->name = arguments->words[3];
	request->days = arguments->days ? arguments->days : DEFAULT_DAYS;
	request->if_missing = arguments->if_missing;
	request->any_role = !request->role;
	if (!request->role && !strcmp(request->root, "operators"))
		request->role = "admin";
	rc = gn_ca_issue(arguments->words[1], request, &made, &status);
	if (!rc)
		printf("%s %s/%s/%s.pem and .key\n", made ? "issued" : "kept", arguments->words[1],
		       request->root, request->name);
	return report(rc, &status);
}

static int run_revoke(const struct arguments *arguments)
{
	const char *const *w = arguments->words;
	struct gn_status status = {0};
	int rc;

	if (arguments->n_words != 4)
		return usage("revoke takes a directory, a root and a name", NULL);
	rc = gn_ca_revoke(w[1], w[2], w[3], &status);
	if (!rc)
		printf("revoked %s in %s/%s.revoked: copy that beside each %s.pem\n", w[3], w[1],
		       w[2], w[2]);
	return report(rc, &status);
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	int rc = parse(argc, argv, &arguments);

	if (rc >= 0)
		return rc;
	if (!arguments.n_words)
		return usage("say what to do: init, issue or revoke", NULL);
	if (!strcmp(arguments.words[0], "init"))
		return run_init(&arguments);
	if (!strcmp(arguments.words[0], "issue"))
		return run_issue(&arguments);
	if (!strcmp(arguments.words[0], "revoke"))
		return run_revoke(&arguments);
	return usage("unknown command", arguments.words[0]);
}
