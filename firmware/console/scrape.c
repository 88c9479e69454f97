/* scrape.c - see scrape.h. A round: the four lists at once, then a forecast for every VM of the
 * list, then the page. */
#include "firmware/console/scrape.h"

#include <stdlib.h>
#include <string.h>

#include "firmware/console/metrics.h"
#include "firmware/core/clock.h"
#include "firmware/message/message.h"

#define FRESH_US      1000000u
#define TIMEOUT_US    5000000u
#define MAX_FORECASTS 32 /* calls at once */
#define MAX_WAITING   64 /* exchanges */

enum list { STATUS, VMS, SHADOWS, MIRRORS, N_LISTS };

static const char *const methods[N_LISTS] = {"GetStatus", "ListVms", "ListShadows", "ListMirrors"};

struct gn_scrape {
	struct gn_peer *peer;
	unsigned n_calls; /* of this round, that have not ended; 0: no round */
	ProtobufCMessage *lists[N_LISTS];
	Gnomon__V1__ForecastSet **forecasts;
	size_t n_forecasts, next_vm;
	char *page;
	size_t page_size;
	uint64_t page_us; /* monotonic */
	struct gn_http_exchange *waiting[MAX_WAITING];
	size_t n_waiting;
};

/* A call's context: where its reply goes. */
struct call {
	struct gn_scrape *scrape;
	enum list list; /* N_LISTS: a forecast */
};

struct gn_scrape *gn_scrape_create(struct gn_peer *peer)
{
	struct gn_scrape *scrape = calloc(1, sizeof *scrape);

	if (scrape)
		scrape->peer = peer;
	return scrape;
}

static void drop_round(struct gn_scrape *scrape)
{
	for (int i = 0; i < N_LISTS; i++) {
		protobuf_c_message_free_unpacked(scrape->lists[i], NULL);
		scrape->lists[i] = NULL;
	}
	for (size_t i = 0; i < scrape->n_forecasts; i++)
		gn_message_free(&scrape->forecasts[i]->base);
	free(scrape->forecasts);
	scrape->forecasts = NULL;
	scrape->n_forecasts = scrape->next_vm = 0;
}

void gn_scrape_destroy(struct gn_scrape *scrape)
{
	if (!scrape)
		return;
	drop_round(scrape);
	free(scrape->page);
	free(scrape);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void answer(const struct gn_scrape *scrape, struct gn_http_exchange *exchange)
{
	gn_http_set_header(exchange, "Cache-Control", "no-store");
	gn_http_set_header(exchange, "X-Content-Type-Options", "nosniff");
	if (scrape->page)
		gn_http_answer(exchange, 200, GN_METRICS_TYPE, scrape->page, scrape->page_size);
	else
		gn_http_answer(exchange, 503, NULL, NULL, 0);
}

static void finish_round(struct gn_scrape *scrape)
{
	struct gn_metrics metrics = {
	        .status = (const Gnomon__V1__CardStatus *)scrape->lists[STATUS],
	        .vms = (const Gnomon__V1__VmList *)scrape->lists[VMS],
	        .shadows = (const Gnomon__V1__ShadowList *)scrape->lists[SHADOWS],
	        .mirrors = (const Gnomon__V1__MirrorList *)scrape->lists[MIRRORS],
	        .forecasts = (const Gnomon__V1__ForecastSet *const *)scrape->forecasts,
	        .n_forecasts = scrape->n_forecasts,
	};
	FILE *out;

	free(scrape->page);
	scrape->page = NULL;
	out = open_memstream(&scrape->page, &scrape->page_size);
	if (out) {
		gn_metrics_print(&metrics, out);
		fclose(out);
	}
	scrape->page_us = gn_clock_monotonic_us();
	drop_round(scrape);
	for (size_t i = 0; i < scrape->n_waiting; i++)
		answer(scrape, scrape->waiting[i]);
	scrape->n_waiting = 0;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void on_reply(void *context, const struct gn_status *status, const ProtobufCMessage *reply);

static void call(struct gn_scrape *scrape, enum list list, const char *method,
                 const ProtobufCMessage *request)
{
	struct call *c = malloc(sizeof *c);

	if (!c)
		return;
	*c = (struct call){scrape, list};
	scrape->n_calls++;
	gn_peer_call(scrape->peer, method, request, TIMEOUT_US, on_reply, c);
}

static void call_forecasts(struct gn_scrape *scrape)
{
	const Gnomon__V1__VmList *vms = (const Gnomon__V1__VmList *)scrape->lists[VMS];

	if (!vms || !scrape->forecasts)
		return;
	while (scrape->next_vm < vms->n_vms && scrape->n_calls < MAX_FORECASTS) {
		Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;

		request.name = vms->vms[scrape->next_vm++]->name;
		call(scrape, N_LISTS, "GetForecast", &request.base);
	}
}

static void take_reply(struct gn_scrape *scrape, enum list list, const ProtobufCMessage *reply)
{
	ProtobufCMessage *copy = gn_message_copy(reply);

	if (!copy)
		return;
	if (list == N_LISTS) {
		scrape->forecasts[scrape->n_forecasts++] = (Gnomon__V1__ForecastSet *)copy;
		return;
	}
	scrape->lists[list] = copy;
	if (list == VMS)
		scrape->forecasts =
		        calloc(((Gnomon__V1__VmList *)copy)->n_vms + 1, sizeof *scrape->forecasts);
}

static void on_reply(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct call *c = context;
	struct gn_scrape *scrape = c->scrape;

	if (reply)
		take_reply(scrape, c->list, reply);
	free(c);
	scrape->n_calls--;
	if (status->code != GN_CANCELLED)
		call_forecasts(scrape);
	if (!scrape->n_calls)
		finish_round(scrape);
}

static void begin_round(struct gn_scrape *scrape)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	for (enum list list = STATUS; list < N_LISTS; list++)
		call(scrape, list, methods[list], &empty.base);
	if (!scrape->n_calls)
		finish_round(scrape);
}

void gn_scrape_handle(struct gn_scrape *scrape, struct gn_http_exchange *exchange)
{
	if (scrape->page && gn_clock_monotonic_us() - scrape->page_us < FRESH_US) {
		answer(scrape, exchange);
		return;
	}
	if (scrape->n_waiting == MAX_WAITING) {
		gn_http_answer(exchange, 503, NULL, NULL, 0);
		return;
	}
	scrape->waiting[scrape->n_waiting++] = exchange;
	if (!scrape->n_calls)
		begin_round(scrape);
}
