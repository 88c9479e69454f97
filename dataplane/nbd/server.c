/* server.c - listeners, the thread that accepts, and the graves of connections. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "dataplane/guard/socket.h"
#include "dataplane/nbd/internal.h"
#include "dataplane/nbd/tls.h"

#define BACKLOG 128
#define DEAD_PEER_MS                                                                               \
	60000 /* what was sent and not acknowledged for so long ends a TCP connection */

/* ---- addresses --------------------------------------------------------------------- */

static int bad_address(const char *listen, struct gn_status *status)
{
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "listen is '%.200s'; give unix:///path/to/socket or "
	                     "tcp://address:port (tcp://[::1]:10809)",
	                     listen);
}

static int listen_unix(struct gn_nbd_listener *listener, const char *path, struct gn_status *status)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int err;

	if (path[0] != '/' || strlen(path) >= sizeof addr.sun_path)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "the socket '%.120s' must be absolute and at most %zu bytes long", path,
		        sizeof addr.sun_path - 1);
	strcpy(addr.sun_path, path);
	err = gn_guard_clear_socket(path, status);
	if (err)
		return err;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0177);
	if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&addr, sizeof addr) != 0)
		err = -errno;
	umask(mask);
	if (!err) {
		listener->socket_path = strdup(path);
		if (!listener->socket_path || listen(listener->fd, BACKLOG) != 0)
			err = -errno;
	}
	if (err)
		gn_status_set(status, gn_code_from_errno(err), "'%s' cannot be listened on: %s",
		              path, strerror(-err));
	return err;
}

/* "HOST:PORT" or "[HOST]:PORT", into two NUL-terminated parts of 'text'. */
static bool split_host(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	if (!colon || colon == text || !colon[1])
		return false;
	*colon = '\0';
	*port = colon + 1;
	*host = text;
	if (*text != '[')
		return true;
	*host = text + 1;
	if (colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	return true;
}

static int bind_tcp(struct gn_nbd_listener *listener, const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	                               .ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *found;
	const int one = 1;
	int err = 0;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -EINVAL;
	listener->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd >= 0)
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (listener->fd < 0 || bind(listener->fd, found->ai_addr, found->ai_addrlen) != 0 ||
	    listen(listener->fd, BACKLOG) != 0)
		err = -errno;
	freeaddrinfo(found);
	return err;
}

static int listen_tcp(struct gn_nbd_listener *listener, const char *address,
                      struct gn_status *status)
{
	char text[256], *host, *port;
	int err;

	snprintf(text, sizeof text, "%s", address);
	if (!split_host(text, &host, &port))
		return bad_address(listener->address, status);
	err = bind_tcp(listener, host, port);
	if (err == -EINVAL)
		return bad_address(listener->address, status);
	if (err)
		gn_status_set(status, gn_code_from_errno(err), "'%s' cannot be listened on: %s",
		              listener->address, strerror(-err));
	return err;
}

static int open_listener(struct gn_nbd_listener *listener, struct gn_status *status)
{
	if (strncmp(listener->address, "unix://", 7) == 0)
		return listen_unix(listener, listener->address + 7, status);
	if (strncmp(listener->address, "tcp://", 6) == 0)
		return listen_tcp(listener, listener->address + 6, status);
	return bad_address(listener->address, status);
}

/* ---- listeners ----------------------------------------------------------------------- */

static void free_listener(struct gn_nbd_listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->socket_path)
		unlink(listener->socket_path);
	gn_nbd_tls_config_free(listener->tls);
	free(listener->socket_path);
	free(listener->address);
	free(listener);
}

static int watch(struct gn_nbd_server *server, struct gn_nbd_listener *listener)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) ? -errno : 0;
}

static int make_listener(struct gn_nbd_server *server, const struct gn_nbd_export_config *config,
                         struct gn_nbd_listener **out, struct gn_status *status)
{
	struct gn_nbd_listener *listener = calloc(1, sizeof *listener);
	int err = 0;

	if (listener) {
		listener->fd = -1;
		listener->address = strdup(config->listen);
	}
	if (!listener || !listener->address)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a listener");
	if (!err && config->tls)
		err = gn_nbd_tls_config_load(config->tls, true, &listener->tls, status);
	if (!err)
		err = open_listener(listener, status);
	if (!err && watch(server, listener) != 0)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a listener");
	if (err) {
		if (listener)
			free_listener(listener);
		return err;
	}
	LIST_INSERT_HEAD(&server->listeners, listener, link);
	*out = listener;
	return 0;
}

int gn_nbd_listen(struct gn_nbd_server *server, const struct gn_nbd_export_config *config,
                  struct gn_nbd_listener **out, struct gn_status *status)
{
	struct gn_nbd_listener *listener;
	int err = 0;

	if (!config->tls && !config->allow_plain_tcp && strncmp(config->listen, "tcp://", 6) == 0)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "'%s' would be open to anybody who reaches %s; set tls, or "
		                     "allow_plain_tcp if you mean it",
		                     config->name, config->listen);
	gn_mutex_lock(&server->lock);
	LIST_FOREACH(listener, &server->listeners, link)
	if (listener->n_exports && strcmp(listener->address, config->listen) == 0)
		break;
	if (listener && !listener->tls != !config->tls)
		err = gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "'%s' is listened on %s TLS by another export; all there must do "
		        "the same",
		        config->listen, listener->tls ? "with" : "without");
	else if (!listener)
		err = make_listener(server, config, &listener, status);
	if (!err) {
		listener->n_exports++;
		*out = listener;
	}
	gn_mutex_unlock(&server->lock);
	return err;
}

/* The last session's end frees what its export's end could not. */
static void release(struct gn_nbd_listener *listener)
{
	if (listener->n_exports || listener->n_sessions)
		return;
	LIST_REMOVE(listener, link);
	free_listener(listener);
}

void gn_nbd_unlisten(struct gn_nbd_server *server, struct gn_nbd_listener *listener)
{
	if (!listener)
		return;
	gn_mutex_lock(&server->lock);
	if (!--listener->n_exports) {
		epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
		close(listener->fd);
		listener->fd = -1;
		if (listener->socket_path)
			unlink(listener->socket_path);
		free(listener->socket_path);
		listener->socket_path = NULL;
	}
	release(listener);
	gn_mutex_unlock(&server->lock);
}

void gn_nbd_listener_leave(struct gn_nbd_listener *listener)
{
	listener->n_sessions--;
	release(listener);
}

/* ---- graves ------------------------------------------------------------------------------ */

static void wake(const struct gn_nbd_server *server)
{
	const uint64_t one = 1;

	if (write(server->wake_fd, &one, sizeof one) < 0)
		return; /* the counter is full: it wakes anyway */
}

void gn_nbd_server_bury(struct gn_nbd_server *server, struct gn_nbd_conn *conn)
{
	conn->grave_next = atomic_load(&server->graveyard);
	while (!atomic_compare_exchange_weak(&server->graveyard, &conn->grave_next, conn))
		;
	wake(server);
}

static void free_buried(struct gn_nbd_server *server)
{
	struct gn_nbd_conn *conn = atomic_exchange(&server->graveyard, NULL);

	while (conn) {
		struct gn_nbd_conn *next = conn->grave_next;
		struct gn_nbd_export *export = conn->export;

		gn_nbd_conn_free(conn);
		gn_mutex_lock(&server->lock);
		export->n_connections--;
		pthread_cond_broadcast(&server->changed);
		gn_mutex_unlock(&server->lock);
		conn = next;
	}
}

/* ---- accepting ------------------------------------------------------------------------------ */

static void set_up_tcp(int fd)
{
	const int one = 1, limit = DEAD_PEER_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
}

/* The listener may have gone since epoll told of it. */
static bool still_listens(const struct gn_nbd_server *server, const void *address)
{
	const struct gn_nbd_listener *listener;

	LIST_FOREACH(listener, &server->listeners, link)
	if (listener == address)
		return listener->fd >= 0;
	return false;
}

static void accept_one(struct gn_nbd_server *server, void *address)
{
	struct gn_nbd_listener *listener = address;
	int fd = -1;

	gn_mutex_lock(&server->lock);
	if (still_listens(server, listener)) {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && !listener->socket_path)
			set_up_tcp(fd);
		if (fd >= 0)
			gn_nbd_session_start(server, listener, fd);
	}
	gn_mutex_unlock(&server->lock);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		usleep(100 * 1000); /* out of descriptors: others' ends must come first */
}

static void *run_acceptor(void *arg)
{
	struct gn_nbd_server *server = arg;
	struct epoll_event events[16];
	uint64_t count;

	while (!__atomic_load_n(&server->is_stopping, __ATOMIC_ACQUIRE)) {
		int n = epoll_wait(server->epoll_fd, events, 16, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				accept_one(server, events[i].data.ptr);
			else if (read(server->wake_fd, &count, sizeof count) < 0)
				continue; /* somebody else's wake was read with an earlier one */
		}
		free_buried(server);
	}
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */

static int open_fds(struct gn_nbd_server *server)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->extents_fd = eventfd(0, EFD_CLOEXEC);
	if (server->epoll_fd < 0 || server->wake_fd < 0 || server->extents_fd < 0 ||
	    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) != 0)
		return -errno;
	return 0;
}

static int start_threads(struct gn_nbd_server *server)
{
	int err = -pthread_create(&server->acceptor, NULL, run_acceptor, server);

	server->has_acceptor = !err;
	if (!err)
		err = -pthread_create(&server->extents, NULL, gn_nbd_extents_run, server);
	server->has_extents = server->has_acceptor && !err;
	return err;
}

int gn_nbd_server_create(struct gn_nbd_server **out, struct gn_status *status)
{
	struct gn_nbd_server *server = calloc(1, sizeof *server);
	int err;

	if (!server)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_mutex_init(&server->lock);
	pthread_cond_init(&server->changed, NULL);
	server->epoll_fd = server->wake_fd = server->extents_fd = -1;
	err = open_fds(server);
	if (!err)
		err = start_threads(server);
	if (err) {
		gn_nbd_server_destroy(server);
		return gn_status_set(status, gn_code_from_errno(err),
		                     "the NBD server cannot be started: %s", strerror(-err));
	}
	*out = server;
	return 0;
}

void gn_nbd_server_destroy(struct gn_nbd_server *server)
{
	const uint64_t one = 1;

	if (!server)
		return;
	gn_nbd_sessions_end(server);
	__atomic_store_n(&server->is_stopping, true, __ATOMIC_RELEASE);
	if (server->has_acceptor) {
		wake(server);
		pthread_join(server->acceptor, NULL);
	}
	if (server->has_extents && write(server->extents_fd, &one, sizeof one) > 0)
		pthread_join(server->extents, NULL);
	if (server->epoll_fd >= 0)
		close(server->epoll_fd);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	if (server->extents_fd >= 0)
		close(server->extents_fd);
	pthread_cond_destroy(&server->changed);
	gn_mutex_destroy(&server->lock);
	free(server);
}
