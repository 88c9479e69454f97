/* store.h - what gnomond remembers: one SQLite file, bounded, that never stops it.
 *
 * Documents (VM specs, policies, shadows, predictor states) by kind and name; plans and
 * events by number, the newest of them; and the history of every series, which gets
 * coarser with age: every sample for an hour, minutes for two days, five minutes for a
 * month (bounds are configured). Rolling up and pruning happen a few series at a time.
 *
 * Trouble never stops gnomond. A damaged file is moved aside ("gnomond.db.damaged-<time>")
 * and a new one begun. While the disk is full or fails, writes return -EIO, samples are not
 * kept, gn_store_error() says why; every few seconds it is tried again, and once it works
 * gn_store_wants_all() asks the owner to write again what it has.
 *
 * Writes gather in a transaction until gn_store_commit(). Calls block for the disk only in
 * gn_store_commit(): a local file, no other writer. One thread. Times are wall time. */
#ifndef GN_STORE_H
#define GN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "firmware/demand/resource.h"

#define GN_STORE_SCHEMA 1

struct gn_store;

struct gn_store_bounds {
	uint64_t raw_us;
	uint64_t minute_us;
	uint64_t five_minutes_us;
	uint32_t n_events;
	uint32_t n_plans;
};

/* Always makes a store; 'note' says what an operator should know (moved aside, degraded),
 * or has code GN_OK. -EPROTO: the file is of a newer schema, made by a newer version:
 * nothing is touched and nothing created. */
int gn_store_open(const char *directory, const struct gn_store_bounds *bounds, uint64_t now_us,
                  struct gn_store **out, struct gn_status *note);
/* Commits. NULL is fine. */
void gn_store_close(struct gn_store *store);

/* "" when all is stored. */
const char *gn_store_error(const struct gn_store *store);
/* True once after each recovery: documents and plans must be put again. */
bool gn_store_wants_all(struct gn_store *store);
/* Every period: commits, rolls up and prunes some series, tries again after trouble. When
 * something happened that an operator should know, 'note' gets it. */
void gn_store_tick(struct gn_store *store, uint64_t now_us, struct gn_status *note);
/* Commits; with 'durable' also against loss of power. 0 or -EIO. */
int gn_store_commit(struct gn_store *store, bool durable);
uint64_t gn_store_size(struct gn_store *store);

/* A number that was never given before in this store's life: "plan", "event", ... */
uint64_t gn_store_next(struct gn_store *store, const char *counter);
/* 16 hex digits, random, made with the store: makes ids unique between stores. */
const char *gn_store_nonce(const struct gn_store *store);
/* Keeps one number; 0 when there is none. */
void gn_store_put_number(struct gn_store *store, const char *key, uint64_t value);
uint64_t gn_store_number(struct gn_store *store, const char *key);

/* ---- documents ------------------------------------------------------------- */

int gn_store_put(struct gn_store *store, const char *kind, const char *name, const void *bytes,
                 size_t size);
int gn_store_delete(struct gn_store *store, const char *kind, const char *name);
typedef void gn_store_document(void *context, const char *name, const void *bytes, size_t size);
/* By name. The callback must not call the store. */
int gn_store_each(struct gn_store *store, const char *kind, gn_store_document *callback,
                  void *context);

/* ---- plans and events ------------------------------------------------------ */

int gn_store_put_plan(struct gn_store *store, uint64_t id, uint64_t deadline_us, const void *bytes,
                      size_t size);
typedef void gn_store_plan(void *context, uint64_t id, uint64_t deadline_us, const void *bytes,
                           size_t size);
/* The newest 'limit', oldest first. */
int gn_store_each_plan(struct gn_store *store, uint32_t limit, gn_store_plan *callback,
                       void *context);

/* One plan's bytes, for the caller to free(); NULL: not there. */
void *gn_store_get_plan(struct gn_store *store, uint64_t id, size_t *size);

int gn_store_put_event(struct gn_store *store, uint64_t id, uint64_t wall_us, const char *kind,
                       const char *resource, const char *text);

/* ---- history --------------------------------------------------------------- */

struct gn_store_point {
	uint64_t wall_us; /* of a sample, or the begin of the interval */
	int64_t mean;
	int64_t maximum;
	int64_t allocated; /* highest of the interval; so is the forecast */
	int64_t forecast_p95;
};

int gn_store_add(struct gn_store *store, const char *vm, enum gn_resource resource,
                 uint64_t wall_us, int64_t value, int64_t allocated, int64_t forecast_p95);

/* The finest resolution that covers from..to with at most 'max_points' points; the caller
 * frees '*points'. '*interval_us' is 0 for single samples. -EIO: the store is in trouble. */
int gn_store_history(struct gn_store *store, const char *vm, enum gn_resource resource,
                     uint64_t from_us, uint64_t to_us, uint64_t now_us, uint32_t max_points,
                     uint64_t period_us, struct gn_store_point **points, size_t *n_points,
                     uint64_t *interval_us);
/* Forgets a VM's history. */
int gn_store_forget(struct gn_store *store, const char *vm);

#endif
