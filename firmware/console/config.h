/* config.h - gnomon-console.yaml, read once at start into an immutable struct. Unknown keys and
 * values out of range fail with a sentence.
 *
 *   listen: https://0.0.0.0:8443   http:// only for a loopback address
 *   tls:                           needed for https
 *     ca: /etc/gnomon/cards.pem    the root of our own certificate; checks the files only
 *     cert: /etc/gnomon/card-1.pem
 *     key: /etc/gnomon/card-1.key
 *   control_url: ipc:///run/gnomon/gnomond.ipc   gnomond's, on this machine
 *   events_url: ipc:///run/gnomon/events.ipc
 *   accounts_file: /var/lib/gnomon/console/accounts.json
 *   web_dir: /usr/share/gnomon/console
 *   user: gnomon-console           name or number to become when root starts it; optional. It must
 * be in gnomond's local_group, and own accounts_file's directory (which is made where it is
 * missing) metrics_token_file: /etc/gnomon/metrics.token   lets Prometheus read /metrics; optional
 */
#ifndef GN_CONSOLE_CONFIG_H
#define GN_CONSOLE_CONFIG_H

#include "firmware/core/status.h"

struct gn_console_tls {
	char *ca, *cert, *key;
};

struct gn_console_config {
	char *listen;
	struct gn_console_tls *tls; /* NULL: http */
	char *control_url, *events_url;
	char *accounts_file, *web_dir;
	char *metrics_token_file; /* or NULL */
	char *user;               /* or NULL: stay */
};

/* 0 or a negative errno with a sentence that names the file. */
int gn_console_config_load(const char *path, struct gn_console_config **out,
                           struct gn_status *status);
void gn_console_config_free(struct gn_console_config *config); /* NULL is fine */

#endif
