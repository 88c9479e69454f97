/* db.c - see db.h. */
#include "firmware/store/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>

struct gn_db {
	sqlite3 *handle;
	struct gn_db_statement *statements;
	enum gn_db_failure failure;
	char error[256];
};

struct gn_db_statement {
	struct gn_db *db;
	struct gn_db_statement *next;
	sqlite3_stmt *handle;
};

static int fail(struct gn_db *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_SCHEMA:
	case SQLITE_MISMATCH:
		db->failure = GN_DB_CORRUPT;
		break;
	default:
		db->failure = GN_DB_UNAVAILABLE;
	}
	snprintf(db->error, sizeof db->error, "%s",
	         db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
	return -EIO;
}

static int configure(struct gn_db *db)
{
	int error = gn_db_exec(db, "PRAGMA journal_mode=WAL");

	if (!error)
		error = gn_db_exec(db, "PRAGMA synchronous=NORMAL");
	if (!error)
		error = gn_db_exec(db, "PRAGMA journal_size_limit=4194304");
	return error;
}

int gn_db_open(const char *path, struct gn_db **out)
{
	struct gn_db *db = calloc(1, sizeof *db);
	int code;

	if (!db)
		return -ENOMEM;
	*out = db;
	code = sqlite3_open_v2(path, &db->handle,
	                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	                       NULL);
	if (code != SQLITE_OK)
		return fail(db, code);
	return configure(db);
}

void gn_db_close(struct gn_db *db)
{
	if (!db)
		return;
	while (db->statements) {
		struct gn_db_statement *statement = db->statements;

		db->statements = statement->next;
		sqlite3_finalize(statement->handle);
		free(statement);
	}
	sqlite3_close(db->handle);
	free(db);
}

enum gn_db_failure gn_db_failure(const struct gn_db *db)
{
	return db->failure;
}

const char *gn_db_error(const struct gn_db *db)
{
	return db->error;
}

void gn_db_clear_failure(struct gn_db *db)
{
	db->failure = GN_DB_OK;
	db->error[0] = '\0';
}

int gn_db_exec(struct gn_db *db, const char *sql)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : fail(db, code);
}

int gn_db_prepare(struct gn_db *db, const char *sql, struct gn_db_statement **out)
{
	struct gn_db_statement *statement = calloc(1, sizeof *statement);
	int code;

	if (!statement)
		return -ENOMEM;
	statement->db = db;
	code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
	                          &statement->handle, NULL);
	if (code != SQLITE_OK) {
		free(statement);
		/* No such table or column: not the schema that the file claims to have. */
		return fail(db, code == SQLITE_ERROR ? SQLITE_CORRUPT : code);
	}
	statement->next = db->statements;
	db->statements = statement;
	*out = statement;
	return 0;
}

static int bind_all(struct gn_db_statement *statement, const char *types, va_list args)
{
	int i, code = SQLITE_OK;

	sqlite3_reset(statement->handle);
	for (i = 0; types[i] && code == SQLITE_OK; i++) {
		if (types[i] == 'i') {
			code = sqlite3_bind_int64(statement->handle, i + 1, va_arg(args, int64_t));
		} else if (types[i] == 't') {
			code = sqlite3_bind_text(statement->handle, i + 1,
			                         va_arg(args, const char *), -1, SQLITE_TRANSIENT);
		} else {
			const void *bytes = va_arg(args, const void *);

			code = sqlite3_bind_blob64(statement->handle, i + 1, bytes,
			                           va_arg(args, size_t), SQLITE_TRANSIENT);
		}
	}
	return code == SQLITE_OK ? 0 : fail(statement->db, code);
}

int gn_db_run(struct gn_db_statement *statement, const char *types, ...)
{
	va_list args;
	int error;

	va_start(args, types);
	error = bind_all(statement, types, args);
	va_end(args);
	while (!error) {
		int more = gn_db_next(statement);

		if (more <= 0)
			return more;
	}
	return error;
}

int gn_db_query(struct gn_db_statement *statement, const char *types, ...)
{
	va_list args;
	int error;

	va_start(args, types);
	error = bind_all(statement, types, args);
	va_end(args);
	return error;
}

int gn_db_next(struct gn_db_statement *statement)
{
	int code = sqlite3_step(statement->handle);

	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE) {
		sqlite3_reset(statement->handle);
		return 0;
	}
	fail(statement->db, code);
	sqlite3_reset(statement->handle);
	return -EIO;
}

int64_t gn_db_int(struct gn_db_statement *statement, int column)
{
	return sqlite3_column_int64(statement->handle, column);
}

const char *gn_db_text(struct gn_db_statement *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement->handle, column);

	return text ? (const char *)text : "";
}

const void *gn_db_blob(struct gn_db_statement *statement, int column, size_t *size)
{
	const void *bytes = sqlite3_column_blob(statement->handle, column);

	*size = (size_t)sqlite3_column_bytes(statement->handle, column);
	return bytes ? bytes : "";
}

void gn_db_reset(struct gn_db_statement *statement)
{
	sqlite3_reset(statement->handle);
}

bool gn_db_in_transaction(const struct gn_db *db)
{
	return db->handle && !sqlite3_get_autocommit(db->handle);
}

/* The log alone is synced: a commit that is in it is stored. A checkpoint only keeps the log
 * short; it needs room in the file itself, and without that the commit stands all the same. */
int gn_db_sync(struct gn_db *db)
{
	sqlite3_file *log = NULL;
	int code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (code == SQLITE_OK && log && log->pMethods)
		code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	if (code != SQLITE_OK)
		return fail(db, code);
	sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return 0;
}

uint64_t gn_db_size(struct gn_db *db)
{
	struct gn_db_statement *statement;
	uint64_t size = 0;

	if (gn_db_prepare(db,
	                  "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
	                  &statement))
		return 0;
	if (gn_db_query(statement, "") == 0 && gn_db_next(statement) == 1)
		size = (uint64_t)gn_db_int(statement, 0);
	gn_db_reset(statement);
	db->statements = statement->next;
	sqlite3_finalize(statement->handle);
	free(statement);
	return size;
}
