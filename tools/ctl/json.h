/* json.h - any protobuf message as JSON text: field names as in the proto files, enums by
 * name, 64-bit integers as numbers, bytes as hexadecimal, absent messages left out. */
#ifndef GN_CTL_JSON_H
#define GN_CTL_JSON_H

#include <stdio.h>
#include <protobuf-c/protobuf-c.h>

/* Returns 0, or -ENOMEM. 'compact': one line. */
int gn_json_print(const ProtobufCMessage *message, int compact, FILE *out);

#endif
