/* log.c - see log.h. An index of every INDEX_STEP-th line makes any page one seek away. */
#include "firmware/audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "firmware/message/message.h"

#define INDEX_STEP 128

struct gn_audit_log {
	char path[4096];
	int fd;
	off_t size; /* of complete lines */
	struct gn_audit_head head;
	struct gn_sealer *sealer;
	off_t *index; /* of lines 1, 1 + INDEX_STEP, ... */
	size_t n_index, index_room;
	bool unsynced;
	uint64_t signed_number, signed_us;
	uint64_t n_missing; /* entries that could not be written since the last that could */
	char trouble[GN_STATUS_MESSAGE_SIZE];
};

/* ---- reading what is there ------------------------------------------------------------------- */

static void remember(struct gn_audit_log *log, uint64_t number, off_t offset)
{
	if ((number - 1) % INDEX_STEP)
		return;
	if (log->n_index == log->index_room) {
		log->index_room = log->index_room ? 2 * log->index_room : 64;
		log->index = realloc(log->index, log->index_room * sizeof *log->index);
		if (!log->index)
			abort(); /* as gn_message_alloc() does */
	}
	log->index[log->n_index++] = offset;
}

/* Walks the lines; leaves the last complete one in '*last', for the caller to free(). */
static void scan(struct gn_audit_log *log, FILE *file, char **last, size_t *last_size)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, file)) > 0 && line[n - 1] == '\n') {
		log->head.number++;
		remember(log, log->head.number, log->size);
		log->size += n;
		free(*last);
		*last = line;
		*last_size = (size_t)n - 1;
		line = NULL; /* getline() allocates another */
		room = 0;
	}
	free(line);
}

/* The last line says where the chain goes on. */
static int take_head(struct gn_audit_log *log, const char *last, size_t size,
                     struct gn_status *status)
{
	Gnomon__V1__AuditEntry *entry;
	int error;

	if (!last)
		return 0;
	error = gn_audit_parse(last, size, &entry, status);
	if (error)
		return error;
	if (entry->number != log->head.number)
		error = gn_status_set(status, GN_DATA_LOSS, "line %" PRIu64 " is entry %" PRIu64,
		                      log->head.number, entry->number);
	if (!strcmp(entry->kind, "signature"))
		log->signed_number = entry->number;
	protobuf_c_message_free_unpacked(&entry->base, NULL);
	gn_seal_hash(last, size, log->head.hash);
	return error;
}

static int read_all(struct gn_audit_log *log, struct gn_status *status)
{
	FILE *file = fopen(log->path, "re");
	char *last = NULL;
	size_t size = 0;
	int error;

	if (!file)
		return errno == ENOENT ? 0
		                       : gn_status_set(status, gn_code_from_errno(errno),
		                                       "'%s' cannot be read: %s", log->path,
		                                       strerror(errno));
	scan(log, file, &last, &size);
	fclose(file);
	error = take_head(log, last, size, status);
	free(last);
	return error;
}

/* A log that does not end with an entry is kept as it is, and a new one begun. */
static void set_aside(struct gn_audit_log *log, const struct gn_status *why, struct gn_status *note)
{
	char aside[sizeof log->path + 32];

	snprintf(aside, sizeof aside, "%s.damaged-%lld", log->path, (long long)time(NULL));
	if (rename(log->path, aside))
		snprintf(aside, sizeof aside, "nowhere (%s)", strerror(errno));
	gn_status_set(note, GN_DATA_LOSS,
	              "the audit log ends with no entry (%.150s); it was moved to %.200s and a new "
	              "one begun",
	              why->message, aside);
	log->head = (struct gn_audit_head){0};
	log->size = 0;
	log->n_index = 0;
	log->signed_number = 0;
}

static int open_file(struct gn_audit_log *log, struct gn_status *note)
{
	off_t found;

	log->fd = open(log->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (log->fd < 0)
		return gn_status_set(note, gn_code_from_errno(errno),
		                     "the audit log '%s' cannot be opened: %s", log->path,
		                     strerror(errno));
	found = lseek(log->fd, 0, SEEK_END);
	if (found > log->size && ftruncate(log->fd, log->size))
		return gn_status_set(note, gn_code_from_errno(errno),
		                     "the torn end of '%s' cannot be cut off: %s", log->path,
		                     strerror(errno));
	if (found > log->size)
		gn_status_set(
		        note, GN_DATA_LOSS,
		        "the audit log's last entry was torn, as by a power cut; its %lld bytes "
		        "were cut off",
		        (long long)(found - log->size));
	return 0;
}

int gn_audit_log_open(const char *directory, const char *key_path, struct gn_audit_log **out,
                      struct gn_status *note)
{
	struct gn_audit_log *log = gn_message_alloc(sizeof *log);
	struct gn_status why = {GN_OK, ""};
	int error = 0;

	note->code = GN_OK;
	log->fd = -1;
	snprintf(log->path, sizeof log->path, "%s/audit.log", directory);
	if (key_path)
		error = gn_sealer_create(key_path, &log->sealer, note);
	if (!error && read_all(log, &why))
		set_aside(log, &why, note);
	if (!error)
		error = open_file(log, note);
	if (error)
		gn_audit_log_close(log);
	else
		*out = log;
	return error;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void fail(struct gn_audit_log *log, int error)
{
	snprintf(log->trouble, sizeof log->trouble, "the audit log cannot be written: %s",
	         strerror(error));
	log->n_missing++;
	/* Whatever part of the line got there. */
	(void)!ftruncate(log->fd, log->size);
}

/* 0, or -errno and the chain is as before. */
static int append(struct gn_audit_log *log, Gnomon__V1__AuditEntry *entry)
{
	struct gn_audit_head head = log->head;
	size_t size;
	char *line = gn_audit_line(entry, &head, &size);
	ssize_t written;

	if (!line)
		return -ENOMEM;
	line[size] = '\n';
	written = pwrite(log->fd, line, size + 1, log->size);
	free(line);
	if (written != (ssize_t)size + 1)
		return written < 0 ? -errno : -ENOSPC;
	remember(log, head.number, log->size);
	log->size += written;
	log->head = head;
	log->unsynced = true;
	return 0;
}

static void sync_file(struct gn_audit_log *log)
{
	if (!log->unsynced)
		return;
	log->unsynced = false;
	if (fdatasync(log->fd))
		snprintf(log->trouble, sizeof log->trouble, "the audit log cannot be synced: %s",
		         strerror(errno));
}

static int append_missing(struct gn_audit_log *log, uint64_t at_us)
{
	Gnomon__V1__AuditEntry entry = GNOMON__V1__AUDIT_ENTRY__INIT;
	char text[96];
	int error;

	if (!log->n_missing)
		return 0;
	snprintf(text, sizeof text, "%" PRIu64 " entries before this one could not be written",
	         log->n_missing);
	entry.at_us = at_us;
	entry.kind = (char *)"audit.missing";
	entry.who = (char *)"card";
	entry.text = text;
	error = append(log, &entry);
	if (!error) {
		log->n_missing = 0;
		log->trouble[0] = '\0';
	}
	return error;
}

void gn_audit_log_put(struct gn_audit_log *log, const Gnomon__V1__AuditEntry *entry, bool durable)
{
	Gnomon__V1__AuditEntry copy = *entry;
	int error = append_missing(log, entry->at_us);

	if (!error)
		error = append(log, &copy);
	if (error)
		fail(log, -error);
	else if (durable)
		sync_file(log);
}

static void sign(struct gn_audit_log *log, uint64_t wall_us)
{
	Gnomon__V1__AuditEntry entry = GNOMON__V1__AUDIT_ENTRY__INIT;
	uint8_t signature[GN_SEAL_MAX];
	char text[2 * GN_SEAL_MAX + 1];
	size_t size;

	log->signed_us = wall_us;
	if (!log->sealer || gn_sealer_sign(log->sealer, log->head.hash, signature, &size))
		return;
	gn_audit_hex(signature, size, text);
	entry.at_us = wall_us;
	entry.kind = (char *)"signature";
	entry.who = (char *)"card";
	entry.signature = text;
	gn_audit_log_put(log, &entry, true);
	log->signed_number = log->head.number;
}

void gn_audit_log_tick(struct gn_audit_log *log, uint64_t wall_us)
{
	uint64_t n = log->head.number - log->signed_number;

	if (n && (n >= GN_AUDIT_SIGN_ENTRIES || wall_us - log->signed_us >= GN_AUDIT_SIGN_US))
		sign(log, wall_us);
	sync_file(log);
}

void gn_audit_log_close(struct gn_audit_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0) {
		if (log->head.number > log->signed_number)
			sign(log, (uint64_t)time(NULL) * 1000000u);
		sync_file(log);
		close(log->fd);
	}
	gn_sealer_destroy(log->sealer);
	free(log->index);
	free(log);
}

/* ---- use ------------------------------------------------------------------------------------- */

const char *gn_audit_log_trouble(const struct gn_audit_log *log)
{
	return log->trouble;
}

uint64_t gn_audit_log_count(const struct gn_audit_log *log)
{
	return log->head.number;
}

int gn_audit_log_read(struct gn_audit_log *log, uint64_t from, uint32_t limit, size_t max_bytes,
                      gn_audit_log_line *each, void *context)
{
	FILE *file;
	char *line = NULL;
	size_t room = 0, bytes = 0;
	ssize_t n;

	if (!from || from > log->head.number)
		return 0;
	file = fopen(log->path, "re");
	if (!file || fseeko(file, log->index[(from - 1) / INDEX_STEP], SEEK_SET)) {
		if (file)
			fclose(file);
		return -EIO;
	}
	for (uint64_t at = (from - 1) / INDEX_STEP * INDEX_STEP + 1;
	     at < from + limit && at <= log->head.number && (n = getline(&line, &room, file)) > 0;
	     at++) {
		if (at < from)
			continue;
		line[n - 1] = '\0';
		bytes += (size_t)n;
		if (bytes > max_bytes)
			break;
		each(context, line, (size_t)n - 1);
	}
	free(line);
	fclose(file);
	return 0;
}
