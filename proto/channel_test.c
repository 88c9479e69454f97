/* channel_test.c - requests, replies and events over ipc: what goes right, and what every
 * kind of bad or absent peer gets. TLS is tested in tools/ca/trust_test.c, which can make
 * certificates. */
#include "proto/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/protocol/pubsub0/pub.h>

#include "firmware/core/clock.h"
#include "proto/envelope.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "proto/gnomon/v1/envelope.pb-c.h"

#define SECOND_US 1000000ull
#define SERVICE   (&gnomon__v1__dataplane__descriptor)

/* A server on its own thread. Methods, by index in dataplane.proto:
 * 1 CreatePort answers its request; 2 DeletePort fails; 3 ListPorts answers 'n_listed' ports;
 * 4 CreateVolume never answers; 0 GetDataplaneStatus is not implemented. */
struct fixture {
	char directory[32];
	char url[64];
	struct gn_channel_server *server;
	struct gn_channel_client *client;
	pthread_t thread;
	bool threaded;
	int wake[2];
	_Atomic unsigned n_handled;
	_Atomic unsigned n_kept;
	size_t n_listed;
};

static void create_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct fixture *fixture = context;

	fixture->n_handled++;
	gn_channel_reply(call, request);
}

static void delete_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_status status;

	const char *name = ((const Gnomon__V1__NameRequest *)request)->name;

	if (strcmp(name, "ports/slow") == 0)
		gn_status_set(&status, GN_DEADLINE_EXCEEDED, "'%s' is not ready yet", name);
	else
		gn_status_set(&status, GN_NOT_FOUND, "there is no port '%s'", name);
	gn_channel_fail(call, &status);
}

static void list_ports(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct fixture *fixture = context;
	Gnomon__V1__PortList list = GNOMON__V1__PORT_LIST__INIT;
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	Gnomon__V1__Port **ports = calloc(fixture->n_listed, sizeof *ports);

	port.name = (char *)"ports/one-of-very-many-ports";
	for (size_t i = 0; i < fixture->n_listed; i++)
		ports[i] = &port;
	list.ports = ports;
	list.n_ports = fixture->n_listed;
	gn_channel_reply(call, &list.base);
	free(ports);
}

static void create_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct fixture *fixture = context;

	fixture->n_kept++;
}

static gn_channel_handler *const handlers[32] = {
        NULL, create_port, delete_port, list_ports, create_volume,
};
static struct gn_channel_service service;

static void *serve(void *context)
{
	struct fixture *fixture = context;
	struct pollfd fds[2] = {
	        {.fd = gn_channel_server_fd(fixture->server), .events = POLLIN},
	        {.fd = fixture->wake[0], .events = POLLIN},
	};

	while (poll(fds, 2, -1) > 0 && !(fds[1].revents))
		gn_channel_server_process(fixture->server);
	return NULL;
}

static void start_server(struct fixture *fixture)
{
	struct gn_status status = {0};

	service.descriptor = SERVICE;
	service.handlers = handlers;
	service.context = fixture;
	if (gn_channel_server_create(fixture->url, NULL, &service, 1, &fixture->server, &status))
		fail_msg("%s", status.message);
	assert_int_equal(pipe(fixture->wake), 0);
	assert_int_equal(pthread_create(&fixture->thread, NULL, serve, fixture), 0);
	fixture->threaded = true;
}

static void stop_server(struct fixture *fixture)
{
	if (!fixture->threaded)
		return;
	assert_int_equal(write(fixture->wake[1], "x", 1), 1);
	pthread_join(fixture->thread, NULL);
	gn_channel_server_destroy(fixture->server);
	close(fixture->wake[0]);
	close(fixture->wake[1]);
	fixture->server = NULL;
	fixture->threaded = false;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	struct gn_status status = {0};

	strcpy(fixture->directory, "/tmp/gnch.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->url, sizeof fixture->url, "ipc://%s/s", fixture->directory);
	start_server(fixture);
	if (gn_channel_client_create(fixture->url, NULL, &fixture->client, &status))
		fail_msg("%s", status.message);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char path[64];

	gn_channel_client_destroy(fixture->client);
	stop_server(fixture);
	snprintf(path, sizeof path, "%s/s", fixture->directory);
	unlink(path);
	assert_int_equal(rmdir(fixture->directory), 0);
	free(fixture);
	return 0;
}

static int call_port(struct gn_channel_client *client, const char *name, uint64_t timeout_us,
                     struct gn_status *status)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	ProtobufCMessage *reply = NULL;
	int rc;

	port.name = (char *)name;
	rc = gn_channel_client_call_sync(client, SERVICE, 1, &port.base, timeout_us, &reply,
	                                 status);
	if (!rc) {
		assert_string_equal(((Gnomon__V1__Port *)reply)->name, name);
		protobuf_c_message_free_unpacked(reply, NULL);
	} else {
		assert_null(reply);
		print_message("# %s\n", status->message);
	}
	return rc;
}

/* ---- calls ------------------------------------------------------------------------ */

static void test_round_trip(void **state)
{
	struct fixture *fixture = *state;
	struct gn_status status = {0};
	struct stat stat_;
	char path[64];

	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	assert_int_equal(fixture->n_handled, 1);
	assert_int_equal(gn_channel_client_check(fixture->client, &status), 0);
	snprintf(path, sizeof path, "%s/s", fixture->directory);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
}

static void test_failure_is_passed_on(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;

	request.name = (char *)"ports/x";
	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 2, &request.base,
	                                             5 * SECOND_US, &reply, &status),
	                 -ENOENT);
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_string_equal(status.message, "there is no port 'ports/x'");
}

static void test_unimplemented(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;

	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 0, &request.base,
	                                             5 * SECOND_US, &reply, &status),
	                 -ENOTSUP);
	assert_non_null(strstr(status.message, "GetDataplaneStatus"));
}

static void test_unknown_enum_is_refused(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;

	port.name = (char *)"ports/a";
	port.kind = (Gnomon__V1__Port__Kind)77;
	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 1, &port.base,
	                                             5 * SECOND_US, &reply, &status),
	                 -EINVAL);
	assert_non_null(strstr(status.message, "kind has the value 77"));
	assert_int_equal(fixture->n_handled, 0);
}

static void test_oversized_request_is_not_sent(void **state)
{
	struct fixture *fixture = *state;
	char *name = malloc(GN_CHANNEL_MAX_SIZE + 1);
	struct gn_status status = {0};

	memset(name, 'a', GN_CHANNEL_MAX_SIZE);
	name[GN_CHANNEL_MAX_SIZE] = '\0';
	assert_int_equal(call_port(fixture->client, name, 5 * SECOND_US, &status), -EINVAL);
	assert_non_null(strstr(status.message, "limit"));
	name[GN_CHANNEL_MAX_SIZE - 2048] = '\0';
	assert_int_equal(call_port(fixture->client, name, 5 * SECOND_US, &status), 0);
	free(name);
}

static void test_oversized_reply_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;

	fixture->n_listed = 100000;
	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 3, &request.base,
	                                             5 * SECOND_US, &reply, &status),
	                 -ENOSPC);
	assert_non_null(strstr(status.message, "ask for fewer"));
	fixture->n_listed = 10;
	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 3, &request.base,
	                                             5 * SECOND_US, &reply, &status),
	                 0);
	assert_int_equal(((Gnomon__V1__PortList *)reply)->n_ports, 10);
	protobuf_c_message_free_unpacked(reply, NULL);
}

static int call_volume(struct gn_channel_client *client, uint64_t timeout_us,
                       struct gn_status *status)
{
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	ProtobufCMessage *reply = NULL;

	return gn_channel_client_call_sync(client, SERVICE, 4, &volume.base, timeout_us, &reply,
	                                   status);
}

static void test_silent_handler_ends_by_deadline(void **state)
{
	struct fixture *fixture = *state;
	struct gn_status status = {0};

	assert_int_equal(call_volume(fixture->client, SECOND_US / 5, &status), -ETIMEDOUT);
	assert_int_equal(status.code, GN_DEADLINE_EXCEEDED);
	assert_non_null(strstr(status.message, "Dataplane/CreateVolume"));
	assert_non_null(strstr(status.message, fixture->url));
	assert_false(gn_channel_client_heard(fixture->client));
	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	assert_true(gn_channel_client_heard(fixture->client));
}

/* The peer waits for another and says so: its own words, not its silence. */
static void test_a_peer_that_says_it_is_late_is_heard(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_status status = {0};
	ProtobufCMessage *reply = NULL;

	request.name = (char *)"ports/slow";
	assert_int_equal(gn_channel_client_call_sync(fixture->client, SERVICE, 2, &request.base,
	                                             5 * SECOND_US, &reply, &status),
	                 -ETIMEDOUT);
	assert_true(gn_channel_client_heard(fixture->client));
}

static void test_bad_timeouts(void **state)
{
	struct fixture *fixture = *state;
	struct gn_status status = {0};

	assert_int_equal(call_port(fixture->client, "p", 0, &status), -EINVAL);
	assert_int_equal(call_port(fixture->client, "p", UINT64_MAX, &status), -EINVAL);
	assert_int_equal(call_port(fixture->client, "p", 1, &status) == 0 ||
	                         status.code == GN_DEADLINE_EXCEEDED ||
	                         status.code == GN_UNAVAILABLE,
	                 1);
}

struct tally {
	unsigned n_ok, n_unavailable, n_cancelled, n_deadline, n_other;
};

static void count(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct tally *tally = context;

	assert_int_equal(status->code == GN_OK, reply != NULL);
	if (status->code == GN_OK)
		tally->n_ok++;
	else if (status->code == GN_UNAVAILABLE)
		tally->n_unavailable++;
	else if (status->code == GN_CANCELLED)
		tally->n_cancelled++;
	else if (status->code == GN_DEADLINE_EXCEEDED)
		tally->n_deadline++;
	else
		tally->n_other++;
}

static void await(struct gn_channel_client *client, const struct tally *tally, unsigned n)
{
	struct pollfd fd = {.fd = gn_channel_client_fd(client), .events = POLLIN};

	while (tally->n_ok + tally->n_unavailable + tally->n_deadline + tally->n_other < n) {
		assert_int_equal(poll(&fd, 1, 60000), 1);
		gn_channel_client_process(client);
	}
}

static void test_thousands_at_once(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct gn_status status = {0};
	struct tally tally = {0};

	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(gn_channel_client_call(fixture->client, SERVICE, 1, &port.base,
		                                        60 * SECOND_US, count, &tally, &status),
		                 0);
	assert_int_equal(gn_channel_client_call(fixture->client, SERVICE, 1, &port.base, SECOND_US,
	                                        count, &tally, &status),
	                 -ENOSPC);
	await(fixture->client, &tally, 4096);
	assert_int_equal(tally.n_ok, 4096);
	assert_int_equal(fixture->n_handled, 4096);
}

static void test_too_many_waiting_are_told(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	struct gn_status status = {0};
	struct tally tally = {0};

	for (unsigned i = 0; i < 1500; i++)
		assert_int_equal(gn_channel_client_call(fixture->client, SERVICE, 4, &volume.base,
		                                        60 * SECOND_US, count, &tally, &status),
		                 0);
	await(fixture->client, &tally, 1500 - 1024);
	assert_int_equal(tally.n_unavailable, 1500 - 1024);
	/* The server answers those that wait when it stops; or their connection is lost. */
	stop_server(fixture);
	await(fixture->client, &tally, 1500);
	assert_int_equal(tally.n_unavailable, 1500);
	assert_int_equal(fixture->n_kept, 1024);
}

static void test_client_destroyed_with_calls_pending(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	struct gn_status status = {0};
	struct tally tally = {0};

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(gn_channel_client_call(fixture->client, SERVICE, 4, &volume.base,
		                                        60 * SECOND_US, count, &tally, &status),
		                 0);
	gn_channel_client_destroy(fixture->client);
	fixture->client = NULL;
	assert_int_equal(tally.n_cancelled, 100);
}

/* ---- peers that go, come back, or never were ----------------------------------------- */

static void test_server_killed_answers_unavailable_and_is_not_asked_twice(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;
	struct gn_status status = {0};
	struct tally tally = {0};

	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(gn_channel_client_call(fixture->client, SERVICE, 4, &volume.base,
		                                        60 * SECOND_US, count, &tally, &status),
		                 0);
	while (fixture->n_kept < 10)
		usleep(1000);
	stop_server(fixture);
	start_server(fixture);
	await(fixture->client, &tally, 10);
	assert_int_equal(tally.n_unavailable, 10);
	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	assert_int_equal(fixture->n_kept, 10);
}

static void test_absent_server_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct gn_status status = {0};

	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	stop_server(fixture);
	while (!gn_channel_client_check(fixture->client, &status))
		usleep(1000);
	/* Far below the deadline: the test would be stopped otherwise. */
	assert_int_equal(call_port(fixture->client, "ports/a", 20 * 60 * SECOND_US, &status),
	                 -ECONNREFUSED);
	assert_int_equal(status.code, GN_UNAVAILABLE);
	assert_non_null(strstr(status.message, fixture->url));
	assert_non_null(strstr(status.message, "is the peer running?"));
	assert_int_equal(gn_channel_client_check(fixture->client, &status), -ECONNREFUSED);
	start_server(fixture);
	while (gn_channel_client_check(fixture->client, &status))
		usleep(1000);
	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
}

/* A socket that accepts and never says a word. */
static void test_half_open_server(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct gn_channel_client *client;
	struct gn_status status = {0};
	char url[64];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/h", fixture->directory);
	snprintf(url, sizeof url, "ipc://%s/h", fixture->directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(gn_channel_client_create(url, NULL, &client, &status), 0);
	assert_int_equal(call_port(client, "ports/a", 20 * 60 * SECOND_US, &status), -ECONNREFUSED);
	assert_non_null(strstr(status.message, url));
	gn_channel_client_destroy(client);
	close(fd);
	unlink(address.sun_path);
}

/* Opening the address again drops connections, so a call in between may fail. */
static void ask_until_answered(struct gn_channel_client *client)
{
	struct gn_status status = {0};
	int tries = 100;

	while (call_port(client, "ports/a", 2 * SECOND_US, &status)) {
		if (!tries--)
			fail_msg("%s", status.message);
		usleep(50000);
	}
}

static void *accept_and_close(void *context)
{
	int fd;

	while ((fd = accept4(*(int *)context, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	return NULL;
}

/* A server that dies while it is connected to; nng 1.5.2 by itself would never dial again
 * (channel_endpoint.c). */
static void test_client_comes_back_after_a_server_that_hangs_up(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	pthread_t thread;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	stop_server(fixture);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", fixture->directory);
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(pthread_create(&thread, NULL, accept_and_close, &fd), 0);
	sleep(3); /* time for many attempts */
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fd);
	start_server(fixture);
	ask_until_answered(fixture->client);
}

static size_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

/* nng 1.5.2 never frees what was being negotiated when a listener or dialer closed
 * (channel_endpoint.c): some 4 KiB each time, inside libnng. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libnng.so";
}

/* Connections that say nothing, say garbage, or stop half-way, to a server. */
static void test_server_survives_bad_peers(void **state)
{
	static const char *const words[] = {"", "\0", "GET / HTTP/1.1\r\n\r\n", "\0SP\0\0\x30\0\0",
	                                    "\0SP\0\0\x30\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff"};
	static const size_t sizes[] = {0, 1, 18, 8, 17};
	struct fixture *fixture = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct gn_status status = {0};
	size_t n_before;
	int fds[200];

	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	n_before = count_descriptors();
	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", fixture->directory);
	for (size_t i = 0; i < 200; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
		if (sizes[i % 5])
			assert_true(write(fds[i], words[i % 5], sizes[i % 5]) > 0);
	}
	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
	for (size_t i = 0; i < 200; i++)
		close(fds[i]);
	while (count_descriptors() > n_before) /* the server closes its ends too */
		usleep(1000);
	ask_until_answered(fixture->client);
}

static void check_peers_that_go(struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct gn_channel_client *late;
	struct gn_status status = {0};

	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", fixture->directory);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		while (connect(fd, (struct sockaddr *)&address, sizeof address))
			usleep(1000); /* it is just being opened again */
		close(fd);
		usleep(50000);
		assert_int_equal(gn_channel_client_create(fixture->url, NULL, &late, &status), 0);
		ask_until_answered(late);
		ask_until_answered(fixture->client);
		gn_channel_client_destroy(late);
	}
}

/* A client that is killed while it connects must not close the address to all others. */
static void test_peer_gone_while_connecting_leaves_the_address_open(void **state)
{
	check_peers_that_go(*state);
}

/* The same of a process's second server: nng's own search finds the first one's counters. */
static void test_each_server_watches_its_own_address(void **state)
{
	struct fixture *fixture = *state;
	char url[sizeof fixture->url + 8];
	nng_socket first;

	stop_server(fixture);
	snprintf(url, sizeof url, "%s-first", fixture->url);
	assert_int_equal(nng_rep0_open(&first), 0);
	assert_int_equal(nng_listen(first, url, NULL, 0), 0);
	start_server(fixture);
	check_peers_that_go(fixture);
	nng_close(first);
}

/* ---- what only a raw peer can send ---------------------------------------------------- */

struct raw_case {
	const char *name;
	const char *id, *method;
	uint32_t version;
	int64_t deadline_offset_us; /* from now; INT64_MIN: no deadline */
	size_t padding;             /* bytes of body */
	bool with_status;
	enum gn_code code;
	const char *sentence;
};

static const struct raw_case raw_cases[] = {
        {"another version", "1", "Dataplane/CreatePort", 9, SECOND_US, 0, false, GN_UNIMPLEMENTED,
         "version 9"},
        {"no id", "", "Dataplane/CreatePort", 1, SECOND_US, 0, false, GN_INVALID_ARGUMENT, "id"},
        {"id too long", "0123456789012345678901234567890123456789012345678901234567890123456789",
         "Dataplane/CreatePort", 1, SECOND_US, 0, false, GN_INVALID_ARGUMENT, "id"},
        {"id with an escape", "a\033[2J", "Dataplane/CreatePort", 1, SECOND_US, 0, false,
         GN_INVALID_ARGUMENT, "id"},
        {"no method", "1", "", 1, SECOND_US, 0, false, GN_INVALID_ARGUMENT, "method"},
        {"no deadline", "1", "Dataplane/CreatePort", 1, INT64_MIN, 0, false, GN_INVALID_ARGUMENT,
         "deadline"},
        {"late", "1", "Dataplane/CreatePort", 1, -10 * (int64_t)SECOND_US, 0, false,
         GN_DEADLINE_EXCEEDED, "after its deadline"},
        {"late within the skew", "1", "Dataplane/CreatePort", 1, -(int64_t)SECOND_US / 2, 0, false,
         GN_OK, ""},
        {"unknown service", "1", "Nothing/CreatePort", 1, SECOND_US, 0, false, GN_UNIMPLEMENTED,
         "serves Dataplane"},
        {"service without method", "1", "Dataplane", 1, SECOND_US, 0, false, GN_UNIMPLEMENTED,
         "serves Dataplane"},
        {"unknown method", "1", "Dataplane/Explode", 1, SECOND_US, 0, false, GN_UNIMPLEMENTED,
         "Explode"},
        {"a status in a request", "1", "Dataplane/CreatePort", 1, SECOND_US, 0, true,
         GN_INVALID_ARGUMENT, "status"},
        {"a body that is no Port", "1", "Dataplane/CreatePort", 1, SECOND_US, 7, false,
         GN_INVALID_ARGUMENT, "Port"},
        {"oversized", "1", "Dataplane/CreatePort", 1, SECOND_US, GN_CHANNEL_MAX_SIZE, false,
         GN_INVALID_ARGUMENT, "limit"},
};

static nng_msg *raw_call(const char *url, const void *data, size_t size)
{
	nng_socket socket;
	nng_msg *message;
	int rc;

	assert_int_equal(nng_req0_open(&socket), 0);
	assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
	assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 10000), 0);
	assert_int_equal(nng_send(socket, (void *)data, size, 0), 0);
	rc = nng_recvmsg(socket, &message, 0);
	nng_close(socket);
	return rc ? NULL : message;
}

static void check_raw_reply(const struct raw_case *one, nng_msg *message)
{
	Gnomon__V1__Envelope *reply =
	        gnomon__v1__envelope__unpack(NULL, nng_msg_len(message), nng_msg_body(message));

	if (!reply || !reply->status || (int)reply->status->code != (int)one->code ||
	    !strstr(reply->status->message, one->sentence))
		fail_msg("%s: %s", one->name,
		         reply && reply->status ? reply->status->message : "no reply");
	gnomon__v1__envelope__free_unpacked(reply, NULL);
	nng_msg_free(message);
}

static void test_raw_requests(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof raw_cases / sizeof raw_cases[0]; i++) {
		const struct raw_case *one = &raw_cases[i];
		Gnomon__V1__Envelope envelope = GNOMON__V1__ENVELOPE__INIT;
		Gnomon__V1__Status carried = GNOMON__V1__STATUS__INIT;
		uint8_t *data;
		nng_msg *message;

		envelope.version = one->version;
		envelope.id = (char *)one->id;
		envelope.method = (char *)one->method;
		if (one->deadline_offset_us != INT64_MIN)
			envelope.deadline_us =
			        gn_clock_wall_us() + (uint64_t)one->deadline_offset_us;
		envelope.body.len = one->padding;
		envelope.body.data = calloc(1, one->padding + 1);
		memset(envelope.body.data, 0xff, one->padding);
		envelope.status = one->with_status ? &carried : NULL;
		data = malloc(gnomon__v1__envelope__get_packed_size(&envelope));
		message = raw_call(fixture->url, data, gnomon__v1__envelope__pack(&envelope, data));
		if (!message)
			fail_msg("%s: no reply", one->name);
		check_raw_reply(one, message);
		free(envelope.body.data);
		free(data);
	}
}

static void test_garbage_is_answered(void **state)
{
	struct fixture *fixture = *state;
	struct raw_case one = {
	        .name = "garbage", .code = GN_INVALID_ARGUMENT, .sentence = "not a valid Envelope"};
	nng_msg *message = raw_call(fixture->url, "\xff\xff\xff\xff", 4);

	assert_non_null(message);
	check_raw_reply(&one, message);
}

/* ---- addresses ------------------------------------------------------------------------ */

static void test_live_socket_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct gn_channel_server *second = NULL;
	struct gn_status status = {0};

	assert_int_equal(
	        gn_channel_server_create(fixture->url, NULL, &service, 1, &second, &status),
	        -EADDRINUSE);
	assert_null(second);
	ask_until_answered(
	        fixture->client); /* nng tries the address, which it then has to open again */
}

static void test_stale_socket_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct gn_status status = {0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	stop_server(fixture);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", fixture->directory);
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	start_server(fixture);
	while (gn_channel_client_check(fixture->client, &status))
		usleep(1000);
	assert_int_equal(call_port(fixture->client, "ports/a", 5 * SECOND_US, &status), 0);
}

static void test_regular_file_is_kept(void **state)
{
	struct fixture *fixture = *state;
	struct gn_channel_server *server = NULL;
	struct gn_status status = {0};
	char url[64];
	int fd;

	snprintf(url, sizeof url, "ipc://%s/f", fixture->directory);
	fd = open(url + 6, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(gn_channel_server_create(url, NULL, &service, 1, &server, &status),
	                 -EEXIST);
	assert_non_null(strstr(status.message, "not a socket"));
	assert_int_equal(unlink(url + 6), 0);
}

static void test_bad_addresses(void **state)
{
	static const char *const urls[] = {
	        "",
	        "gopher://x",
	        "ipc://relative",
	        "tcp://127.0.0.1:1",
	        "tls+tcp://127.0.0.1:7443",
	        "ipc:///a/path/that/is/longer/than/the/hundred/and/eight/bytes/that/a/socket/"
	        "address/"
	        "can/hold/on/linux/which/is/quite/short",
	        "ipc:///no/such/directory/anywhere/x",
	};

	for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
		struct gn_channel_server *server = NULL;
		struct gn_status status = {0};

		assert_int_not_equal(
		        gn_channel_server_create(urls[i], NULL, &service, 1, &server, &status), 0);
		assert_null(server);
		assert_true(status.code != GN_OK && status.message[0]);
	}
}

/* ---- events ---------------------------------------------------------------------------- */

struct seen {
	unsigned n;
	char last[64];
};

static void on_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	struct seen *seen = context;

	assert_string_equal(topic, "events");
	seen->n++;
	snprintf(seen->last, sizeof seen->last, "%s",
	         ((const Gnomon__V1__NameRequest *)message)->name);
}

/* Subscribers are known some time after they connect, so publish until one is seen. */
static void publish_until_seen(struct gn_channel_publisher *publisher,
                               struct gn_channel_subscriber *subscriber, struct seen *seen)
{
	struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;

	event.name = (char *)"first";
	while (!seen->n) {
		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
}

static void await_event(struct gn_channel_subscriber *subscriber, const struct seen *seen,
                        const char *name)
{
	struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

	while (strcmp(seen->last, name)) {
		assert_int_equal(poll(&fd, 1, 60000), 1);
		gn_channel_subscriber_process(subscriber);
	}
}

static void test_events(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};
	struct seen seen = {0};
	char url[64];

	snprintf(url, sizeof url, "ipc://%s/e", fixture->directory);
	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	assert_int_equal(gn_channel_subscriber_create(url, NULL, "events",
	                                              &gnomon__v1__name_request__descriptor,
	                                              on_event, &seen, &subscriber, &status),
	                 0);
	publish_until_seen(publisher, subscriber, &seen);
	assert_int_equal(gn_channel_subscriber_check(subscriber, &status), 0);
	event.name = (char *)"other";
	assert_int_equal(gn_channel_publish(publisher, "events-of-another-kind", &event.base), 0);
	event.name = (char *)"last";
	assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
	await_event(subscriber, &seen, "last");
	assert_int_equal(gn_channel_subscriber_errors(subscriber), 0);
	gn_channel_subscriber_destroy(subscriber);
	gn_channel_publisher_destroy(publisher);
	unlink(url + 6);
}

static void test_slow_subscriber_loses_and_publisher_goes_on(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};
	struct seen seen = {0};
	char url[64];

	snprintf(url, sizeof url, "ipc://%s/e", fixture->directory);
	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	assert_int_equal(gn_channel_subscriber_create(url, NULL, "events",
	                                              &gnomon__v1__name_request__descriptor,
	                                              on_event, &seen, &subscriber, &status),
	                 0);
	publish_until_seen(publisher, subscriber, &seen);
	event.name = malloc(60001);
	memset(event.name, 'x', 60000);
	event.name[60000] = '\0';
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
	free(event.name);
	seen.last[0] = '\0';
	event.name = (char *)"last";
	for (unsigned i = 0; strcmp(seen.last, "last"); i++) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

		assert_int_equal(gn_channel_publish(publisher, "events", &event.base), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
	assert_true(seen.n < 5000);
	gn_channel_subscriber_destroy(subscriber);
	gn_channel_publisher_destroy(publisher);
	unlink(url + 6);
}

static void test_bad_events_are_counted(void **state)
{
	struct fixture *fixture = *state;
	struct gn_channel_subscriber *subscriber;
	struct gn_status status = {0};
	struct seen seen = {0};
	nng_socket socket;
	char url[64];

	snprintf(url, sizeof url, "ipc://%s/e", fixture->directory);
	assert_int_equal(nng_pub0_open(&socket), 0);
	assert_int_equal(nng_listen(socket, url, NULL, 0), 0);
	assert_int_equal(gn_channel_subscriber_create(url, NULL, "events",
	                                              &gnomon__v1__name_request__descriptor,
	                                              on_event, &seen, &subscriber, &status),
	                 0);
	while (!gn_channel_subscriber_errors(subscriber)) {
		struct pollfd fd = {.fd = gn_channel_subscriber_fd(subscriber), .events = POLLIN};

		assert_int_equal(nng_send(socket, (void *)"events\0\xff\xff", 9, 0), 0);
		if (poll(&fd, 1, 10) > 0)
			gn_channel_subscriber_process(subscriber);
	}
	assert_int_equal(seen.n, 0);
	gn_channel_subscriber_destroy(subscriber);
	nng_close(socket);
	unlink(url + 6);
}

static void test_publish_limits(void **state)
{
	struct fixture *fixture = *state;
	Gnomon__V1__NameRequest event = GNOMON__V1__NAME_REQUEST__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_status status = {0};
	char topic[200], url[64];

	snprintf(url, sizeof url, "ipc://%s/e", fixture->directory);
	assert_int_equal(gn_channel_publisher_create(url, NULL, &publisher, &status), 0);
	event.name = malloc(GN_CHANNEL_MAX_SIZE + 1);
	memset(event.name, 'x', GN_CHANNEL_MAX_SIZE);
	event.name[GN_CHANNEL_MAX_SIZE] = '\0';
	assert_int_equal(gn_channel_publish(publisher, "events", &event.base), -EMSGSIZE);
	free(event.name);
	event.name = (char *)"x";
	memset(topic, 't', sizeof topic - 1);
	topic[sizeof topic - 1] = '\0';
	assert_int_equal(gn_channel_publish(publisher, topic, &event.base), -ENAMETOOLONG);
	gn_channel_publisher_destroy(publisher);
	unlink(url + 6);
}

#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CASE(round_trip),
	        CASE(failure_is_passed_on),
	        CASE(unimplemented),
	        CASE(unknown_enum_is_refused),
	        CASE(oversized_request_is_not_sent),
	        CASE(oversized_reply_is_an_error),
	        CASE(silent_handler_ends_by_deadline),
	        CASE(a_peer_that_says_it_is_late_is_heard),
	        CASE(bad_timeouts),
	        CASE(thousands_at_once),
	        CASE(too_many_waiting_are_told),
	        CASE(client_destroyed_with_calls_pending),
	        CASE(server_killed_answers_unavailable_and_is_not_asked_twice),
	        CASE(absent_server_is_named),
	        CASE(half_open_server),
	        CASE(client_comes_back_after_a_server_that_hangs_up),
	        CASE(server_survives_bad_peers),
	        CASE(peer_gone_while_connecting_leaves_the_address_open),
	        CASE(each_server_watches_its_own_address),
	        CASE(raw_requests),
	        CASE(garbage_is_answered),
	        CASE(live_socket_is_kept),
	        CASE(stale_socket_is_replaced),
	        CASE(regular_file_is_kept),
	        CASE(bad_addresses),
	        CASE(events),
	        CASE(slow_subscriber_loses_and_publisher_goes_on),
	        CASE(bad_events_are_counted),
	        CASE(publish_limits),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	nng_fini();
	return failed;
}
