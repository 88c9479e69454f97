/* plan.h - what to do with a request of an NBD client: checked against the export, once. Pure. */
#ifndef GN_DATAPLANE_NBD_PLAN_H
#define GN_DATAPLANE_NBD_PLAN_H

#include "dataplane/nbd/wire.h"

struct gn_nbd_limits {
	uint64_t size_bytes;
	uint32_t block_bytes; /* offsets and lengths must be multiples */
	uint32_t chunk_bytes; /* most data in one chunk of an answer */
	bool read_only;
	bool structured; /* negotiated, as the next */
	bool allocation;
};

enum gn_nbd_plan_kind {
	GN_NBD_PLAN_ANSWER, /* with 'error'; 0: done, nothing to do */
	GN_NBD_PLAN_READ,
	GN_NBD_PLAN_WRITE,
	GN_NBD_PLAN_FLUSH,
	GN_NBD_PLAN_TRIM,
	GN_NBD_PLAN_ZEROES,
	GN_NBD_PLAN_ZEROES_UNMAP,
	GN_NBD_PLAN_STATUS,
	GN_NBD_PLAN_DISCONNECT, /* the client said good-bye */
	GN_NBD_PLAN_BROKEN,     /* nothing that follows can be trusted: close */
};

struct gn_nbd_plan {
	enum gn_nbd_plan_kind kind;
	uint32_t error;         /* enum gn_nbd_error */
	const char *message;    /* with 'error', for people */
	uint32_t payload_bytes; /* that follow the request; of a write that is refused, too */
	bool fua;
	bool fast_only;  /* zeroes: fail rather than write them */
	bool one_extent; /* status */
};

void gn_nbd_plan(const struct gn_nbd_limits *limits, const struct gn_nbd_request *request,
                 struct gn_nbd_plan *plan);

/* The protocol's number for a negative errno. */
uint32_t gn_nbd_error_of(int error);
/* And back, for a client; never 0. */
int gn_nbd_errno_of(uint32_t error);

#endif
