/* fakeport.h - a port for tests: what is sent to it is kept, within the room it has. With
 * 'port.done_when_sent' set it keeps the bytes and frees the mbuf, as a software driver. */
#ifndef GN_DATAPLANE_FAKEPORT_H
#define GN_DATAPLANE_FAKEPORT_H

#include "dataplane/port/port.h"

#define GN_FAKEPORT_MAX 4096

struct gn_fakeport {
	struct gn_port port;
	bool copies;   /* like vhost-user: the bytes are copied, the mbuf goes back */
	unsigned room; /* packets it takes from now on */
	unsigned n;    /* packets it has */
	struct rte_mbuf *mbufs[GN_FAKEPORT_MAX]; /* without 'copies' */
	uint8_t frames[GN_FAKEPORT_MAX][160];    /* the first bytes of each */
	uint32_t lengths[GN_FAKEPORT_MAX];
};

/* 'config' NULL: a trunk for every VLAN. */
void gn_fakeport_init(struct gn_fakeport *fake, const char *name, bool copies,
                      const struct gn_port_config *config);
/* Forgets and frees what it has, and has room again. */
void gn_fakeport_empty(struct gn_fakeport *fake);
void gn_fakeport_fini(struct gn_fakeport *fake);

#endif
