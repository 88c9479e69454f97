/* reply.h - what an NBD server says in the transmission phase: the fixed part of a simple reply or
 * of a structured reply's chunk, checked. Pure. */
#ifndef GN_DATAPLANE_NBD_REPLY_H
#define GN_DATAPLANE_NBD_REPLY_H

#include "dataplane/nbd/wire.h"

enum gn_nbd_reply_kind {
	GN_NBD_REPLY_MORE,    /* these are too few bytes */
	GN_NBD_REPLY_GARBLED, /* nothing that follows can be trusted */
	GN_NBD_REPLY_SIMPLE,  /* 'error'; the data of a read follows when that is 0 */
	GN_NBD_REPLY_NONE,
	GN_NBD_REPLY_DATA,  /* 'offset_bytes', 'data_bytes' of data follow */
	GN_NBD_REPLY_HOLE,  /* the same without data: zeroes */
	GN_NBD_REPLY_ERROR, /* 'error', 'skip_bytes' of no interest follow */
};

struct gn_nbd_reply {
	enum gn_nbd_reply_kind kind;
	uint32_t size_bytes; /* of the fixed part */
	uint64_t cookie;
	bool is_last;
	uint32_t error; /* not 0 with ERROR */
	uint64_t offset_bytes;
	uint32_t data_bytes;
	uint32_t skip_bytes;
};

void gn_nbd_reply_parse(const uint8_t *data, size_t size, bool structured,
                        struct gn_nbd_reply *out);

#endif
