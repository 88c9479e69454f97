/* message.h - protobuf messages on the heap: setting strings, growing lists, copying.
 *
 * gnomond keeps its records (plans, shadows, VM specs) as the very messages that operators
 * see and the store keeps. Messages built here are freed as a whole by gn_message_free().
 *
 * Running out of memory ends the process: its state is stored, and it is started again. */
#ifndef GN_MESSAGE_H
#define GN_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

/* Never NULL. Zeroed. */
void *gn_message_alloc(size_t size);
char *gn_message_string(const char *text);

/* A new, initialised message of the type; 'init' is gnomon__v1__x__init. */
#define GN_MESSAGE_NEW(type, init)                                                                 \
	({                                                                                         \
		type *new_message = gn_message_alloc(sizeof(type));                                \
		init(new_message);                                                                 \
		new_message;                                                                       \
	})

/* Replaces a string field; what it held is freed unless it is protobuf-c's empty string. */
void gn_message_set(char **field, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for one more pointer in a repeated field of messages and returns its place. */
void **gn_message_append(void *list, size_t *n);
#define GN_MESSAGE_APPEND(list, n, message) (*gn_message_append(&(list), &(n)) = (message))

/* A deep copy. */
ProtobufCMessage *gn_message_copy(const ProtobufCMessage *message);
#define GN_MESSAGE_COPY(type, message) ((type *)gn_message_copy(&(message)->base))

/* Frees a message that was built here, copied or unpacked; NULL is fine. */
void gn_message_free(ProtobufCMessage *message);
#define GN_MESSAGE_FREE(message)                                                                   \
	do {                                                                                       \
		const typeof(*(message)) *freed_message = (message);                               \
		if (freed_message)                                                                 \
			gn_message_free((ProtobufCMessage *)&freed_message->base);                 \
	} while (0)

/* The message as bytes, for the caller to free(). */
void *gn_message_pack(const ProtobufCMessage *message, size_t *size);
/* NULL: not such a message. */
ProtobufCMessage *gn_message_parse(const ProtobufCMessageDescriptor *descriptor, const void *bytes,
                                   size_t size);
/* 1: the same fields with the same values. */
int gn_message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

#endif
