/* history.c - ExportHistory: one page of a VM's history, all resources on one grid. */
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

#define MAX_ROWS        1000
#define MINUTE_US       ((uint64_t)60000000)
#define FIVE_MINUTES_US ((uint64_t)300000000)
#define N_VALUES        (GN_RESOURCE_END - 1)

struct page {
	uint64_t interval_us, from_us, to_us, now_us;
	uint32_t max_rows;
};

/* In steps of what the store keeps, which gets coarser with age (store.h). */
static uint64_t unit_of(const struct gn_config *config, uint64_t interval_us)
{
	if (interval_us >= FIVE_MINUTES_US)
		return FIVE_MINUTES_US;
	return interval_us >= MINUTE_US ? MINUTE_US : config->predict_period_ms * 1000ull;
}

/* How long intervals that fine are kept. */
static uint64_t kept_us(const struct gn_config *config, uint64_t interval_us)
{
	if (interval_us >= FIVE_MINUTES_US)
		return config->store.five_minutes_s * 1000000ull;
	return (interval_us >= MINUTE_US ? config->store.minute_s : config->store.raw_s) *
	       1000000ull;
}

static bool choose_page(const struct gn_config *config, struct gn_channel_call *call,
                        const Gnomon__V1__ExportHistoryRequest *r, struct page *page)
{
	uint64_t period_us = config->predict_period_ms * 1000ull, oldest_us, unit_us;

	*page = (struct page){
	        .interval_us = r->interval_us ? r->interval_us : period_us,
	        .now_us = gn_time_now().wall_us,
	        .max_rows = r->max_rows ? r->max_rows : MAX_ROWS,
	};
	unit_us = unit_of(config, page->interval_us);
	if (page->interval_us % period_us || page->interval_us % unit_us ||
	    page->interval_us > 86400000000ull || page->max_rows > MAX_ROWS) {
		gn_control_fail(
		        call, GN_INVALID_ARGUMENT,
		        "interval_us is %llu, max_rows %u; give a multiple of %llu of at most a "
		        "day, and at most %u rows",
		        (unsigned long long)page->interval_us, page->max_rows,
		        (unsigned long long)(page->interval_us % period_us ? period_us : unit_us),
		        MAX_ROWS);
		return false;
	}
	oldest_us = page->now_us - kept_us(config, page->interval_us);
	page->from_us = r->from_us > oldest_us ? r->from_us : oldest_us;
	/* Whole intervals only: the one that is under way comes with a later page. */
	page->to_us = page->now_us / page->interval_us * page->interval_us;
	page->from_us += page->interval_us - 1;
	page->from_us -= page->from_us % page->interval_us;
	return true;
}

static Gnomon__V1__HistoryTable__Row *row_at(uint64_t wall_us)
{
	Gnomon__V1__HistoryTable__Row *row =
	        GN_MESSAGE_NEW(Gnomon__V1__HistoryTable__Row, gnomon__v1__history_table__row__init);

	row->wall_us = wall_us;
	row->values = gn_message_alloc(N_VALUES * sizeof *row->values);
	row->n_values = N_VALUES;
	memset(row->values, 0xff, N_VALUES * sizeof *row->values); /* all -1: not seen */
	return row;
}

/* Both ascend in time; rows by interval from the page's begin, NULL: nothing seen. */
static void merge(Gnomon__V1__HistoryTable__Row **rows, const struct page *page, size_t n_rows,
                  enum gn_resource resource, const struct gn_store_point *points, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)((points[i].wall_us - page->from_us) / page->interval_us);

		if (points[i].wall_us < page->from_us || at >= n_rows)
			continue;
		if (!rows[at])
			rows[at] = row_at(page->from_us + at * page->interval_us);
		/* As the predictor takes them (brain/series.c). */
		rows[at]->values[resource - 1] =
		        resource == GN_RESOURCE_MEMORY ? points[i].maximum : points[i].mean;
	}
}

static int read_rows(struct gn_control *control, const struct gn_vm *vm, const struct page *page,
                     Gnomon__V1__HistoryTable__Row **rows, size_t n_rows)
{
	uint64_t end_us = page->from_us + n_rows * page->interval_us;

	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		struct gn_store_point *points = NULL;
		uint64_t interval_us;
		size_t n = 0;
		int error = gn_store_history(control->p.brain->store, vm->name, (enum gn_resource)i,
		                             page->from_us, end_us, page->now_us, (uint32_t)n_rows,
		                             control->config->period_ms * 1000ull, &points, &n,
		                             &interval_us);

		if (error)
			return error;
		merge(rows, page, n_rows, (enum gn_resource)i, points, n);
		free(points);
	}
	return 0;
}

void gn_control_export_history(void *context, struct gn_channel_call *call,
                               const ProtobufCMessage *message)
{
	const Gnomon__V1__ExportHistoryRequest *r =
	        (const Gnomon__V1__ExportHistoryRequest *)message;
	struct gn_control *control = context;
	struct gn_vm *vm = gn_control_vm(control, call, r->vm, "");
	Gnomon__V1__HistoryTable__Row *rows[MAX_ROWS] = {NULL};
	Gnomon__V1__HistoryTable *table;
	struct page page;
	uint64_t n_left;
	size_t n, i;
	int error = 0;

	if (!vm || !choose_page(control->config, call, r, &page))
		return;
	n_left = page.to_us > page.from_us ? (page.to_us - page.from_us) / page.interval_us : 0;
	n = n_left < page.max_rows ? (size_t)n_left : page.max_rows;
	if (n)
		error = read_rows(control, vm, &page, rows, n);
	table = GN_MESSAGE_NEW(Gnomon__V1__HistoryTable, gnomon__v1__history_table__init);
	table->interval_us = page.interval_us;
	for (i = 0; i < n; i++)
		if (rows[i])
			GN_MESSAGE_APPEND(table->rows, table->n_rows, rows[i]);
	if (n_left > n)
		table->next_us = page.from_us + n * page.interval_us;
	if (!error) {
		gn_control_reply(call, &table->base);
		return;
	}
	GN_MESSAGE_FREE(table);
	gn_control_fail(call, GN_UNAVAILABLE, "no history now: %s",
	                gn_store_error(control->p.brain->store));
}
