/* status.c - see status.h. */
#include "firmware/core/status.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	int error;
} codes[] = {
        [GN_OK] = {"OK", 0},
        [GN_CANCELLED] = {"CANCELLED", ECANCELED},
        [GN_UNKNOWN] = {"UNKNOWN", EPROTO},
        [GN_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", EINVAL},
        [GN_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", ETIMEDOUT},
        [GN_NOT_FOUND] = {"NOT_FOUND", ENOENT},
        [GN_ALREADY_EXISTS] = {"ALREADY_EXISTS", EEXIST},
        [GN_PERMISSION_DENIED] = {"PERMISSION_DENIED", EPERM},
        [GN_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", ENOSPC},
        [GN_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", EBUSY},
        [GN_ABORTED] = {"ABORTED", EAGAIN},
        [GN_OUT_OF_RANGE] = {"OUT_OF_RANGE", ERANGE},
        [GN_UNIMPLEMENTED] = {"UNIMPLEMENTED", ENOTSUP},
        [GN_INTERNAL] = {"INTERNAL", EIO},
        [GN_UNAVAILABLE] = {"UNAVAILABLE", ECONNREFUSED},
        [GN_DATA_LOSS] = {"DATA_LOSS", EBADMSG},
        [GN_UNAUTHENTICATED] = {"UNAUTHENTICATED", EACCES},
};
#define N_CODES ((int)(sizeof codes / sizeof codes[0]))

int gn_status_set(struct gn_status *st, enum gn_code code, const char *format, ...)
{
	if (st) {
		va_list args;

		st->code = code;
		va_start(args, format);
		vsnprintf(st->message, sizeof st->message, format, args);
		va_end(args);
	}
	return gn_code_to_errno(code);
}

int gn_code_to_errno(enum gn_code code)
{
	if ((int)code < 0 || (int)code >= N_CODES)
		return -EPROTO;
	return -codes[code].error;
}

enum gn_code gn_code_from_errno(int error)
{
	int i;

	error = abs(error);
	for (i = 0; i < N_CODES; i++)
		if (codes[i].error == error)
			return (enum gn_code)i;
	switch (error) {
	case ENOMEM:
	case EMFILE:
	case EDQUOT:
		return GN_RESOURCE_EXHAUSTED;
	case ENOTCONN:
	case ECONNRESET:
	case EPIPE:
		return GN_UNAVAILABLE;
	default:
		return GN_UNKNOWN;
	}
}

const char *gn_code_name(enum gn_code code)
{
	if ((int)code < 0 || (int)code >= N_CODES)
		return "UNKNOWN";
	return codes[code].name;
}
