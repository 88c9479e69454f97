/* status.h - the outcome of an operation, as a google.rpc.Code and a sentence.
 *
 * Modules return 0 or a negative errno; where a person will read the failure, the
 * function also takes a 'struct gn_status *' and says what was wrong, with the
 * value, and what to do. Codes equal those of proto/gnomon/v1/common.proto.
 * Pure; owned by the caller; no allocation. */
#ifndef GN_CORE_STATUS_H
#define GN_CORE_STATUS_H

#include <stdarg.h>

enum gn_code {
	GN_OK = 0,
	GN_CANCELLED = 1,
	GN_UNKNOWN = 2,
	GN_INVALID_ARGUMENT = 3,
	GN_DEADLINE_EXCEEDED = 4,
	GN_NOT_FOUND = 5,
	GN_ALREADY_EXISTS = 6,
	GN_PERMISSION_DENIED = 7,
	GN_RESOURCE_EXHAUSTED = 8,
	GN_FAILED_PRECONDITION = 9,
	GN_ABORTED = 10,
	GN_OUT_OF_RANGE = 11,
	GN_UNIMPLEMENTED = 12,
	GN_INTERNAL = 13,
	GN_UNAVAILABLE = 14,
	GN_DATA_LOSS = 15,
	GN_UNAUTHENTICATED = 16,
};

/* Longest message kept, with the terminating NUL; longer ones are cut. */
#define GN_STATUS_MESSAGE_SIZE 512

struct gn_status {
	enum gn_code code;
	char message[GN_STATUS_MESSAGE_SIZE];
};

/* Sets code and message and returns the negative errno that stands for 'code'
 * (0 for GN_OK), so that a function can 'return gn_status_set(st, ...)'.
 * 'st' may be NULL. */
int gn_status_set(struct gn_status *st, enum gn_code code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The negative errno for a code, and the code for a (negative or positive) errno. */
int gn_code_to_errno(enum gn_code code);
enum gn_code gn_code_from_errno(int error);

/* "INVALID_ARGUMENT"; "UNKNOWN" for a number out of range. */
const char *gn_code_name(enum gn_code code);

#endif
