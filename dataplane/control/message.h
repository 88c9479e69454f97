/* message.h - protobuf messages as values: copied and compared. */
#ifndef GN_DATAPLANE_MESSAGE_H
#define GN_DATAPLANE_MESSAGE_H

#include <stdbool.h>
#include <protobuf-c/protobuf-c.h>

/* A copy of its own, to be freed with gn_message_free(). NULL: out of memory. */
ProtobufCMessage *gn_message_copy(const ProtobufCMessage *message);
void gn_message_free(void *message); /* NULL is fine */

bool gn_message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

#endif
