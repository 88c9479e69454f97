/* lease.h - one writer per shadow: who may write it, by a fencing token.
 *
 * The lease is one sector, kept twice and written in turn. Whoever attaches shows a token: a
 * lower one than the stored is refused for ever, the same one is its holder coming back after a
 * restart, a higher one takes the lease over. Tokens are given out by control, one number per
 * promotion, so the former writer of a promoted shadow can never come back. The new lease must
 * be durable before the first write. Pure. */
#ifndef GN_DATAPLANE_VOLUME_LEASE_H
#define GN_DATAPLANE_VOLUME_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define GN_LEASE_SECTOR 512u

/* One sector. */
struct gn_lease {
	uint64_t magic;
	uint64_t generation;
	uint64_t token;
	uint64_t holder; /* hash of the volume's name */
	uint8_t zero[GN_LEASE_SECTOR - 40];
	uint64_t checksum;
};

enum gn_lease_verdict {
	GN_LEASE_HELD,    /* 'out' is durable already: go on */
	GN_LEASE_TAKE,    /* write 'out' into slot '*slot', flush, then go on */
	GN_LEASE_REFUSED, /* fenced: somebody has a higher token, or the same with another name */
};

/* 'slots' as read from disk. A store without any lease gives TAKE; with both damaged, too:
 * a torn write damages one at most, so that is a new disk. */
enum gn_lease_verdict gn_lease_attach(const struct gn_lease slots[2], uint64_t token,
                                      uint64_t holder, struct gn_lease *out, unsigned *slot);

#endif
