/* journal.c - see journal.h. Everything is also in memory; the file is read once, at open.
 * After a failed write or sync the file's tail is not to be trusted (the kernel forgets an
 * error once it has reported it), so the next write makes a new file. */
#include "host-shim/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/core/durable.h"

#define MAGIC       0x314a4e47u /* "GNJ1" */
#define FILE_MAX    (3u * GN_JOURNAL_MAX_BYTES)
#define COMPACT_MIN (256u << 10)

enum record_type { RECORD_BEGIN = 1, RECORD_FINISH = 2, RECORD_VOID = 3, RECORD_FORGOTTEN = 4 };

/* Packed by hand order: no padding on any ABI that gnomon runs on. */
struct record_header {
	uint32_t magic;
	uint32_t payload_size;
	uint32_t crc; /* over what follows */
	uint32_t type;
	uint64_t sequence;
	uint64_t deadline_us;
	uint32_t id_size;
	uint32_t command_size;
	uint32_t result_size;
	uint32_t reserved;
};
_Static_assert(sizeof(struct record_header) == 48, "on-disk format");

struct slot {
	struct gn_journal_entry entry;
	uint64_t order; /* of its last change, for forgetting the oldest */
	char id[GN_JOURNAL_ID_MAX + 1];
};

struct gn_journal {
	char path[PATH_MAX];
	int lock_fd;
	int fd;
	bool broken; /* the file's tail is unknown: rewrite before the next append */
	uint64_t size;
	uint64_t compacted_size; /* after the last rewrite */
	uint64_t sequence;
	uint64_t forgotten_us;
	uint64_t kept_bytes;
	size_t n_slots;
	struct slot slots[GN_JOURNAL_MAX_ENTRIES];
};

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4, bit by bit: records are few and small. */
static uint32_t crc32c(const uint8_t *data, size_t size)
{
	uint32_t crc = ~0u;

	while (size--) {
		int bit;

		crc ^= *data++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	return ~crc;
}

/* ---- entries in memory --------------------------------------------------------------- */

static size_t entry_bytes(const struct gn_journal_entry *e)
{
	return sizeof(struct record_header) + strlen(e->id) + e->command.size + e->result.size;
}

static struct slot *slot_find(const struct gn_journal *j, const char *id)
{
	size_t i;

	for (i = 0; i < j->n_slots; i++)
		if (!strcmp(j->slots[i].id, id))
			return (struct slot *)&j->slots[i];
	return NULL;
}

static void slot_remove(struct gn_journal *j, struct slot *slot)
{
	struct slot *last = &j->slots[--j->n_slots];

	j->kept_bytes -= entry_bytes(&slot->entry);
	free((void *)slot->entry.command.data);
	free((void *)slot->entry.result.data);
	if (slot != last) {
		*slot = *last;
		slot->entry.id = slot->id;
	}
	memset(last, 0, sizeof *last);
}

static int blob_copy(struct gn_journal_blob in, struct gn_journal_blob *out)
{
	void *data = malloc(in.size ? in.size : 1);

	if (!data)
		return -ENOMEM;
	if (in.size)
		memcpy(data, in.data, in.size);
	out->data = data;
	out->size = in.size;
	return 0;
}

/* Adds or updates; an empty 'command' leaves the one that is there. */
static int slot_put(struct gn_journal *j, const struct gn_journal_entry *e)
{
	struct slot *slot = slot_find(j, e->id);
	struct gn_journal_blob result, command;
	char id[GN_JOURNAL_ID_MAX + 1];

	strcpy(id, e->id); /* which may be the slot's own */
	if (!slot && j->n_slots == GN_JOURNAL_MAX_ENTRIES)
		return -ENOSPC;
	if (blob_copy(e->result, &result))
		return -ENOMEM;
	if (blob_copy(slot && !e->command.size ? slot->entry.command : e->command, &command)) {
		free((void *)result.data);
		return -ENOMEM;
	}
	if (slot)
		slot_remove(j, slot);
	slot = &j->slots[j->n_slots++];
	strcpy(slot->id, id);
	slot->order = j->sequence;
	slot->entry = *e;
	slot->entry.id = slot->id;
	slot->entry.command = command;
	slot->entry.result = result;
	j->kept_bytes += entry_bytes(&slot->entry);
	return 0;
}

/* ---- records on disk ------------------------------------------------------------------ */

/* Lays one record out in a new buffer. */
static int record_encode(const struct gn_journal *j, enum record_type type,
                         const struct gn_journal_entry *e, uint8_t **out, size_t *size)
{
	struct record_header h = {
	        .magic = MAGIC,
	        .type = type,
	        .sequence = j->sequence,
	        .deadline_us = e->deadline_us,
	        .id_size = (uint32_t)strlen(e->id),
	        .command_size = (uint32_t)e->command.size,
	        .result_size = (uint32_t)e->result.size,
	};
	size_t payload = h.id_size + e->command.size + e->result.size;
	uint8_t *buffer = malloc(sizeof h + payload), *p;

	if (!buffer)
		return -ENOMEM;
	h.payload_size = (uint32_t)payload;
	p = buffer + sizeof h;
	memcpy(p, e->id, h.id_size);
	if (e->command.size)
		memcpy(p + h.id_size, e->command.data, e->command.size);
	if (e->result.size)
		memcpy(p + h.id_size + e->command.size, e->result.data, e->result.size);
	memcpy(buffer, &h, sizeof h);
	h.crc = crc32c(buffer + 12, sizeof h - 12 + payload);
	memcpy(buffer, &h, sizeof h);
	*out = buffer;
	*size = sizeof h + payload;
	return 0;
}

/* Whether a whole, undamaged record starts at 'data'. */
static bool record_check(const uint8_t *data, size_t left, struct record_header *h)
{
	if (left < sizeof *h)
		return false;
	memcpy(h, data, sizeof *h);
	return h->magic == MAGIC && h->payload_size <= left - sizeof *h &&
	       h->id_size <= GN_JOURNAL_ID_MAX && h->command_size <= GN_JOURNAL_BLOB_MAX &&
	       h->result_size <= GN_JOURNAL_BLOB_MAX &&
	       h->id_size + h->command_size + h->result_size == h->payload_size &&
	       crc32c(data + 12, sizeof *h - 12 + h->payload_size) == h->crc;
}

static int record_apply(struct gn_journal *j, const struct record_header *h, const uint8_t *payload)
{
	char id[GN_JOURNAL_ID_MAX + 1];
	struct gn_journal_entry e = {
	        .id = id,
	        .deadline_us = h->deadline_us,
	        .finished = h->type == RECORD_FINISH,
	        .command = {payload + h->id_size, h->command_size},
	        .result = {payload + h->id_size + h->command_size, h->result_size},
	};
	struct slot *slot;

	memcpy(id, payload, h->id_size);
	id[h->id_size] = '\0';
	j->sequence = h->sequence + 1;
	switch (h->type) {
	case RECORD_BEGIN:
	case RECORD_FINISH:
		return slot_put(j, &e);
	case RECORD_VOID:
		slot = slot_find(j, id);
		if (slot)
			slot_remove(j, slot);
		return 0;
	case RECORD_FORGOTTEN:
		if (h->deadline_us > j->forgotten_us)
			j->forgotten_us = h->deadline_us;
		return 0;
	}
	return -EPROTONOSUPPORT;
}

/* ---- writing --------------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, data, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int put_record(struct gn_journal *j, int fd, uint64_t *offset, enum record_type type,
                      const struct gn_journal_entry *e)
{
	uint8_t *buffer;
	size_t size;
	int error = record_encode(j, type, e, &buffer, &size);

	if (error)
		return error;
	error = write_all(fd, buffer, size, *offset);
	free(buffer);
	if (error)
		return error;
	*offset += size;
	j->sequence++;
	return 0;
}

static int write_everything(struct gn_journal *j, int fd, uint64_t *size)
{
	struct gn_journal_entry forgotten = {.id = "", .deadline_us = j->forgotten_us};
	int error = put_record(j, fd, size, RECORD_FORGOTTEN, &forgotten);
	size_t i;

	for (i = 0; i < j->n_slots && !error; i++) {
		const struct gn_journal_entry *e = &j->slots[i].entry;

		error = put_record(j, fd, size, e->finished ? RECORD_FINISH : RECORD_BEGIN, e);
	}
	return error;
}

/* Writes what is kept to a new file, which takes the old one's place whole or not at all. */
static int rewrite(struct gn_journal *j)
{
	char temporary[PATH_MAX + 8];
	uint64_t size = 0;
	int fd, error;

	snprintf(temporary, sizeof temporary, "%s.new", j->path);
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = write_everything(j, fd, &size);
	if (!error && fsync(fd))
		error = -errno;
	if (!error && rename(temporary, j->path))
		error = -errno;
	if (error) {
		close(fd);
		unlink(temporary);
		return error;
	}
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->size = j->compacted_size = size;
	/* Until the directory is on the disk a power cut may bring the old file back, which
	 * lacks whatever is appended from here on. */
	error = gn_sync_directory_of(j->path);
	j->broken = error != 0;
	return error;
}

static struct slot *oldest_forgettable(struct gn_journal *j, uint64_t now_us)
{
	struct slot *oldest = NULL;
	size_t i;

	for (i = 0; i < j->n_slots; i++) {
		struct slot *s = &j->slots[i];

		if (s->entry.finished && s->entry.deadline_us < now_us &&
		    (!oldest || s->order < oldest->order))
			oldest = s;
	}
	return oldest;
}

static bool is_full(const struct gn_journal *j, size_t bytes)
{
	return j->n_slots == GN_JOURNAL_MAX_ENTRIES || j->kept_bytes + bytes > GN_JOURNAL_MAX_BYTES;
}

/* If it is full, drops finished entries, oldest first, until a quarter is free: each time
 * costs a rewrite. */
static void make_room(struct gn_journal *j, size_t bytes, uint64_t now_us)
{
	struct slot *oldest;

	if (!is_full(j, bytes))
		return;
	while ((j->n_slots > GN_JOURNAL_MAX_ENTRIES / 4 * 3 ||
	        j->kept_bytes > GN_JOURNAL_MAX_BYTES / 4 * 3) &&
	       (oldest = oldest_forgettable(j, now_us))) {
		if (oldest->entry.deadline_us > j->forgotten_us)
			j->forgotten_us = oldest->entry.deadline_us;
		j->broken = true; /* the new bound must reach the file */
		slot_remove(j, oldest);
	}
}

static bool has_room(const struct gn_journal *j, const char *id, size_t bytes)
{
	return (slot_find(j, id) || j->n_slots < GN_JOURNAL_MAX_ENTRIES) &&
	       j->kept_bytes + bytes <= GN_JOURNAL_MAX_BYTES;
}

static bool wants_rewrite(const struct gn_journal *j)
{
	return j->broken || j->size > FILE_MAX ||
	       (j->size > COMPACT_MIN && j->size > 2 * j->compacted_size);
}

static int append(struct gn_journal *j, enum record_type type, const struct gn_journal_entry *e)
{
	uint64_t size;
	int error;

	if (wants_rewrite(j)) {
		error = rewrite(j);
		if (error)
			return error;
	}
	size = j->size;
	error = put_record(j, j->fd, &size, type, e);
	if (!error && fdatasync(j->fd))
		error = -errno;
	if (error)
		j->broken = true;
	else
		j->size = size;
	return error;
}

static int failed(const struct gn_journal *j, int error, struct gn_status *status)
{
	enum gn_code code =
	        error == -ENOSPC || error == -EDQUOT ? GN_RESOURCE_EXHAUSTED : GN_UNAVAILABLE;

	return gn_status_set(status, code,
	                     "the journal %s cannot be written: %s; free space or repair its disk",
	                     j->path, strerror(-error));
}

static bool fits(const struct gn_journal_entry *e)
{
	return strlen(e->id) <= GN_JOURNAL_ID_MAX && e->command.size <= GN_JOURNAL_BLOB_MAX &&
	       e->result.size <= GN_JOURNAL_BLOB_MAX;
}

int gn_journal_begin(struct gn_journal *j, const char *id, uint64_t deadline_us,
                     struct gn_journal_blob command, struct gn_journal_blob noted, uint64_t now_us,
                     struct gn_status *status)
{
	struct gn_journal_entry e = {id, deadline_us, false, command, noted};
	int error;

	if (!fits(&e))
		return gn_status_set(status, GN_INVALID_ARGUMENT, "command too large to note");
	make_room(j, entry_bytes(&e), now_us);
	if (!has_room(j, id, entry_bytes(&e)))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "the journal holds %zu commands whose deadlines are still "
		                     "ahead; wait for them or send fewer",
		                     j->n_slots);
	error = append(j, RECORD_BEGIN, &e);
	if (!error)
		error = slot_put(j, &e);
	return error ? failed(j, error, status) : 0;
}

int gn_journal_finish(struct gn_journal *j, const char *id, uint64_t deadline_us,
                      struct gn_journal_blob command, struct gn_journal_blob result,
                      uint64_t now_us, struct gn_status *status)
{
	struct gn_journal_entry e = {id, deadline_us, true, command, result};
	int error, put_error;

	if (!fits(&e))
		return gn_status_set(status, GN_INVALID_ARGUMENT, "command too large to note");
	if (slot_find(j, id))
		e.command = (struct gn_journal_blob){0};
	else
		make_room(j, entry_bytes(&e), now_us);
	if (!has_room(j, id, slot_find(j, id) ? 0 : entry_bytes(&e)))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "the journal is full");
	error = append(j, RECORD_FINISH, &e);
	put_error = slot_put(j, &e);
	if (!error)
		error = put_error;
	return error ? failed(j, error, status) : 0;
}

int gn_journal_void(struct gn_journal *j, const char *id, struct gn_status *status)
{
	struct gn_journal_entry e = {.id = id};
	struct slot *slot = slot_find(j, id);
	int error;

	if (!slot)
		return 0;
	error = append(j, RECORD_VOID, &e);
	if (error)
		return failed(j, error, status);
	slot_remove(j, slot);
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* Whether anything that looks whole follows: then what is before it was not a torn tail. */
static bool record_follows(const uint8_t *data, size_t size)
{
	struct record_header h;
	size_t i;

	for (i = 1; i + sizeof h <= size; i++)
		if (data[i] == (MAGIC & 0xff) && record_check(data + i, size - i, &h))
			return true;
	return false;
}

static int replay(struct gn_journal *j, const uint8_t *data, size_t size, struct gn_status *status)
{
	struct record_header h;
	size_t at = 0;
	int error;

	while (record_check(data + at, size - at, &h)) {
		error = record_apply(j, &h, data + at + sizeof h);
		if (error)
			return gn_status_set(status, GN_DATA_LOSS,
			                     "the journal %s has a record at byte %zu that this "
			                     "version cannot use (%s)",
			                     j->path, at, strerror(-error));
		at += sizeof h + h.payload_size;
	}
	if (record_follows(data + at, size - at))
		return gn_status_set(status, GN_DATA_LOSS,
		                     "the journal %s is damaged at byte %zu; make sure that no "
		                     "command is under way, then move the file away",
		                     j->path, at);
	j->size = at;
	return 0;
}

static int load(struct gn_journal *j, struct gn_status *status)
{
	struct stat st;
	uint8_t *data;
	ssize_t n = 0;
	size_t got = 0;
	int error;

	if (fstat(j->fd, &st))
		return gn_status_set(status, gn_code_from_errno(errno), "cannot read %s: %s",
		                     j->path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > 2ll * FILE_MAX)
		return gn_status_set(status, GN_DATA_LOSS, "%s is not a journal: move it away",
		                     j->path);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	while (got < (size_t)st.st_size &&
	       (n = pread(j->fd, data + got, (size_t)st.st_size - got, (off_t)got)) > 0)
		got += (size_t)n;
	error = n < 0 ? gn_status_set(status, gn_code_from_errno(errno), "cannot read %s: %s",
	                              j->path, strerror(errno))
	              : replay(j, data, got, status);
	free(data);
	return error;
}

static int take_lock(struct gn_journal *j, struct gn_status *status)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof path, "%s.lock", j->path);
	j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->lock_fd < 0)
		return gn_status_set(status, gn_code_from_errno(errno),
		                     "cannot create %s: %s; does its directory exist?", path,
		                     strerror(errno));
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "another gnomon-shim has %s open; stop it first", j->path);
	return 0;
}

int gn_journal_open(const char *path, struct gn_journal **out, struct gn_status *status)
{
	struct gn_journal *j = calloc(1, sizeof *j);
	int error;

	if (!j)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	j->fd = j->lock_fd = -1;
	j->sequence = 1;
	if (strlen(path) >= sizeof j->path) {
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "the journal's path is too long");
		goto fail;
	}
	strcpy(j->path, path);
	error = take_lock(j, status);
	if (error)
		goto fail;
	j->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0 && errno != ENOENT) {
		error = gn_status_set(status, gn_code_from_errno(errno), "cannot open %s: %s", path,
		                      strerror(errno));
		goto fail;
	}
	error = j->fd < 0 ? 0 : load(j, status);
	if (error)
		goto fail;
	/* A clean file from the start: no torn tail that later records would have to follow. */
	error = rewrite(j);
	if (error) {
		error = failed(j, error, status);
		goto fail;
	}
	*out = j;
	return 0;
fail:
	gn_journal_close(j);
	return error;
}

void gn_journal_close(struct gn_journal *j)
{
	if (!j)
		return;
	while (j->n_slots)
		slot_remove(j, &j->slots[j->n_slots - 1]);
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	free(j);
}

const struct gn_journal_entry *gn_journal_find(const struct gn_journal *j, const char *id)
{
	const struct slot *slot = slot_find(j, id);

	return slot ? &slot->entry : NULL;
}

const struct gn_journal_entry *gn_journal_unfinished(const struct gn_journal *j,
                                                     bool (*skip)(void *context, const char *id),
                                                     void *context)
{
	size_t i;

	for (i = 0; i < j->n_slots; i++)
		if (!j->slots[i].entry.finished && !(skip && skip(context, j->slots[i].id)))
			return &j->slots[i].entry;
	return NULL;
}

uint64_t gn_journal_forgotten_us(const struct gn_journal *j)
{
	return j->forgotten_us;
}
