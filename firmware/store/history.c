/* history.c - series, their samples, rolling up and reading back (store.h). */
#include "firmware/store/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"

#define MINUTE_US       ((uint64_t)60000000)
#define FIVE_MINUTES_US ((uint64_t)300000000)
/* All series are rolled up within about this many ticks. */
#define TICKS_PER_ROUND 30

/* ---- which series ---------------------------------------------------------------- */

static int compare(const char *vm, enum gn_resource resource, const struct gn_store_series *b)
{
	int order = strcmp(vm, b->vm);

	return order ? order : (int)resource - (int)b->resource;
}

static int by_name(const void *a, const void *b)
{
	const struct gn_store_series *series = a;

	return compare(series->vm, series->resource, b);
}

/* Where it is, or would be. */
static size_t place_of(const struct gn_store *store, const char *vm, enum gn_resource resource)
{
	size_t low = 0, high = store->n_series;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(vm, resource, &store->series[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct gn_store_series *find(struct gn_store *store, const char *vm,
                                    enum gn_resource resource)
{
	size_t i = place_of(store, vm, resource);

	if (i < store->n_series && compare(vm, resource, &store->series[i]) == 0)
		return &store->series[i];
	return NULL;
}

static struct gn_store_series *insert(struct gn_store *store, size_t at, const char *vm,
                                      enum gn_resource resource, int64_t id, uint64_t rolled_us)
{
	struct gn_store_series *grown =
	        realloc(store->series, (store->n_series + 1) * sizeof *grown);

	if (!grown)
		abort(); /* message.h: out of memory ends the process */
	store->series = grown;
	memmove(&grown[at + 1], &grown[at], (store->n_series - at) * sizeof *grown);
	store->n_series++;
	grown[at] = (struct gn_store_series){gn_message_string(vm), resource, id, rolled_us};
	return &grown[at];
}

static struct gn_store_series *find_or_add(struct gn_store *store, const char *vm,
                                           enum gn_resource resource)
{
	struct gn_store_series *series = find(store, vm, resource);
	struct gn_db_statement *s = store->sql.add_series;
	int64_t id;

	if (series)
		return series;
	if (gn_db_query(s, "ti", vm, (int64_t)resource) || gn_db_next(s) != 1) {
		gn_store_trouble(store);
		return NULL;
	}
	id = gn_db_int(s, 0);
	if (gn_db_next(s) < 0) {
		gn_store_trouble(store);
		return NULL;
	}
	return insert(store, place_of(store, vm, resource), vm, resource, id, 0);
}

int gn_store_load_series(struct gn_store *store)
{
	struct gn_db_statement *s = store->sql.each_series;
	int more;

	if (gn_db_query(s, ""))
		return -EIO;
	while ((more = gn_db_next(s)) == 1)
		insert(store, store->n_series, gn_db_text(s, 1), (enum gn_resource)gn_db_int(s, 2),
		       gn_db_int(s, 0), (uint64_t)gn_db_int(s, 3));
	if (store->n_series)
		qsort(store->series, store->n_series, sizeof *store->series, by_name);
	return more;
}

void gn_store_unload_series(struct gn_store *store)
{
	size_t i;

	for (i = 0; i < store->n_series; i++)
		free(store->series[i].vm);
	free(store->series);
	store->series = NULL;
	store->n_series = 0;
	store->next_series = 0;
}

/* ---- writing ----------------------------------------------------------------------- */

int gn_store_add(struct gn_store *store, const char *vm, enum gn_resource resource,
                 uint64_t wall_us, int64_t value, int64_t allocated, int64_t forecast_p95)
{
	struct gn_store_series *series;

	if (!gn_store_ready(store))
		return -EIO;
	series = find_or_add(store, vm, resource);
	if (!series)
		return -EIO;
	if (gn_db_run(store->sql.add_raw, "iiiii", series->id, (int64_t)wall_us, value, allocated,
	              forecast_p95))
		return gn_store_trouble(store);
	return 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int roll_one(struct gn_store *store, struct gn_store_series *series, uint64_t now_us)
{
	const struct gn_store_bounds *b = &store->bounds;
	uint64_t now = now_us / MINUTE_US * MINUTE_US;
	/* Five-minute points are made anew from where the last one began. */
	uint64_t from_five = series->rolled_us / FIVE_MINUTES_US * FIVE_MINUTES_US;

	if (now <= series->rolled_us)
		return 0;
	if (gn_db_run(store->sql.roll_minutes, "iii", series->id, (int64_t)series->rolled_us,
	              (int64_t)now) ||
	    gn_db_run(store->sql.roll_five_minutes, "iii", series->id, (int64_t)from_five,
	              (int64_t)now) ||
	    gn_db_run(store->sql.set_rolled, "ii", series->id, (int64_t)now) ||
	    gn_db_run(store->sql.prune_raw, "ii", series->id, (int64_t)less(now_us, b->raw_us)) ||
	    gn_db_run(store->sql.prune_minutes, "ii", series->id,
	              (int64_t)less(now_us, b->minute_us)) ||
	    gn_db_run(store->sql.prune_five_minutes, "ii", series->id,
	              (int64_t)less(now_us, b->five_minutes_us)))
		return gn_store_trouble(store);
	series->rolled_us = now;
	return 0;
}

void gn_store_roll_up(struct gn_store *store, uint64_t now_us)
{
	size_t n = store->n_series / TICKS_PER_ROUND + 1;

	if (!store->n_series || !gn_store_ready(store))
		return;
	while (n-- > 0) {
		if (store->next_series >= store->n_series)
			store->next_series = 0;
		if (roll_one(store, &store->series[store->next_series++], now_us))
			return;
	}
}

int gn_store_forget(struct gn_store *store, const char *vm)
{
	size_t i = place_of(store, vm, (enum gn_resource)0);

	if (!gn_store_ready(store))
		return -EIO;
	while (i < store->n_series && strcmp(store->series[i].vm, vm) == 0) {
		int64_t id = store->series[i].id;

		if (gn_db_run(store->sql.prune_raw, "ii", id, INT64_MAX) ||
		    gn_db_run(store->sql.prune_minutes, "ii", id, INT64_MAX) ||
		    gn_db_run(store->sql.prune_five_minutes, "ii", id, INT64_MAX) ||
		    gn_db_run(store->sql.drop_series, "i", id))
			return gn_store_trouble(store);
		free(store->series[i].vm);
		memmove(&store->series[i], &store->series[i + 1],
		        (--store->n_series - i) * sizeof *store->series);
	}
	return 0;
}

/* ---- reading ------------------------------------------------------------------------- */

/* Which table, and how wide a point: the finest that reaches back far enough and keeps to
 * 'max_points'. */
static struct gn_db_statement *choose(struct gn_store *store, uint64_t from_us, uint64_t to_us,
                                      uint64_t now_us, uint32_t max_points, uint64_t period_us,
                                      uint64_t *interval_us)
{
	uint64_t span = to_us - from_us, need = span / max_points + (span % max_points != 0);
	uint64_t age = less(now_us, from_us);

	if (age <= store->bounds.raw_us) {
		*interval_us = 0;
		if (span / period_us < max_points)
			return store->sql.read_raw;
		*interval_us = (need + period_us - 1) / period_us * period_us;
		return store->sql.read_raw_rolled;
	}
	if (age <= store->bounds.minute_us) {
		*interval_us = need <= MINUTE_US ? MINUTE_US
		                                 : (need + MINUTE_US - 1) / MINUTE_US * MINUTE_US;
		return store->sql.read_minutes;
	}
	*interval_us = need <= FIVE_MINUTES_US
	                       ? FIVE_MINUTES_US
	                       : (need + FIVE_MINUTES_US - 1) / FIVE_MINUTES_US * FIVE_MINUTES_US;
	return store->sql.read_five_minutes;
}

static int read_points(struct gn_db_statement *s, uint32_t max_points,
                       struct gn_store_point **points, size_t *n_points)
{
	/* One more: the first and last interval may both be cut. */
	struct gn_store_point *p = gn_message_alloc(((size_t)max_points + 1) * sizeof *p);
	size_t n = 0;
	int more = 0;

	while (n <= max_points && (more = gn_db_next(s)) == 1)
		p[n++] = (struct gn_store_point){
		        .wall_us = (uint64_t)gn_db_int(s, 0),
		        .mean = gn_db_int(s, 1),
		        .maximum = gn_db_int(s, 2),
		        .allocated = gn_db_int(s, 3),
		        .forecast_p95 = gn_db_int(s, 4),
		};
	gn_db_reset(s);
	if (more < 0) {
		free(p);
		return -EIO;
	}
	*points = p;
	*n_points = n;
	return 0;
}

int gn_store_history(struct gn_store *store, const char *vm, enum gn_resource resource,
                     uint64_t from_us, uint64_t to_us, uint64_t now_us, uint32_t max_points,
                     uint64_t period_us, struct gn_store_point **points, size_t *n_points,
                     uint64_t *interval_us)
{
	struct gn_store_series *series;
	struct gn_db_statement *s;
	bool grouped;

	if (!gn_store_ready(store))
		return -EIO;
	series = find(store, vm, resource);
	*interval_us = 0;
	if (!series || to_us <= from_us) {
		*points = NULL;
		*n_points = 0;
		return 0;
	}
	s = choose(store, from_us, to_us, now_us, max_points, period_us, interval_us);
	grouped = *interval_us != 0;
	if (gn_db_query(s, grouped ? "iiii" : "iii", series->id, (int64_t)from_us, (int64_t)to_us,
	                (int64_t)*interval_us) ||
	    read_points(s, max_points, points, n_points))
		return gn_store_trouble(store);
	return 0;
}
