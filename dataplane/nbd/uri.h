/* uri.h - where an NBD export is: nbd://HOST[:PORT][/EXPORT], nbds:// (TLS),
 * nbd+unix:///EXPORT?socket=PATH, nbds+unix://. Source: NetworkBlockDevice/nbd, doc/uri.md. Pure.
 */
#ifndef GN_DATAPLANE_NBD_URI_H
#define GN_DATAPLANE_NBD_URI_H

#include <stdbool.h>
#include <stdint.h>

#define GN_NBD_DEFAULT_PORT 10809u

/* Strings are decoded (%41) and NUL-terminated. */
struct gn_nbd_uri {
	bool has_tls;
	bool is_unix;
	char host[256];   /* not of Unix sockets */
	uint16_t port;    /* likewise */
	char socket[108]; /* of Unix sockets */
	char export[256]; /* may be empty: the default export */
};

/* NULL, or what is wrong with it, as half a sentence. */
const char *gn_nbd_uri_parse(const char *text, struct gn_nbd_uri *out);

#endif
