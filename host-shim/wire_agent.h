/* wire_agent.h - a report of gnomon-guest as a message; for wire.c. */
#ifndef GN_SHIM_WIRE_AGENT_H
#define GN_SHIM_WIRE_AGENT_H

#include "bpf/agent_wire.h"
#include "proto/gnomon/v1/host.pb-c.h"

struct gn_wire_agent;

/* Borrows 'report'. NULL: no memory. */
struct gn_wire_agent *gn_wire_agent_create(const struct gn_agent_report *report, uint64_t age_us);
Gnomon__V1__AgentReport *gn_wire_agent_message(struct gn_wire_agent *agent);
void gn_wire_agent_destroy(struct gn_wire_agent *agent); /* NULL is fine */

#endif
