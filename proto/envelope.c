/* envelope.c - see envelope.h. Encoding writes the envelope's own fields and then the
 * body's field by hand (tag, length, message): fields may come in any order on the wire,
 * and the body is thereby serialised straight into the message that is sent. */
#include "proto/envelope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/gnomon/v1/envelope.pb-c.h"

#define BODY_TAG ((5u << 3) | 2u) /* Envelope.body: field 5, length-delimited */

_Static_assert((int)GNOMON__V1__CODE__UNAUTHENTICATED == (int)GN_UNAUTHENTICATED,
               "status.h numbers codes as common.proto does");

/* ---- memory budget ----------------------------------------------------------- */

struct budget {
	size_t used;
	bool exceeded;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > GN_MESSAGE_BUDGET - budget->used) {
		budget->exceeded = true;
		return NULL;
	}
	budget->used += size;
	return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	free(pointer);
}

int gn_message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                      size_t size, ProtobufCMessage **out, size_t *used, struct gn_status *status)
{
	struct budget budget = {0};
	ProtobufCAllocator allocator = {
	        .alloc = budget_alloc, .free = budget_free, .allocator_data = &budget};
	ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, size, data);

	if (!message && budget.exceeded)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the %s of %zu bytes would take more than %u MiB of memory: "
		                     "send fewer elements",
		                     descriptor->short_name, size, GN_MESSAGE_BUDGET >> 20);
	if (!message)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%zu bytes are not a valid %s message: do both sides use the "
		                     "same version of gnomon?",
		                     size, descriptor->short_name);
	*out = message;
	if (used)
		*used = budget.used;
	return 0;
}

/* ---- checks of a message's content --------------------------------------------- */

#define PATH_SIZE 128

/* The field being looked at, for the error sentence. */
struct walk {
	char path[PATH_SIZE];
	struct gn_status *status;
};

static int check_message(struct walk *walk, size_t length, const ProtobufCMessage *message);

/* Length of the UTF-8 sequence that 'p' starts with (RFC 3629, table 3-7 of Unicode), 0
 * when it is not one. A NUL ends every string, so no byte past it is read. */
static size_t utf8_sequence(const uint8_t *p)
{
	static const struct {
		uint8_t first, last, second_min, second_max, size;
	} forms[] = {
	        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
	        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
	        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
	        {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (forms[i].size > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].size; k++)
			if (p[k] < 0x80 || p[k] > 0xbf)
				return 0;
		return forms[i].size;
	}
	return 0;
}

static bool is_utf8(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;

	while (*p) {
		size_t size = utf8_sequence(p);

		if (!size)
			return false;
		p += size;
	}
	return true;
}

static int check_enum(struct walk *walk, const ProtobufCEnumDescriptor *type, int value)
{
	if (protobuf_c_enum_descriptor_get_value(type, value))
		return 0;
	return gn_status_set(walk->status, GN_INVALID_ARGUMENT,
	                     "%s has the value %d, which is no %s known here: use one that is, or "
	                     "update this side",
	                     walk->path, value, type->short_name);
}

static int check_value(struct walk *walk, size_t length, const ProtobufCFieldDescriptor *field,
                       const void *value)
{
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_ENUM:
		return check_enum(walk, field->descriptor, *(const int *)value);
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)value;
		if (!text || is_utf8(text))
			return 0;
		return gn_status_set(walk->status, GN_INVALID_ARGUMENT,
		                     "%s is not UTF-8 text: encode it as UTF-8", walk->path);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!*(ProtobufCMessage *const *)value)
			return 0;
		return check_message(walk, length, *(ProtobufCMessage *const *)value);
	default:
		return 0;
	}
}

static size_t value_size(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : sizeof(void *);
}

static int check_repeated(struct walk *walk, size_t length, const ProtobufCFieldDescriptor *field,
                          const ProtobufCMessage *message)
{
	const char *base = (const char *)message;
	size_t n = *(const size_t *)(base + field->quantifier_offset);
	const char *values = *(char *const *)(base + field->offset);

	for (size_t i = 0; i < n; i++) {
		int used = snprintf(walk->path + length, PATH_SIZE - length, "[%zu]", i);
		size_t end = length + (size_t)used;
		int rc = check_value(walk, end < PATH_SIZE ? end : PATH_SIZE - 1, field,
		                     values + i * value_size(field->type));

		if (rc)
			return rc;
	}
	return 0;
}

static bool is_checked_type(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_ENUM || type == PROTOBUF_C_TYPE_STRING ||
	       type == PROTOBUF_C_TYPE_MESSAGE;
}

static bool is_absent_member(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		return false;
	return *(const uint32_t *)((const char *)message + field->quantifier_offset) != field->id;
}

static int check_message(struct walk *walk, size_t length, const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		size_t end = length;
		int rc;

		if (!is_checked_type(field->type) || is_absent_member(field, message))
			continue;
		end += (size_t)snprintf(walk->path + length, PATH_SIZE - length, "%s%s",
		                        length ? "." : "", field->name);
		if (end >= PATH_SIZE)
			end = PATH_SIZE - 1;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			rc = check_repeated(walk, end, field, message);
		else
			rc = check_value(walk, end, field, (const char *)message + field->offset);
		if (rc)
			return rc;
	}
	return 0;
}

int gn_message_check(const ProtobufCMessage *message, struct gn_status *status)
{
	struct walk walk = {.status = status};

	return check_message(&walk, 0, message);
}

/* ---- envelope -------------------------------------------------------------------- */

/* Identifiers and methods are printed in logs: visible ASCII only. */
static bool is_token(const char *text, size_t min, size_t max)
{
	size_t n = strlen(text);

	if (n < min || n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return true;
}

static int check_method(enum gn_envelope_kind kind, const Gnomon__V1__Envelope *wire,
                        struct gn_status *status)
{
	if (kind == GN_ENVELOPE_REPLY)
		return 0;
	if (!is_token(wire->method, 1, GN_ENVELOPE_METHOD_MAX))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the envelope's method must be 1 to %u visible ASCII characters",
		        GN_ENVELOPE_METHOD_MAX);
	return 0;
}

static int check_kind(enum gn_envelope_kind kind, const Gnomon__V1__Envelope *wire,
                      struct gn_status *status)
{
	if (kind == GN_ENVELOPE_REPLY && !wire->status)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the reply carries no status: is the peer a gnomon server?");
	if (kind != GN_ENVELOPE_REPLY && wire->status)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the envelope carries a status, which only replies may");
	if (strlen(wire->caller) > GN_ENVELOPE_CALLER_MAX || !is_utf8(wire->caller))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the envelope's caller must be UTF-8 of at most %u bytes",
		                     GN_ENVELOPE_CALLER_MAX);
	if (!is_token(wire->target, 0, GN_ENVELOPE_TARGET_MAX) ||
	    wire->n_certificates > GN_ENVELOPE_CERTIFICATES ||
	    wire->signature.len > GN_ENVELOPE_SIGNATURE_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the envelope's target, certificates or signature is longer "
		                     "than any may be");
	if (kind == GN_ENVELOPE_REQUEST && !wire->deadline_us)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the request has no deadline: set deadline_us to the wall time "
		        "in microseconds after which it must not be started");
	return 0;
}

static int check_envelope(enum gn_envelope_kind kind, const Gnomon__V1__Envelope *wire,
                          struct gn_status *status)
{
	/* A server that could not read the request answers with an empty identifier. */
	bool anonymous = kind == GN_ENVELOPE_REPLY && wire->status && wire->status->code;
	int rc;

	if (wire->version != GN_ENVELOPE_VERSION)
		return gn_status_set(status, GN_UNIMPLEMENTED,
		                     "envelope version %u is not spoken here, only %u: update the "
		                     "older side",
		                     wire->version, GN_ENVELOPE_VERSION);
	if (!is_token(wire->id, anonymous ? 0 : 1, GN_ENVELOPE_ID_MAX))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the envelope's id must be 1 to %u visible ASCII characters",
		                     GN_ENVELOPE_ID_MAX);
	rc = check_method(kind, wire, status);
	return rc ? rc : check_kind(kind, wire, status);
}

/* The peer's sentence is cut to what gn_status holds; a code from the future is UNKNOWN. */
static void take_status(const Gnomon__V1__Status *wire, struct gn_status *status)
{
	bool known = (int)wire->code >= 0 && (int)wire->code <= (int)GN_UNAUTHENTICATED;

	gn_status_set(status, known ? (enum gn_code)wire->code : GN_UNKNOWN, "%s",
	              is_utf8(wire->message) ? wire->message : "(the peer's message is not UTF-8)");
}

static void take_signature(const Gnomon__V1__Envelope *wire, struct gn_envelope *out)
{
	snprintf(out->target, sizeof out->target, "%s", wire->target);
	out->counter = wire->counter;
	out->n_certificates = wire->n_certificates;
	for (size_t i = 0; i < wire->n_certificates; i++)
		out->certificates[i] = (struct gn_envelope_bytes){wire->certificates[i].data,
		                                                  wire->certificates[i].len};
	out->signature = (struct gn_envelope_bytes){wire->signature.data, wire->signature.len};
}

int gn_envelope_decode(enum gn_envelope_kind kind, const uint8_t *data, size_t size,
                       struct gn_envelope *out, struct gn_status *status)
{
	ProtobufCMessage *storage;
	const Gnomon__V1__Envelope *wire;
	int rc;

	memset(out, 0, sizeof *out);
	rc = gn_message_unpack(&gnomon__v1__envelope__descriptor, data, size, &storage, NULL,
	                       status);
	if (rc)
		return rc;
	wire = (const Gnomon__V1__Envelope *)storage;
	if (is_token(wire->id, 1, GN_ENVELOPE_ID_MAX))
		strcpy(out->id, wire->id);
	rc = check_envelope(kind, wire, status);
	if (rc) {
		protobuf_c_message_free_unpacked(storage, NULL);
		return rc;
	}
	snprintf(out->method, sizeof out->method, "%s", wire->method);
	snprintf(out->caller, sizeof out->caller, "%s", wire->caller);
	out->deadline_us = wire->deadline_us;
	take_signature(wire, out);
	if (wire->status)
		take_status(wire->status, &out->status);
	out->body = wire->body.data;
	out->body_size = wire->body.len;
	out->storage = storage;
	return 0;
}

void gn_envelope_fini(struct gn_envelope *envelope)
{
	if (!envelope)
		return;
	if (envelope->storage)
		protobuf_c_message_free_unpacked(envelope->storage, NULL);
	envelope->storage = NULL;
	envelope->body = NULL;
	envelope->body_size = 0;
}

/* What the two encoders share; strings are borrowed and never written. */
struct wire {
	Gnomon__V1__Envelope envelope;
	Gnomon__V1__Status status;
	ProtobufCBinaryData certificates[GN_ENVELOPE_CERTIFICATES];
};

static void wire_signature(struct wire *wire, const struct gn_envelope *envelope)
{
	wire->envelope.target = (char *)envelope->target;
	wire->envelope.counter = envelope->counter;
	wire->envelope.signature.data = (uint8_t *)envelope->signature.data;
	wire->envelope.signature.len = envelope->signature.size;
	wire->envelope.n_certificates = envelope->n_certificates;
	wire->envelope.certificates = wire->certificates;
	for (size_t i = 0; i < envelope->n_certificates; i++) {
		wire->certificates[i].data = (uint8_t *)envelope->certificates[i].data;
		wire->certificates[i].len = envelope->certificates[i].size;
	}
}

static void wire_init(struct wire *wire, enum gn_envelope_kind kind,
                      const struct gn_envelope *envelope)
{
	gnomon__v1__envelope__init(&wire->envelope);
	wire->envelope.version = GN_ENVELOPE_VERSION;
	wire->envelope.id = (char *)envelope->id;
	wire->envelope.method = (char *)envelope->method;
	wire->envelope.deadline_us = envelope->deadline_us;
	wire->envelope.caller = (char *)envelope->caller;
	wire_signature(wire, envelope);
	if (kind == GN_ENVELOPE_REPLY) {
		gnomon__v1__status__init(&wire->status);
		wire->status.code = (Gnomon__V1__Code)envelope->status.code;
		wire->status.message = (char *)envelope->status.message;
		wire->envelope.status = &wire->status;
	}
}

static size_t varint_encode(uint64_t value, uint8_t *buffer)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		buffer[n++] = (uint8_t)(value | 0x80);
	buffer[n++] = (uint8_t)value;
	return n;
}

static size_t size_of_body(const struct gn_envelope *envelope, const ProtobufCMessage *body)
{
	return body ? protobuf_c_message_get_packed_size(body) : envelope->body_size;
}

size_t gn_envelope_size(enum gn_envelope_kind kind, const struct gn_envelope *envelope,
                        const ProtobufCMessage *body)
{
	size_t body_size = size_of_body(envelope, body);
	uint8_t length[10];
	struct wire wire;

	wire_init(&wire, kind, envelope);
	return gnomon__v1__envelope__get_packed_size(&wire.envelope) +
	       (body_size ? 1 + varint_encode(body_size, length) + body_size : 0);
}

size_t gn_envelope_encode(enum gn_envelope_kind kind, const struct gn_envelope *envelope,
                          const ProtobufCMessage *body, uint8_t *buffer)
{
	size_t body_size = size_of_body(envelope, body);
	struct wire wire;
	size_t n;

	wire_init(&wire, kind, envelope);
	n = gnomon__v1__envelope__pack(&wire.envelope, buffer);
	if (body_size) {
		buffer[n++] = BODY_TAG;
		n += varint_encode(body_size, buffer + n);
		if (body)
			protobuf_c_message_pack(body, buffer + n);
		else
			memcpy(buffer + n, envelope->body, body_size);
		n += body_size;
	}
	return n;
}
