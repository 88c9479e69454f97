/* replay.h - which requests of whom were seen already, so that none is carried out twice.
 *
 * A sender's counter grows, but its requests may overtake each other, and several processes may use
 * one key: so the newest GN_REPLAY_WINDOW requests of each sender are remembered one by one, and
 * what has a counter at or below its floor (all that was forgotten) is refused. Pure; one owner. */
#ifndef GN_PROTO_SIGN_REPLAY_H
#define GN_PROTO_SIGN_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_REPLAY_KEY     32
#define GN_REPLAY_WINDOW  1024 /* requests remembered of each sender */
#define GN_REPLAY_SENDERS 64   /* the one that was silent longest is forgotten */

struct gn_replay_request {
	uint64_t counter;
	uint64_t digest; /* the first bytes of what was signed: tells two with one counter apart */
};

struct gn_replay_sender {
	uint8_t key[GN_REPLAY_KEY];
	uint64_t floor;
	uint64_t newest;                                 /* counter */
	struct gn_replay_request seen[GN_REPLAY_WINDOW]; /* ascending */
	size_t n_seen;
};

struct gn_replay {
	struct gn_replay_sender senders[GN_REPLAY_SENDERS];
	size_t n_senders;
	uint64_t floor; /* of senders that are not known, or not any more */
};

enum gn_replay_answer {
	GN_REPLAY_NEW,
	GN_REPLAY_SEEN,  /* this very request came already */
	GN_REPLAY_STALE, /* at or below the floor: it may have come already */
};

/* Looks up; changes nothing. '*floor' is the sender's. */
enum gn_replay_answer gn_replay_look(const struct gn_replay *replay,
                                     const uint8_t key[GN_REPLAY_KEY],
                                     const struct gn_replay_request *request, uint64_t *floor);
/* Remembers a request that is new. */
void gn_replay_take(struct gn_replay *replay, const uint8_t key[GN_REPLAY_KEY],
                    const struct gn_replay_request *request);
/* What was kept of an earlier run: nothing at or below 'floor' is taken of this sender. */
void gn_replay_restore(struct gn_replay *replay, const uint8_t key[GN_REPLAY_KEY], uint64_t floor);

#endif
