/* replay.c - see replay.h. */
#include "proto/sign/replay.h"

#include <string.h>

static const struct gn_replay_sender *find(const struct gn_replay *replay, const uint8_t *key)
{
	for (size_t i = 0; i < replay->n_senders; i++)
		if (!memcmp(replay->senders[i].key, key, GN_REPLAY_KEY))
			return &replay->senders[i];
	return NULL;
}

static int compare(const struct gn_replay_request *a, const struct gn_replay_request *b)
{
	if (a->counter != b->counter)
		return a->counter < b->counter ? -1 : 1;
	return a->digest < b->digest ? -1 : a->digest > b->digest;
}

/* Where 'request' is, or belongs; searched from the end, where new ones go. */
static size_t place_of(const struct gn_replay_sender *sender,
                       const struct gn_replay_request *request)
{
	size_t i = sender->n_seen;

	while (i && compare(&sender->seen[i - 1], request) >= 0)
		i--;
	return i;
}

enum gn_replay_answer gn_replay_look(const struct gn_replay *replay,
                                     const uint8_t key[GN_REPLAY_KEY],
                                     const struct gn_replay_request *request, uint64_t *floor)
{
	const struct gn_replay_sender *sender = find(replay, key);
	size_t i;

	*floor = sender ? sender->floor : replay->floor;
	if (request->counter <= *floor)
		return GN_REPLAY_STALE;
	if (!sender)
		return GN_REPLAY_NEW;
	i = place_of(sender, request);
	return i < sender->n_seen && !compare(&sender->seen[i], request) ? GN_REPLAY_SEEN
	                                                                 : GN_REPLAY_NEW;
}

/* The one silent longest makes room; what it sent is below the floor of strangers from then on. */
static struct gn_replay_sender *obtain(struct gn_replay *replay, const uint8_t *key)
{
	struct gn_replay_sender *sender = (struct gn_replay_sender *)find(replay, key);

	if (sender)
		return sender;
	if (replay->n_senders < GN_REPLAY_SENDERS) {
		sender = &replay->senders[replay->n_senders++];
	} else {
		sender = &replay->senders[0];
		for (size_t i = 1; i < GN_REPLAY_SENDERS; i++)
			if (replay->senders[i].newest < sender->newest)
				sender = &replay->senders[i];
		if (sender->newest > replay->floor)
			replay->floor = sender->newest;
	}
	memcpy(sender->key, key, GN_REPLAY_KEY);
	sender->floor = replay->floor;
	sender->newest = 0;
	sender->n_seen = 0;
	return sender;
}

void gn_replay_take(struct gn_replay *replay, const uint8_t key[GN_REPLAY_KEY],
                    const struct gn_replay_request *request)
{
	struct gn_replay_sender *sender = obtain(replay, key);
	size_t i;

	if (sender->n_seen == GN_REPLAY_WINDOW) {
		/* One that came late may lie below what was forgotten before: the floor never
		 * sinks. */
		if (sender->seen[0].counter > sender->floor)
			sender->floor = sender->seen[0].counter;
		sender->n_seen--;
		memmove(sender->seen, sender->seen + 1, sender->n_seen * sizeof *sender->seen);
	}
	i = place_of(sender, request);
	memmove(sender->seen + i + 1, sender->seen + i,
	        (sender->n_seen - i) * sizeof *sender->seen);
	sender->seen[i] = *request;
	sender->n_seen++;
	if (request->counter > sender->newest)
		sender->newest = request->counter;
}

void gn_replay_restore(struct gn_replay *replay, const uint8_t key[GN_REPLAY_KEY], uint64_t floor)
{
	struct gn_replay_sender *sender = obtain(replay, key);

	if (floor > sender->floor)
		sender->floor = floor;
	if (floor > sender->newest)
		sender->newest = floor;
}
