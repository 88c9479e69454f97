/* cmd_export.c - export create, list and delete: volumes for NBD clients. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"

#define CLIENTS_MAX 32u
#define NAME_SIZE   300

/* The word, with the prefix if it came without. */
static char *full_name(char text[NAME_SIZE], const char *prefix, const char *word)
{
	bool has_prefix = !strncmp(word, prefix, strlen(prefix));

	if (snprintf(text, NAME_SIZE, "%s%s", has_prefix ? "" : prefix, word) >= NAME_SIZE)
		gn_ctl_usage("'%.40s...' is too long for a name", word);
	return text;
}

static const char *who(const Gnomon__V1__NbdExport *e)
{
	if (!e->tls)
		return "anybody who reaches it";
	return e->n_clients ? "named certificates" : "any operator's certificate";
}

static void print_exports(Gnomon__V1__NbdExport *const *exports, size_t n)
{
	static const char *const heads[] = {"EXPORT",   "VOLUME", "MAY", ">CLIENTS", ">READ",
	                                    ">WRITTEN", "FOR",    "AT",  NULL};
	const Gnomon__V1__NbdExportCounters none = GNOMON__V1__NBD_EXPORT_COUNTERS__INIT;
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const Gnomon__V1__NbdExport *e = exports[i];
		const Gnomon__V1__NbdExportCounters *c = e->counters ? e->counters : &none;

		gn_table_add(table, "%s", e->name);
		gn_table_add(table, "%s", e->volume);
		gn_table_add(table, "%s", e->read_only ? "read" : "write");
		gn_table_add(table, "%llu of %u", (unsigned long long)c->connections,
		             e->max_connections);
		gn_table_add(table, "%s", gn_format_bytes(c->read_bytes, text, sizeof text));
		gn_table_add(table, "%s", gn_format_bytes(c->write_bytes, text, sizeof text));
		gn_table_add(table, "%s", who(e));
		gn_table_add(table, "%s %s", e->listen, e->export_name);
	}
	gn_table_print(table);
}

int gn_ctl_export_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__NbdExportList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__NbdExportList *)gn_ctl_call_empty(ctl, "ListNbdExports");
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_exports)
			print_exports(list->exports, list->n_exports);
		else
			puts("no exports");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

struct options {
	Gnomon__V1__NbdExport export;
	const char *id; /* NULL: the volume's */
	char *clients[CLIENTS_MAX];
};

static void take_options(struct gn_ctl_arguments *arguments, struct options *options)
{
	Gnomon__V1__NbdExport *export = &options->export;
	const char *text;
	uint64_t number;

	gnomon__v1__nbd_export__init(export);
	export->clients = options->clients;
	gn_ctl_option(arguments, "--name", &options->id);
	if (gn_ctl_option(arguments, "--as", &text))
		export->export_name = (char *)text;
	if (gn_ctl_option(arguments, "--listen", &text))
		export->listen = (char *)text;
	export->read_only = gn_ctl_flag(arguments, "--read-only");
	export->tls = gn_ctl_flag(arguments, "--tls");
	export->allow_plain_tcp = gn_ctl_flag(arguments, "--plain-tcp");
	while (gn_ctl_option(arguments, "--client", &text)) {
		if (export->n_clients == CLIENTS_MAX)
			gn_ctl_usage("--client is given more than %u times", CLIENTS_MAX);
		export->clients[export->n_clients++] = (char *)text;
	}
	if (!gn_ctl_option(arguments, "--connections", &text))
		return;
	if (gn_parse_number(text, 64, &number) || !number)
		gn_ctl_usage("--connections is '%s'; give 1 to 64", text);
	export->max_connections = (uint32_t)number;
}

int gn_ctl_export_create(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static char name[NAME_SIZE], volume[NAME_SIZE];
	struct options options = {.id = NULL};
	Gnomon__V1__NbdExport *reply;

	take_options(arguments, &options);
	full_name(volume, "volumes/", gn_ctl_word(arguments, "the name of a volume"));
	full_name(name, "exports/", options.id ? options.id : volume + strlen("volumes/"));
	options.export.name = name;
	options.export.volume = volume;
	gn_ctl_end(arguments);
	reply = (Gnomon__V1__NbdExport *)gn_ctl_call(ctl, "CreateNbdExport", &options.export.base);
	if (!gn_ctl_print_json(ctl, &reply->base))
		print_exports(&reply, 1);
	gn_ctl_free(&reply->base);
	return GN_CTL_OK;
}

int gn_ctl_export_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static char name[NAME_SIZE];
	ProtobufCMessage *reply;

	full_name(name, "exports/", gn_ctl_word(arguments, "the name of an export"));
	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "DeleteNbdExport", name);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s is gone, and its clients are cut off", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
