/* loop.h - gnomond's event loop: file descriptors, timers, signals, systemd.
 *
 * A thin cover over sd-event, so that one file knows it. Works without systemd: then
 * readiness and the watchdog are simply not reported. One thread. */
#ifndef GN_LOOP_H
#define GN_LOOP_H

#include <stdint.h>

struct gn_loop;
typedef void gn_loop_callback(void *context);

/* Blocks SIGTERM and SIGINT, which then end gn_loop_run(); so call it before anything
 * makes threads. Feeds systemd's watchdog while the loop turns. 0 or a negative errno. */
int gn_loop_create(struct gn_loop **out);
/* NULL is fine. */
void gn_loop_destroy(struct gn_loop *loop);

/* Calls back whenever 'fd' is readable, for the loop's life. */
int gn_loop_watch(struct gn_loop *loop, int fd, gn_loop_callback *callback, void *context);
/* Calls back every 'period_us', first after one; when the loop was late, missed turns are
 * not made up. */
int gn_loop_every(struct gn_loop *loop, uint64_t period_us, gn_loop_callback *callback,
                  void *context);

/* Tells systemd that the service is up, or in one line how it does. */
void gn_loop_notify_ready(void);
void gn_loop_notify_status(const char *text);

/* Turns until a signal or gn_loop_stop(). 0 or a negative errno. */
int gn_loop_run(struct gn_loop *loop);
void gn_loop_stop(struct gn_loop *loop);

#endif
