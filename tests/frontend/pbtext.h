/* pbtext.h - any protobuf message from "field=value" words, and to JSON, by its descriptor.
 *
 * Paths: "name=ports/a", "erspan.session_id=7", "filters.0.vlan=100". Enums by name or number,
 * bools as true or false. Messages made here are leaked to the process's end on purpose:
 * this serves short-lived test programs. */
#ifndef GN_TESTS_FRONTEND_PBTEXT_H
#define GN_TESTS_FRONTEND_PBTEXT_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

ProtobufCMessage *gn_pbtext_new(const ProtobufCMessageDescriptor *type);

/* Sets one field from "path=value". 0, or -EINVAL with a sentence on standard error. */
int gn_pbtext_set(ProtobufCMessage *message, const char *word);

/* A new JSON object; unset sub-messages and oneofs are left out. */
json_t *gn_pbtext_json(const ProtobufCMessage *message);

#endif
