/* ca.h - a small certificate authority for gnomon's roots: 'operators' (gnomonctl, consoles),
 * 'cards' (gnomond) and 'hosts' (shims): three, so that a shim's key can command neither a card
 * nor another shim (proto/channel.h); and 'updates', who may sign what cards run.
 *
 * Files under 'dir' (mode 0700):
 *   ROOT.pem ROOT.key             the root and its key
 *   ROOT/NAME.pem ROOT/NAME.key   what it issued
 *   ROOT.revoked                  what it took back
 * Keys are EC P-256, PEM, mode 0600. A file appears whole or not at all, and none that
 * exists is overwritten but as said below. Adapter for mbedTLS. Single-threaded. */
#ifndef GN_TOOLS_CA_H
#define GN_TOOLS_CA_H

#include <stdbool.h>
#include <stddef.h>
#include "firmware/core/status.h"

#define GN_CA_N_ROOTS  4
#define GN_CA_MAX_SANS 16
#define GN_CA_MAX_DAYS 36500
#define GN_CA_NAME_MAX 64

extern const char *const gn_ca_roots[GN_CA_N_ROOTS];

/* Creates 'dir' and the roots, valid for 'days'. A root that exists is -EEXIST, or left as
 * it is with 'if_missing'; 'n_made' counts those made. */
int gn_ca_init(const char *dir, int days, bool if_missing, int *n_made, struct gn_status *status);

/* What to issue. A name that is not itself an address is always among the certificate's
 * names. An IP address in 'sans' is written both as an iPAddress and, since mbedTLS 2.28
 * compares only DNS names, as a dNSName. */
struct gn_ca_request {
	const char *root; /* one of gn_ca_roots */
	const char *name; /* [A-Za-z0-9._-], at most GN_CA_NAME_MAX; becomes the common name */
	const char *sans[GN_CA_MAX_SANS];
	size_t n_sans;
	int days;
	const char *role; /* of an operator: "viewer", "operator" or "admin"; NULL for the others */
	bool any_role;    /* with if_missing: one with another role is kept all the same */
	/* Does nothing when a certificate is there that the root signed and that has not
	 * expired, with that role; replaces one that is of no use, and keeps a key that is there.
	 */
	bool if_missing;
};

/* Operators' certificates are for clients, hosts' for servers, cards' for both, updates'
 * for signing code. 'made' says
 * whether something was issued. -EEXIST, -ENOENT (no such root in 'dir'), -EINVAL, ... */
int gn_ca_issue(const char *dir, const struct gn_ca_request *request, bool *made,
                struct gn_status *status);

/* Adds the certificate 'name' of 'root' to the root's list of those that hold no more, ROOT.revoked
 * (proto/sign/revoked.h), which is then to be copied beside each ROOT.pem. One that is on the list
 * stays. -ENOENT, -EINVAL, ... with a sentence. */
int gn_ca_revoke(const char *dir, const char *root, const char *name, struct gn_status *status);

#endif
