/* board.c - see board.h. */
#include "firmware/alert/board.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include "firmware/message/message.h"

#define REFRESH_US ((uint64_t)10000000) /* how old a raised alert's text may be */

struct entry {
	struct gn_alert alert;
	Gnomon__V1__Alert *message;
};

struct gn_alerts {
	struct gn_brain *brain;
	struct gn_hooks *hooks;
	struct entry **entries; /* by resource, subject, kind */
	size_t n;
};

/* ---- finding --------------------------------------------------------------------------- */

static int compare(const Gnomon__V1__Alert *m, Gnomon__V1__Alert__Kind kind, const char *resource,
                   const char *subject)
{
	int order = strcmp(resource, m->resource);

	if (!order)
		order = strcmp(subject, m->subject);
	return order ? order : (int)kind - (int)m->kind;
}

static size_t place_of(const struct gn_alerts *alerts, Gnomon__V1__Alert__Kind kind,
                       const char *resource, const char *subject)
{
	size_t low = 0, high = alerts->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(alerts->entries[middle]->message, kind, resource, subject) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct entry *find(const struct gn_alerts *alerts, Gnomon__V1__Alert__Kind kind,
                          const char *resource, const char *subject)
{
	size_t at = place_of(alerts, kind, resource, subject);

	if (at < alerts->n && !compare(alerts->entries[at]->message, kind, resource, subject))
		return alerts->entries[at];
	return NULL;
}

static struct entry *insert(struct gn_alerts *alerts, Gnomon__V1__Alert *message)
{
	size_t at = place_of(alerts, message->kind, message->resource, message->subject);
	struct entry *entry = gn_message_alloc(sizeof *entry);

	entry->message = message;
	alerts->entries = realloc(alerts->entries, (alerts->n + 1) * sizeof(struct entry *));
	if (!alerts->entries)
		abort(); /* message.h: out of memory ends the process */
	memmove(&alerts->entries[at + 1], &alerts->entries[at],
	        (alerts->n - at) * sizeof(struct entry *));
	alerts->entries[at] = entry;
	alerts->n++;
	return entry;
}

static void remove_at(struct gn_alerts *alerts, size_t at)
{
	GN_MESSAGE_FREE(alerts->entries[at]->message);
	free(alerts->entries[at]);
	memmove(&alerts->entries[at], &alerts->entries[at + 1],
	        (--alerts->n - at) * sizeof(struct entry *));
}

bool gn_alerts_is_raised(const struct gn_alerts *alerts, Gnomon__V1__Alert__Kind kind,
                         const char *resource, const char *subject)
{
	const struct entry *entry = find(alerts, kind, resource, subject);

	return entry && entry->alert.state != GN_ALERT_QUIET;
}

/* ---- the store --------------------------------------------------------------------------- */

/* Alerts that never were raised are not kept. */
static void save(struct gn_alerts *alerts, const struct entry *entry)
{
	size_t size;
	void *bytes;

	if (!entry->message->name[0])
		return;
	bytes = gn_message_pack(&entry->message->base, &size);
	gn_store_put(alerts->brain->store, "alert", entry->message->name, bytes, size);
	free(bytes);
}

void gn_alerts_save_all(struct gn_alerts *alerts)
{
	for (size_t i = 0; i < alerts->n; i++)
		save(alerts, alerts->entries[i]);
}

static enum gn_alert_state state_of(Gnomon__V1__Alert__State state)
{
	if (state == GNOMON__V1__ALERT__STATE__RAISED)
		return GN_ALERT_RAISED;
	return state == GNOMON__V1__ALERT__STATE__ACKNOWLEDGED ? GN_ALERT_ACKNOWLEDGED
	                                                       : GN_ALERT_QUIET;
}

static void load(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_alerts *alerts = context;
	Gnomon__V1__Alert *m =
	        (Gnomon__V1__Alert *)gn_message_parse(&gnomon__v1__alert__descriptor, bytes, size);

	if (!m || find(alerts, m->kind, m->resource, m->subject)) {
		GN_MESSAGE_FREE(m);
		return;
	}
	insert(alerts, m)->alert = (struct gn_alert){
	        .state = state_of(m->state),
	        .cleared_us = m->cleared_us,
	        .n_raised = m->times,
	        .n_returns = m->returns,
	};
}

struct gn_alerts *gn_alerts_create(struct gn_brain *brain, struct gn_hooks *hooks)
{
	struct gn_alerts *alerts = gn_message_alloc(sizeof *alerts);

	alerts->brain = brain;
	alerts->hooks = hooks;
	gn_store_each(brain->store, "alert", load, alerts);
	return alerts;
}

void gn_alerts_destroy(struct gn_alerts *alerts)
{
	if (!alerts)
		return;
	while (alerts->n)
		remove_at(alerts, alerts->n - 1);
	free(alerts->entries);
	free(alerts);
}

/* Drops the cleared alert that is oldest, above the bound. */
static void prune(struct gn_alerts *alerts)
{
	size_t n = 0, oldest = 0;

	for (size_t i = 0; i < alerts->n; i++) {
		const struct entry *e = alerts->entries[i];

		if (e->alert.state != GN_ALERT_QUIET || !e->message->name[0])
			continue;
		if (n++ == 0 ||
		    e->message->cleared_us < alerts->entries[oldest]->message->cleared_us)
			oldest = i;
	}
	if (n <= GN_ALERTS_CLEARED)
		return;
	gn_store_delete(alerts->brain->store, "alert", alerts->entries[oldest]->message->name);
	remove_at(alerts, oldest);
}

/* ---- changes ------------------------------------------------------------------------------ */

static void tell(struct gn_alerts *alerts, const struct entry *entry, const char *event,
                 const char *what, struct gn_time now)
{
	const Gnomon__V1__Alert *m = entry->message;

	save(alerts, entry);
	gn_brain_tell(alerts->brain, event, m->resource, "%s: %s", m->name, m->text);
	if (alerts->hooks)
		gn_hooks_tell(alerts->hooks, what, m, now.monotonic_us);
}

static void write_report(Gnomon__V1__Alert *m, const struct gn_alert_report *report,
                         struct gn_time now)
{
	if (report->text)
		gn_message_set(&m->text, "%s", report->text);
	m->expected_us = report->expected_us;
	m->missing = report->missing;
	m->probability_milli = (uint32_t)((report->level_q16 * 1000ull + 32768) >> 16);
	m->updated_us = now.wall_us;
}

static void raise(struct gn_alerts *alerts, struct entry *entry, struct gn_time now)
{
	Gnomon__V1__Alert *m = entry->message;

	if (!m->name[0])
		gn_message_set(&m->name, "alerts/%llu",
		               (unsigned long long)gn_store_next(alerts->brain->store, "alert"));
	m->state = GNOMON__V1__ALERT__STATE__RAISED;
	m->raised_us = now.wall_us;
	m->acknowledged_us = m->cleared_us = 0;
	m->times = entry->alert.n_raised;
	m->returns = entry->alert.n_returns;
	tell(alerts, entry, "alert.raised", "raised", now);
}

static void clear(struct gn_alerts *alerts, struct entry *entry, struct gn_time now)
{
	entry->message->state = GNOMON__V1__ALERT__STATE__CLEARED;
	entry->message->cleared_us = entry->message->updated_us = now.wall_us;
	tell(alerts, entry, "alert.cleared", "cleared", now);
	prune(alerts);
}

void gn_alerts_report(struct gn_alerts *alerts, const struct gn_alert_report *report,
                      const struct gn_alert_rules *rules, struct gn_time now)
{
	struct entry *entry = find(alerts, report->kind, report->resource, report->subject);
	bool is_raised;

	if (!entry) {
		Gnomon__V1__Alert *m;

		if (report->level_q16 < rules->raise_q16)
			return;
		m = GN_MESSAGE_NEW(Gnomon__V1__Alert, gnomon__v1__alert__init);
		m->kind = report->kind;
		gn_message_set(&m->resource, "%s", report->resource);
		gn_message_set(&m->subject, "%s", report->subject);
		entry = insert(alerts, m);
	}
	is_raised = entry->alert.state != GN_ALERT_QUIET;
	/* While it fades its text stays that of the cause. */
	if (report->level_q16 >= rules->clear_q16 &&
	    (!is_raised || now.wall_us - entry->message->updated_us >= REFRESH_US))
		write_report(entry->message, report, now);
	switch (gn_alert_step(&entry->alert, rules, report->level_q16, now.wall_us)) {
	case GN_ALERT_RAISE:
		raise(alerts, entry, now);
		break;
	case GN_ALERT_CLEAR:
		clear(alerts, entry, now);
		break;
	case GN_ALERT_NOTHING:
		break;
	}
}

void gn_alerts_end(struct gn_alerts *alerts, const char *resource, struct gn_time now)
{
	for (size_t i = 0; i < alerts->n; i++) {
		struct entry *entry = alerts->entries[i];

		if (strcmp(entry->message->resource, resource) != 0)
			continue;
		if (!entry->message->name[0]) { /* never raised */
			remove_at(alerts, i--);
		} else if (gn_alert_end(&entry->alert, now.wall_us) == GN_ALERT_CLEAR) {
			clear(alerts, entry, now);
			i = (size_t)-1; /* one may have been dropped: from the begin */
		}
	}
}

/* The resource of an alert whose VM is gone; NULL: there is none. */
static bool is_gone(struct gn_brain *brain, const char *resource)
{
	if (!strncmp(resource, "drives/", 7))
		return !gn_drives_find(brain, resource);
	return gn_name_is_vm(resource) && !gn_brain_vm(brain, resource);
}

static const char *gone(const struct gn_alerts *alerts)
{
	for (size_t i = 0; i < alerts->n; i++) {
		const struct entry *e = alerts->entries[i];

		if (e->alert.state != GN_ALERT_QUIET &&
		    is_gone(alerts->brain, e->message->resource))
			return e->message->resource;
	}
	return NULL;
}

void gn_alerts_end_gone(struct gn_alerts *alerts, struct gn_time now)
{
	const char *resource;
	char name[GN_NAME_SIZE];

	/* Ending makes an alert quiet or removes it, so this ends. */
	while ((resource = gone(alerts))) {
		snprintf(name, sizeof name, "%s", resource);
		gn_alerts_end(alerts, name, now);
	}
}

const Gnomon__V1__Alert *gn_alerts_acknowledge(struct gn_alerts *alerts, const char *name,
                                               struct gn_time now, struct gn_status *status)
{
	struct entry *entry = NULL;

	for (size_t i = 0; i < alerts->n && !entry; i++)
		if (name[0] && strcmp(alerts->entries[i]->message->name, name) == 0)
			entry = alerts->entries[i];
	if (!entry) {
		gn_status_set(status, GN_NOT_FOUND,
		              "there is no alert '%.80s'; see 'gnomonctl alert list'", name);
		return NULL;
	}
	if (!gn_alert_acknowledge(&entry->alert)) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s is %s; only a raised alert is acknowledged", name,
		              entry->alert.state == GN_ALERT_QUIET ? "over"
		                                                   : "acknowledged already");
		return NULL;
	}
	entry->message->state = GNOMON__V1__ALERT__STATE__ACKNOWLEDGED;
	entry->message->acknowledged_us = now.wall_us;
	tell(alerts, entry, "alert.acknowledged", "acknowledged", now);
	return entry->message;
}

static int newest_first(const void *a, const void *b)
{
	const Gnomon__V1__Alert *const *x = a, *const *y = b;

	return ((*x)->raised_us < (*y)->raised_us) - ((*x)->raised_us > (*y)->raised_us);
}

Gnomon__V1__AlertList *gn_alerts_list(const struct gn_alerts *alerts, const char *resource,
                                      bool with_cleared)
{
	Gnomon__V1__AlertList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__AlertList, gnomon__v1__alert_list__init);

	for (size_t i = 0; i < alerts->n; i++) {
		const Gnomon__V1__Alert *m = alerts->entries[i]->message;

		if (!m->name[0] || (resource[0] && strcmp(resource, m->resource)) ||
		    (!with_cleared && m->state == GNOMON__V1__ALERT__STATE__CLEARED))
			continue;
		GN_MESSAGE_APPEND(list->alerts, list->n_alerts,
		                  GN_MESSAGE_COPY(Gnomon__V1__Alert, m));
	}
	if (list->n_alerts)
		qsort(list->alerts, list->n_alerts, sizeof *list->alerts, newest_first);
	return list;
}
