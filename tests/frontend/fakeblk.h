/* fakeblk.h - a vhost-user-blk back end on a thread, for tests of the front end. It serves a
 * disk of 1 MiB in memory, one ring, and can misbehave in one way at a time. */
#ifndef GN_TESTS_FRONTEND_FAKEBLK_H
#define GN_TESTS_FRONTEND_FAKEBLK_H

#include <stdint.h>

#define GN_FAKEBLK_DISK_BYTES (1u << 20)

enum gn_fakeblk_fault {
	GN_FAKEBLK_HONEST,
	GN_FAKEBLK_LOSES_A_WRITE, /* acknowledges one and does nothing */
	GN_FAKEBLK_TEARS_A_WRITE, /* stores only half of one */
	GN_FAKEBLK_ANSWERS_TWICE,
	GN_FAKEBLK_ANSWERS_UNASKED, /* with a number out of range */
	GN_FAKEBLK_FORGETS,         /* never answers one request */
	GN_FAKEBLK_FAILS,           /* answers one with an I/O error */
	GN_FAKEBLK_DIES,            /* closes the connection with requests in flight, twice, and
	                             * serves them after each reconnect */
	GN_FAKEBLK_REFUSES_MEMORY,  /* acknowledges the memory table with an error */
	GN_FAKEBLK_LACKS_VERSION_1,
};

struct gn_fakeblk;

/* Listens on 'path'. Destroy stops the thread and removes the socket. */
struct gn_fakeblk *gn_fakeblk_create(const char *path, enum gn_fakeblk_fault fault);
void gn_fakeblk_destroy(struct gn_fakeblk *fake);
/* Connections so far. */
unsigned gn_fakeblk_connections(struct gn_fakeblk *fake);
/* How often a connection brought an in-flight buffer that an earlier one had got. */
unsigned gn_fakeblk_inflight_returns(struct gn_fakeblk *fake);

#endif
