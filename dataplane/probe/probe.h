/* probe.h - asks a guest for a sign of life over Ethernet, as a neighbour of its own: ARP, then
 * a TCP connection, then a GET (firmware/core/probe_target.h).
 *
 * It is for ports that are cut off from every network, so there is no other host to ask from and
 * no address that could be taken. Each attempt is new (port, sequence numbers); one that is
 * refused, or answered with an error, is followed by the next, since a guest that boots may say no
 * before it says yes.
 *
 * Pure: frames and time in, frames out; bounded work per frame. The guest is hostile: whatever it
 * sends is looked at within its length and can do no more than make the probe fail or pass.
 * Times are microseconds of any clock that does not go back. */
#ifndef GN_PROBE_H
#define GN_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware/core/probe_target.h"

/* No frame that it sends is longer. */
#define GN_PROBE_FRAME_SIZE 512

/* The farthest that the guest has come, in order. */
#define GN_PROBE_SEEN(X)                                                                           \
	X(NOTHING, "it sent nothing")                                                              \
	X(SENDS, "it sends, and does not answer for the address")                                  \
	X(ANSWERS, "it answers for the address, and the port is silent")                           \
	X(REFUSES, "it refuses the connection")                                                    \
	X(CONNECTS, "it accepts the connection, and sends no HTTP answer")                         \
	X(ERROR, "it answers the GET with an error")

enum gn_probe_seen {
#define GN_PROBE_SEEN_ENUM(name, text) GN_PROBE_##name,
	GN_PROBE_SEEN(GN_PROBE_SEEN_ENUM)
#undef GN_PROBE_SEEN_ENUM
};
const char *gn_probe_seen_text(enum gn_probe_seen seen);

struct gn_probe {
	struct gn_probe_target target;
	bool passed;
	enum gn_probe_seen seen;
	uint16_t http_status; /* newest; 0: none */
	/* Private. */
	enum { GN_PROBE_STAGE_IDLE, GN_PROBE_STAGE_CONNECT, GN_PROBE_STAGE_GET } stage;
	uint32_t wants; /* frames to be sent, a set */
	uint32_t random;
	uint8_t mac[6], guest_mac[6];
	bool knows_mac;
	bool has_begun;
	uint64_t attempt_us;
	uint16_t port; /* ours */
	uint32_t sent; /* the sequence number of our SYN */
	uint32_t next; /* of the guest's next byte */
	char line[16]; /* the answer's begin: "HTTP/1.1 200" */
	uint32_t n_line;
};

/* 'seed': of the addresses, ports and sequence numbers that it makes up; not a secret. */
void gn_probe_init(struct gn_probe *probe, const struct gn_probe_target *target, uint32_t seed);

/* A frame that the guest sent. */
void gn_probe_take(struct gn_probe *probe, const uint8_t *frame, size_t n);

/* The next frame to send, without CRC; its size, or 0: nothing is to be sent now. */
size_t gn_probe_next(struct gn_probe *probe, uint64_t now_us, uint8_t frame[GN_PROBE_FRAME_SIZE]);

#endif
