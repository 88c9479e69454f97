/* drive_report.c - see drive_report.h. */
#include "host-shim/drive_report.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (1u << 20)

/* A member of a member; NULL when either is not there. */
static const json_t *member(const json_t *object, const char *outer, const char *inner)
{
	return json_object_get(json_object_get(object, outer), inner);
}

/* Numbers that are no counts are as if they were not told. */
static uint64_t count_of(const json_t *value)
{
	json_int_t number = json_integer_value(value);

	return number > 0 ? (uint64_t)number : 0;
}

static void copy(char out[GN_DRIVE_TEXT_SIZE], const json_t *value)
{
	const char *text = json_string_value(value);

	snprintf(out, GN_DRIVE_TEXT_SIZE, "%s", text ? text : "");
	for (char *c = out; *c; c++)
		*c = isprint((unsigned char)*c) ? *c : '?';
}

static void add(struct gn_drive_report *report, uint32_t id, const json_t *raw)
{
	if (!json_is_integer(raw) || report->n_attributes == GN_DRIVE_ATTRIBUTES_MAX)
		return;
	report->attributes[report->n_attributes].id = id;
	report->attributes[report->n_attributes++].raw = count_of(raw);
}

static void take_attributes(struct gn_drive_report *report, const json_t *root)
{
	const json_t *table = member(root, "ata_smart_attributes", "table"), *entry;
	const char *nvme = "nvme_smart_health_information_log";
	size_t i;

	json_array_foreach(table, i, entry)
	{
		uint64_t id = count_of(json_object_get(entry, "id"));

		if (id > 0 && id < 256)
			add(report, (uint32_t)id, member(entry, "raw", "value"));
	}
	if (json_object_get(root, nvme)) {
		add(report, 12, member(root, nvme, "power_cycles"));
		add(report, 187, member(root, nvme, "media_errors"));
	}
}

static int read_drive(const json_t *root, struct gn_drive_report *out, struct gn_status *status)
{
	*out = (struct gn_drive_report){0};
	copy(out->name, json_object_get(root, "serial_number"));
	copy(out->device, member(root, "device", "name"));
	copy(out->model, json_object_get(root, "model_name"));
	for (char *c = out->name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			*c = '_';
	out->size_bytes = count_of(member(root, "user_capacity", "bytes"));
	out->power_on_hours = count_of(member(root, "power_on_time", "hours"));
	take_attributes(out, root);
	if (!out->name[0])
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "it has no 'serial_number'; write it with 'smartctl --json "
		                     "--all DEVICE', as root");
	if (!out->power_on_hours)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "drive %s does not tell its 'power_on_time'", out->name);
	return 0;
}

int gn_drive_report_parse(const char *text, size_t size, struct gn_drive_report *out,
                          struct gn_status *status)
{
	json_error_t error;
	json_t *root;
	int err;

	if (size > TEXT_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "it has %zu bytes; at most %u are read", size, TEXT_MAX);
	root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "line %d is not JSON: %s",
		                     error.line, error.text);
	err = read_drive(root, out, status);
	json_decref(root);
	return err;
}
