/* counters.c - see counters.h. */
#include "proto/sign/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "firmware/core/durable.h"

#define HEADER   "gnomon counters 1\n"
#define TOP_LINE "floor %" PRIu64 "\n"
#define KEY_HEX  (2 * GN_REPLAY_KEY)

struct gn_counters {
	struct gn_replay replay;
	uint64_t marks[GN_REPLAY_SENDERS]; /* of replay.senders, as on the disk */
	char *path;
};

/* ---- the file -------------------------------------------------------------------------------- */

static int parse_key(const char *hex, uint8_t key[GN_REPLAY_KEY])
{
	for (size_t i = 0; i < GN_REPLAY_KEY; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &key[i]) != 1)
			return -EINVAL;
	return 0;
}

static int read_lines(struct gn_counters *counters, FILE *file)
{
	char line[128], hex[KEY_HEX + 1];
	uint8_t key[GN_REPLAY_KEY];
	uint64_t mark;

	if (!fgets(line, sizeof line, file) || strcmp(line, HEADER) ||
	    !fgets(line, sizeof line, file) || sscanf(line, TOP_LINE, &counters->replay.floor) != 1)
		return -EINVAL;
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "%64[0-9a-f] %" SCNu64, hex, &mark) != 2 ||
		    strlen(hex) != KEY_HEX || !strchr(line, '\n') || parse_key(hex, key))
			return -EINVAL;
		gn_replay_restore(&counters->replay, key, mark);
		counters->marks[counters->replay.n_senders - 1] = mark;
	}
	return ferror(file) ? -EIO : 0;
}

static int load(struct gn_counters *counters, struct gn_status *status)
{
	FILE *file = fopen(counters->path, "re");
	int error = file || errno == ENOENT ? 0 : -errno;

	if (file) {
		error = read_lines(counters, file);
		fclose(file);
	}
	if (error)
		gn_status_set(
		        status, GN_DATA_LOSS,
		        "'%s', which remembers whose requests were carried out, cannot be "
		        "used: %s; once it is removed, requests whose deadline has not passed "
		        "could be repeated by who recorded them",
		        counters->path, error == -EINVAL ? "it is damaged" : strerror(-error));
	return error;
}

/* 'exact': the newest counters instead of the marks. */
static int write_lines(const struct gn_counters *counters, bool exact, FILE *file)
{
	fputs(HEADER, file);
	fprintf(file, TOP_LINE, counters->replay.floor);
	for (size_t i = 0; i < counters->replay.n_senders; i++) {
		const struct gn_replay_sender *sender = &counters->replay.senders[i];

		for (size_t k = 0; k < GN_REPLAY_KEY; k++)
			fprintf(file, "%02x", sender->key[k]);
		fprintf(file, " %" PRIu64 "\n", exact ? sender->newest : counters->marks[i]);
	}
	return fflush(file) || ferror(file) || fdatasync(fileno(file)) ? -EIO : 0;
}

static int store(const struct gn_counters *counters, bool exact)
{
	char temporary[PATH_MAX];
	FILE *file;
	int error;

	if (!counters->path)
		return 0;
	if (snprintf(temporary, sizeof temporary, "%s.new", counters->path) >=
	    (int)sizeof temporary)
		return -ENAMETOOLONG;
	file = fopen(temporary, "we");
	if (!file)
		return -errno;
	error = write_lines(counters, exact, file);
	if (fclose(file))
		error = -EIO;
	if (!error && rename(temporary, counters->path))
		error = -errno;
	if (error)
		unlink(temporary);
	else
		gn_sync_directory_of(counters->path);
	return error;
}

/* ---- doors ----------------------------------------------------------------------------------- */

int gn_counters_open(const char *path, struct gn_counters **out, struct gn_status *status)
{
	struct gn_counters *counters = calloc(1, sizeof *counters);
	int error = 0;

	if (!counters || (path && !(counters->path = strdup(path)))) {
		free(counters);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	}
	if (path)
		error = load(counters, status);
	if (error) {
		free(counters->path);
		free(counters);
		return error;
	}
	*out = counters;
	return 0;
}

void gn_counters_close(struct gn_counters *counters)
{
	if (!counters)
		return;
	if (counters->replay.n_senders)
		store(counters, true);
	free(counters->path);
	free(counters);
}

static size_t index_of(const struct gn_counters *counters, const uint8_t *key)
{
	size_t i = 0;

	while (i < counters->replay.n_senders &&
	       memcmp(counters->replay.senders[i].key, key, GN_REPLAY_KEY))
		i++;
	return i;
}

/* The mark is raised before the request is carried out. */
static void raise_mark(struct gn_counters *counters, const uint8_t *key, uint64_t counter)
{
	size_t i = index_of(counters, key);

	if (counter <= counters->marks[i])
		return;
	counters->marks[i] = counter + GN_COUNTERS_AHEAD_US;
	store(counters, false);
}

int gn_counters_take(struct gn_counters *counters, const uint8_t key[GN_REPLAY_KEY],
                     const struct gn_replay_request *request, uint64_t *floor,
                     struct gn_status *status)
{
	size_t n = counters->replay.n_senders;
	bool known = index_of(counters, key) < n;

	switch (gn_replay_look(&counters->replay, key, request, floor)) {
	case GN_REPLAY_SEEN:
		gn_status_set(status, GN_UNAUTHENTICATED,
		              "replayed: this very request was received already");
		return -EEXIST;
	case GN_REPLAY_STALE:
		gn_status_set(status, GN_UNAUTHENTICATED,
		              "replayed: a request with the counter %" PRIu64
		              " may have been received already (%" PRIu64
		              " and above are new): is the sender's clock behind?",
		              request->counter, *floor + 1);
		return -ESTALE;
	case GN_REPLAY_NEW:
		break;
	}
	gn_replay_take(&counters->replay, key, request);
	if (!known) /* perhaps in the place of one that was forgotten */
		counters->marks[index_of(counters, key)] = 0;
	raise_mark(counters, key, request->counter);
	return 0;
}
