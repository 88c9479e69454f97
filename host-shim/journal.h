/* journal.h - which commands were begun and how they ended, across crashes.
 *
 * An append-only file of checksummed records, one per call below, each synced to the disk
 * before the call returns 0. So: a command that was begun is known after any crash or power
 * cut, and a result that was given can be given again. The file is rewritten (to a new file
 * that replaces it atomically) when it grows past a bound.
 *
 * A finished command is kept for as long as it fits and at least until its deadline is
 * past; whatever is forgotten can no longer be begun, because its deadline forbids it, even
 * if the clock is set back: see gn_journal_forgotten_us().
 *
 * Commands and results are opaque bytes here. Not thread-safe: one caller at a time. Only
 * one process has a journal open (a lock on FILE.lock).
 *
 * On disk, in the byte order of the machine: "GNJ1" magic, payload length, CRC-32C over the rest;
 * sequence number, deadline, record type, lengths; then id, command and result. */
#ifndef GN_SHIM_JOURNAL_H
#define GN_SHIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"

#define GN_JOURNAL_ID_MAX      64
#define GN_JOURNAL_BLOB_MAX    (64u << 10)
#define GN_JOURNAL_MAX_ENTRIES 1024
#define GN_JOURNAL_MAX_BYTES   (4u << 20) /* of what is kept; the file: at most three times */

struct gn_journal;

struct gn_journal_blob {
	const void *data;
	size_t size;
};

struct gn_journal_entry {
	const char *id;
	uint64_t deadline_us;
	bool finished;
	struct gn_journal_blob command;
	struct gn_journal_blob result; /* if not finished: what was noted when it was begun */
};

/* Opens or creates the file (mode 0600); its directory must exist. A record that a power
 * cut left half-written at the end is dropped. -EBUSY: another process has it; -EBADMSG
 * (DATA_LOSS): damaged in the middle, and nothing is changed; or the errno of the file
 * system. */
int gn_journal_open(const char *path, struct gn_journal **out, struct gn_status *status);
void gn_journal_close(struct gn_journal *journal); /* NULL is fine */

/* The entry with that id, or NULL. Valid until the next call that changes the journal. */
const struct gn_journal_entry *gn_journal_find(const struct gn_journal *journal, const char *id);

/* The first entry that was begun and not finished, whose id is not in 'skip'; NULL: none. */
const struct gn_journal_entry *gn_journal_unfinished(const struct gn_journal *journal,
                                                     bool (*skip)(void *context, const char *id),
                                                     void *context);

/* Commands with a deadline up to this wall time may have been executed and forgotten. */
uint64_t gn_journal_forgotten_us(const struct gn_journal *journal);

/* Notes that a new command is about to be executed. 'now_us' is wall time: finished entries
 * whose deadline is before it may be dropped to make room. RESOURCE_EXHAUSTED: no room, or
 * the disk is full; then nothing was noted and the command must not be executed. */
int gn_journal_begin(struct gn_journal *journal, const char *id, uint64_t deadline_us,
                     struct gn_journal_blob command, struct gn_journal_blob noted, uint64_t now_us,
                     struct gn_status *status);

/* Notes how it ended, whether it was begun or refused at once ('command' is needed in that
 * case only). If this fails the result is still found by gn_journal_find() in this process,
 * and after a restart the command is unfinished. */
int gn_journal_finish(struct gn_journal *journal, const char *id, uint64_t deadline_us,
                      struct gn_journal_blob command, struct gn_journal_blob result,
                      uint64_t now_us, struct gn_status *status);

/* Notes that a begun command turned out not to have been executed: it is as if it had never
 * been received. */
int gn_journal_void(struct gn_journal *journal, const char *id, struct gn_status *status);

#endif
