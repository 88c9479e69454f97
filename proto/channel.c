/* channel.c - what servers, clients and events share: see channel_internal.h. The rest of
 * channel.h is in channel_server.c, channel_client.c and channel_events.c. */
#include "proto/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "firmware/core/clock.h"
#include "proto/channel_internal.h"
#include "proto/tlsfiles.h"

#define IPC_SCHEME "ipc://"
#define TLS_SCHEME "tls+tcp://"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 1000

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

static enum gn_code code_from_nng(int error)
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
	return gn_status_set(status, code_from_nng(error), "%s: %s", what, nng_strerror(error));
}

/* ---- addresses -------------------------------------------------------------------- */

bool gn_channel_is_ipc(const char *url)
{
	return !strncmp(url, IPC_SCHEME, strlen(IPC_SCHEME));
}

static int check_ipc(const char *url, const struct gn_channel_tls *tls, struct gn_status *status)
{
	const char *path = url + strlen(IPC_SCHEME);
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
	if (strncmp(url, TLS_SCHEME, strlen(TLS_SCHEME)))
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

/* The name that the server's certificate must carry: as configured, else the host dialled. */
static int set_server_name(nng_tls_config *config, const char *url, const char *peer_name)
{
	nng_url *parsed;
	int rc;

	if (peer_name && *peer_name)
		return nng_tls_config_server_name(config, peer_name);
	rc = nng_url_parse(&parsed, url);
	if (rc)
		return rc;
	rc = nng_tls_config_server_name(config, parsed->u_hostname);
	nng_url_free(parsed);
	return rc;
}

static int fill_tls_config(nng_tls_config *config, nng_tls_mode mode, const char *url,
                           const struct gn_channel_tls *tls, const struct gn_tlsfiles *files)
{
	int rc = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3);

	if (!rc)
		rc = nng_tls_config_ca_chain(config, files->ca, NULL);
	if (!rc)
		rc = nng_tls_config_own_cert(config, files->cert, files->key, NULL);
	if (!rc)
		rc = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
	if (!rc && mode == NNG_TLS_MODE_CLIENT)
		rc = set_server_name(config, url, tls->peer_name);
	return rc;
}

static int make_tls_config(nng_tls_mode mode, const char *url, const struct gn_channel_tls *tls,
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

/* ---- listening -------------------------------------------------------------------- */

/* nng removes a stale socket by itself (one that refuses connections), but so does any
 * regular file: those are not ours to remove. */
static int check_ipc_path(const char *url, struct gn_status *status)
{
	const char *path = url + strlen(IPC_SCHEME);
	struct stat stat;

	if (lstat(path, &stat) || S_ISSOCK(stat.st_mode))
		return 0;
	return gn_status_set(status, GN_ALREADY_EXISTS,
	                     "'%s' exists and is not a socket: remove it or choose another path",
	                     path);
}

static int fail_listen(const char *url, int error, struct gn_status *status)
{
	if (error == NNG_EADDRINUSE) {
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "'%s' is in use: stop the process that listens there, or choose "
		              "another address",
		              url);
		return -EADDRINUSE;
	}
	return gn_status_set(status, code_from_nng(error),
	                     "cannot listen on '%s': %s; check the address, and that its directory "
	                     "exists and may be written",
	                     url, nng_strerror(error));
}

static int set_listener_options(nng_listener listener, const char *url,
                                const struct gn_channel_tls *tls, struct gn_status *status)
{
	nng_tls_config *config;
	int rc = nng_listener_set_size(listener, NNG_OPT_RECVMAXSZ, GN_CHANNEL_RECEIVE_MAX);

	if (rc)
		return gn_channel_fail_nng(status, "receive limit", rc);
	if (!tls) {
		rc = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
		return rc ? gn_channel_fail_nng(status, "socket permissions", rc) : 0;
	}
	rc = make_tls_config(NNG_TLS_MODE_SERVER, url, tls, &config, status);
	if (rc)
		return rc;
	rc = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config); /* the listener holds its own reference */
	if (!rc)
		rc = nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
	return rc ? gn_channel_fail_nng(status, "TLS listener", rc) : 0;
}

int gn_channel_listen(nng_socket socket, const char *url, const struct gn_channel_tls *tls,
                      nng_listener *out, struct gn_status *status)
{
	nng_listener listener;
	int rc = gn_channel_is_ipc(url) ? check_ipc_path(url, status) : 0;

	if (rc)
		return rc;
	rc = nng_listener_create(&listener, socket, url);
	if (rc)
		return fail_listen(url, rc, status);
	rc = set_listener_options(listener, url, tls, status);
	if (rc)
		return rc;
	rc = nng_listener_start(listener, 0);
	if (rc)
		return fail_listen(url, rc, status);
	*out = listener;
	return 0;
}

/* ---- dialling --------------------------------------------------------------------- */

static int set_dialer_options(nng_dialer dialer, const char *url, const struct gn_channel_tls *tls,
                              struct gn_status *status)
{
	nng_tls_config *config;
	int rc = nng_dialer_set_size(dialer, NNG_OPT_RECVMAXSZ, GN_CHANNEL_RECEIVE_MAX);

	if (!rc)
		rc = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (!rc)
		rc = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (rc)
		return gn_channel_fail_nng(status, "dialer options", rc);
	if (!tls)
		return 0;
	rc = make_tls_config(NNG_TLS_MODE_CLIENT, url, tls, &config, status);
	if (rc)
		return rc;
	rc = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config); /* the dialer holds its own reference */
	if (!rc)
		rc = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
	return rc ? gn_channel_fail_nng(status, "TLS dialer", rc) : 0;
}

int gn_channel_dial(nng_socket socket, const char *url, const struct gn_channel_tls *tls,
                    nng_dialer *out, struct gn_status *status)
{
	nng_dialer dialer;
	int rc = nng_dialer_create(&dialer, socket, url);

	if (rc)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "cannot use the address '%s': %s",
		                     url, nng_strerror(rc));
	rc = set_dialer_options(dialer, url, tls, status);
	if (rc)
		return rc;
	rc = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
	if (rc)
		return gn_status_set(status, code_from_nng(rc), "cannot dial '%s': %s", url,
		                     nng_strerror(rc));
	*out = dialer;
	return 0;
}

/* ---- link ------------------------------------------------------------------------- */

static void on_pipe_added(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct gn_channel_link *link = context;

	atomic_store(&link->pipe_id, (uint32_t)nng_pipe_id(pipe));
	atomic_store(&link->was_connected, true);
	atomic_fetch_add(&link->n_pipes, 1);
}

static void on_pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct gn_channel_link *link = context;

	atomic_store(&link->lost_us, gn_clock_monotonic_us());
	atomic_fetch_sub(&link->n_pipes, 1);
}

int gn_channel_link_init(struct gn_channel_link *link, nng_socket socket, const char *url,
                         const struct gn_channel_tls *tls, struct gn_status *status)
{
	int rc;

	snprintf(link->url, sizeof link->url, "%s", url);
	atomic_init(&link->n_pipes, 0);
	atomic_init(&link->was_connected, false);
	atomic_init(&link->lost_us, gn_clock_monotonic_us());
	rc = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, on_pipe_added, link);
	if (!rc)
		rc = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_pipe_removed, link);
	if (rc)
		return gn_channel_fail_nng(status, "pipe callbacks", rc);
	return gn_channel_dial(socket, url, tls, &link->dialer, status);
}

bool gn_channel_link_is_up(const struct gn_channel_link *link)
{
	return atomic_load(&link->n_pipes) > 0;
}

/* nng counts why a dialer failed, and says it nowhere else. */
struct dial_counts {
	uint64_t connect, refused, disconnect, timeout, proto, auth, other;
};

static void read_dialer_stat(const char *name, uint64_t value, struct dial_counts *counts)
{
	const struct {
		const char *name;
		uint64_t *value;
	} table[] = {
	        {"connect", &counts->connect},       {"refused", &counts->refused},
	        {"disconnect", &counts->disconnect}, {"timeout", &counts->timeout},
	        {"proto", &counts->proto},           {"auth", &counts->auth},
	        {"other", &counts->other},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (!strcmp(name, table[i].name))
			*table[i].value = value;
}

static bool is_dialer(nng_stat *scope, int id)
{
	if (strncmp(nng_stat_name(scope), "dialer", 6))
		return false;
	for (nng_stat *stat = nng_stat_child(scope); stat; stat = nng_stat_next(stat))
		if (!strcmp(nng_stat_name(stat), "id"))
			return nng_stat_value(stat) == (uint64_t)id;
	return false;
}

static void read_dialer_stats(nng_stat *scope, int id, struct dial_counts *counts)
{
	for (; scope; scope = nng_stat_next(scope)) {
		if (is_dialer(scope, id))
			for (nng_stat *stat = nng_stat_child(scope); stat;
			     stat = nng_stat_next(stat))
				read_dialer_stat(nng_stat_name(stat), nng_stat_value(stat), counts);
		else
			read_dialer_stats(nng_stat_child(scope), id, counts);
	}
}

static const char *cause_of_ipc(const char *path)
{
	if (access(path, F_OK))
		return "there is no such socket: is the peer running?";
	if (access(path, R_OK | W_OK))
		return "this user may not open the socket: run as the user that owns it";
	return "nothing listens on the socket: is the peer running?";
}

static const char *cause_of_tls(const struct dial_counts *counts)
{
	if (counts->auth)
		return "the TLS handshake fails: the peer's certificate is not from the root "
		       "trusted "
		       "here or carries another name, the peer refuses ours, or it speaks no TLS";
	if (counts->proto)
		return "what listens there does not speak gnomon's protocol: check the port";
	if (counts->refused)
		return "connections are refused: is the peer running and the port right?";
	if (counts->timeout)
		return "the host does not answer: check the network and the firewall";
	if (counts->disconnect || counts->other)
		return "the peer closes the connection: it may refuse our certificate (wrong "
		       "root), "
		       "or speak another protocol";
	return "it does not answer: is it stuck, or is there something else than gnomon? Restart "
	       "it, "
	       "and check that both sides trust each other's certificates";
}

int gn_channel_link_explain(const struct gn_channel_link *link, struct gn_status *status)
{
	uint64_t away_us = gn_clock_monotonic_us() - atomic_load(&link->lost_us);
	struct dial_counts counts = {0};
	const char *cause;
	nng_stat *stats;

	if (gn_channel_link_is_up(link))
		return 0;
	if (!nng_stats_get(&stats)) {
		read_dialer_stats(stats, nng_dialer_id(link->dialer), &counts);
		nng_stats_free(stats);
	}
	cause = gn_channel_is_ipc(link->url) ? cause_of_ipc(link->url + strlen(IPC_SCHEME))
	                                     : cause_of_tls(&counts);
	return gn_status_set(status, GN_UNAVAILABLE, "no connection to %s %s %.1f s: %s", link->url,
	                     atomic_load(&link->was_connected) ? "(lost) for" : "for",
	                     (double)away_us / 1e6, cause);
}
