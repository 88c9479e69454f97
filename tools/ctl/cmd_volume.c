/* cmd_volume.c - volume list, show, create, resize and delete. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"

static const char *state_of(const Gnomon__V1__Volume *volume)
{
	static const char *const names[] = {"?", "SYNCING", "IN_STEP", "DEGRADED", "STALE"};
	const Gnomon__V1__VolumeMirrorStatus *s = volume->mirror_status;

	if (!s)
		return "-";
	return (unsigned)s->state < 5 ? names[s->state] : "?";
}

static const char *store_of(const Gnomon__V1__Volume *volume)
{
	return volume->store_url[0] ? volume->store_url : volume->path;
}

static void print_list(const Gnomon__V1__VolumeList *list)
{
	static const char *const heads[] = {"VOLUME",  "VM",       ">SIZE", "USED", "SHADOW",
	                                    ">BEHIND", ">EXPORTS", "STORE", NULL};
	struct gn_table *table = gn_table_create(heads);
	char text[GN_FORMAT_SIZE];

	for (size_t i = 0; i < list->n_volumes; i++) {
		const Gnomon__V1__Volume *v = list->volumes[i];

		gn_table_add(table, "%s", v->name);
		gn_table_add(table, "%s", v->vm);
		gn_table_add(table, "%s", gn_format_bytes(v->size_bytes, text, sizeof text));
		gn_table_add(table, "%s", v->connected ? "yes" : "no");
		gn_table_add(table, "%s", state_of(v));
		gn_table_add(table, "%s",
		             v->mirror_status ? gn_format_bytes(v->mirror_status->lag_bytes, text,
		                                                sizeof text)
		                              : "-");
		gn_table_add(table, "%zu", v->n_exports);
		gn_table_add(table, "%s", store_of(v));
	}
	gn_table_print(table);
}

int gn_ctl_volume_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__VolumeList *list;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__VolumeList *)gn_ctl_call_empty(ctl, "ListVolumes");
	if (!gn_ctl_print_json(ctl, &list->base)) {
		if (list->n_volumes)
			print_list(list);
		else
			puts("no volumes");
	}
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

static const char *verify_state(const Gnomon__V1__VolumeVerify *v)
{
	static const char *const names[] = {"none", "running", "done", "ended early"};

	return (unsigned)v->state < 4 ? names[v->state] : "?";
}

static void print_mirror(const Gnomon__V1__VolumeMirror *m, const Gnomon__V1__VolumeMirrorStatus *s)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];

	gn_output_field("shadow", "%s, %s, lease %llu", m->shadow_path,
	                m->mode == GNOMON__V1__VOLUME_MIRROR__MODE__IN_STEP ? "in step" : "async",
	                (unsigned long long)m->token);
	if (!s)
		return;
	gn_output_field("", "%s%s%s", s->phase, s->message[0] ? ": " : "", s->message);
	gn_output_field("behind", "%s in %llu writes, the oldest %llu ms old",
	                gn_format_bytes(s->lag_bytes, a, sizeof a),
	                (unsigned long long)s->lag_writes, (unsigned long long)s->lag_us / 1000);
	gn_output_field("journal", "%s of %s", gn_format_bytes(s->journal_bytes, a, sizeof a),
	                gn_format_bytes(s->journal_size_bytes, b, sizeof b));
	gn_output_field("point", "%s",
	                gn_format_when(s->point_us, gn_clock_wall_us(), a, sizeof a));
	if (s->verify)
		gn_output_field("verify", "%s, %s of %s, %llu bytes differed, %llu repaired",
		                verify_state(s->verify),
		                gn_format_bytes(s->verify->done_bytes, a, sizeof a),
		                gn_format_bytes(s->verify->size_bytes, b, sizeof b),
		                (unsigned long long)s->verify->differing_bytes,
		                (unsigned long long)s->verify->repaired_bytes);
	gn_output_field("dirty", "%s after a crash; %llu resynchronisations so far",
	                gn_format_bytes(s->dirty_bytes, a, sizeof a),
	                (unsigned long long)s->resyncs);
}

static void print_store(const Gnomon__V1__VolumeStoreStatus *s)
{
	gn_output_field("", "%s%s%s; %llu reconnects, %llu requests given up",
	                s->connected ? "connected" : "not connected", s->problem[0] ? ": " : "",
	                s->problem, (unsigned long long)s->reconnects,
	                (unsigned long long)s->given_up);
}

static void print_volume(const Gnomon__V1__Volume *v)
{
	char text[GN_FORMAT_SIZE];

	gn_output_line("%s of %s, %s%s, %s", v->name, v->vm,
	               gn_format_bytes(v->size_bytes, text, sizeof text),
	               v->read_only ? ", read-only" : "", v->connected ? "in use" : "not in use");
	gn_output_field("store", "%s", store_of(v));
	if (v->store_status)
		print_store(v->store_status);
	for (size_t i = 0; i < v->n_exports; i++)
		gn_output_field(i ? "" : "exports", "%s", v->exports[i]);
	gn_output_field("socket", "%s", v->socket_path);
	if (v->counters)
		gn_output_field("requests", "%llu reads, %llu writes, %llu flushes, %llu errors",
		                (unsigned long long)v->counters->reads,
		                (unsigned long long)v->counters->writes,
		                (unsigned long long)v->counters->flushes,
		                (unsigned long long)v->counters->errors);
	if (v->mirror)
		print_mirror(v->mirror, v->mirror_status);
}

int gn_ctl_volume_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *word = gn_ctl_word(arguments, "the name of a volume");
	const char *name = strncmp(word, "volumes/", 8) ? word : word + 8;
	Gnomon__V1__VolumeList *list;
	const Gnomon__V1__Volume *found = NULL;

	gn_ctl_end(arguments);
	list = (Gnomon__V1__VolumeList *)gn_ctl_call_empty(ctl, "ListVolumes");
	for (size_t i = 0; i < list->n_volumes; i++)
		if (!strcmp(list->volumes[i]->name + 8, name))
			found = list->volumes[i];
	if (!found)
		gn_output_error("there is no volume '%s'; see 'gnomonctl volume list'", name);
	else if (!gn_ctl_print_json(ctl, &found->base))
		print_volume(found);
	gn_ctl_free(&list->base);
	return found ? GN_CTL_OK : GN_CTL_REFUSED;
}

#define NAME_SIZE 300

static char *full_name(char text[NAME_SIZE], const char *prefix, const char *word)
{
	bool has_prefix = !strncmp(word, prefix, strlen(prefix));

	if (snprintf(text, NAME_SIZE, "%s%s", has_prefix ? "" : prefix, word) >= NAME_SIZE)
		gn_ctl_usage("'%.40s...' is too long for a name", word);
	return text;
}

static void print_reply(struct gn_ctl *ctl, Gnomon__V1__Volume *volume)
{
	if (!gn_ctl_print_json(ctl, &volume->base))
		print_volume(volume);
	gn_ctl_free(&volume->base);
}

static void take_size(const char *text, uint64_t *size)
{
	if (gn_parse_bytes(text, size) || !*size || *size % 512)
		gn_ctl_usage("the size is '%s'; give one like 20GiB, a multiple of 512 bytes",
		             text);
}

static void take_place(struct gn_ctl_arguments *arguments, Gnomon__V1__Volume *volume)
{
	const char *text;

	if (gn_ctl_option(arguments, "--path", &text))
		volume->path = (char *)text;
	if (gn_ctl_option(arguments, "--url", &text))
		volume->store_url = (char *)text;
	if (gn_ctl_option(arguments, "--size", &text))
		take_size(text, &volume->size_bytes);
	if ((volume->size_bytes != 0) + (volume->path[0] != 0) + (volume->store_url[0] != 0) != 1)
		gn_ctl_usage("where is it? give one of --size (a new file in the pool), --path and "
		             "--url");
}

int gn_ctl_volume_create(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static char name[NAME_SIZE], vm[NAME_SIZE];
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	const char *text;
	uint64_t number;

	take_place(arguments, &volume);
	if (!gn_ctl_option(arguments, "--vm", &text))
		gn_ctl_usage("whose is it? give --vm");
	volume.vm = full_name(vm, "vms/", text);
	volume.read_only = gn_ctl_flag(arguments, "--read-only");
	volume.write_through = gn_ctl_flag(arguments, "--write-through");
	if (gn_ctl_option(arguments, "--serial", &text))
		volume.serial = (char *)text;
	if (gn_ctl_option(arguments, "--queues", &text)) {
		if (gn_parse_number(text, 16, &number) || !number)
			gn_ctl_usage("--queues is '%s'; give 1 to 16", text);
		volume.queues = (uint32_t)number;
	}
	volume.name = full_name(name, "volumes/", gn_ctl_word(arguments, "a name for the volume"));
	gn_ctl_end(arguments);
	print_reply(ctl, (Gnomon__V1__Volume *)gn_ctl_call(ctl, "CreateVolume", &volume.base));
	return GN_CTL_OK;
}

int gn_ctl_volume_resize(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static char name[NAME_SIZE];
	Gnomon__V1__ResizeVolumeRequest request = GNOMON__V1__RESIZE_VOLUME_REQUEST__INIT;
	bool takes_store = gn_ctl_flag(arguments, "--as-store");

	request.name = full_name(name, "volumes/", gn_ctl_word(arguments, "the name of a volume"));
	if (!takes_store)
		take_size(gn_ctl_word(arguments, "the new size, or --as-store"),
		          &request.size_bytes);
	gn_ctl_end(arguments);
	print_reply(ctl, (Gnomon__V1__Volume *)gn_ctl_call(ctl, "ResizeVolume", &request.base));
	return GN_CTL_OK;
}

int gn_ctl_volume_delete(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static char name[NAME_SIZE];
	Gnomon__V1__DeleteVolumeRequest request = GNOMON__V1__DELETE_VOLUME_REQUEST__INIT;
	ProtobufCMessage *reply;

	request.erase = gn_ctl_flag(arguments, "--erase");
	request.name = full_name(name, "volumes/", gn_ctl_word(arguments, "the name of a volume"));
	gn_ctl_end(arguments);
	reply = gn_ctl_call(ctl, "DeleteVolume", &request.base);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s is deleted%s", name,
		               request.erase ? ", and its data" : "; its data stays where it is");
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
