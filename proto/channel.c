/* channel.c - what servers, clients and events share: see channel_internal.h. The rest of
 * channel.h is in channel_server.c, channel_client.c, channel_events.c and
 * channel_endpoint.c. */
#include "proto/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/channel_internal.h"
#include "proto/envelope.h"
#include "proto/tlsfiles.h"

/* ---- inbox ------------------------------------------------------------------------ */

int gn_inbox_init(struct gn_inbox *inbox)
{
	atomic_init(&inbox->top, NULL);
	inbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return inbox->fd < 0 ? -errno : 0;
}

void gn_inbox_push(struct gn_inbox *inbox, struct gn_inbox_item *item)
{
	struct gn_inbox_item *top = atomic_load(&inbox->top);

	do
		item->next = top;
	while (!atomic_compare_exchange_weak(&inbox->top, &top, item));
	/* 'item' may be gone already. Only the push that ends emptiness has to wake. */
	if (!top)
		eventfd_write(inbox->fd, 1);
}

struct gn_inbox_item *gn_inbox_take(struct gn_inbox *inbox)
{
	struct gn_inbox_item *item, *next, *oldest = NULL;
	eventfd_t ignored;

	/* In this order: a push after the read signals again. */
	eventfd_read(inbox->fd, &ignored);
	for (item = atomic_exchange(&inbox->top, NULL); item; item = next) {
		next = item->next;
		item->next = oldest;
		oldest = item;
	}
	return oldest;
}

void gn_inbox_fini(struct gn_inbox *inbox)
{
	if (inbox->fd >= 0)
		close(inbox->fd);
	inbox->fd = -1;
}

/* ---- errors ----------------------------------------------------------------------- */

enum gn_code gn_channel_code(int error)
{
	if (error & NNG_ESYSERR)
		return gn_code_from_errno(error & ~NNG_ESYSERR);
	switch (error) {
	case NNG_ENOMEM:
	case NNG_ENOFILES:
	case NNG_ENOSPC:
		return GN_RESOURCE_EXHAUSTED;
	case NNG_EADDRINUSE:
	case NNG_EEXIST:
		return GN_ALREADY_EXISTS;
	case NNG_EPERM:
		return GN_PERMISSION_DENIED;
	case NNG_ECRYPTO:
	case NNG_EPEERAUTH:
		return GN_UNAUTHENTICATED;
	case NNG_ETIMEDOUT:
		return GN_DEADLINE_EXCEEDED;
	case NNG_ECANCELED:
		return GN_CANCELLED;
	case NNG_EADDRINVAL:
	case NNG_EINVAL:
		return GN_INVALID_ARGUMENT;
	case NNG_ENOTSUP:
		return GN_UNIMPLEMENTED;
	default:
		return GN_UNAVAILABLE;
	}
}

int gn_channel_fail_nng(struct gn_status *status, const char *what, int error)
{
	return gn_status_set(status, gn_channel_code(error), "%s: %s", what, nng_strerror(error));
}

/* ---- addresses -------------------------------------------------------------------- */

bool gn_channel_is_ipc(const char *url)
{
	return !strncmp(url, GN_CHANNEL_IPC, strlen(GN_CHANNEL_IPC));
}

static int check_ipc(const char *url, const struct gn_channel_tls *tls, struct gn_status *status)
{
	const char *path = url + strlen(GN_CHANNEL_IPC);
	size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

	if (path[0] != '/')
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s': give an absolute path, as in ipc:///run/gnomon/x.ipc",
		                     url);
	if (strlen(path) > max)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s': the path has %zu bytes and a socket's may have %zu: use a "
		        "shorter directory",
		        url, strlen(path), max);
	if (tls)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s': TLS files do not apply to ipc: leave them out", url);
	return 0;
}

int gn_channel_check_url(const char *url, const struct gn_channel_tls *tls,
                         struct gn_status *status)
{
	if (strlen(url) > GN_CHANNEL_URL_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "an address of %zu bytes is too long: use at most %u",
		                     strlen(url), GN_CHANNEL_URL_MAX);
	if (gn_channel_is_ipc(url))
		return check_ipc(url, tls, status);
	if (strncmp(url, GN_CHANNEL_TLS, strlen(GN_CHANNEL_TLS)))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' is not an address here: use ipc:///path or "
		                     "tls+tcp://host:port",
		                     url);
	if (!tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s' needs TLS files: a root certificate, a certificate and its "
		        "key",
		        url);
	return 0;
}

/* ---- TLS -------------------------------------------------------------------------- */

int gn_channel_server_name(const char *url, const char *peer_name, char *out, size_t room)
{
	nng_url *parsed = NULL;
	int rc = peer_name && *peer_name ? 0 : nng_url_parse(&parsed, url);

	if (rc)
		return rc;
	if (snprintf(out, room, "%s", parsed ? parsed->u_hostname : peer_name) >= (int)room)
		rc = NNG_EINVAL;
	if (parsed)
		nng_url_free(parsed);
	return rc;
}

static int fill_tls_config(nng_tls_config *config, nng_tls_mode mode, const char *url,
                           const struct gn_channel_tls *tls, const struct gn_tlsfiles *files)
{
	char name[GN_ENVELOPE_TARGET_MAX + 1];
	int rc = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3);

	if (!rc)
		rc = nng_tls_config_ca_chain(config, files->ca, NULL);
	if (!rc)
		rc = nng_tls_config_own_cert(config, files->cert, files->key, NULL);
	if (!rc)
		rc = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
	if (!rc && mode == NNG_TLS_MODE_CLIENT)
		rc = gn_channel_server_name(url, tls->peer_name, name, sizeof name);
	if (!rc && mode == NNG_TLS_MODE_CLIENT)
		rc = nng_tls_config_server_name(config, name);
	return rc;
}

int gn_channel_tls_config(nng_tls_mode mode, const char *url, const struct gn_channel_tls *tls,
                          nng_tls_config **out, struct gn_status *status)
{
	struct gn_tlsfiles files;
	nng_tls_config *config;
	int rc = gn_tlsfiles_load(tls, &files, status);

	if (rc)
		return rc;
	rc = nng_tls_config_alloc(&config, mode);
	if (!rc) {
		rc = fill_tls_config(config, mode, url, tls, &files);
		if (rc)
			nng_tls_config_free(config);
	}
	gn_tlsfiles_fini(&files);
	if (rc)
		return gn_channel_fail_nng(status, "the TLS files cannot be used", rc);
	*out = config;
	return 0;
}
