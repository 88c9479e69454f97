/* cmd_snapshot.c - snapshot list, create, delete, revert, export; clone. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

/* "VM SNAPSHOT" as "vms/VM/shadow/snapshots/SNAPSHOT". */
static const char *snapshot_name(struct gn_ctl_arguments *arguments)
{
	static char name[300];
	const char *shadow = gn_ctl_vm_name(arguments, "/shadow");
	const char *id = gn_ctl_word(arguments, "the name of a snapshot");

	if (snprintf(name, sizeof name, "%s/snapshots/%s", shadow, id) >= (int)sizeof name)
		gn_ctl_usage("the name of the snapshot is too long");
	return name;
}

static void add_snapshot(struct gn_table *table, const Gnomon__V1__Snapshot *s, uint64_t now)
{
	char text[GN_FORMAT_SIZE];

	gn_table_add(table, "%s", s->name);
	gn_table_add(table, "%s", gn_format_when(s->created_us, now, text, sizeof text));
	gn_table_add(table, "%s", gn_format_when(s->point_us, now, text, sizeof text));
	gn_table_add(table, "%s", gn_format_bytes(s->size_bytes, text, sizeof text));
	gn_table_add(table, "%zu", s->n_paths);
	gn_table_add(table, "%s%s", s->automatic ? "by rule" : "by hand",
	             s->reflink ? "" : ", whole copy");
}

static void print_snapshots(Gnomon__V1__Snapshot *const *snapshots, size_t n)
{
	static const char *const heads[] = {"SNAPSHOT", "MADE", "DISKS AS OF", ">SIZE",
	                                    ">DISKS",   "HOW",  NULL};
	struct gn_table *table = gn_table_create(heads);

	for (size_t i = 0; i < n; i++)
		add_snapshot(table, snapshots[i], gn_clock_wall_us());
	gn_table_print(table);
}

int gn_ctl_snapshot_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *shadow = arguments->n_words ? gn_ctl_vm_name(arguments, "/shadow") : "";
	Gnomon__V1__SnapshotList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__SnapshotList *)gn_ctl_call_name(ctl, "ListSnapshots", shadow);
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_snapshots)
			print_snapshots(list->snapshots, list->n_snapshots);
		else
			puts("no snapshots");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

static int print_reply(struct gn_ctl *ctl, ProtobufCMessage *reply)
{
	Gnomon__V1__Snapshot *snapshot = (Gnomon__V1__Snapshot *)reply;

	if (!gn_ctl_print_json(ctl, reply))
		print_snapshots(&snapshot, 1);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

int gn_ctl_snapshot_create(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__Snapshot snapshot = GNOMON__V1__SNAPSHOT__INIT;

	snapshot.name = (char *)snapshot_name(arguments);
	gn_ctl_end(arguments);
	return print_reply(ctl, gn_ctl_call(ctl, "CreateSnapshot", &snapshot.base));
}

int gn_ctl_snapshot_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = snapshot_name(arguments);
	ProtobufCMessage *reply;

	gn_ctl_end(arguments);
	reply = gn_ctl_call_name(ctl, "DeleteSnapshot", name);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s is deleted", name);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

int gn_ctl_snapshot_revert(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = snapshot_name(arguments);
	Gnomon__V1__Shadow *shadow;

	gn_ctl_end(arguments);
	shadow = (Gnomon__V1__Shadow *)gn_ctl_call_name(ctl, "RevertShadow", name);
	if (!gn_ctl_print_json(ctl, &shadow->base))
		gn_output_line("%s has the disks of %s and follows no more; 'gnomonctl shadow "
		               "update VM --replication async' makes it follow again",
		               shadow->name, name);
	gn_ctl_free(&shadow->base);
	return GN_CTL_OK;
}

static int export(struct gn_ctl *ctl, const char *name, const char *directory)
{
	Gnomon__V1__ExportSnapshotRequest request = GNOMON__V1__EXPORT_SNAPSHOT_REQUEST__INIT;
	ProtobufCMessage *reply;

	request.name = (char *)name;
	request.directory = (char *)directory;
	reply = gn_ctl_call(ctl, "ExportSnapshot", &request.base);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s is in %s on the card, a file per disk", name, directory);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}

int gn_ctl_snapshot_export(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = snapshot_name(arguments);
	const char *directory = gn_ctl_word(arguments, "a directory on the card");

	gn_ctl_end(arguments);
	return export(ctl, name, directory);
}

int gn_ctl_clone(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "/shadow");
	const char *directory = gn_ctl_word(arguments, "a directory on the card");

	gn_ctl_end(arguments);
	return export(ctl, name, directory);
}
