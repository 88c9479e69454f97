/* handshake.h - the server's side of NBD's fixed newstyle negotiation, as a pure state machine.
 *
 * The caller reads exactly gn_nbd_handshake_wants() bytes, gives them to _take(), sends what is
 * in 'out' and does what the step says. Everything is bounded: an option's data, the number of
 * options, the output of one step. Deadlines are the caller's.
 *
 * A listener with TLS forces it: before STARTTLS every option but that and ABORT is refused, so
 * nobody in between can talk a client out of it. Pure. */
#ifndef GN_DATAPLANE_NBD_HANDSHAKE_H
#define GN_DATAPLANE_NBD_HANDSHAKE_H

#include "dataplane/nbd/wire.h"

#define GN_NBD_OPTION_MAX  4096u  /* bytes of one option's data; longer ones are skipped */
#define GN_NBD_SKIP_MAX    65536u /* more than this ends the connection */
#define GN_NBD_OPTIONS_MAX 100u   /* then the connection ends */
#define GN_NBD_OFFERS_MAX  64u
#define GN_NBD_STEP_OUT_MAX                                                                        \
	(GN_NBD_OFFERS_MAX * (GN_NBD_OPTION_REPLY_SIZE + 4 + GN_NBD_NAME_MAX) + 1024)

/* An export as it is offered to this client. */
struct gn_nbd_offer {
	const char *name;
	const char *refusal; /* not NULL: why this client may not have it; then it is not listed */
	uint64_t size_bytes;
	uint16_t flags; /* transmission flags but DF */
	uint32_t min_block_bytes;
	uint32_t preferred_block_bytes;
	uint32_t max_block_bytes;
};

enum gn_nbd_step {
	GN_NBD_STEP_MORE,     /* go on reading */
	GN_NBD_STEP_STARTTLS, /* send, do TLS' handshake, call gn_nbd_handshake_secured() */
	GN_NBD_STEP_GO,       /* send; transmission begins with offers[chosen] */
	GN_NBD_STEP_CLOSE,    /* send, then close */
};

enum gn_nbd_handshake_state {
	GN_NBD_HANDSHAKE_FLAGS,
	GN_NBD_HANDSHAKE_HEADER,
	GN_NBD_HANDSHAKE_DATA,
	GN_NBD_HANDSHAKE_SKIP,
};

struct gn_nbd_handshake {
	enum gn_nbd_handshake_state state;
	bool tls_required;
	bool tls_active;
	bool no_zeroes;
	bool structured;
	bool allocation;     /* block status was asked for, of ... */
	unsigned meta_offer; /* ... this one */
	unsigned chosen;     /* after GO */
	unsigned n_options;
	uint32_t option;
	uint32_t length;
	uint32_t skip_left;
};

/* Bytes to send, in the caller's memory of at least GN_NBD_STEP_OUT_MAX bytes. */
struct gn_nbd_out {
	uint8_t *data;
	size_t used;
};

/* Also puts the greeting into 'out'. */
void gn_nbd_handshake_init(struct gn_nbd_handshake *handshake, bool tls_required,
                           struct gn_nbd_out *out);
/* At most GN_NBD_OPTION_MAX. 0: call take with no data. */
size_t gn_nbd_handshake_wants(const struct gn_nbd_handshake *handshake);
/* 'data' holds what it wanted. 'out' is overwritten. At most GN_NBD_OFFERS_MAX offers. */
enum gn_nbd_step gn_nbd_handshake_take(struct gn_nbd_handshake *handshake,
                                       const struct gn_nbd_offer *offers, unsigned n_offers,
                                       const uint8_t *data, struct gn_nbd_out *out);
/* TLS is up: what was negotiated before is void. */
void gn_nbd_handshake_secured(struct gn_nbd_handshake *handshake);

#endif
