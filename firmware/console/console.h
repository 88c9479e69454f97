/* console.h - gnomon-console: the pieces put together, and which of them a request is for.
 *
 * | path                  | is                                     | who may            |
 * |-----------------------|----------------------------------------|--------------------|
 * | /api/v1/session       | login.h                                | anyone             |
 * | /api/v1/openapi.json  | the API's description                  | anyone             |
 * | /api/v1/events        | events.h                               | who is logged in   |
 * | /api/v1/...           | api.h                                  | by the route's role|
 * | /metrics              | scrape.h                               | who is logged in, or has the
 * metrics token | | others                | assets.h: the page                     | anyone |
 *
 * One thread: the loop's. */
#ifndef GN_CONSOLE_CONSOLE_H
#define GN_CONSOLE_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/confine/confine.h"
#include "firmware/console/config.h"
#include "firmware/loop/loop.h"

struct gn_console;

/* Opens everything that needs the file system or a port, becoming 'user' (NULL: nobody else) on the
 * way, and watches it with 'loop', which is borrowed and must end later. */
int gn_console_create(const struct gn_console_config *config, const struct gn_confine_user *user,
                      struct gn_loop *loop, struct gn_console **out, struct gn_status *status);
/* Before the loop. NULL is fine. */
void gn_console_destroy(struct gn_console *console);

uint16_t gn_console_port(const struct gn_console *console);
/* No account exists: somebody has to make the first. */
bool gn_console_is_fresh(const struct gn_console *console);

#endif
