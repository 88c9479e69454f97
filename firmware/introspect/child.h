/* child.h - one VM's parser as a process of its own.
 *
 * It gets the VM's memory, shuts itself in (sandbox.h), observes (observer.h) and sends a report
 * per pass. Nothing goes to it but its end; and what comes from it is checked (report.h). When
 * it dies, of a hostile guest or memory that was taken away, nobody else is touched. */
#ifndef GN_INTROSPECT_CHILD_H
#define GN_INTROSPECT_CHILD_H

#include <sys/types.h>
#include "firmware/introspect/observer.h"
#include "proto/ram.h"

#define GN_CHILD_MOST_REPORTS                                                                      \
	100 /* a second: five times what the shortest period and a search need */

struct gn_child {
	pid_t pid;          /* 0: none runs */
	int fd;             /* readable: a report, or the end */
	uint64_t second_us; /* when the second began in which reports are counted */
	unsigned n_reports; /* in it */
};

/* Starts a parser for the memory of 'message'; 'fds' stay the caller's. Negative errno. */
int gn_child_start(const struct gn_ram_message *message, const int *fds,
                   const struct gn_observer_config *config, struct gn_child *child);

/* Next report: 1; 0: none now; -EPIPE: it has ended, -EBADMSG: it sent nonsense, -EOVERFLOW: more
 * than a parser sends, so a guest has taken it over and would keep the supervisor from the other
 * VMs. */
int gn_child_receive(struct gn_child *child, uint64_t now_us, struct gn_report *report);

/* Ends and reaps it. '*status' is wait()'s, when not NULL. */
void gn_child_stop(struct gn_child *child, int *status);

#endif
