/* hooks.h - tells other programs of alerts: a program that is run, a datagram to syslog.
 *
 * The program gets its words as arguments, no shell sees them: WHAT KIND RESOURCE NAME TEXT,
 * such as: raised POTENTIAL_FAILURE vms/web-1 alerts/17 "vms/web-1 may fail ...". It runs in a
 * process group of its own, with standard input and output at /dev/null, no other file of
 * gnomond open, and PATH as its whole environment. After its time limit the group is
 * killed, as is what it left behind when it ended. So many run at once; further ones wait, at
 * most GN_HOOKS_QUEUE, above which the oldest is dropped. Never waits. One thread. */
#ifndef GN_ALERT_HOOKS_H
#define GN_ALERT_HOOKS_H

#include <stdint.h>
#include "proto/gnomon/v1/alert.pb-c.h"

#define GN_HOOKS_QUEUE 64

struct gn_hooks_options {
	const char *exec; /* NULL: none; borrowed, as is 'syslog' */
	uint64_t limit_us;
	unsigned n_concurrent; /* 1..16 */
	const char *syslog;    /* NULL: none */
	/* A hook did not work; a sentence. NULL: nobody is told. */
	void (*trouble)(void *context, const char *text);
	void *context;
};

struct gn_hooks;

struct gn_hooks *gn_hooks_create(const struct gn_hooks_options *options);
/* Kills what still runs. NULL is fine. */
void gn_hooks_destroy(struct gn_hooks *hooks);

/* 'what': "raised", "acknowledged", "cleared". */
void gn_hooks_tell(struct gn_hooks *hooks, const char *what, const Gnomon__V1__Alert *alert,
                   uint64_t monotonic_us);
/* A few times a second: takes note of ends, kills what is late, starts what waits. */
void gn_hooks_tick(struct gn_hooks *hooks, uint64_t monotonic_us);
/* How many run, and how many wait. */
unsigned gn_hooks_running(const struct gn_hooks *hooks);
unsigned gn_hooks_waiting(const struct gn_hooks *hooks);

#endif
