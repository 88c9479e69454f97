/* assets.h - the console's page: files read into memory at start, since the process gives up the
 * file system afterwards. Read-only then; any thread. */
#ifndef GN_CONSOLE_ASSETS_H
#define GN_CONSOLE_ASSETS_H

#include "firmware/console/http.h"

#define GN_ASSETS_MAX   64
#define GN_ASSETS_BYTES (4u << 20) /* all together */

struct gn_assets;

/* Reads the regular files of 'directory', not below. A missing directory is an empty one. */
int gn_assets_load(const char *directory, struct gn_assets **out, struct gn_status *status);
void gn_assets_free(struct gn_assets *assets);

/* Answers "/" with index.html, "/x" with file x; 404 for others. Sends the page's security
 * headers, and 304 to who has the file already. */
void gn_assets_handle(const struct gn_assets *assets, struct gn_http_exchange *exchange);

#endif
