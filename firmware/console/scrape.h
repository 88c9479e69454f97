/* scrape.h - /metrics: asks gnomond for what metrics.h prints, and answers.
 *
 * One round of calls serves every scrape that comes meanwhile or within a second, so that
 * many scrapers cost no more than one. Forecasts are asked for per VM, some at a time. What
 * does not answer in time is left out, and gnomon_up says so. One thread: the peer's. */
#ifndef GN_CONSOLE_SCRAPE_H
#define GN_CONSOLE_SCRAPE_H

#include "firmware/console/http.h"
#include "firmware/peer/peer.h"

struct gn_scrape;

/* 'peer' is gnomond; borrowed. NULL: no memory. */
struct gn_scrape *gn_scrape_create(struct gn_peer *peer);
/* After the peer: its calls have ended then. NULL is fine. */
void gn_scrape_destroy(struct gn_scrape *scrape);

/* Answers the exchange, at once or later. */
void gn_scrape_handle(struct gn_scrape *scrape, struct gn_http_exchange *exchange);

#endif
