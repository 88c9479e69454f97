/* probe_target.h - where a sign of life is asked for: a probe written as
 *
 *     arp://10.0.0.2              it answers for its address
 *     tcp://10.0.0.2:22           a port accepts a connection
 *     http://10.0.0.2:8080/ready  a GET is answered with 200 to 399; port 80 unless given
 *
 * IPv4 only. Pure. */
#ifndef GN_PROBE_TARGET_H
#define GN_PROBE_TARGET_H

#include <stdint.h>

#include "firmware/core/status.h"

#define GN_PROBE_PATH_SIZE 256

enum gn_probe_kind { GN_PROBE_ARP, GN_PROBE_TCP, GN_PROBE_HTTP };

struct gn_probe_target {
	enum gn_probe_kind kind;
	uint8_t address[4]; /* as they are written */
	uint8_t from[4];    /* who asks: an address that the guest takes for a neighbour's */
	uint16_t port;      /* 0 with ARP */
	char path[GN_PROBE_PATH_SIZE];
};

/* 'from': an address, or empty for the one beside 'text's, which every guest with a mask of 30 bits
 * or fewer has for a neighbour. -EINVAL with a sentence that says what to write. */
int gn_probe_target_parse(const char *text, const char *from, struct gn_probe_target *out,
                          struct gn_status *status);

#endif
