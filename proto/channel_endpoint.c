/* channel_endpoint.c - addresses that stay open: listeners and dialers of nng, watched.
 *
 * Why they need a watch: nng 1.5.2 (Debian 12) takes NNG_ECLOSED for its own shutdown, but
 * gets it also from a peer that goes away while a connection is being negotiated (nng issue
 * 1518). A listener then never accepts again, and a dialer never dials again; over TLS a
 * ClientHello followed by a close suffices, from anyone. So a thread per endpoint looks at
 * nng's counters:
 *
 * - A listener whose 'other' counter moved may have died: NNG_ECLOSED is counted there, as
 *   are harmless failures. The thread connects to it and sends what is no handshake; a
 *   listener that lives counts that (or anything else) soon. One that does not is closed and
 *   opened again, which its connections do not survive; their dialers come back.
 * - A dialer that is not connected and whose counters stand still is closed and dials anew. */
#include "proto/channel_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "firmware/core/clock.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 1000

#define WATCH_MS           250
#define LISTENER_SILENT_US 2000000u /* nng itself pauses 100 ms after a failure */
#define DIALER_SILENT_US   5000000u /* longer than a handshake or the pause between two */

/* ---- opening ----------------------------------------------------------------------- */

/* nng removes a stale socket by itself (one that refuses connections), but so does any
 * regular file: those are not ours to remove. */
static int check_ipc_path(const char *url, struct gn_status *status)
{
	const char *path = url + strlen(GN_CHANNEL_IPC);
	struct stat stat;

	if (lstat(path, &stat) || S_ISSOCK(stat.st_mode))
		return 0;
	return gn_status_set(status, GN_ALREADY_EXISTS,
	                     "'%s' exists and is not a socket: remove it or choose another path",
	                     path);
}

static int fail_open(const struct gn_channel_endpoint *endpoint, int error,
                     struct gn_status *status)
{
	if (!endpoint->listens)
		return gn_status_set(status, gn_channel_code(error), "cannot dial '%s': %s",
		                     endpoint->url, nng_strerror(error));
	if (error == NNG_EADDRINUSE) {
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "'%s' is in use: stop the process that listens there, or choose "
		              "another address",
		              endpoint->url);
		return -EADDRINUSE;
	}
	return gn_status_set(status, gn_channel_code(error),
	                     "cannot listen on '%s': %s; check the address, and that its directory "
	                     "exists and may be written",
	                     endpoint->url, nng_strerror(error));
}

/* nng cannot: it only sets a mode. 0 or a negative errno. */
static int give_to_group(const struct gn_channel_endpoint *endpoint)
{
	const char *path = endpoint->url + strlen(GN_CHANNEL_IPC);
	int64_t group = atomic_load(&endpoint->group);

	if (!group || endpoint->config)
		return 0;
	return chown(path, (uid_t)-1, (gid_t)group) || chmod(path, 0660) ? -errno : 0;
}

static int start_listener(struct gn_channel_endpoint *endpoint)
{
	nng_listener listener;
	int rc = nng_listener_create(&listener, endpoint->socket, endpoint->url);

	if (rc)
		return rc;
	rc = nng_listener_set_size(listener, NNG_OPT_RECVMAXSZ, GN_CHANNEL_RECEIVE_MAX);
	if (!rc && !endpoint->config)
		rc = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
	if (!rc && endpoint->config)
		rc = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, endpoint->config);
	if (!rc && endpoint->config)
		rc = nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (!rc)
		rc = nng_listener_start(listener, 0);
	if (rc) {
		nng_listener_close(listener);
		return rc;
	}
	atomic_store(&endpoint->nng_id, listener.id);
	give_to_group(endpoint); /* failed already when it was asked for, or not at all */
	return 0;
}

static int start_dialer(struct gn_channel_endpoint *endpoint)
{
	nng_dialer dialer;
	int rc = nng_dialer_create(&dialer, endpoint->socket, endpoint->url);

	if (rc)
		return rc;
	rc = nng_dialer_set_size(dialer, NNG_OPT_RECVMAXSZ, GN_CHANNEL_RECEIVE_MAX);
	if (!rc)
		rc = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (!rc)
		rc = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (!rc && endpoint->config)
		rc = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, endpoint->config);
	if (!rc && endpoint->config)
		rc = nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
	if (!rc)
		rc = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
	if (rc)
		nng_dialer_close(dialer);
	else
		atomic_store(&endpoint->nng_id, dialer.id);
	return rc;
}

static int start(struct gn_channel_endpoint *endpoint)
{
	return endpoint->listens ? start_listener(endpoint) : start_dialer(endpoint);
}

static void reopen(struct gn_channel_endpoint *endpoint)
{
	uint32_t id = atomic_exchange(&endpoint->nng_id, 0);

	if (id && endpoint->listens)
		nng_listener_close((nng_listener){.id = id});
	else if (id)
		nng_dialer_close((nng_dialer){.id = id});
	/* When it cannot be opened now, the next look tries again. */
	start(endpoint);
}

/* ---- counters ---------------------------------------------------------------------- */

/* Not nng_stat_find_listener() or _dialer(): in nng 1.5 they find the first one there is,
 * whatever the id. */
static nng_stat *find_stats(const struct gn_channel_endpoint *endpoint, nng_stat *all)
{
	const char *kind = endpoint->listens ? "listener" : "dialer";
	uint32_t id = atomic_load(&endpoint->nng_id);
	nng_stat *own, *stat;

	for (own = nng_stat_child(all); own; own = nng_stat_next(own)) {
		if (strcmp(nng_stat_name(own), kind) != 0)
			continue;
		stat = nng_stat_find(own, "id");
		if (stat && nng_stat_value(stat) == id)
			return own;
	}
	return NULL;
}

/* Returns what all counters add up to; it changes whenever nng did anything. */
static uint64_t read_counts(const struct gn_channel_endpoint *endpoint,
                            struct gn_channel_counts *counts)
{
	const struct {
		const char *name;
		uint64_t *value;
	} table[] = {
	        {"accept", &counts->accept},   {"connect", &counts->connect},
	        {"refused", &counts->refused}, {"disconnect", &counts->disconnect},
	        {"timeout", &counts->timeout}, {"proto", &counts->proto},
	        {"auth", &counts->auth},       {"other", &counts->other},
	};
	nng_stat *all, *own, *stat;
	uint64_t total = 0;

	memset(counts, 0, sizeof *counts);
	if (nng_stats_get(&all))
		return 0;
	own = find_stats(endpoint, all);
	for (size_t i = 0; own && i < sizeof table / sizeof table[0]; i++) {
		stat = nng_stat_find(own, table[i].name);
		*table[i].value = stat ? nng_stat_value(stat) : 0;
		total += *table[i].value;
	}
	nng_stats_free(all);
	return total;
}

/* ---- the guard ---------------------------------------------------------------------- */

static void connect_ipc(int fd, const char *url)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "%s", url + strlen(GN_CHANNEL_IPC));
	(void)!connect(fd, (struct sockaddr *)&address, sizeof address);
}

/* An address that means all of the machine's is reached at the loopback. */
static void connect_tcp(int fd, const nng_sockaddr *bound)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = bound->s_in.sa_port};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = bound->s_in6.sa_port};

	if (bound->s_family == NNG_AF_INET) {
		v4.sin_addr.s_addr =
		        bound->s_in.sa_addr ? bound->s_in.sa_addr : htonl(INADDR_LOOPBACK);
		(void)!connect(fd, (struct sockaddr *)&v4, sizeof v4);
		return;
	}
	memcpy(&v6.sin6_addr, bound->s_in6.sa_addr, sizeof v6.sin6_addr);
	v6.sin6_scope_id = bound->s_in6.sa_scope;
	if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr))
		v6.sin6_addr = in6addr_loopback;
	(void)!connect(fd, (struct sockaddr *)&v6, sizeof v6);
}

/* A probe that cannot be made just brings no sign of life. */
static int open_probe(const struct gn_channel_endpoint *endpoint)
{
	nng_listener listener = {.id = atomic_load(&endpoint->nng_id)};
	bool is_ipc = !endpoint->config;
	nng_sockaddr bound;
	int fd;

	if (!is_ipc && nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &bound))
		return -1;
	fd = socket(is_ipc                           ? AF_UNIX
	            : bound.s_family == NNG_AF_INET6 ? AF_INET6
	                                             : AF_INET,
	            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (is_ipc)
		connect_ipc(fd, endpoint->url);
	else
		connect_tcp(fd, &bound);
	return fd;
}

static void end_suspicion(struct gn_channel_endpoint *endpoint)
{
	if (endpoint->watch.probe_fd >= 0)
		close(endpoint->watch.probe_fd);
	endpoint->watch.probe_fd = -1;
	endpoint->watch.since_us = 0;
}

static void suspect(struct gn_channel_endpoint *endpoint, uint64_t other, uint64_t total,
                    uint64_t now_us)
{
	endpoint->watch.other_then = other;
	endpoint->watch.total_then = total;
	endpoint->watch.since_us = now_us;
	endpoint->watch.probe_fd = open_probe(endpoint);
}

static void watch_listener(struct gn_channel_endpoint *endpoint, uint64_t now_us)
{
	static const char no_handshake[] = "are you there?\r\n";
	struct gn_channel_counts counts;
	uint64_t total = read_counts(endpoint, &counts);

	if (!endpoint->watch.since_us) {
		if (counts.other != endpoint->watch.other_verified)
			suspect(endpoint, counts.other, total, now_us);
		return;
	}
	if (total != endpoint->watch.total_then) {
		/* It lived after what made us look; what came since is looked at next. */
		endpoint->watch.other_verified = endpoint->watch.other_then;
		end_suspicion(endpoint);
		return;
	}
	(void)!send(endpoint->watch.probe_fd, no_handshake, sizeof no_handshake - 1,
	            MSG_NOSIGNAL | MSG_DONTWAIT);
	if (now_us - endpoint->watch.since_us < LISTENER_SILENT_US)
		return;
	end_suspicion(endpoint);
	endpoint->watch.other_verified = 0; /* a new listener counts anew */
	reopen(endpoint);
}

static void watch_dialer(struct gn_channel_endpoint *endpoint, uint64_t now_us)
{
	struct gn_channel_counts counts;
	uint64_t total;

	if (gn_channel_endpoint_is_up(endpoint)) {
		endpoint->watch.since_us = 0;
		return;
	}
	total = read_counts(endpoint, &counts);
	if (!endpoint->watch.since_us || total != endpoint->watch.total_then) {
		endpoint->watch.since_us = now_us;
		endpoint->watch.total_then = total;
		return;
	}
	if (now_us - endpoint->watch.since_us < DIALER_SILENT_US)
		return;
	endpoint->watch.since_us = 0;
	reopen(endpoint);
}

static void watch(struct gn_channel_endpoint *endpoint)
{
	uint64_t now_us = gn_clock_monotonic_us();

	if (!atomic_load(&endpoint->nng_id))
		start(endpoint);
	else if (endpoint->listens)
		watch_listener(endpoint, now_us);
	else
		watch_dialer(endpoint, now_us);
}

/* Waits WATCH_MS; false when the guard is to end. */
static bool pause_watch(struct gn_channel_endpoint *endpoint)
{
	struct timespec until;
	bool stopping;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WATCH_MS * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	gn_mutex_lock(&endpoint->mutex);
	if (!endpoint->stopping)
		gn_mutex_wait_until(&endpoint->mutex, &endpoint->cond, &until);
	stopping = endpoint->stopping;
	gn_mutex_unlock(&endpoint->mutex);
	return !stopping;
}

static void *guard(void *context)
{
	struct gn_channel_endpoint *endpoint = context;

	pthread_setname_np(pthread_self(), "gn-guard");
	while (pause_watch(endpoint))
		watch(endpoint);
	end_suspicion(endpoint);
	return NULL;
}

static int start_guard(struct gn_channel_endpoint *endpoint, struct gn_status *status)
{
	pthread_condattr_t attributes;
	sigset_t all, before;
	int rc;

	gn_mutex_init(&endpoint->mutex);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&endpoint->cond, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all); /* signals are the owner's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&endpoint->thread, NULL, guard, endpoint);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	endpoint->started = !rc;
	if (rc)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "cannot start a thread: %s",
		                     strerror(rc));
	return 0;
}

/* ---- connections ---------------------------------------------------------------------- */

/* Before the protocol may use the pipe, so that a reply never comes while we say 'down'; nng
 * calls the other for every pipe that this was called for. */
static void on_pipe_added(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct gn_channel_endpoint *endpoint = context;

	atomic_store(&endpoint->pipe_id, pipe.id);
	atomic_store(&endpoint->was_connected, true);
	atomic_fetch_add(&endpoint->n_pipes, 1);
}

static void on_pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
	struct gn_channel_endpoint *endpoint = context;

	atomic_store(&endpoint->lost_us, gn_clock_monotonic_us());
	atomic_fetch_sub(&endpoint->n_pipes, 1);
}

bool gn_channel_endpoint_is_up(const struct gn_channel_endpoint *endpoint)
{
	return atomic_load(&endpoint->n_pipes) > 0;
}

static const char *cause_of_ipc(const char *path)
{
	if (access(path, F_OK))
		return "there is no such socket: is the peer running?";
	if (access(path, R_OK | W_OK))
		return "this user may not open the socket: run as the user that owns it";
	return "nothing answers on the socket: is the peer running?";
}

static const char *cause_of_tls(const struct gn_channel_counts *counts)
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

int gn_channel_endpoint_explain(const struct gn_channel_endpoint *endpoint,
                                struct gn_status *status)
{
	uint64_t away_us = gn_clock_monotonic_us() - atomic_load(&endpoint->lost_us);
	struct gn_channel_counts counts;
	const char *cause;

	if (gn_channel_endpoint_is_up(endpoint))
		return 0;
	read_counts(endpoint, &counts);
	cause = endpoint->config ? cause_of_tls(&counts)
	                         : cause_of_ipc(endpoint->url + strlen(GN_CHANNEL_IPC));
	return gn_status_set(status, GN_UNAVAILABLE, "no connection to %s %s %.1f s: %s",
	                     endpoint->url,
	                     atomic_load(&endpoint->was_connected) ? "(lost) for" : "for",
	                     (double)away_us / 1e6, cause);
}

/* ---- life ---------------------------------------------------------------------------- */

uint16_t gn_channel_endpoint_port(const struct gn_channel_endpoint *endpoint)
{
	nng_listener listener = {.id = atomic_load(&endpoint->nng_id)};
	int port;

	return nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) ? 0 : (uint16_t)port;
}

/* A listener that is opened again must get the port it had, also when it was any. */
static void fix_port(struct gn_channel_endpoint *endpoint)
{
	char *colon = strrchr(endpoint->url, ':');
	size_t used = (size_t)(colon - endpoint->url);

	if (endpoint->listens && endpoint->config)
		snprintf(colon, sizeof endpoint->url - used, ":%u",
		         gn_channel_endpoint_port(endpoint));
}

static int notify_pipes(struct gn_channel_endpoint *endpoint)
{
	int rc = nng_pipe_notify(endpoint->socket, NNG_PIPE_EV_ADD_PRE, on_pipe_added, endpoint);

	return rc ? rc
	          : nng_pipe_notify(endpoint->socket, NNG_PIPE_EV_REM_POST, on_pipe_removed,
	                            endpoint);
}

static int init(struct gn_channel_endpoint *endpoint, bool listens, nng_socket socket,
                const char *url, const struct gn_channel_tls *tls, struct gn_status *status)
{
	nng_tls_mode mode = listens ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT;
	int rc = listens && !tls ? check_ipc_path(url, status) : 0;

	memset(endpoint, 0, sizeof *endpoint);
	endpoint->watch.probe_fd = -1;
	if (!rc && tls)
		rc = gn_channel_tls_config(mode, url, tls, &endpoint->config, status);
	if (rc)
		return rc;
	snprintf(endpoint->url, sizeof endpoint->url, "%s", url);
	endpoint->socket = socket;
	endpoint->listens = listens;
	atomic_store(&endpoint->lost_us, gn_clock_monotonic_us());
	rc = notify_pipes(endpoint);
	if (!rc)
		rc = start(endpoint);
	if (rc)
		rc = fail_open(endpoint, rc, status);
	if (rc) {
		gn_channel_endpoint_fini(endpoint);
		return rc;
	}
	fix_port(endpoint);
	return start_guard(endpoint, status);
}

int gn_channel_endpoint_listen(struct gn_channel_endpoint *endpoint, nng_socket socket,
                               const char *url, const struct gn_channel_tls *tls,
                               struct gn_status *status)
{
	return init(endpoint, true, socket, url, tls, status);
}

int gn_channel_endpoint_dial(struct gn_channel_endpoint *endpoint, nng_socket socket,
                             const char *url, const struct gn_channel_tls *tls,
                             struct gn_status *status)
{
	return init(endpoint, false, socket, url, tls, status);
}

int gn_channel_endpoint_share(struct gn_channel_endpoint *endpoint, gid_t group,
                              struct gn_status *status)
{
	int error;

	atomic_store(&endpoint->group, (int64_t)group);
	error = give_to_group(endpoint);
	return error ? gn_status_set(status, gn_code_from_errno(-error),
	                             "'%s' cannot be given to group %u: %s; it must be one that "
	                             "this process is in",
	                             endpoint->url, group, strerror(-error))
	             : 0;
}

void gn_channel_endpoint_stop(struct gn_channel_endpoint *endpoint)
{
	if (!endpoint->started)
		return;
	gn_mutex_lock(&endpoint->mutex);
	endpoint->stopping = true;
	pthread_cond_signal(&endpoint->cond);
	gn_mutex_unlock(&endpoint->mutex);
	pthread_join(endpoint->thread, NULL);
	pthread_cond_destroy(&endpoint->cond);
	gn_mutex_destroy(&endpoint->mutex);
	endpoint->started = false;
}

void gn_channel_endpoint_fini(struct gn_channel_endpoint *endpoint)
{
	if (endpoint->config)
		nng_tls_config_free(endpoint->config);
	endpoint->config = NULL;
}
