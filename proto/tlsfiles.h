/* tlsfiles.h - reads an endpoint's TLS files and says precisely what is wrong with them
 * before a handshake would fail without a reason. Adapter for mbedTLS. Thread-safe. */
#ifndef GN_PROTO_TLSFILES_H
#define GN_PROTO_TLSFILES_H

#include "proto/channel.h"

/* PEM texts, NUL-terminated; owned. */
struct gn_tlsfiles {
	char *ca;
	char *cert;
	char *key;
};

/* Reads the three files and checks: each is there and is PEM of its kind, the key file is
 * readable by its owner only (or, when root's, by its group), 'ca_file' is a root,
 * the key belongs to the certificate, and the certificate has not expired. A certificate
 * that is not valid yet passes, since a card's clock may be set only later. -ENOENT,
 * -EACCES, -EINVAL with a sentence; 'out' is untouched then. */
int gn_tlsfiles_load(const struct gn_channel_tls *tls, struct gn_tlsfiles *out,
                     struct gn_status *status);

/* Wipes the key. */
void gn_tlsfiles_fini(struct gn_tlsfiles *files);

#endif
