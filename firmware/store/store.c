/* store.c - the file and its troubles, documents, plans, events (store.h). */
#include "firmware/store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "firmware/message/message.h"

#define RETRY_US ((uint64_t)5000000)
#define PRUNE_US ((uint64_t)60000000)
/* Larger files are not read whole at start; damage in them is found when it is met. */
#define CHECK_WHOLE_BYTES ((uint64_t)128 << 20)

static const char schema[] =
        "CREATE TABLE numbers (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
        "CREATE TABLE texts (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
        "CREATE TABLE documents (kind TEXT, name TEXT, bytes BLOB, PRIMARY KEY (kind, name)) "
        "WITHOUT ROWID;"
        "CREATE TABLE plans (id INTEGER PRIMARY KEY, deadline_us INTEGER, bytes BLOB);"
        "CREATE TABLE events (id INTEGER PRIMARY KEY, wall_us INTEGER, kind TEXT, resource TEXT, "
        "text TEXT);"
        "CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT, resource INTEGER, "
        "rolled_us INTEGER, UNIQUE (vm, resource));"
        "CREATE TABLE raw (series INTEGER, wall_us INTEGER, value INTEGER, allocated INTEGER, "
        "forecast INTEGER, PRIMARY KEY (series, wall_us)) WITHOUT ROWID;"
        "CREATE TABLE minutes (series INTEGER, wall_us INTEGER, n INTEGER, mean INTEGER, maximum "
        "INTEGER, allocated INTEGER, forecast INTEGER, PRIMARY KEY (series, wall_us)) WITHOUT "
        "ROWID;"
        "CREATE TABLE five_minutes (series INTEGER, wall_us INTEGER, n INTEGER, mean INTEGER, "
        "maximum INTEGER, allocated INTEGER, forecast INTEGER, PRIMARY KEY (series, wall_us)) "
        "WITHOUT ROWID;";

/* Step i leads from schema i to i + 1; each runs in one transaction with its number. */
static const char *const migrations[GN_STORE_SCHEMA] = {schema};

/* ---- opening ----------------------------------------------------------------- */

static int64_t ask(struct gn_db *db, const char *sql, char *text, size_t size)
{
	struct gn_db_statement *statement;
	int64_t value = -1;

	if (gn_db_prepare(db, sql, &statement))
		return -1;
	if (gn_db_query(statement, "") == 0 && gn_db_next(statement) == 1) {
		value = gn_db_int(statement, 0);
		if (text)
			snprintf(text, size, "%s", gn_db_text(statement, 0));
	}
	gn_db_reset(statement);
	return value;
}

static int migrate(struct gn_db *db, int64_t version)
{
	char pragma[48];

	for (; version < GN_STORE_SCHEMA; version++) {
		snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", (int)version + 1);
		if (gn_db_exec(db, "BEGIN IMMEDIATE") || gn_db_exec(db, migrations[version]) ||
		    gn_db_exec(db, pragma) || gn_db_exec(db, "COMMIT"))
			return -EIO;
	}
	return 0;
}

static int read_nonce(struct gn_store *store)
{
	uint64_t random;
	char sql[96];

	if (ask(store->db, "SELECT value FROM texts WHERE key = 'nonce'", store->nonce,
	        sizeof store->nonce) >= 0 &&
	    strlen(store->nonce) == 16)
		return 0;
	if (gn_db_failure(store->db))
		return -EIO;
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return -EIO;
	snprintf(store->nonce, sizeof store->nonce, "%016llx", (unsigned long long)random);
	snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO texts VALUES ('nonce', '%s')",
	         store->nonce);
	return gn_db_exec(store->db, sql);
}

static int prepare_all(struct gn_store *store)
{
#define GN_STORE_PREPARE(name, text)                                                               \
	if (gn_db_prepare(store->db, text, &store->sql.name))                                      \
		return -EIO;
	GN_STORE_STATEMENTS(GN_STORE_PREPARE)
#undef GN_STORE_PREPARE
	return 0;
}

static int check_whole(struct gn_db *db)
{
	char answer[64] = "";

	if (gn_db_size(db) > CHECK_WHOLE_BYTES)
		return 0;
	if (ask(db, "PRAGMA quick_check(1)", answer, sizeof answer) < 0)
		return -EIO;
	return strcmp(answer, "ok") == 0 ? 0 : -EBADMSG;
}

/* 0; -EBADMSG: damaged; -EPROTO: newer; -EIO: unavailable. */
static int open_file(struct gn_store *store)
{
	int64_t version;
	int error = gn_db_open(store->path, &store->db);

	if (error == -ENOMEM)
		return -EIO;
	if (error || check_whole(store->db))
		return gn_db_failure(store->db) == GN_DB_UNAVAILABLE ? -EIO : -EBADMSG;
	version = ask(store->db, "PRAGMA user_version", NULL, 0);
	if (version > GN_STORE_SCHEMA)
		return -EPROTO;
	if (version < 0 || migrate(store->db, version) || prepare_all(store) || read_nonce(store) ||
	    gn_store_load_series(store))
		return gn_db_failure(store->db) == GN_DB_CORRUPT ? -EBADMSG : -EIO;
	return 0;
}

static void close_file(struct gn_store *store)
{
	gn_store_unload_series(store);
	gn_db_close(store->db);
	store->db = NULL;
	memset(&store->sql, 0, sizeof store->sql);
}

static void move_aside(struct gn_store *store, uint64_t now_us, struct gn_status *note)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char from[4200], to[4200], why[256];
	unsigned i;

	snprintf(why, sizeof why, "%s", store->db ? gn_db_error(store->db) : "");
	close_file(store);
	for (i = 0; i < 3; i++) {
		snprintf(from, sizeof from, "%s%s", store->path, suffixes[i]);
		snprintf(to, sizeof to, "%s.damaged-%llu%s", store->path,
		         (unsigned long long)(now_us / 1000000), suffixes[i]);
		if (rename(from, to) && errno != ENOENT)
			unlink(from);
	}
	gn_status_set(note, GN_DATA_LOSS,
	              "%s was damaged (%s): it is kept as %s.damaged-%llu and a new one is begun; "
	              "history and policies changed since the configuration are lost",
	              store->path, why[0] ? why : "it failed its check", store->path,
	              (unsigned long long)(now_us / 1000000));
}

static void degrade(struct gn_store *store, uint64_t now_us, const char *why)
{
	snprintf(store->error, sizeof store->error,
	         "%s cannot be written (%s): gnomond runs on in memory; make room or repair the "
	         "disk, it is tried again every 5 s",
	         store->path, why);
	store->retry_us = now_us + RETRY_US;
}

/* Opens, moving a damaged file aside. */
static int open_or_begin(struct gn_store *store, uint64_t now_us, struct gn_status *note)
{
	int error = open_file(store);

	if (error == -EBADMSG) {
		move_aside(store, now_us, note);
		error = open_file(store);
	}
	if (error && error != -EPROTO) {
		degrade(store, now_us, store->db ? gn_db_error(store->db) : strerror(-error));
		close_file(store);
	}
	return error;
}

int gn_store_open(const char *directory, const struct gn_store_bounds *bounds, uint64_t now_us,
                  struct gn_store **out, struct gn_status *note)
{
	struct gn_store *store = gn_message_alloc(sizeof *store);
	int error;

	gn_status_set(note, GN_OK, "%s", "");
	gn_message_set(&store->path, "%s/gnomond.db", directory);
	store->bounds = *bounds;
	if (mkdir(directory, 0700) && errno != EEXIST)
		degrade(store, now_us, strerror(errno));
	error = open_or_begin(store, now_us, note);
	if (error == -EPROTO) {
		gn_status_set(note, GN_FAILED_PRECONDITION,
		              "%s was made by a newer version (schema above %d): install that "
		              "version, or give another state_dir",
		              store->path, GN_STORE_SCHEMA);
		gn_store_close(store);
		return -EPROTO;
	}
	if (store->error[0])
		gn_status_set(note, GN_UNAVAILABLE, "%s", store->error);
	*out = store;
	return 0;
}

void gn_store_close(struct gn_store *store)
{
	if (!store)
		return;
	if (store->db)
		gn_store_commit(store, true);
	close_file(store);
	free(store->path);
	free(store);
}

/* ---- trouble ------------------------------------------------------------------- */

const char *gn_store_error(const struct gn_store *store)
{
	return store->error;
}

bool gn_store_wants_all(struct gn_store *store)
{
	bool wants = store->wants_all;

	store->wants_all = false;
	return wants;
}

bool gn_store_ready(struct gn_store *store)
{
	if (!store->db || store->error[0])
		return false;
	if (!gn_db_in_transaction(store->db) && gn_db_exec(store->db, "BEGIN")) {
		gn_store_trouble(store);
		return false;
	}
	return true;
}

int gn_store_trouble(struct gn_store *store)
{
	const char *why = gn_db_error(store->db);

	if (!store->error[0])
		degrade(store, 0, why);
	store->retry_us = 0; /* the next tick tells, and waits */
	if (gn_db_in_transaction(store->db))
		gn_db_exec(store->db, "ROLLBACK");
	return -EIO;
}

/* Opens the file anew. */
static void try_again(struct gn_store *store, uint64_t now_us, struct gn_status *note)
{
	bool damaged = store->db && gn_db_failure(store->db) == GN_DB_CORRUPT;
	unsigned i;

	if (damaged)
		move_aside(store, now_us, note);
	else
		close_file(store);
	store->error[0] = '\0';
	if (open_or_begin(store, now_us, note) == -EPROTO)
		degrade(store, now_us, "it was made by a newer version");
	if (store->error[0] || !store->db)
		return;
	/* Opening only reads: only a write shows that there is room again. */
	for (i = 0; i < store->n_counters; i++) {
		uint64_t stored = gn_store_number(store, store->counters[i].name);

		if (store->counters[i].value < stored)
			store->counters[i].value = stored;
		gn_store_put_number(store, store->counters[i].name, store->counters[i].value);
	}
	gn_store_put_number(store, "recovered_us", now_us);
	if (gn_store_commit(store, true)) {
		store->retry_us = now_us + RETRY_US;
		return;
	}
	store->wants_all = true;
	if (note->code == GN_OK)
		gn_status_set(note, GN_ABORTED, "%s can be written again: all is stored",
		              store->path);
}

static void prune(struct gn_store *store)
{
	if (!gn_store_ready(store))
		return;
	if (gn_db_run(store->sql.prune_plans, "i", (int64_t)store->bounds.n_plans) ||
	    gn_db_run(store->sql.prune_events, "i", (int64_t)store->bounds.n_events))
		gn_store_trouble(store);
}

void gn_store_tick(struct gn_store *store, uint64_t now_us, struct gn_status *note)
{
	bool was_well = !store->error[0];

	gn_status_set(note, GN_OK, "%s", "");
	if (was_well && now_us - store->pruned_us >= PRUNE_US) {
		store->pruned_us = now_us;
		prune(store);
	}
	if (was_well)
		gn_store_roll_up(store, now_us);
	gn_store_commit(store, false);
	if (!store->error[0])
		return;
	if (store->retry_us == 0) { /* the trouble is new */
		store->retry_us = now_us + RETRY_US;
		gn_status_set(note, GN_UNAVAILABLE, "%s", store->error);
	} else if (now_us >= store->retry_us) {
		try_again(store, now_us, note);
	}
}

int gn_store_commit(struct gn_store *store, bool durable)
{
	if (!store->db || store->error[0])
		return -EIO;
	if (gn_db_in_transaction(store->db) && gn_db_exec(store->db, "COMMIT"))
		return gn_store_trouble(store);
	if (durable && gn_db_sync(store->db))
		return gn_store_trouble(store);
	return 0;
}

uint64_t gn_store_size(struct gn_store *store)
{
	return store->db ? gn_db_size(store->db) : 0;
}

/* ---- numbers -------------------------------------------------------------------- */

void gn_store_put_number(struct gn_store *store, const char *key, uint64_t value)
{
	if (gn_store_ready(store) && gn_db_run(store->sql.put_number, "ti", key, (int64_t)value))
		gn_store_trouble(store);
}

uint64_t gn_store_number(struct gn_store *store, const char *key)
{
	uint64_t value = 0;

	if (!gn_store_ready(store))
		return 0;
	if (gn_db_query(store->sql.get_number, "t", key))
		gn_store_trouble(store);
	else if (gn_db_next(store->sql.get_number) == 1)
		value = (uint64_t)gn_db_int(store->sql.get_number, 0);
	gn_db_reset(store->sql.get_number);
	return value;
}

uint64_t gn_store_next(struct gn_store *store, const char *counter)
{
	unsigned i;

	for (i = 0; i < store->n_counters; i++)
		if (strcmp(store->counters[i].name, counter) == 0)
			break;
	if (i == store->n_counters) {
		if (i == sizeof store->counters / sizeof store->counters[0])
			abort(); /* the callers name fewer */
		snprintf(store->counters[i].name, sizeof store->counters[i].name, "%s", counter);
		store->counters[i].value = gn_store_number(store, counter);
		store->n_counters++;
	}
	gn_store_put_number(store, counter, ++store->counters[i].value);
	return store->counters[i].value;
}

const char *gn_store_nonce(const struct gn_store *store)
{
	return store->nonce;
}

/* ---- documents ------------------------------------------------------------------- */

static int done(struct gn_store *store, int error)
{
	return error ? gn_store_trouble(store) : 0;
}

int gn_store_put(struct gn_store *store, const char *kind, const char *name, const void *bytes,
                 size_t size)
{
	if (!gn_store_ready(store))
		return -EIO;
	return done(store, gn_db_run(store->sql.put_document, "ttb", kind, name, bytes, size));
}

int gn_store_delete(struct gn_store *store, const char *kind, const char *name)
{
	if (!gn_store_ready(store))
		return -EIO;
	return done(store, gn_db_run(store->sql.delete_document, "tt", kind, name));
}

int gn_store_each(struct gn_store *store, const char *kind, gn_store_document *callback,
                  void *context)
{
	struct gn_db_statement *s = store->sql.each_document;
	int more;

	if (!gn_store_ready(store) || gn_db_query(s, "t", kind))
		return -EIO;
	while ((more = gn_db_next(s)) == 1) {
		size_t size;
		const void *bytes = gn_db_blob(s, 1, &size);

		callback(context, gn_db_text(s, 0), bytes, size);
	}
	return done(store, more);
}

int gn_store_put_plan(struct gn_store *store, uint64_t id, uint64_t deadline_us, const void *bytes,
                      size_t size)
{
	if (!gn_store_ready(store))
		return -EIO;
	return done(store, gn_db_run(store->sql.put_plan, "iib", (int64_t)id, (int64_t)deadline_us,
	                             bytes, size));
}

int gn_store_each_plan(struct gn_store *store, uint32_t limit, gn_store_plan *callback,
                       void *context)
{
	struct gn_db_statement *s = store->sql.each_plan;
	int more;

	if (!gn_store_ready(store) || gn_db_query(s, "i", (int64_t)limit))
		return -EIO;
	while ((more = gn_db_next(s)) == 1) {
		size_t size;
		const void *bytes = gn_db_blob(s, 2, &size);

		callback(context, (uint64_t)gn_db_int(s, 0), (uint64_t)gn_db_int(s, 1), bytes,
		         size);
	}
	return done(store, more);
}

void *gn_store_get_plan(struct gn_store *store, uint64_t id, size_t *size)
{
	struct gn_db_statement *s = store->sql.get_plan;
	void *copy = NULL;

	if (!gn_store_ready(store) || gn_db_query(s, "i", (int64_t)id))
		return NULL;
	if (gn_db_next(s) == 1) {
		const void *bytes = gn_db_blob(s, 0, size);

		copy = gn_message_alloc(*size + 1);
		memcpy(copy, bytes, *size);
	}
	gn_db_reset(s);
	return copy;
}

int gn_store_put_event(struct gn_store *store, uint64_t id, uint64_t wall_us, const char *kind,
                       const char *resource, const char *text)
{
	if (!gn_store_ready(store))
		return -EIO;
	return done(store, gn_db_run(store->sql.put_event, "iittt", (int64_t)id, (int64_t)wall_us,
	                             kind, resource, text));
}
