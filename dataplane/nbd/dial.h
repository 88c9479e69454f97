/* dial.h - the client's side of NBD's negotiation, as a pure state machine: fixed newstyle,
 * STARTTLS when wanted, structured replies when there are, GO.
 *
 * Use as handshake.h: read what it wants, give it, send 'out', do what the step says. Everything
 * that a server may say is bounded. Pure. */
#ifndef GN_DATAPLANE_NBD_DIAL_H
#define GN_DATAPLANE_NBD_DIAL_H

#include "dataplane/nbd/handshake.h"

#define GN_NBD_DIAL_DATA_MAX    8192u /* of one reply */
#define GN_NBD_DIAL_REPLIES_MAX 64u
#define GN_NBD_DIAL_OUT_MAX     512u

enum gn_nbd_dial_step {
	GN_NBD_DIAL_MORE,
	GN_NBD_DIAL_STARTTLS, /* do TLS' handshake, call gn_nbd_dial_secured(), send 'out' */
	GN_NBD_DIAL_DONE,     /* 'answer' is filled, transmission begins */
	GN_NBD_DIAL_FAILED,   /* 'problem' says why */
};

enum gn_nbd_dial_state {
	GN_NBD_DIAL_GREETING,
	GN_NBD_DIAL_HEADER,
	GN_NBD_DIAL_DATA,
};

/* What the server granted. */
struct gn_nbd_dial_answer {
	uint64_t size_bytes;
	uint16_t flags;
	bool structured;
	uint32_t min_block_bytes; /* 1, 1, 32 MiB: it did not say */
	uint32_t preferred_block_bytes;
	uint32_t max_block_bytes;
};

struct gn_nbd_dial {
	enum gn_nbd_dial_state state;
	const char *export; /* borrowed; at most GN_NBD_NAME_MAX bytes */
	bool wants_tls;
	uint32_t option;       /* asked last */
	uint32_t type, length; /* of the reply that comes */
	unsigned n_replies;
	bool has_info;
	struct gn_nbd_dial_answer answer;
	char problem[160];
};

void gn_nbd_dial_init(struct gn_nbd_dial *dial, const char *export, bool wants_tls);
/* At most GN_NBD_DIAL_DATA_MAX. */
size_t gn_nbd_dial_wants(const struct gn_nbd_dial *dial);
/* 'out' has room for GN_NBD_DIAL_OUT_MAX bytes and is overwritten. */
enum gn_nbd_dial_step gn_nbd_dial_take(struct gn_nbd_dial *dial, const uint8_t *data,
                                       struct gn_nbd_out *out);
void gn_nbd_dial_secured(struct gn_nbd_dial *dial, struct gn_nbd_out *out);

#endif
