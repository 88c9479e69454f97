/* mirror.h - mirror sessions: copies of a VM's packets, to a shadow's port, a collector or a file.
 *
 * A copy shares the packet's buffer. A port that is done with a packet when it is sent
 * (vhost-user, software drivers) is lent it, without even a reference; a device that keeps it
 * takes a reference, or an indirect mbuf when truncated; tunnel headers are a small mbuf
 * chained in front. A sink that is full, slow or absent
 * loses copies, never packets of production.
 *
 * Each session keeps, exactly and in packets and bytes of the originals,
 *     seen = copied + filtered + sampled_out + dropped
 * whenever the lcore is between two bursts. Of the packets that pass the filters every
 * 'sample_one_in'-th is copied.
 *
 * Owner: lcore, while a session is in a set that a VM uses; else the caller. Sets are
 * immutable: a change makes a new one and swaps it (gn_vm). */
#ifndef GN_DATAPLANE_MIRROR_H
#define GN_DATAPLANE_MIRROR_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include "dataplane/feature/packet.h"
#include "dataplane/mirror/encap.h"
#include "dataplane/mirror/filter.h"
#include "dataplane/mirror/views.h"

#define GN_MIRROR_MAX_SESSIONS 4 /* per VM */
#define GN_MIRROR_MIN_TRUNCATE 14

struct gn_port;
struct gn_writer;
struct gn_mirror_session;

enum gn_mirror_sink { GN_MIRROR_TO_PORT, GN_MIRROR_TO_TUNNEL, GN_MIRROR_TO_FILE };

/* In the private area of every mbuf that a session makes. */
struct gn_mirror_note {
	uint64_t tsc;
	uint32_t length; /* of the original */
	uint8_t direction;
};

/* Bytes of private area that both pools below need. */
#define GN_MIRROR_PRIV_SIZE                                                                        \
	((uint16_t)RTE_ALIGN(sizeof(struct gn_mirror_note), RTE_MBUF_PRIV_ALIGN))

struct gn_mirror_config {
	bool directions[2]; /* by enum gn_direction */
	struct gn_filter filters[GN_FILTER_MAX];
	unsigned n_filters;      /* 0: everything */
	uint32_t truncate_bytes; /* 0: whole; else >= GN_MIRROR_MIN_TRUNCATE */
	uint32_t sample_one_in;  /* 0 and 1: every packet */
	enum gn_mirror_sink sink;
	struct gn_encap_config tunnel; /* TO_TUNNEL */
	struct gn_writer *writer;      /* TO_FILE; borrowed */
	struct rte_mempool *pool;      /* for tunnel headers */
	struct rte_mempool *clones;    /* indirect mbufs */
	struct gn_views *views;        /* of the lcore; NULL: nothing is lent */
};

/* Packets, then bytes; as MirrorCounters of dataplane.proto. */
struct gn_mirror_counters {
	uint64_t seen[2];
	uint64_t copied[2];
	uint64_t filtered[2];
	uint64_t sampled_out[2];
	uint64_t dropped[2];
};

struct gn_mirror_set {
	unsigned n;
	struct gn_mirror_session *sessions[GN_MIRROR_MAX_SESSIONS];
};

/* -ENOMEM, or what gn_encap_init() says of the tunnel; with a sentence. */
int gn_mirror_session_create(const struct gn_mirror_config *config, struct gn_mirror_session **out,
                             struct gn_status *status);
void gn_mirror_session_destroy(struct gn_mirror_session *session); /* NULL is fine */

/* The port of TO_PORT, or that a tunnel leaves by. NULL: absent, everything is dropped. */
void gn_mirror_session_set_port(struct gn_mirror_session *session, struct gn_port *port);
struct gn_port *gn_mirror_session_port(const struct gn_mirror_session *session);

/* Takes over what 'from' has counted, when it replaces it. */
void gn_mirror_session_inherit(struct gn_mirror_session *session,
                               const struct gn_mirror_session *from);

/* A consistent copy: inside gn_worker_call(). What a file's writer lost later counts as
 * dropped, not copied. */
void gn_mirror_session_read(const struct gn_mirror_session *session,
                            struct gn_mirror_counters *out);

/* Copies a burst of packets that the VM received or sent. The mbufs stay the caller's and
 * may be shared (refcnt) when it returns: change one only when it is not. 'mbufs' and
 * 'packets' may have been reordered, in step, and never within a flow. */
void gn_mirror_burst(const struct gn_mirror_set *set, enum gn_direction direction,
                     struct rte_mbuf **mbufs, struct gn_packet **packets, unsigned n, uint64_t now);

#endif
