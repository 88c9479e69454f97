/* views.h - packets that are lent: mbufs that show another's bytes and hold nothing.
 *
 * A port that keeps no packet after 'tx' (gn_port.done_when_sent) can be given views instead of
 * references or copies. It frees them, as a driver does, and that costs next to nothing: they
 * are of a pool whose "free" leaves them where they are, so the same few serve burst after
 * burst and stay in the first-level cache.
 *
 * Owner: lcore, from create to destroy. */
#ifndef GN_DATAPLANE_MIRROR_VIEWS_H
#define GN_DATAPLANE_MIRROR_VIEWS_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include "dataplane/port/port.h"

struct gn_views;

/* -ENOMEM. */
int gn_views_create(struct gn_views **out);
void gn_views_destroy(struct gn_views *views); /* NULL is fine */

/* Views of at most the first 'keep' bytes of 'n' <= GN_PORT_BURST packets, in order; they are
 * right until the next call. NULL: a packet is chained, and cannot be shown in one piece. */
struct rte_mbuf **gn_views_look(struct gn_views *views, struct rte_mbuf *const *packets, unsigned n,
                                uint32_t keep);

#endif
