/* channel_stuck_test.c - a peer that accepts the connection and reads nothing of it: what was sent
 * fills the socket, later calls cannot even be sent, and only a new connection helps. */
#include "proto/channel.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/gnomon/v1/dataplane.pb-c.h"

#define SERVICE     (&gnomon__v1__dataplane__descriptor)
#define CREATE_PORT 1
#define TIMEOUT_US  100000
#define LARGE       ((size_t)512 << 10) /* more than a socket takes */
/* Enough for several rounds of silence. */
#define CALLS 40

static _Atomic unsigned n_connections;

/* nng's greeting for REP, and then not a byte is read. */
static void *stuck_peer(void *argument)
{
	static const char greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
	int listener = *(int *)argument, peer;
	char theirs[8];

	while ((peer = accept(listener, NULL, NULL)) >= 0) {
		n_connections++;
		if (write(peer, greeting, sizeof greeting) != sizeof greeting ||
		    read(peer, theirs, sizeof theirs) != sizeof theirs)
			close(peer);
	}
	return NULL;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void a_connection_that_takes_nothing_is_given_up(void **state)
{
	char directory[] = "/tmp/gnstuckXXXXXX", path[64], url[80];
	Gnomon__V1__Port request = GNOMON__V1__PORT__INIT;
	struct gn_channel_client *client;
	ProtobufCMessage *reply;
	struct gn_status status;
	pthread_t thread;
	int listener;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/s", directory);
	snprintf(url, sizeof url, "ipc://%s", path);
	listener = listen_at(path);
	assert_int_equal(pthread_create(&thread, NULL, stuck_peer, &listener), 0);
	assert_int_equal(gn_channel_client_create(url, NULL, &client, &status), 0);
	request.name = malloc(LARGE);
	memset(request.name, 'a', LARGE - 1);
	request.name[LARGE - 1] = '\0';
	for (unsigned i = 0; i < CALLS && n_connections < 3; i++) {
		assert_true(gn_channel_client_call_sync(client, SERVICE, CREATE_PORT, &request.base,
		                                        TIMEOUT_US, &reply, &status) < 0);
		assert_true(status.code == GN_UNAVAILABLE || status.code == GN_DEADLINE_EXCEEDED);
	}
	assert_in_range(n_connections, 3, CALLS);
	gn_channel_client_destroy(client);
	free(request.name);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_connection_that_takes_nothing_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
