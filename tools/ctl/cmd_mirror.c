/* cmd_mirror.c - mirror show, set, delete. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/session.h"
#include "tools/ctl/table.h"

static void add_sink(struct gn_table *table, const Gnomon__V1__Mirror *m)
{
	switch (m->sink_case) {
	case GNOMON__V1__MIRROR__SINK_PORT:
		gn_table_add(table, "%s", m->port);
		return;
	case GNOMON__V1__MIRROR__SINK_ERSPAN:
		gn_table_add(table, "erspan %u to %s", m->erspan->session_id,
		             m->erspan->collector_ip);
		return;
	case GNOMON__V1__MIRROR__SINK_VXLAN:
		gn_table_add(table, "vxlan %u to %s", m->vxlan->session_id, m->vxlan->collector_ip);
		return;
	case GNOMON__V1__MIRROR__SINK_PCAPNG_PATH:
		gn_table_add(table, "%s", m->pcapng_path);
		return;
	default:
		gn_table_add(table, "-");
	}
}

static const char *direction_of(const Gnomon__V1__Mirror *m)
{
	switch (m->direction) {
	case GNOMON__V1__MIRROR__DIRECTION__RX:
		return "rx";
	case GNOMON__V1__MIRROR__DIRECTION__TX:
		return "tx";
	default:
		return "both";
	}
}

static void add_mirror(struct gn_table *table, const Gnomon__V1__Mirror *m)
{
	const Gnomon__V1__MirrorCounters empty = GNOMON__V1__MIRROR_COUNTERS__INIT;
	const Gnomon__V1__MirrorCounters *c = m->counters ? m->counters : &empty;
	const uint64_t counts[] = {c->seen, c->copied, c->filtered, c->sampled_out, c->dropped};
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", m->name);
	gn_table_add(table, "%s", direction_of(m));
	gn_table_add(table, "%zu", m->n_filters);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		gn_table_add(table, "%s", gn_format_count(counts[i], text, sizeof text));
	add_sink(table, m);
}

static void print_mirrors(const Gnomon__V1__MirrorList *list)
{
	static const char *const heads[] = {"MIRROR",  "DIRECTION", ">FILTERS",     ">SEEN",
	                                    ">COPIED", ">FILTERED", ">SAMPLED OUT", ">DROPPED",
	                                    "SINK",    NULL};
	struct gn_table *table = gn_table_create(heads);

	for (size_t i = 0; i < list->n_mirrors; i++)
		add_mirror(table, list->mirrors[i]);
	gn_table_print(table);
}

/* Moves the VM's sessions to the front; returns how many they are. */
static size_t choose(Gnomon__V1__MirrorList *list, const char *vm)
{
	size_t length = strlen(vm), n = 0;

	for (size_t i = 0; i < list->n_mirrors; i++) {
		Gnomon__V1__Mirror *mirror = list->mirrors[i];

		if (strncmp(mirror->name, vm, length) || mirror->name[length] != '/')
			continue;
		list->mirrors[i] = list->mirrors[n];
		list->mirrors[n++] = mirror;
	}
	return n;
}

int gn_ctl_mirror_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *vm = arguments->n_words ? gn_ctl_vm_name(arguments, "") : NULL;
	Gnomon__V1__MirrorList *list, shown;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__MirrorList *)gn_ctl_call_empty(ctl, "ListMirrors");
	shown = *list;
	if (vm)
		shown.n_mirrors = choose(list, vm);
	if (!gn_ctl_print_json(ctl, &shown.base)) {
		if (shown.n_mirrors)
			print_mirrors(&shown);
		else
			puts("no mirror sessions");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

/* "VM SESSION" as "vms/VM/mirrors/SESSION". */
static const char *session_name(struct gn_ctl_arguments *arguments)
{
	static char name[300];
	const char *vm = gn_ctl_vm_name(arguments, "/mirrors/");
	const char *session = gn_ctl_word(arguments, "the name of a mirror session");

	if (snprintf(name, sizeof name, "%s%s", vm, session) >= (int)sizeof name)
		gn_ctl_usage("the name of the mirror session is too long");
	return name;
}

int gn_ctl_mirror_set(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static struct gn_ctl_session session;
	Gnomon__V1__MirrorList list = GNOMON__V1__MIRROR_LIST__INIT;
	Gnomon__V1__Mirror *reply;

	gn_ctl_session_options(arguments, &session);
	gn_ctl_session_sink(arguments, &session);
	session.mirror.name = (char *)session_name(arguments);
	gn_ctl_end(arguments);
	reply = (Gnomon__V1__Mirror *)gn_ctl_call(ctl, "UpdateMirror", &session.mirror.base);
	list.mirrors = &reply;
	list.n_mirrors = 1;
	if (!gn_ctl_print_json(ctl, &reply->base))
		print_mirrors(&list);
	gn_ctl_free(&reply->base);
	return GN_CTL_OK;
}

int gn_ctl_mirror_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = session_name(arguments);
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "DeleteMirror", name);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s has ended", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
