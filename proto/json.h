/* json.h - any protobuf message as JSON text and back: field names as in the proto files,
 * enums by name, 64-bit integers as numbers, bytes as hexadecimal, absent messages left out.
 *
 * Walks messages by their descriptors, so that a new field needs no code. Adapter for
 * jansson. No state; any thread. */
#ifndef GN_PROTO_JSON_H
#define GN_PROTO_JSON_H

#include <stdio.h>
#include <protobuf-c/protobuf-c.h>
#include "firmware/core/status.h"

/* Returns 0, or -ENOMEM. 'compact': one line. Ends with a line feed. */
int gn_json_print(const ProtobufCMessage *message, int compact, FILE *out);

/* 'text' as a JSON string with its quotes, malloc()ed; NULL: no memory. Text that is not UTF-8
 * becomes a note. */
char *gn_json_quote(const char *text);

/* Makes a message of type 'descriptor' of the JSON object in 'text'. An empty text is an
 * empty object. Refused, with a sentence that names the place ("resources[0].step"): what is
 * no JSON object, unknown fields, values of the wrong type or out of range, names that the
 * enum does not have, a field that comes twice. The caller frees '*out' with
 * protobuf_c_message_free_unpacked() and a NULL allocator. -EINVAL, -ENOMEM. */
int gn_json_parse(const char *text, size_t size, const ProtobufCMessageDescriptor *descriptor,
                  ProtobufCMessage **out, struct gn_status *status);

/* The names of the JSON object's own fields, as a field mask wants them: '*out' has '*n' texts,
 * freed with gn_json_free_keys(). Only for text that gn_json_parse() took. -ENOMEM. */
int gn_json_keys(const char *text, size_t size, char ***out, size_t *n);
void gn_json_free_keys(char **keys, size_t n);

/* Sets the one field 'path' ("vm", "policy.name") of a message that gn_json_parse() made to a
 * value given as text ("CPU", "17", "true"), as it comes from a URL or a command line. Missing
 * messages on the way are made. -ENOENT: no such field. -EINVAL, -ENOMEM. */
int gn_json_set(ProtobufCMessage *message, const char *path, const char *value,
                struct gn_status *status);

#endif
