/* db.h - gnomond's only door to SQLite: one file, prepared statements, typed failures.
 *
 * WAL mode, synchronous NORMAL: after a crash of the process nothing committed is lost;
 * gn_db_sync() also makes it survive a loss of power. One thread, no waiting for locks:
 * nobody else writes this file. */
#ifndef GN_STORE_DB_H
#define GN_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gn_db;
struct gn_db_statement;

/* What the newest failure means for the caller. */
enum gn_db_failure {
	GN_DB_OK,
	GN_DB_CORRUPT,     /* the file is not, or no longer, a sound database */
	GN_DB_UNAVAILABLE, /* disk full, no permission, I/O error: may pass */
};

/* On failure '*out' still is an object that tells why by gn_db_failure() and gn_db_error(),
 * to be closed; NULL only when memory is short (-ENOMEM). */
int gn_db_open(const char *path, struct gn_db **out);
/* Finalizes every statement. NULL is fine. */
void gn_db_close(struct gn_db *db);

enum gn_db_failure gn_db_failure(const struct gn_db *db);
const char *gn_db_error(const struct gn_db *db);
void gn_db_clear_failure(struct gn_db *db);

int gn_db_exec(struct gn_db *db, const char *sql);
/* Lives until gn_db_close(). */
int gn_db_prepare(struct gn_db *db, const char *sql, struct gn_db_statement **out);

/* 'types' has one letter per parameter: 'i' int64_t, 't' const char *, 'b' const void *
 * and size_t. gn_db_run() executes to the end; 0 or -EIO. */
int gn_db_run(struct gn_db_statement *statement, const char *types, ...);
/* Begins a query; then gn_db_next() gives 1 (a row), 0 (the end) or -EIO. Texts and blobs of
 * a row live until the next call. */
int gn_db_query(struct gn_db_statement *statement, const char *types, ...);
int gn_db_next(struct gn_db_statement *statement);
int64_t gn_db_int(struct gn_db_statement *statement, int column);
const char *gn_db_text(struct gn_db_statement *statement, int column);
const void *gn_db_blob(struct gn_db_statement *statement, int column, size_t *size);
/* Ends a query early. */
void gn_db_reset(struct gn_db_statement *statement);

bool gn_db_in_transaction(const struct gn_db *db);
/* Brings what is committed to the disk. */
int gn_db_sync(struct gn_db *db);
/* Pages times page size. */
uint64_t gn_db_size(struct gn_db *db);

#endif
