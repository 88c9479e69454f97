/* frontend.h - a vhost-user front end without a guest: it plays QEMU, and with vring.h,
 * blkdrv.h or netdrv.h also the guest's virtio driver, honest or malicious.
 *
 * The order is QEMU's: connect (features, protocol features, queue count, owner), start
 * (in-flight buffer, features, memory, then per vring num, base, addresses, kick, call;
 * enable), stop. When the back end dies, gn_frontend_reconnect() does what QEMU does: the
 * same RAM, the same in-flight buffer, each vring's base taken from its used index.
 *
 * For malicious use every step can be done apart or left out, the socket and the RAM are
 * open, and gn_frontend_call() sends any message.
 *
 * Errors: negative errno and a sentence in 'status' (may be NULL).
 * Threads: one owner, but different vrings may be driven by different threads. */
#ifndef GN_TESTS_FRONTEND_H
#define GN_TESTS_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "tests/frontend/ram.h"
#include "tests/frontend/vring.h"
#include "tests/frontend/wire.h"

#define GN_FRONTEND_MAX_VRINGS 64

struct gn_frontend_config {
	const char *socket_path;    /* borrowed for the front end's life */
	uint64_t features;          /* wanted; what the back end lacks is dropped */
	uint64_t required;          /* of these the back end must have all */
	uint64_t protocol_features; /* wanted */
	unsigned n_vrings;          /* 1..GN_FRONTEND_MAX_VRINGS */
	unsigned vring_size;        /* a power of two, 2..32768 */
	uint64_t ram_bytes;         /* of the guest, rings included */
	unsigned n_regions;         /* of that RAM; 0: 1 */
	unsigned timeout_ms;        /* for each reply; 0: 5000 */
	bool unsealable;            /* of the RAM's file: it can be shortened afterwards */
};

struct gn_frontend {
	struct gn_frontend_config config;
	int socket; /* -1: not connected */
	struct gn_ram ram;
	uint64_t offered;           /* by the back end: virtio features */
	uint64_t features;          /* negotiated; settled at the first connect */
	uint64_t protocol_features; /* negotiated with this connection */
	uint64_t max_vrings;        /* what GET_QUEUE_NUM said; 0: not asked */
	struct gn_vring vrings[GN_FRONTEND_MAX_VRINGS];
	unsigned n_ready; /* vrings laid out */
	int inflight_fd;  /* -1: none */
	struct gn_wire_inflight inflight;
	bool settled;
	uint64_t reconnects;
};

/* Allocates the RAM; nothing is connected yet. Destroy takes NULL. */
int gn_frontend_create(const struct gn_frontend_config *config, struct gn_frontend **out,
                       struct gn_status *status);
void gn_frontend_destroy(struct gn_frontend *fe);

/* Connects, trying again for at most 'wait_ms' while nobody listens or the listener dies,
 * and negotiates. The vrings are laid out at the first success. -EPROTO: the back end no
 * longer offers what was negotiated before, or lacks what is required. */
int gn_frontend_connect(struct gn_frontend *fe, unsigned wait_ms, struct gn_status *status);
void gn_frontend_disconnect(struct gn_frontend *fe);

/* From connected to running, all vrings enabled. */
int gn_frontend_start(struct gn_frontend *fe, struct gn_status *status);
/* From running to connected: GET_VRING_BASE of each vring. */
int gn_frontend_stop(struct gn_frontend *fe, struct gn_status *status);
/* After the back end died: connect and start, then kick every vring. Tries again for at
 * most 'wait_ms' in all. */
int gn_frontend_reconnect(struct gn_frontend *fe, unsigned wait_ms, struct gn_status *status);

/* The steps of start, for those who want them apart. */
int gn_frontend_share_inflight(struct gn_frontend *fe, struct gn_status *status);
int gn_frontend_share_memory(struct gn_frontend *fe, struct gn_status *status);
int gn_frontend_set_features(struct gn_frontend *fe, struct gn_status *status);
int gn_frontend_start_vring(struct gn_frontend *fe, unsigned index, uint16_t base,
                            struct gn_status *status);
int gn_frontend_enable_vring(struct gn_frontend *fe, unsigned index, bool on,
                             struct gn_status *status);

/* Device configuration space. -EOPNOTSUPP when CONFIG was not negotiated. */
int gn_frontend_get_config(struct gn_frontend *fe, uint32_t offset, void *bytes,
                           uint32_t size_bytes, struct gn_status *status);

bool gn_frontend_has(const struct gn_frontend *fe, unsigned feature_bit);
bool gn_frontend_has_protocol(const struct gn_frontend *fe, unsigned feature_bit);
/* Whether the back end has closed the connection. */
bool gn_frontend_gone(const struct gn_frontend *fe);

/* Waits until one of the vrings first, first + step, ... (n of them) has completions. 0,
 * -ETIMEDOUT, or -EPIPE: the back end is gone. Sleeps on the call eventfds. */
int gn_frontend_wait(struct gn_frontend *fe, unsigned first, unsigned step, unsigned n,
                     int timeout_ms);

/* Sends a message; if REPLY_ACK was negotiated, asks for the acknowledgement and waits
 * for it: -EREMOTEIO when the back end refused. */
int gn_frontend_call(struct gn_frontend *fe, struct gn_wire_message *message, const int *fds,
                     unsigned n_fds, struct gn_status *status);
/* Sends a message that has a reply of its own, which replaces it. 'fd' as in wire.h. */
int gn_frontend_ask(struct gn_frontend *fe, struct gn_wire_message *message, int *fd,
                    struct gn_status *status);

#endif
