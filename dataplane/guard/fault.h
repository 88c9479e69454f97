/* fault.h - survives a front end that takes its memory away.
 *
 * Guest RAM and in-flight buffers are files that a front end shares and may shorten after
 * they were checked; touching what is gone raises SIGBUS. The handler puts an empty private
 * page in its place: that guest then reads zeroes and writes nowhere, which is its own
 * affair, and everybody else's traffic goes on. */
#ifndef GN_DATAPLANE_FAULT_H
#define GN_DATAPLANE_FAULT_H

#include <stdint.h>

/* Installs the process's SIGBUS handler. Once, before lcores start. Negative errno. */
int gn_fault_install(void);

/* Pages replaced since the start. From any thread. */
uint64_t gn_fault_count(void);

#endif
