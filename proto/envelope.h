/* envelope.h - the outermost message on every socket, and the checks that every message
 * passes before a handler sees it.
 *
 * Encoding is protobuf (proto/gnomon/v1/envelope.proto). Decoding trusts nothing: version,
 * identifier, method, body and status are checked for the kind of message expected, a
 * body may not make the decoder allocate more than GN_MESSAGE_BUDGET bytes (two bytes on
 * the wire can stand for a struct of a hundred), strings must be UTF-8, and enum values
 * must be known ones.
 *
 * No I/O, clock or globals; allocates only decoded messages. Thread-safe on distinct
 * objects. */
#ifndef GN_PROTO_ENVELOPE_H
#define GN_PROTO_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>
#include "firmware/core/status.h"

#define GN_ENVELOPE_VERSION       1u
#define GN_ENVELOPE_ID_MAX        64u  /* bytes of an identifier, without the NUL */
#define GN_ENVELOPE_METHOD_MAX    128u /* bytes of a method or topic, without the NUL */
#define GN_ENVELOPE_CALLER_MAX    64u  /* bytes of who asks, without the NUL */
#define GN_ENVELOPE_TARGET_MAX    253u /* bytes of a name, without the NUL */
#define GN_ENVELOPE_CERTIFICATES  4u
#define GN_ENVELOPE_SIGNATURE_MAX 160u
#define GN_MESSAGE_BUDGET         (16u << 20) /* bytes that one decoded message may occupy */

struct gn_envelope_bytes {
	const uint8_t *data;
	size_t size;
};

enum gn_envelope_kind { GN_ENVELOPE_REQUEST, GN_ENVELOPE_REPLY, GN_ENVELOPE_EVENT };

/* A decoded envelope, or what is to be encoded. 'body' points into the memory that
 * 'storage' owns; fini frees it. */
struct gn_envelope {
	char id[GN_ENVELOPE_ID_MAX + 1];
	char method[GN_ENVELOPE_METHOD_MAX + 1]; /* "Service/Method", or an event's topic */
	uint64_t deadline_us;                    /* wall; requests only */
	char caller[GN_ENVELOPE_CALLER_MAX + 1]; /* requests only; "" when not said */
	char target[GN_ENVELOPE_TARGET_MAX + 1]; /* this and what follows: signed requests only, */
	uint64_t counter;                        /* but for 'counter', which a reply may have */
	struct gn_envelope_bytes certificates[GN_ENVELOPE_CERTIFICATES]; /* as 'body' */
	size_t n_certificates;
	struct gn_envelope_bytes signature; /* as 'body' */
	struct gn_status status;            /* replies only */
	const uint8_t *body;
	size_t body_size;
	ProtobufCMessage *storage;
};

/* Decodes 'size' bytes and checks that they are a proper envelope of that kind. On failure
 * -EINVAL (malformed) or -ENOTSUP (another version) with a sentence; 'out' then holds
 * nothing but the identifier, where that could be read (else ""), so that the error can be
 * answered. */
int gn_envelope_decode(enum gn_envelope_kind kind, const uint8_t *data, size_t size,
                       struct gn_envelope *out, struct gn_status *status);
void gn_envelope_fini(struct gn_envelope *envelope);

/* Bytes that gn_envelope_encode() will write. */
size_t gn_envelope_size(enum gn_envelope_kind kind, const struct gn_envelope *envelope,
                        const ProtobufCMessage *body);
/* Writes the envelope around 'body' (NULL: around the bytes of envelope->body) to 'buffer', which
 * has room for gn_envelope_size() bytes. Returns the bytes written. */
size_t gn_envelope_encode(enum gn_envelope_kind kind, const struct gn_envelope *envelope,
                          const ProtobufCMessage *body, uint8_t *buffer);

/* Decodes a message within the budget. On 0 the caller owns '*out' (free it with
 * protobuf_c_message_free_unpacked and a NULL allocator) and '*used', when not NULL, is
 * the memory it occupies. -EINVAL with a sentence; '*out' untouched. */
int gn_message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                      size_t size, ProtobufCMessage **out, size_t *used, struct gn_status *status);

/* Checks what protobuf itself does not: enum values are known and strings are UTF-8, at
 * every depth. Names the field ("resources[2].resource"), the value and the remedy.
 * Servers check requests with it; a client does not check replies, so that a newer server
 * may use new values. -EINVAL. */
int gn_message_check(const ProtobufCMessage *message, struct gn_status *status);

#endif
