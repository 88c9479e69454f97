/* assets.c - see assets.h. */
#include "firmware/console/assets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/console/crypto.h"
#include "firmware/message/message.h"

/* Nothing from elsewhere, nothing inline, no frames around the page. */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "              \
	"form-action 'none'; frame-ancestors 'none'"

struct asset {
	char *name;
	void *data;
	size_t size;
	char etag[20];
};

struct gn_assets {
	struct asset all[GN_ASSETS_MAX];
	size_t n, bytes;
};

static const struct {
	const char *suffix, *type;
} types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".png", "image/png"},
};

static const char *type_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
		if (!strcmp(dot, types[i].suffix))
			return types[i].type;
	return "application/octet-stream";
}

static void set_etag(struct asset *asset)
{
	uint8_t digest[32];

	gn_crypto_sha256(asset->data, asset->size, digest);
	snprintf(asset->etag, sizeof asset->etag, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", digest[0],
	         digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]);
}

/* Adds the open file 'fd' unless it is no regular one. */
static int add(struct gn_assets *assets, int fd, const char *name, struct gn_status *status)
{
	struct asset *asset = &assets->all[assets->n];
	struct stat stat;

	if (fstat(fd, &stat) || !S_ISREG(stat.st_mode))
		return 0;
	if (assets->n == GN_ASSETS_MAX || (size_t)stat.st_size > GN_ASSETS_BYTES - assets->bytes)
		return gn_status_set(
		        status, GN_RESOURCE_EXHAUSTED,
		        "web_dir holds more than %u files or %u MiB: it is to hold the "
		        "console's page alone",
		        GN_ASSETS_MAX, GN_ASSETS_BYTES >> 20);
	asset->data = gn_message_alloc((size_t)stat.st_size + 1);
	if (read(fd, asset->data, (size_t)stat.st_size) != stat.st_size) {
		free(asset->data);
		return gn_status_set(status, GN_INTERNAL, "'%s' in web_dir cannot be read", name);
	}
	asset->name = gn_message_string(name);
	asset->size = (size_t)stat.st_size;
	set_etag(asset);
	assets->n++;
	assets->bytes += asset->size;
	return 0;
}

static int add_all(struct gn_assets *assets, DIR *directory, struct gn_status *status)
{
	struct dirent *entry;
	int error = 0;

	while (!error && (entry = readdir(directory))) {
		int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0)
			continue;
		error = add(assets, fd, entry->d_name, status);
		close(fd);
	}
	return error;
}

int gn_assets_load(const char *path, struct gn_assets **out, struct gn_status *status)
{
	struct gn_assets *assets = gn_message_alloc(sizeof *assets);
	DIR *directory = opendir(path);
	int error = 0;

	if (directory)
		error = add_all(assets, directory, status);
	else if (errno != ENOENT)
		error = gn_status_set(status, gn_code_from_errno(errno),
		                      "web_dir '%s' cannot be read: %s", path, strerror(errno));
	if (directory)
		closedir(directory);
	if (error)
		gn_assets_free(assets);
	else
		*out = assets;
	return error;
}

void gn_assets_free(struct gn_assets *assets)
{
	if (!assets)
		return;
	for (size_t i = 0; i < assets->n; i++) {
		free(assets->all[i].name);
		free(assets->all[i].data);
	}
	free(assets);
}

static const struct asset *find(const struct gn_assets *assets, const char *uri)
{
	size_t length = strcspn(uri, "?");
	const char *name = length == 1 ? "index.html" : uri + 1;

	if (length > 1)
		length--;
	else
		length = strlen(name);
	for (size_t i = 0; i < assets->n; i++)
		if (strlen(assets->all[i].name) == length &&
		    !memcmp(assets->all[i].name, name, length))
			return &assets->all[i];
	return NULL;
}

void gn_assets_handle(const struct gn_assets *assets, struct gn_http_exchange *exchange)
{
	static const char missing[] = "there is no such page; the console is at /\n";
	const struct asset *asset = find(assets, gn_http_uri(exchange));
	const char *known = gn_http_header(exchange, "If-None-Match");

	gn_http_set_header(exchange, "X-Content-Type-Options", "nosniff");
	if (!asset) {
		gn_http_answer(exchange, 404, "text/plain; charset=utf-8", missing,
		               sizeof missing - 1);
		return;
	}
	gn_http_set_header(exchange, "Content-Security-Policy", POLICY);
	gn_http_set_header(exchange, "Referrer-Policy", "no-referrer");
	gn_http_set_header(exchange, "Cross-Origin-Opener-Policy", "same-origin");
	gn_http_set_header(exchange, "Cache-Control", "no-cache");
	gn_http_set_header(exchange, "ETag", asset->etag);
	if (known && !strcmp(known, asset->etag))
		gn_http_answer(exchange, 304, NULL, NULL, 0);
	else
		gn_http_answer(exchange, 200, type_of(asset->name), asset->data, asset->size);
}
