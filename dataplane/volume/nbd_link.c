/* nbd_link.c - see nbd_link.h. With TLS a second thread carries the bytes, and the lcore has one
 * end of a socket pair. */
#include "dataplane/volume/nbd_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "dataplane/nbd/io.h"
#include "dataplane/nbd/tls.h"
#include "dataplane/nbd/uri.h"
#include "firmware/core/clock.h"
#include "firmware/core/mutex.h"

#define FIRST_PAUSE_MS 50u
#define LAST_PAUSE_MS  2000u
#define TICK_MS        250
#define NOBODY         (-1)

struct gn_nbd_link {
	struct gn_nbd_uri uri; /* immutable, as the next */
	char *url;
	bool read_only;
	uint64_t size_bytes;  /* 0: any */
	uint32_t block_bytes; /* with it */
	bool may_be_larger;
	struct gn_nbd_tls_config *tls_config;
	struct gn_nbd_dial_answer
	        answer; /* Owner: the thread, until the first connection is there */
	int notify_fd, wake_fd;

	pthread_t thread;
	bool has_thread;
	_Atomic bool stop, wanted, watched;
	_Atomic int fresh_fd; /* the mailbox */
	_Atomic int old_fd;   /* to be closed */

	pthread_t pump; /* Owner: the thread, as the next three */
	bool has_pump;
	struct gn_nbd_tls *tls;
	int tls_fd, pump_fd;

	struct gn_mutex lock; /* for the next */
	char problem[GN_STATUS_MESSAGE_SIZE];
};

/* ---- connecting --------------------------------------------------------------------- */

static int fail(struct gn_status *status, const struct gn_nbd_link *link, int error,
                const char *what)
{
	gn_status_set(status, gn_code_from_errno(error), "'%.200s': %s: %s", link->url, what,
	              strerror(-error));
	return error;
}

static int finish_connect(int fd, uint64_t until_us)
{
	int error = 0;
	socklen_t size = sizeof error;
	int err = gn_nbd_wait(fd, POLLOUT, until_us);

	if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	return err ? err : -error;
}

static int try_address(const struct sockaddr *addr, socklen_t size, uint64_t until_us)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, addr, size) != 0)
		err = errno == EINPROGRESS ? finish_connect(fd, until_us) : -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int connect_unix(const struct gn_nbd_link *link, uint64_t until_us)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", link->uri.socket);
	return try_address((struct sockaddr *)&addr, sizeof addr, until_us);
}

static int connect_tcp(const struct gn_nbd_link *link, uint64_t until_us)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found, *at;
	const int one = 1;
	char port[8];
	int fd = -EHOSTUNREACH;

	snprintf(port, sizeof port, "%u", link->uri.port);
	if (getaddrinfo(link->uri.host, port, &hints, &found) != 0)
		return -EHOSTUNREACH;
	for (at = found; at && fd < 0; at = at->ai_next)
		fd = try_address(at->ai_addr, at->ai_addrlen, until_us);
	freeaddrinfo(found);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* ---- negotiating ------------------------------------------------------------------------ */

struct talk {
	struct gn_nbd_link *link;
	int fd;
	struct gn_nbd_tls *tls;
	uint64_t until_us;
	struct gn_nbd_dial dial;
	uint8_t data[GN_NBD_DIAL_DATA_MAX];
	uint8_t out[GN_NBD_DIAL_OUT_MAX];
};

static int talk_read(struct talk *talk)
{
	size_t size = gn_nbd_dial_wants(&talk->dial);

	return talk->tls ? gn_nbd_tls_read_all(talk->tls, talk->data, size, talk->until_us)
	                 : gn_nbd_read_all(talk->fd, talk->data, size, talk->until_us);
}

static int talk_write(struct talk *talk, const struct gn_nbd_out *out)
{
	return talk->tls ? gn_nbd_tls_write_all(talk->tls, out->data, out->used, talk->until_us)
	                 : gn_nbd_write_all(talk->fd, out->data, out->used, talk->until_us);
}

static int talk_secure(struct talk *talk, struct gn_nbd_out *out, struct gn_status *status)
{
	struct gn_nbd_link *link = talk->link;
	const char *name = link->uri.is_unix ? NULL : link->uri.host;
	struct gn_status why;
	int err =
	        gn_nbd_tls_open(link->tls_config, talk->fd, name, talk->until_us, &talk->tls, &why);

	if (err) {
		gn_status_set(status, why.code, "'%.200s': %.250s", link->url, why.message);
		return err;
	}
	gn_nbd_dial_secured(&talk->dial, out);
	return 0;
}

static int negotiate(struct talk *talk, struct gn_status *status)
{
	struct gn_nbd_out out = {.data = talk->out};

	gn_nbd_dial_init(&talk->dial, talk->link->uri.export, talk->link->uri.has_tls);
	for (;;) {
		enum gn_nbd_dial_step step;
		int err = talk_read(talk);

		if (err)
			return fail(status, talk->link, err, "negotiation");
		step = gn_nbd_dial_take(&talk->dial, talk->data, &out);
		if (step == GN_NBD_DIAL_DONE)
			return 0;
		if (step == GN_NBD_DIAL_FAILED) {
			gn_status_set(status, GN_UNAVAILABLE, "'%.200s': %s", talk->link->url,
			              talk->dial.problem);
			return -EPROTO;
		}
		if (step == GN_NBD_DIAL_STARTTLS) {
			err = talk_secure(talk, &out, status);
			if (err)
				return err;
		}
		err = talk_write(talk, &out);
		if (err)
			return fail(status, talk->link, err, "negotiation");
	}
}

static bool is_size(const struct gn_nbd_link *link, const struct gn_nbd_dial_answer *answer)
{
	return answer->size_bytes == link->size_bytes ||
	       (link->may_be_larger && answer->size_bytes > link->size_bytes);
}

/* The first of one whose size is known from before. */
static int compare_first(const struct gn_nbd_link *link, const struct gn_nbd_dial_answer *answer,
                         struct gn_status *status)
{
	if (!link->size_bytes ||
	    (is_size(link, answer) && answer->min_block_bytes <= link->block_bytes &&
	     answer->max_block_bytes >= link->block_bytes))
		return 0;
	gn_status_set(
	        status, GN_FAILED_PRECONDITION,
	        "'%.200s' has %llu bytes in blocks of %u, and should have %llu%s in blocks of "
	        "%u; it is left alone",
	        link->url, (unsigned long long)answer->size_bytes, answer->min_block_bytes,
	        (unsigned long long)link->size_bytes, link->may_be_larger ? " or more" : "",
	        link->block_bytes);
	return -EPROTO;
}

/* A server that came back with another disk must not get this one's writes. */
static int compare(struct gn_nbd_link *link, const struct gn_nbd_dial_answer *answer,
                   struct gn_status *status)
{
	const struct gn_nbd_dial_answer *first = &link->answer;

	if (answer->flags & GN_NBD_READ_ONLY && !link->read_only) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "'%.200s' is exported read-only; create the volume read-only",
		              link->url);
		return -EROFS;
	}
	if (!first->flags)
		return compare_first(link, answer, status);
	if (answer->size_bytes == first->size_bytes && answer->flags == first->flags &&
	    answer->structured == first->structured &&
	    answer->min_block_bytes <= first->min_block_bytes &&
	    answer->max_block_bytes >= first->max_block_bytes)
		return 0;
	gn_status_set(status, GN_FAILED_PRECONDITION,
	              "'%.200s' came back as another export (%llu bytes, before: %llu); it is left "
	              "alone",
	              link->url, (unsigned long long)answer->size_bytes,
	              (unsigned long long)first->size_bytes);
	return -EPROTO;
}

/* ---- TLS --------------------------------------------------------------------------------------
 */

static void *run_pump(void *arg)
{
	struct gn_nbd_link *link = arg;

	gn_nbd_tls_pump(link->tls, link->pump_fd);
	shutdown(link->pump_fd, SHUT_RDWR);
	return NULL;
}

static void end_pump(struct gn_nbd_link *link)
{
	if (!link->has_pump)
		return;
	shutdown(link->tls_fd, SHUT_RDWR);
	shutdown(link->pump_fd, SHUT_RDWR);
	pthread_join(link->pump, NULL);
	gn_nbd_tls_close(link->tls);
	close(link->tls_fd);
	close(link->pump_fd);
	link->has_pump = false;
}

/* Returns the lcore's end, or a negative errno; takes the connection in any case. */
static int start_pump(struct gn_nbd_link *link, int fd, struct gn_nbd_tls *tls)
{
	int pair[2], err = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		err = -errno;
	if (!err) {
		link->tls = tls;
		link->tls_fd = fd;
		link->pump_fd = pair[1];
		err = -pthread_create(&link->pump, NULL, run_pump, link);
		if (!err) {
			link->has_pump = true;
			return pair[0];
		}
		close(pair[0]);
		close(pair[1]);
	}
	gn_nbd_tls_close(tls);
	close(fd);
	return err;
}

/* ---- one connection
 * ------------------------------------------------------------------------------ */

static int negotiate_on(struct talk *talk, struct gn_status *status)
{
	struct gn_nbd_link *link = talk->link;
	int err = negotiate(talk, status);

	if (!err)
		err = compare(link, &talk->dial.answer, status);
	if (err) {
		gn_nbd_tls_close(talk->tls);
		close(talk->fd);
		return err;
	}
	if (!link->answer.flags)
		link->answer = talk->dial.answer;
	/* On a descriptor that does not block, io_uring would not wait either. */
	fcntl(talk->fd, F_SETFL, fcntl(talk->fd, F_GETFL) & ~O_NONBLOCK);
	return talk->tls ? start_pump(link, talk->fd, talk->tls) : talk->fd;
}

/* A connected, negotiated descriptor, or a negative errno with a sentence. */
static int make_connection(struct gn_nbd_link *link, struct gn_status *status)
{
	struct talk *talk = calloc(1, sizeof *talk);
	int fd;

	if (!talk)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	end_pump(link);
	talk->link = link;
	talk->until_us = gn_clock_monotonic_us() + GN_VOLUME_NBD_CONNECT_MS * 1000ull;
	fd = link->uri.is_unix ? connect_unix(link, talk->until_us)
	                       : connect_tcp(link, talk->until_us);
	if (fd < 0) {
		fail(status, link, fd, "connecting");
	} else {
		talk->fd = fd;
		fd = negotiate_on(talk, status);
	}
	free(talk);
	return fd;
}

/* ---- the thread
 * -------------------------------------------------------------------------------------- */

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof one) < 0)
		return; /* the counter is full: it is readable anyway */
}

static void set_problem(struct gn_nbd_link *link, const char *text)
{
	gn_mutex_lock(&link->lock);
	snprintf(link->problem, sizeof link->problem, "%s", text);
	gn_mutex_unlock(&link->lock);
}

static void close_old(struct gn_nbd_link *link)
{
	int fd = atomic_exchange(&link->old_fd, NOBODY);

	if (fd >= 0)
		close(fd);
}

/* Returns whether it still wants a connection. */
static bool attempt(struct gn_nbd_link *link)
{
	struct gn_status status;
	int fd = make_connection(link, &status);

	if (fd < 0) {
		set_problem(link, status.message);
		return true;
	}
	set_problem(link, "");
	atomic_store(&link->wanted, false);
	atomic_store(&link->fresh_fd, fd);
	signal_fd(link->notify_fd);
	return false;
}

static void rest(struct gn_nbd_link *link, int limit_ms)
{
	struct pollfd pollfd = {.fd = link->wake_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&pollfd, 1, limit_ms) > 0 && read(link->wake_fd, &count, sizeof count) < 0)
		return; /* nothing but us reads it */
}

static void *run(void *arg)
{
	struct gn_nbd_link *link = arg;
	unsigned pause_ms = FIRST_PAUSE_MS;
	uint64_t next_us = 0;

	while (!atomic_load(&link->stop)) {
		close_old(link);
		if (atomic_load(&link->wanted) && gn_clock_monotonic_us() >= next_us) {
			pause_ms = attempt(link) ? pause_ms * 2 : FIRST_PAUSE_MS;
			if (pause_ms > LAST_PAUSE_MS)
				pause_ms = LAST_PAUSE_MS;
			next_us = gn_clock_monotonic_us() + pause_ms * 1000ull;
		}
		if (atomic_exchange(&link->watched, false))
			signal_fd(link->notify_fd);
		rest(link, atomic_load(&link->wanted) ? (int)FIRST_PAUSE_MS : TICK_MS);
	}
	return NULL;
}

/* ---- the door
 * -------------------------------------------------------------------------------------------- */

static int set_up(struct gn_nbd_link *link, const struct gn_volume_nbd_config *config,
                  struct gn_status *status)
{
	const char *problem = gn_nbd_uri_parse(config->url, &link->uri);
	int err = 0;

	if (problem)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "store '%.200s': %s", config->url,
		                     problem);
	if (link->uri.has_tls && !config->tls)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "'%.200s' wants TLS, and the dataplane has no certificate for "
		                     "it; name the files under nbd_client_tls in its configuration",
		                     config->url);
	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->url = strdup(config->url);
	if (link->wake_fd < 0 || !link->url)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (link->uri.has_tls)
		err = gn_nbd_tls_config_load(config->tls, false, &link->tls_config, status);
	return err;
}

int gn_nbd_link_create(const struct gn_volume_nbd_config *config, int notify_fd,
                       struct gn_nbd_link **out, struct gn_status *status)
{
	struct gn_nbd_link *link = calloc(1, sizeof *link);
	int err;

	if (!link)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_mutex_init(&link->lock);
	link->wake_fd = NOBODY;
	link->notify_fd = notify_fd;
	link->read_only = config->read_only;
	link->size_bytes = config->size_bytes;
	link->block_bytes = config->block_bytes;
	link->may_be_larger = config->may_be_larger;
	atomic_store(&link->fresh_fd, NOBODY);
	atomic_store(&link->old_fd, NOBODY);
	err = set_up(link, config, status);
	if (!err && config->size_bytes) {
		snprintf(link->problem, sizeof link->problem, "it has not been reached yet");
		atomic_store(&link->wanted, true);
	} else if (!err) {
		int fd = make_connection(link, status);

		atomic_store(&link->fresh_fd, fd < 0 ? NOBODY : fd);
		err = fd < 0 ? fd : 0;
	}
	if (!err) {
		err = -pthread_create(&link->thread, NULL, run, link);
		link->has_thread = !err;
		if (err)
			fail(status, link, err, "a thread");
	}
	if (err) {
		gn_nbd_link_destroy(link);
		return err;
	}
	*out = link;
	return 0;
}

void gn_nbd_link_destroy(struct gn_nbd_link *link)
{
	int fd;

	if (!link)
		return;
	atomic_store(&link->stop, true);
	if (link->has_thread) {
		signal_fd(link->wake_fd);
		pthread_join(link->thread, NULL);
	}
	close_old(link);
	fd = atomic_exchange(&link->fresh_fd, NOBODY);
	if (fd >= 0)
		close(fd);
	end_pump(link);
	gn_nbd_tls_config_free(link->tls_config);
	if (link->wake_fd >= 0)
		close(link->wake_fd);
	gn_mutex_destroy(&link->lock);
	free(link->url);
	free(link);
}

const struct gn_nbd_dial_answer *gn_nbd_link_answer(const struct gn_nbd_link *link)
{
	return &link->answer;
}

int gn_nbd_link_take(struct gn_nbd_link *link)
{
	return atomic_exchange(&link->fresh_fd, NOBODY);
}

bool gn_nbd_link_has_one(const struct gn_nbd_link *link)
{
	return atomic_load(&link->fresh_fd) >= 0;
}

void gn_nbd_link_ask(struct gn_nbd_link *link, int old_fd)
{
	atomic_store(&link->old_fd, old_fd);
	atomic_store(&link->wanted, true);
	signal_fd(link->wake_fd);
}

void gn_nbd_link_watch(struct gn_nbd_link *link)
{
	atomic_store_explicit(&link->watched, true, memory_order_relaxed);
}

void gn_nbd_link_problem(struct gn_nbd_link *link, char *out, size_t size)
{
	gn_mutex_lock(&link->lock);
	snprintf(out, size, "%s", link->problem);
	gn_mutex_unlock(&link->lock);
}
