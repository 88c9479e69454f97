/* tls.h - TLS of a connection, always with certificates on both sides. Adapter for mbedTLS. A
 * config may be shared by threads, a connection belongs to one. */
#ifndef GN_DATAPLANE_NBD_TLS_H
#define GN_DATAPLANE_NBD_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "proto/channel.h"

struct gn_nbd_tls_config;
struct gn_nbd_tls;

/* Errors as gn_tlsfiles_load(). */
int gn_nbd_tls_config_load(const struct gn_channel_tls *files, bool is_server,
                           struct gn_nbd_tls_config **out, struct gn_status *status);
void gn_nbd_tls_config_free(struct gn_nbd_tls_config *config); /* NULL is fine */

/* The handshake, over a connected socket that stays the caller's. 'peer_name': what the other
 * side's certificate must carry; NULL: any that the root signed. -ETIMEDOUT, -ECONNRESET, or
 * -EACCES with a sentence that tells what of the certificate is wrong. */
int gn_nbd_tls_open(struct gn_nbd_tls_config *config, int fd, const char *peer_name,
                    uint64_t until_us, struct gn_nbd_tls **out, struct gn_status *status);
/* Says good-bye and frees. NULL is fine. */
void gn_nbd_tls_close(struct gn_nbd_tls *tls);

/* The peer's certificate carries the name: as a DNS name, or as its common name if it has none. */
bool gn_nbd_tls_peer_is(const struct gn_nbd_tls *tls, const char *name);

/* As in io.h. */
int gn_nbd_tls_read_all(struct gn_nbd_tls *tls, uint8_t *data, size_t size, uint64_t until_us);
int gn_nbd_tls_write_all(struct gn_nbd_tls *tls, const uint8_t *data, size_t size,
                         uint64_t until_us);

/* Carries bytes between the connection and 'plain_fd' until one side ends. */
void gn_nbd_tls_pump(struct gn_nbd_tls *tls, int plain_fd);

#endif
