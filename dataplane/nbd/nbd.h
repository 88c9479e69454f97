/* nbd.h - volumes for anybody who speaks NBD: QEMU's nbd driver, nbdcopy, nbdinfo, fio, libnbd,
 * the Linux kernel.
 *
 * A server is one per process. It owns the listeners, accepts, negotiates and does TLS on threads
 * of its own, bounded in number and time. A connection that has chosen an export then belongs to
 * the lcore of the export's volume: requests are received, given to the store and answered by
 * io_uring there, so no thread waits for a disk or a client. TLS is the exception: the thread of
 * the handshake stays and carries the bytes between the network and a socket pair, of which the
 * lcore has the other end.
 *
 * Every connection has memory of its own (some 4 MiB at most, taken as it is touched) and at most
 * GN_NBD_SLOTS requests in flight: a client that does not read its answers holds up itself only.
 *
 * Threads: control thread for everything here, never an lcore. */
#ifndef GN_DATAPLANE_NBD_H
#define GN_DATAPLANE_NBD_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "proto/channel.h"

struct gn_blk;
struct gn_nbd_server;
struct gn_nbd_export;

#define GN_NBD_SLOTS               64u /* requests in flight of one connection */
#define GN_NBD_DEFAULT_CONNECTIONS 16u
#define GN_NBD_MAX_CONNECTIONS     64u /* of one export */

int gn_nbd_server_create(struct gn_nbd_server **out, struct gn_status *status);
/* Exports must have been destroyed. NULL is fine. */
void gn_nbd_server_destroy(struct gn_nbd_server *server);

/* All strings are copied. Exports with the same 'listen' share a listener, and then must agree
 * on TLS. */
struct gn_nbd_export_config {
	const char *name;        /* "exports/web-1-vda", for messages */
	const char *export_name; /* what clients ask for, 1..255 bytes */
	const char *listen; /* "unix:///run/x.sock" or "tcp://ADDRESS:PORT", "[::1]" for IPv6 */
	bool read_only;
	/* Not NULL: clients must use TLS with a certificate that 'ca_file' signed. */
	const struct gn_channel_tls *tls;
	/* Names of which a client's certificate must carry one (subject's common name or a DNS
	 * name); none: any that the root signed. */
	const char *const *clients;
	unsigned n_clients;
	bool allow_plain_tcp;     /* else TCP without TLS is refused */
	unsigned max_connections; /* 0: GN_NBD_DEFAULT_CONNECTIONS */
};

/* Errors, each with a sentence: -EINVAL, -EADDRINUSE, -EBUSY (the volume has another writer),
 * -EROFS, those of gn_tlsfiles_load(). */
int gn_nbd_export_create(struct gn_nbd_server *server, struct gn_blk *blk,
                         const struct gn_nbd_export_config *config, struct gn_nbd_export **out,
                         struct gn_status *status);
/* Cuts its connections, waits for what they have in the store, frees. NULL is fine. */
void gn_nbd_export_destroy(struct gn_nbd_export *export);

struct gn_nbd_export_stats {
	uint64_t connections;       /* now */
	uint64_t connections_total; /* that reached the export */
	uint64_t reads, writes, flushes, others;
	uint64_t read_bytes, write_bytes;
	uint64_t errors;   /* requests answered with an error */
	uint64_t rejected; /* connections cut because the client broke the protocol */
	uint64_t in_flight;
};
void gn_nbd_export_get_stats(struct gn_nbd_export *export, struct gn_nbd_export_stats *out);

#endif
