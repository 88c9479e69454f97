/* audit.c - ListAudit, and the audit log's entry for every call that may change something. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/core/clock.h"
#include "firmware/message/message.h"
#include "proto/envelope.h"
#include "proto/json.h"

#define MAX_LINES_BYTES (GN_CHANNEL_MAX_SIZE / 2)
#define MAX_CERTIFICATE 16384
#define WHO_MAX         (GN_ENVELOPE_CALLER_MAX + 32)
#define CUT             " ... (cut)"

/* ---- writing ------------------------------------------------------------------------------ */

/* Verbs that only tell; everything else is written down. The pieces of an image are not: that an
 * update was begun and ended is. */
static bool only_reads(const char *method)
{
	static const char *const verbs[] = {"Get", "List", "ExportHistory", "ExportVmState",
	                                    "WriteUpdate"};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (!strncmp(method, verbs[i], strlen(verbs[i])))
			return true;
	return false;
}

static const ProtobufCMessage *message_in(const ProtobufCMessage *message, const char *field)
{
	const ProtobufCFieldDescriptor *f =
	        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);

	if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return *(const ProtobufCMessage *const *)((const char *)message + f->offset);
}

static const char *text_in(const ProtobufCMessage *message, const char *field)
{
	const ProtobufCFieldDescriptor *f =
	        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);

	if (!f || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return *(const char *const *)((const char *)message + f->offset);
}

/* What a request is about: its name, its part's name, or its VM. */
static const char *resource_of(const ProtobufCMessage *request)
{
	static const char *const parts[] = {"policy", "shadow"};
	const char *name = text_in(request, "name");

	for (size_t i = 0; !name && i < sizeof parts / sizeof parts[0]; i++) {
		const ProtobufCMessage *part = message_in(request, parts[i]);

		name = part ? text_in(part, "name") : NULL;
	}
	if (!name || !name[0])
		name = text_in(request, "vm");
	return name ? name : "";
}

static char *inputs_of(const ProtobufCMessage *request)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	gn_json_print(request, 1, out);
	if (fclose(out) || !size) {
		free(text);
		return NULL;
	}
	text[--size] = '\0'; /* the printer's line feed */
	if (size > GN_AUDIT_TEXT) {
		size = GN_AUDIT_TEXT - sizeof CUT;
		while (size && ((unsigned char)text[size] & 0xc0) == 0x80)
			size--; /* not within a character */
		memcpy(text + size, CUT, sizeof CUT);
	}
	return text;
}

/* Over TLS whoever signed; on this machine whom the caller names. */
static void say_who(const struct gn_channel_call *call, char who[WHO_MAX])
{
	const char *caller = gn_channel_call_caller(call);
	struct gn_channel_signer signer;

	if (gn_channel_call_signer(call, &signer))
		snprintf(who, WHO_MAX, "operator: %s", signer.name);
	else
		snprintf(who, WHO_MAX, "%s", caller[0] ? caller : "on the card");
}

void gn_control_ended(void *context, const struct gn_channel_call *call, const char *method,
                      const ProtobufCMessage *request, const struct gn_status *outcome)
{
	Gnomon__V1__AuditEntry entry = GNOMON__V1__AUDIT_ENTRY__INIT;
	struct gn_control *control = context;
	struct gn_channel_signer signer;
	char who[WHO_MAX],
	        signature[2 * GN_ENVELOPE_SIGNATURE_MAX + 1] = "",
	                                                  what[GN_STATUS_MESSAGE_SIZE + 32];
	char *inputs;

	if (!control->p.audit || only_reads(method))
		return;
	inputs = inputs_of(request);
	say_who(call, who);
	if (gn_channel_call_signer(call, &signer))
		gn_audit_hex(signer.signature, signer.signature_size, signature);
	entry.envelope = signature;
	snprintf(what, sizeof what, "%s%s%s", gn_code_name(outcome->code),
	         outcome->message[0] ? ": " : "", outcome->message);
	entry.at_us = gn_clock_wall_us();
	entry.kind = (char *)"call";
	entry.who = who;
	entry.resource = (char *)resource_of(request);
	entry.text = (char *)method;
	entry.request = inputs ? inputs : (char *)protobuf_c_empty_string;
	entry.outcome = what;
	gn_audit_log_put(control->p.audit, &entry, true);
	free(inputs);
}

/* ---- reading ------------------------------------------------------------------------------ */

static void add_line(void *context, const char *line, size_t size)
{
	Gnomon__V1__AuditPage *page = context;

	(void)size;
	GN_MESSAGE_APPEND(page->lines, page->n_lines, gn_message_string(line));
}

/* The card's certificate, so that whoever has its root can check the signatures; or nothing. */
static void add_certificate(const struct gn_control *control, Gnomon__V1__AuditPage *page)
{
	const struct gn_config_endpoint *endpoint = control->config->control;
	char text[MAX_CERTIFICATE];
	FILE *file = endpoint && endpoint->tls ? fopen(endpoint->tls->cert, "re") : NULL;
	size_t size;

	if (!file)
		return;
	size = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[size] = '\0';
	gn_message_set(&page->certificate, "%s", text);
}

void gn_control_list_audit(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *message)
{
	const Gnomon__V1__ListAuditRequest *request = (const Gnomon__V1__ListAuditRequest *)message;
	struct gn_control *control = context;
	uint64_t total = gn_audit_log_count(control->p.audit), from = request->from;
	uint32_t limit = request->limit ? request->limit : 100;
	Gnomon__V1__AuditPage *page;

	if (limit > 1000) {
		gn_control_fail(call, GN_OUT_OF_RANGE, "limit is %u; give 1 to 1000", limit);
		return;
	}
	if (!from)
		from = total > limit ? total - limit + 1 : 1;
	page = GN_MESSAGE_NEW(Gnomon__V1__AuditPage, gnomon__v1__audit_page__init);
	page->total = total;
	gn_message_set(&page->trouble, "%s", gn_audit_log_trouble(control->p.audit));
	add_certificate(control, page);
	if (gn_audit_log_read(control->p.audit, from, limit, MAX_LINES_BYTES, add_line, page)) {
		gn_message_free(&page->base);
		gn_control_fail(call, GN_INTERNAL,
		                "the audit log cannot be read; see gnomond's log");
		return;
	}
	gn_control_reply(call, &page->base);
}
