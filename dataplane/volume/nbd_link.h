/* nbd_link.h - the thread that gives an NBD volume its connections. For nbd.c only.
 *
 * The lcore asks for one and finds it in a mailbox later; nothing here waits for anything on the
 * lcore. One connection at a time. */
#ifndef GN_DATAPLANE_VOLUME_NBD_LINK_H
#define GN_DATAPLANE_VOLUME_NBD_LINK_H

#include "dataplane/nbd/dial.h"
#include "dataplane/volume/nbd.h"

struct gn_nbd_link;

/* Makes the first connection, which is in the mailbox then, or begins to try when the size is
 * known. 'notify_fd' (an eventfd, borrowed) is written when there is one, and up to four times a
 * second when gn_nbd_link_watch() asked. */
int gn_nbd_link_create(const struct gn_volume_nbd_config *config, int notify_fd,
                       struct gn_nbd_link **out, struct gn_status *status);
/* The last connection's descriptor, if the lcore still has it, is the caller's to close first. */
void gn_nbd_link_destroy(struct gn_nbd_link *link);

/* What the first connection's server granted; a later one that grants less is not taken. For
 * whoever has taken a connection. */
const struct gn_nbd_dial_answer *gn_nbd_link_answer(const struct gn_nbd_link *link);

/* On the lcore. take: the connected socket, or -1: none yet. ask: closes 'old_fd' (-1: none) and
 * makes another. */
int gn_nbd_link_take(struct gn_nbd_link *link);
bool gn_nbd_link_has_one(const struct gn_nbd_link *link);
void gn_nbd_link_ask(struct gn_nbd_link *link, int old_fd);
/* Before sleeping: writes 'notify_fd' once, a moment later, so that deadlines are looked at. */
void gn_nbd_link_watch(struct gn_nbd_link *link);

/* Any thread. */
void gn_nbd_link_problem(struct gn_nbd_link *link, char *out, size_t size);

#endif
