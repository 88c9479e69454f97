/* reply_fuzz.c - any bytes as a server's stream of replies. */
#include "dataplane/nbd/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_nbd_reply reply;
	size_t at = 1;

	while (at < size) {
		gn_nbd_reply_parse(data + at, size - at, data[0] & 1, &reply);
		if (reply.kind <= GN_NBD_REPLY_GARBLED)
			break;
		if (!reply.size_bytes || reply.size_bytes > size - at ||
		    (reply.kind == GN_NBD_REPLY_ERROR && !reply.error))
			abort();
		at += reply.size_bytes + reply.skip_bytes;
	}
	return 0;
}
