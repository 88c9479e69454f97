/* progress.h - asks the dataplane how far its workers have come, over its control socket.
 *
 * nng makes threads; so it is created after init has blocked its signals. One owner. */
#ifndef GN_INIT_PROGRESS_H
#define GN_INIT_PROGRESS_H

#include <stdint.h>

struct gn_progress;

/* 'loops' grows while the workers live. Called inside gn_progress_process(). */
typedef void gn_progress_answer(void *context, uint64_t loops);

/* 'url' of service Dataplane. 0, or a negative errno. */
int gn_progress_create(const char *url, gn_progress_answer *answer, void *context,
                       struct gn_progress **out);
int gn_progress_fd(const struct gn_progress *progress); /* -1 for NULL */
void gn_progress_process(struct gn_progress *progress);
/* Asks, unless an answer is still awaited. NULL is fine. */
void gn_progress_ask(struct gn_progress *progress);

#endif
