/* store_internal.h - shared by store.c (the file, documents) and history.c (series). */
#ifndef GN_STORE_INTERNAL_H
#define GN_STORE_INTERNAL_H

#include "firmware/store/db.h"
#include "firmware/store/store.h"

#define GN_STORE_STATEMENTS(X)                                                                     \
	X(put_document, "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3)")                    \
	X(delete_document, "DELETE FROM documents WHERE kind = ?1 AND name = ?2")                  \
	X(each_document, "SELECT name, bytes FROM documents WHERE kind = ?1 ORDER BY name")        \
	X(put_number, "INSERT OR REPLACE INTO numbers VALUES (?1, ?2)")                            \
	X(get_number, "SELECT value FROM numbers WHERE key = ?1")                                  \
	X(put_plan, "INSERT OR REPLACE INTO plans VALUES (?1, ?2, ?3)")                            \
	X(each_plan, "SELECT id, deadline_us, bytes FROM (SELECT * FROM plans ORDER BY id DESC "   \
	             "LIMIT ?1) ORDER BY id")                                                      \
	X(get_plan, "SELECT bytes FROM plans WHERE id = ?1")                                       \
	X(prune_plans, "DELETE FROM plans WHERE id <= (SELECT max(id) FROM plans) - ?1")           \
	X(put_event, "INSERT OR REPLACE INTO events VALUES (?1, ?2, ?3, ?4, ?5)")                  \
	X(prune_events, "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1")        \
	X(add_series, "INSERT INTO series (vm, resource, rolled_us) VALUES (?1, ?2, 0) "           \
	              "RETURNING id")                                                              \
	X(each_series, "SELECT id, vm, resource, rolled_us FROM series")                           \
	X(set_rolled, "UPDATE series SET rolled_us = ?2 WHERE id = ?1")                            \
	X(drop_series, "DELETE FROM series WHERE id = ?1")                                         \
	X(add_raw, "INSERT OR REPLACE INTO raw VALUES (?1, ?2, ?3, ?4, ?5)")                       \
	X(roll_minutes,                                                                            \
	  "INSERT OR REPLACE INTO minutes SELECT series, wall_us / 60000000 * 60000000 AS "        \
	  "bucket, "                                                                               \
	  "count(*), sum(value) / count(*), max(value), max(allocated), max(forecast) FROM raw "   \
	  "WHERE series = ?1 AND wall_us >= ?2 AND wall_us < ?3 GROUP BY bucket")                  \
	X(roll_five_minutes,                                                                       \
	  "INSERT OR REPLACE INTO five_minutes SELECT series, wall_us / 300000000 * 300000000 AS " \
	  "bucket, sum(n), sum(mean * n) / sum(n), max(maximum), max(allocated), max(forecast) "   \
	  "FROM minutes WHERE series = ?1 AND wall_us >= ?2 AND wall_us < ?3 GROUP BY bucket")     \
	X(prune_raw, "DELETE FROM raw WHERE series = ?1 AND wall_us < ?2")                         \
	X(prune_minutes, "DELETE FROM minutes WHERE series = ?1 AND wall_us < ?2")                 \
	X(prune_five_minutes, "DELETE FROM five_minutes WHERE series = ?1 AND wall_us < ?2")       \
	X(read_raw,                                                                                \
	  "SELECT wall_us, value, value, allocated, forecast FROM raw WHERE series = ?1 "          \
	  "AND wall_us >= ?2 AND wall_us < ?3 ORDER BY wall_us")                                   \
	X(read_raw_rolled,                                                                         \
	  "SELECT wall_us / ?4 * ?4 AS bucket, sum(value) / count(*), max(value), "                \
	  "max(allocated), "                                                                       \
	  "max(forecast) FROM raw WHERE series = ?1 AND wall_us >= ?2 AND wall_us < ?3 GROUP BY "  \
	  "bucket ORDER BY bucket")                                                                \
	X(read_minutes,                                                                            \
	  "SELECT wall_us / ?4 * ?4 AS bucket, sum(mean * n) / sum(n), max(maximum), "             \
	  "max(allocated), max(forecast) FROM minutes WHERE series = ?1 AND wall_us >= ?2 AND "    \
	  "wall_us < ?3 GROUP BY bucket ORDER BY bucket")                                          \
	X(read_five_minutes,                                                                       \
	  "SELECT wall_us / ?4 * ?4 AS bucket, sum(mean * n) / sum(n), max(maximum), "             \
	  "max(allocated), max(forecast) FROM five_minutes WHERE series = ?1 AND wall_us >= ?2 "   \
	  "AND wall_us < ?3 GROUP BY bucket ORDER BY bucket")

/* One (VM, resource) and its number in the file. */
struct gn_store_series {
	char *vm;
	enum gn_resource resource;
	int64_t id;
	uint64_t rolled_us; /* minutes up to here exist */
};

struct gn_store {
	char *path;
	struct gn_store_bounds bounds;
	struct gn_db *db; /* NULL: none could be opened */
	struct {
#define GN_STORE_STATEMENT_FIELD(name, sql) struct gn_db_statement *name;
		GN_STORE_STATEMENTS(GN_STORE_STATEMENT_FIELD)
#undef GN_STORE_STATEMENT_FIELD
	} sql;
	char nonce[17];
	char error[320]; /* why nothing is stored now */
	uint64_t retry_us;
	bool wants_all;
	struct gn_store_series *series; /* sorted by VM and resource */
	size_t n_series;
	size_t next_series; /* the next to be rolled up */
	uint64_t pruned_us;
	struct {
		char name[16];
		uint64_t value;
	} counters[8];
	unsigned n_counters;
};

/* Before any statement: false when the store is in trouble; begins a transaction. */
bool gn_store_ready(struct gn_store *store);
/* After a failed statement: notes the trouble. Returns -EIO. */
int gn_store_trouble(struct gn_store *store);
/* history.c */
int gn_store_load_series(struct gn_store *store);
void gn_store_unload_series(struct gn_store *store);
void gn_store_roll_up(struct gn_store *store, uint64_t now_us);

#endif
