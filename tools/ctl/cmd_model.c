/* cmd_model.c - model list, import, rollback, export-history; vm export-state, import-state. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/file.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"
#include "tools/ctl/table.h"
#include "tools/ctl/text.h"

#define MODEL_MAX_BYTES ((size_t)1 << 19)
#define STATE_MAX_BYTES ((size_t)1 << 19)

/* ---- packs --------------------------------------------------------------------------- */

static void print_trial(const Gnomon__V1__ModelTrial *t)
{
	char ratio[GN_FORMAT_SIZE], own[GN_FORMAT_SIZE], other[GN_FORMAT_SIZE];
	char targets[GN_FORMAT_SIZE];

	gn_output_field("measured",
	                "loss %s times that of %s; %s and %s of assuming no change; less on %u of "
	                "%u series and horizons (%u tied)",
	                gn_format_ratio_q16(t->ratio_q16, ratio, sizeof ratio), t->against,
	                gn_format_ratio_q16(t->loss_of_naive_q16, own, sizeof own),
	                gn_format_ratio_q16(t->other_of_naive_q16, other, sizeof other), t->better,
	                t->pairs, t->tied);
	gn_output_field("",
	                "%s forecasts scored on %u series; needed: %u on each of %u series and "
	                "horizons",
	                gn_format_count(t->targets, targets, sizeof targets), t->series,
	                t->needed_targets, t->needed_pairs);
}

static void print_model(const Gnomon__V1__Model *m)
{
	char size[GN_FORMAT_SIZE], when[GN_FORMAT_SIZE];
	uint64_t now = gn_clock_wall_us();

	if (m->name[0])
		gn_output_line("%-9s %s serial %u%s", gn_text_model_role(m->role), m->name,
		               m->serial, m->shipped ? " (shipped)" : "");
	else
		gn_output_line("%-9s no pack: the card's own experts alone",
		               gn_text_model_role(m->role));
	gn_output_field("since", "%s", gn_format_when(m->since_us, now, when, sizeof when));
	if (m->name[0])
		gn_output_field("pack", "%u trees of depth %u, %s, %s", m->trees, m->depth,
		                gn_format_bytes(m->size_bytes, size, sizeof size), m->digest);
	if (m->decision[0])
		gn_output_field("why", "%s", m->decision);
	if (m->trial)
		print_trial(m->trial);
}

static int print_models(const struct gn_ctl *ctl, Gnomon__V1__ModelList *list)
{
	if (!gn_ctl_print_json(ctl, &list->base))
		for (size_t i = 0; i < list->n_models; i++)
			print_model(list->models[i]);
	gn_ctl_free(&list->base);
	return GN_CTL_OK;
}

int gn_ctl_model_list(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	gn_ctl_end(arguments);
	return print_models(ctl, (Gnomon__V1__ModelList *)gn_ctl_call_empty(ctl, "ListModels"));
}

int gn_ctl_model_import(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__ImportModelRequest request = GNOMON__V1__IMPORT_MODEL_REQUEST__INIT;
	Gnomon__V1__Model *model;
	const char *path;

	request.replace = gn_ctl_flag(arguments, "--replace");
	path = gn_ctl_word(arguments, "a signed model pack");
	gn_ctl_end(arguments);
	request.pack.data = gn_ctl_file_read(path, MODEL_MAX_BYTES, &request.pack.len);
	model = (Gnomon__V1__Model *)gn_ctl_call(ctl, "ImportModel", &request.base);
	free(request.pack.data);
	if (!gn_ctl_print_json(ctl, &model->base))
		print_model(model);
	gn_ctl_free(&model->base);
	return GN_CTL_OK;
}

int gn_ctl_model_rollback(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__RollbackModelRequest request = GNOMON__V1__ROLLBACK_MODEL_REQUEST__INIT;

	request.trial = gn_ctl_flag(arguments, "--trial");
	gn_ctl_end(arguments);
	return print_models(
	        ctl, (Gnomon__V1__ModelList *)gn_ctl_call(ctl, "RollbackModel", &request.base));
}

/* ---- history ------------------------------------------------------------------------- */

struct export
{
	struct gn_ctl *ctl;
	FILE *out;
	Gnomon__V1__ExportHistoryRequest request;
	int resource;      /* 0: all */
	uint64_t first_us; /* of the VM's first row */
	uint64_t n_rows;
	bool has_head;
};

static void write_seconds(FILE *out, uint64_t us)
{
	fprintf(out, "%" PRIu64, us / 1000000);
	if (us % 1000000)
		fprintf(out, ".%03" PRIu64, us % 1000000 / 1000);
}

static void write_head(struct export *e, uint64_t interval_us)
{
	static const char units[] = "cpu (milli-vCPU), memory (bytes), network (bits/s), disk "
	                            "(bytes/s, operations/s)";

	e->has_head = true;
	fprintf(e->out, "# source: a gnomon card's own history; units: %s\n# interval_s: ", units);
	write_seconds(e->out, interval_us);
	fputs("\nseries,t", e->out);
	for (int i = 1; i <= GN_FORMAT_RESOURCES; i++)
		if (!e->resource || e->resource == i)
			fprintf(e->out, ",%s", gn_format_resource(i));
	fputc('\n', e->out);
}

static void write_row(struct export *e, const Gnomon__V1__HistoryTable__Row *row)
{
	if (!e->first_us)
		e->first_us = row->wall_us;
	fprintf(e->out, "%s,", e->request.vm + 4);
	write_seconds(e->out, row->wall_us - e->first_us);
	for (int i = 1; i <= GN_FORMAT_RESOURCES; i++) {
		int64_t value = (size_t)i <= row->n_values ? row->values[i - 1] : -1;

		if (e->resource && e->resource != i)
			continue;
		fputc(',', e->out);
		if (value >= 0)
			fprintf(e->out, "%" PRId64, value);
	}
	fputc('\n', e->out);
	e->n_rows++;
}

static void export_vm(struct export *e, const char *vm, uint64_t from_us)
{
	e->request.vm = (char *)vm;
	e->request.from_us = from_us;
	e->first_us = 0;
	do {
		Gnomon__V1__HistoryTable *table = (Gnomon__V1__HistoryTable *)gn_ctl_call(
		        e->ctl, "ExportHistory", &e->request.base);

		if (!e->has_head)
			write_head(e, table->interval_us);
		for (size_t i = 0; i < table->n_rows; i++)
			write_row(e, table->rows[i]);
		e->request.from_us = table->next_us;
		gn_ctl_free(&table->base);
	} while (e->request.from_us);
}

static void take_export_options(struct gn_ctl_arguments *arguments, struct export *e,
                                uint64_t *from_us)
{
	uint64_t last_us = 0, now = gn_clock_wall_us();
	const char *value;

	gnomon__v1__export_history_request__init(&e->request);
	if (gn_ctl_option(arguments, "--interval", &value) &&
	    (gn_parse_duration(value, &e->request.interval_us) || !e->request.interval_us))
		gn_ctl_usage("--interval %s: give a duration such as 5min", value);
	if (gn_ctl_option(arguments, "--last", &value) && gn_parse_duration(value, &last_us))
		gn_ctl_usage("--last %s: give a duration such as 7d", value);
	*from_us = last_us && last_us < now ? now - last_us : 0;
	if (!gn_ctl_option(arguments, "--resource", &value))
		return;
	e->resource = gn_parse_resource(value);
	if (!e->resource)
		gn_ctl_usage("--resource %s: give cpu, memory, network-rx, network-tx, disk-read, "
		             "disk-write or disk-operations",
		             value);
}

int gn_ctl_model_export_history(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct export e = {.ctl = ctl};
	const char *vm = NULL, *path;
	Gnomon__V1__VmList *list;
	struct gn_ctl_file file;
	uint64_t from_us;

	take_export_options(arguments, &e, &from_us);
	gn_ctl_option(arguments, "--vm", &vm);
	path = gn_ctl_word(arguments, "the CSV file to write");
	gn_ctl_end(arguments);
	list = (Gnomon__V1__VmList *)gn_ctl_call_empty(ctl, "ListVms");
	gn_ctl_file_begin(&file, path);
	e.out = file.out;
	for (size_t i = 0; i < list->n_vms; i++) {
		const char *name = list->vms[i]->name;

		if (!vm || !strcmp(name, vm) ||
		    (!strncmp(name, "vms/", 4) && !strcmp(name + 4, vm)))
			export_vm(&e, name, from_us);
	}
	gn_ctl_free(&list->base);
	if (!e.n_rows) {
		gn_output_error("there is no history to export%s%s", vm ? " of " : "",
		                vm ? vm : "");
		return GN_CTL_REFUSED;
	}
	gn_ctl_file_end(&file);
	gn_output_line("%s: %" PRIu64 " rows", path, e.n_rows);
	return GN_CTL_OK;
}

/* ---- what was learnt of a VM --------------------------------------------------------- */

int gn_ctl_vm_export_state(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *name = gn_ctl_vm_name(arguments, "");
	const char *path = gn_ctl_word(arguments, "the file to write");
	Gnomon__V1__LearntState *state;
	struct gn_ctl_file file;

	gn_ctl_end(arguments);
	state = (Gnomon__V1__LearntState *)gn_ctl_call_name(ctl, "ExportVmState", name);
	gn_ctl_file_begin(&file, path);
	fwrite(state->blob.data, 1, state->blob.len, file.out);
	gn_ctl_file_end(&file);
	gn_output_line("%s: what the card has learnt of %s, %zu bytes", path, state->vm,
	               state->blob.len);
	gn_ctl_free(&state->base);
	return GN_CTL_OK;
}

int gn_ctl_vm_import_state(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__LearntState state = GNOMON__V1__LEARNT_STATE__INIT;
	ProtobufCMessage *reply;
	const char *path;

	state.replace = gn_ctl_flag(arguments, "--replace");
	state.vm = (char *)gn_ctl_vm_name(arguments, "");
	path = gn_ctl_word(arguments, "a file of 'vm export-state'");
	gn_ctl_end(arguments);
	state.blob.data = gn_ctl_file_read(path, STATE_MAX_BYTES, &state.blob.len);
	reply = gn_ctl_call(ctl, "ImportVmState", &state.base);
	free(state.blob.data);
	if (!gn_ctl_print_json(ctl, reply))
		gn_output_line("%s goes on with what %s holds", state.vm, path);
	gn_ctl_free(reply);
	return GN_CTL_OK;
}
