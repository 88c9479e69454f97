/* nbd.h - a volume whose store is an export of any NBD server: qemu-nbd, nbdkit (and through it
 * Ceph RBD and others), another card.
 *
 * The lcore that polls the volume sends and receives by io_uring; a thread per volume connects,
 * negotiates, does TLS and closes (nbd_link.c). When the connection is lost, or a request has
 * waited for 'answer_ms', the connection is made anew, with growing pauses, and what was not
 * answered is sent again in its order. A request that has waited for 'give_up_ms' in all fails with
 * -ETIMEDOUT; so that is how long the VM's disk stands still at most.
 *
 * Why sending again is right: reads, writes, zeroes, discards and flushes may be done twice as
 * long as nobody was told that they are done. Two requests that overlap and were both in flight
 * have no order anyway, and one that was submitted after another's answer cannot be in flight
 * together with it. Two things are beyond this protocol, for every client of it:
 * - A server that lives on while its connection is cut may still do the old copy of a write, after
 *   the new copy was answered. It had 'answer_ms' for it, and servers end a dead connection's
 *   requests first; keep 'answer_ms' above the longest hang of the server's own disk.
 * - A server's machine that crashes and returns has lost answered writes that were not flushed,
 * which the next flush then does not bring back. 'write_through' makes every write durable before
 * it is answered (FUA). */
#ifndef GN_DATAPLANE_VOLUME_NBD_H
#define GN_DATAPLANE_VOLUME_NBD_H

#include "dataplane/volume/volume.h"
#include "proto/channel.h"

#define GN_VOLUME_NBD_ANSWER_MS  10000u
#define GN_VOLUME_NBD_GIVE_UP_MS 30000u
#define GN_VOLUME_NBD_CONNECT_MS 5000u

struct gn_volume_nbd_config {
	const char *url; /* dataplane/nbd/uri.h */
	bool read_only;
	bool write_through;
	unsigned depth;                   /* 1..1024 */
	unsigned answer_ms;               /* 0: GN_VOLUME_NBD_ANSWER_MS */
	unsigned give_up_ms;              /* 0: GN_VOLUME_NBD_GIVE_UP_MS */
	const struct gn_channel_tls *tls; /* for nbds:// */
	/* Known from before: the server is not waited for, and requests wait for it as after a
	 * loss. An export of another size, unless it 'may_be_larger', or with larger blocks
	 * is left alone when it comes. 0: unknown. */
	uint64_t size_bytes;
	uint32_t block_bytes; /* with it */
	bool may_be_larger;
};

/* Connects once, to learn the size, unless that is given. Errors, with a sentence in 'status':
 * -EINVAL (url), -ECONNREFUSED and the like, -EACCES (TLS), -EROFS, -EPROTO (the server talks
 * nonsense or refuses), -ETIMEDOUT. */
int gn_volume_nbd_create(const struct gn_volume_nbd_config *config, struct gn_volume **out,
                         struct gn_status *status);

struct gn_volume_nbd_status {
	bool is_connected;
	uint64_t reconnects;
	uint64_t resent;     /* requests */
	uint64_t garbled;    /* connections cut because the server broke the protocol */
	uint64_t unanswered; /* connections cut because of 'answer_ms' */
	uint64_t given_up;   /* requests */
	char problem[GN_STATUS_MESSAGE_SIZE]; /* of the last attempt to connect; "": none */
};
/* Any thread; counters may be a moment old. False: not such a volume. */
bool gn_volume_nbd_get_status(struct gn_volume *volume, struct gn_volume_nbd_status *out);

#endif
