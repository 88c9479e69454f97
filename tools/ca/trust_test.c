/* trust_test.c - the channel over TLS with the certificates that gnomon-ca makes: who may
 * talk to whom, and what a refused, broken or absent peer is told. */
#include "proto/channel.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>

#include "firmware/core/clock.h"
#include "proto/gnomon/v1/dataplane.pb-c.h"
#include "proto/sign/sign.h"
#include "proto/tlsfiles.h"
#include "tools/ca/ca.h"
#include "tools/ca/files.h"

#define SECOND_US 1000000ull
#define LONG_US   (20 * 60 * SECOND_US) /* a test that waits for it is stopped */
#define SERVICE   (&gnomon__v1__dataplane__descriptor)

static char dir[32];

/* nng 1.5.2 never frees what was being negotiated when a listener or dialer closed
 * (proto/channel_endpoint.c). */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libnng.so";
}

/* Paths of one endpoint's files; the strings are static storage per use. */
struct files {
	char ca[64], cert[64], key[64];
	struct gn_channel_tls tls;
};

static const struct gn_channel_tls *endpoint(struct files *files, const char *trusts,
                                             const char *own, const char *peer_name)
{
	snprintf(files->ca, sizeof files->ca, "%s/%s.pem", dir, trusts);
	snprintf(files->cert, sizeof files->cert, "%s/%s.pem", dir, own);
	snprintf(files->key, sizeof files->key, "%s/%s.key", dir, own);
	files->tls = (struct gn_channel_tls){.ca_file = files->ca,
	                                     .cert_file = files->cert,
	                                     .key_file = files->key,
	                                     .peer_name = peer_name};
	return &files->tls;
}

static void issue(const char *root, const char *name, const char *san)
{
	struct gn_ca_request request = {
	        .root = root,
	        .name = name,
	        .days = 10,
	        .role = strcmp(root, "operators") ? NULL : "operator",
	};
	struct gn_status status = {0};
	bool made;

	request.sans[0] = san;
	request.n_sans = san ? 1 : 0;
	if (gn_ca_issue(dir, &request, &made, &status))
		fail_msg("%s", status.message);
}

static int make_everything(void **state)
{
	struct gn_status status = {0};
	int n_made;

	strcpy(dir, "/tmp/gntr.XXXXXX");
	assert_non_null(mkdtemp(dir));
	if (gn_ca_init(dir, 100, false, &n_made, &status))
		fail_msg("%s", status.message);
	issue("cards", "card-1", "127.0.0.1");
	issue("cards", "card-2", NULL);
	issue("hosts", "host-1", "127.0.0.1");
	issue("hosts", "host-2", NULL);
	issue("operators", "alice", NULL);
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_everything(void **state)
{
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a server on its own thread ------------------------------------------------------- */

struct server {
	struct gn_channel_server *server;
	char url[64];
	pthread_t thread;
	int wake[2];
};

static void create_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	gn_channel_reply(call, request);
}

static gn_channel_handler *const handlers[32] = {NULL, create_port};
static const struct gn_channel_service service = {.descriptor = &gnomon__v1__dataplane__descriptor,
                                                  .handlers = handlers};

static void *serve(void *context)
{
	struct server *server = context;
	struct pollfd fds[2] = {
	        {.fd = gn_channel_server_fd(server->server), .events = POLLIN},
	        {.fd = server->wake[0], .events = POLLIN},
	};

	while (poll(fds, 2, -1) > 0 && !fds[1].revents)
		gn_channel_server_process(server->server);
	return NULL;
}

static void start(struct server *server, uint16_t port, const struct gn_channel_tls *tls)
{
	struct gn_status status = {0};

	snprintf(server->url, sizeof server->url, "tls+tcp://127.0.0.1:%u", port);
	if (gn_channel_server_create(server->url, tls, &service, 1, &server->server, &status))
		fail_msg("%s", status.message);
	snprintf(server->url, sizeof server->url, "tls+tcp://127.0.0.1:%u",
	         gn_channel_server_port(server->server));
	assert_int_equal(pipe(server->wake), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
	assert_int_equal(write(server->wake[1], "x", 1), 1);
	pthread_join(server->thread, NULL);
	gn_channel_server_destroy(server->server);
	close(server->wake[0]);
	close(server->wake[1]);
}

static int call(const char *url, const struct gn_channel_tls *tls, struct gn_status *status)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct gn_channel_client *client;
	ProtobufCMessage *reply = NULL;
	int rc = gn_channel_client_create(url, tls, &client, status);

	if (rc)
		return rc;
	port.name = (char *)"ports/a";
	rc = gn_channel_client_call_sync(client, SERVICE, 1, &port.base, 10 * SECOND_US, &reply,
	                                 status);
	if (!rc) {
		assert_string_equal(((Gnomon__V1__Port *)reply)->name, "ports/a");
		protobuf_c_message_free_unpacked(reply, NULL);
	}
	gn_channel_client_destroy(client);
	return rc;
}

/* ---- who may talk to whom -------------------------------------------------------------- */

struct trust_case {
	const char *name;
	const char *server_trusts, *server_own;
	const char *client_trusts, *client_own;
	const char *peer_name; /* NULL: the address dialled */
	bool works;
};

static const struct trust_case trust_cases[] = {
        {"operator calls card", "operators", "cards/card-1", "cards", "operators/alice", "card-1",
         true},
        {"operator calls card by address", "operators", "cards/card-1", "cards", "operators/alice",
         NULL, true},
        {"card calls shim", "cards", "hosts/host-1", "hosts", "cards/card-1", "host-1", true},
        {"shim calls card", "operators", "cards/card-1", "cards", "hosts/host-1", "card-1", false},
        {"operator calls shim", "cards", "hosts/host-1", "hosts", "operators/alice", "host-1",
         false},
        {"shim calls shim", "cards", "hosts/host-1", "hosts", "hosts/host-2", "host-1", false},
        {"card calls card's operator endpoint", "operators", "cards/card-1", "cards",
         "cards/card-2", "card-1", false},
        {"a shim poses as a card", "operators", "hosts/host-1", "cards", "operators/alice",
         "host-1", false},
        {"another card poses as card-1", "operators", "cards/card-2", "cards", "operators/alice",
         "card-1", false},
        {"a card without the address in its names", "operators", "cards/card-2", "cards",
         "operators/alice", NULL, false},
        {"an operator's certificate does not serve", "operators", "operators/alice", "operators",
         "operators/alice", "alice", false},
        {"a host's certificate does not call", "hosts", "cards/card-1", "cards", "hosts/host-1",
         "card-1", false},
};

static void test_trust(void **state)
{
	for (size_t i = 0; i < sizeof trust_cases / sizeof trust_cases[0]; i++) {
		const struct trust_case *one = &trust_cases[i];
		struct gn_status status = {0};
		struct server server = {0};
		struct files ours, theirs;
		int rc;

		start(&server, 0, endpoint(&ours, one->server_trusts, one->server_own, NULL));
		rc = call(server.url,
		          endpoint(&theirs, one->client_trusts, one->client_own, one->peer_name),
		          &status);
		if (one->works && rc)
			fail_msg("%s: %s", one->name, status.message);
		if (!one->works && rc != -ECONNREFUSED)
			fail_msg("%s: answered %d", one->name, rc);
		if (!one->works &&
		    (!strstr(status.message, server.url) || !strstr(status.message, "certificate")))
			fail_msg("%s: unclear: %s", one->name, status.message);
		stop(&server);
	}
}

/* ---- what was recorded and is sent again --------------------------------------------------- */

/* Whoever has an operator's TLS key speaks to the server without the channel's client: here to send
 * the very bytes of a request. The answer's code. */
static int send_raw(const char *url, const struct gn_channel_tls *tls, const uint8_t *data,
                    size_t size, struct gn_status *status)
{
	struct gn_tlsfiles files;
	struct gn_envelope envelope;
	nng_tls_config *config;
	nng_dialer dialer;
	nng_socket socket;
	nng_msg *message;

	assert_int_equal(gn_tlsfiles_load(tls, &files, status), 0);
	assert_int_equal(nng_req0_open(&socket), 0);
	assert_int_equal(nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT), 0);
	assert_int_equal(nng_tls_config_ca_chain(config, files.ca, NULL), 0);
	assert_int_equal(nng_tls_config_own_cert(config, files.cert, files.key, NULL), 0);
	assert_int_equal(nng_tls_config_server_name(config, tls->peer_name), 0);
	assert_int_equal(nng_dialer_create(&dialer, socket, url), 0);
	assert_int_equal(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config), 0);
	assert_int_equal(nng_dialer_start(dialer, 0), 0);
	assert_int_equal(nng_msg_alloc(&message, size), 0);
	memcpy(nng_msg_body(message), data, size);
	assert_int_equal(nng_sendmsg(socket, message, 0), 0);
	assert_int_equal(nng_recvmsg(socket, &message, 0), 0);
	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REPLY, nng_msg_body(message),
	                                    nng_msg_len(message), &envelope, status),
	                 0);
	*status = envelope.status;
	gn_envelope_fini(&envelope);
	nng_msg_free(message);
	nng_close(socket);
	nng_tls_config_free(config);
	gn_tlsfiles_fini(&files);
	return (int)status->code;
}

/* A request as alice's client makes it. */
static size_t record(const struct gn_channel_tls *tls, const char *target, uint64_t deadline_us,
                     uint64_t counter, uint8_t data[4096])
{
	struct gn_envelope envelope = {.id = "recorded",
	                               .method = "Dataplane/CreatePort",
	                               .deadline_us = deadline_us,
	                               .counter = counter};
	struct gn_status status;
	struct gn_tlsfiles files;
	struct gn_signer *signer;
	size_t size;

	strcpy(envelope.target, target);
	assert_int_equal(gn_tlsfiles_load(tls, &files, &status), 0);
	assert_int_equal(gn_signer_create(files.cert, files.key, &signer, &status), 0);
	assert_int_equal(gn_signer_sign(signer, &envelope), 0);
	size = gn_envelope_size(GN_ENVELOPE_REQUEST, &envelope, NULL);
	assert_true(size <= 4096);
	gn_envelope_encode(GN_ENVELOPE_REQUEST, &envelope, NULL, data);
	gn_signer_destroy(signer);
	gn_tlsfiles_fini(&files);
	return size;
}

static void expect_refused(const char *url, const struct gn_channel_tls *tls, const uint8_t *data,
                           size_t size, int code, const char *says)
{
	struct gn_status status;

	if (send_raw(url, tls, data, size, &status) != code || !strstr(status.message, says))
		fail_msg("expected %d '%s', got %d '%s'", code, says, status.code, status.message);
}

static void test_recorded_requests_are_refused(void **state)
{
	const uint64_t now_us = gn_clock_wall_us(), later_us = now_us + 600 * SECOND_US;
	char counters[64];
	struct files card, alice;
	struct gn_status status;
	struct server server = {0};
	uint8_t data[4096];
	size_t size;

	endpoint(&card, "operators", "cards/card-1", NULL);
	snprintf(counters, sizeof counters, "%s/counters", dir);
	card.tls.counters_file = counters;
	endpoint(&alice, "cards", "operators/alice", "card-1");
	start(&server, 0, &card.tls);
	size = record(&alice.tls, "card-1", later_us, now_us, data);
	assert_int_equal(send_raw(server.url, &alice.tls, data, size, &status), GN_OK);
	expect_refused(server.url, &alice.tls, data, size, GN_UNAUTHENTICATED, "replayed");
	stop(&server);
	start(&server, 0, &card.tls); /* it remembers */
	expect_refused(server.url, &alice.tls, data, size, GN_UNAUTHENTICATED, "replayed");
	size = record(&alice.tls, "card-2", later_us, now_us + 1, data);
	expect_refused(server.url, &alice.tls, data, size, GN_UNAUTHENTICATED, "wrong target");
	size = record(&alice.tls, "card-1", now_us - 60 * SECOND_US, now_us + 2, data);
	expect_refused(server.url, &alice.tls, data, size, GN_DEADLINE_EXCEEDED,
	               "after its deadline");
	size = record(&alice.tls, "card-1", later_us, now_us + 90000 * SECOND_US, data);
	expect_refused(server.url, &alice.tls, data, size, GN_UNAUTHENTICATED, "wrong clock");
	size = record(&alice.tls, "card-1", later_us, now_us + 3, data);
	data[size - 1] ^= 1;
	expect_refused(server.url, &alice.tls, data, size, GN_UNAUTHENTICATED, "forged");
	assert_int_equal(call(server.url, &alice.tls, &status), 0);
	stop(&server);
}

/* A server that was killed knows only that it may have seen what is near its mark; a client whose
 * clock is behind is there too. Both are told which counter is new, and nobody notices. */
static void test_client_behind_the_mark_is_served(void **state)
{
	char counters[64], text[160];
	struct files card, alice;
	struct gn_status status;
	struct server server = {0};
	FILE *file;

	endpoint(&card, "operators", "cards/card-1", NULL);
	snprintf(counters, sizeof counters, "%s/marks", dir);
	card.tls.counters_file = counters;
	endpoint(&alice, "cards", "operators/alice", "card-1");
	start(&server, 0, &card.tls);
	assert_int_equal(call(server.url, &alice.tls, &status), 0);
	stop(&server);
	file = fopen(counters, "r+");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof text, file));
	assert_non_null(fgets(text, sizeof text, file));
	assert_true(fscanf(file, "%64s", text) == 1);
	fseek(file, 0, SEEK_CUR);
	fprintf(file, " %llu\n", (unsigned long long)(gn_clock_wall_us() + 600 * SECOND_US));
	fclose(file);
	start(&server, 0, &card.tls);
	for (int i = 0; i < 3; i++)
		if (call(server.url, &alice.tls, &status))
			fail_msg("%s", status.message);
	stop(&server);
}

static void test_revoked_operator_is_refused_without_a_restart(void **state)
{
	struct files card, carol, alice;
	struct gn_status status;
	struct server server = {0};

	issue("operators", "carol", NULL);
	start(&server, 0, endpoint(&card, "operators", "cards/card-1", NULL));
	endpoint(&carol, "cards", "operators/carol", "card-1");
	endpoint(&alice, "cards", "operators/alice", "card-1");
	assert_int_equal(call(server.url, &carol.tls, &status), 0);
	assert_int_equal(gn_ca_revoke(dir, "operators", "carol", &status), 0);
	assert_int_not_equal(call(server.url, &carol.tls, &status), 0);
	assert_int_equal(status.code, GN_UNAUTHENTICATED);
	assert_non_null(strstr(status.message, "revoked signer"));
	assert_int_equal(call(server.url, &alice.tls, &status), 0);
	stop(&server);
}

static void test_refused_client_does_not_disturb_others(void **state)
{
	struct files card, operator, shim;
	struct gn_channel_client *refused[8];
	struct gn_status status = {0};
	struct server server = {0};

	start(&server, 0, endpoint(&card, "operators", "cards/card-1", NULL));
	endpoint(&shim, "cards", "hosts/host-1", "card-1");
	endpoint(&operator, "cards", "operators/alice", "card-1");
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(
		        gn_channel_client_create(server.url, &shim.tls, &refused[i], &status), 0);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(call(server.url, &operator.tls, &status), 0);
	for (size_t i = 0; i < 8; i++)
		gn_channel_client_destroy(refused[i]);
	stop(&server);
}

/* ---- peers that are not what they should be --------------------------------------------- */

static int listen_tcp(char *url, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	snprintf(url, size, "tls+tcp://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

static void *speak_garbage(void *context)
{
	int fd;

	while ((fd = accept4(*(int *)context, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		(void)!write(fd, "220 mail.example ESMTP, how may I help?\r\n", 41);
		close(fd);
	}
	return NULL;
}

static void test_server_that_speaks_garbage(void **state)
{
	struct gn_status status = {0};
	struct files operator;
	pthread_t thread;
	char url[64];
	int fd = listen_tcp(url, sizeof url);

	pthread_create(&thread, NULL, speak_garbage, &fd);
	assert_int_equal(
	        call(url, endpoint(&operator, "cards", "operators/alice", "card-1"), &status),
	        -ECONNREFUSED);
	assert_non_null(strstr(status.message, url));
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fd);
}

/* The kernel accepts; nobody ever reads. */
static void test_server_that_is_silent(void **state)
{
	struct gn_status status = {0};
	struct files operator;
	char url[64];
	int fd = listen_tcp(url, sizeof url);

	assert_int_equal(
	        call(url, endpoint(&operator, "cards", "operators/alice", "card-1"), &status),
	        -ECONNREFUSED);
	assert_non_null(strstr(status.message, url));
	close(fd);
}

static void test_nothing_listens(void **state)
{
	struct gn_status status = {0};
	struct files operator;
	char url[64];

	close(listen_tcp(url, sizeof url));
	assert_int_equal(
	        call(url, endpoint(&operator, "cards", "operators/alice", "card-1"), &status),
	        -ECONNREFUSED);
	assert_non_null(strstr(status.message, "connections are refused"));
}

/* The address may just be closed and opened again (channel_endpoint.c): tries for 10 s. */
static int connect_tcp(const char *url)
{
	int tries = 1000;
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
	while (connect(fd, (struct sockaddr *)&address, sizeof address)) {
		assert_true(errno == ECONNREFUSED && tries-- > 0);
		usleep(10000);
	}
	return fd;
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

static void test_server_survives_plain_and_half_open_peers(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	struct files card, operator;
	struct gn_status status = {0};
	struct server server = {0};
	size_t n_before;
	int fds[150];

	start(&server, 0, endpoint(&card, "operators", "cards/card-1", NULL));
	n_before = count_descriptors();
	for (size_t i = 0; i < 150; i++) {
		fds[i] = connect_tcp(server.url);
		if (i % 3 == 1)
			assert_true(write(fds[i], "GET / HTTP/1.0\r\n\r\n", 18) == 18);
		if (i % 3 == 2)
			assert_true(write(fds[i], hello, sizeof hello - 1) > 0);
	}
	endpoint(&operator, "cards", "operators/alice", "card-1");
	assert_int_equal(call(server.url, &operator.tls, &status), 0);
	for (size_t i = 0; i < 150; i++)
		close(fds[i]);
	while (count_descriptors() > n_before) /* the server closes its ends too */
		usleep(1000);
	assert_int_equal(call(server.url, &operator.tls, &status), 0);
	stop(&server);
}

/* A ClientHello as TLS 1.2 has it (RFC 5246, 7.4.1.2): ECDHE-ECDSA-AES128-GCM-SHA256 over
 * P-256, signatures by ECDSA with SHA-256. */
static size_t client_hello(uint8_t *out)
{
	static const uint8_t head[] = {0x16, 3, 1, 0, 69, 1, 0, 0, 65, 3, 3};
	static const uint8_t tail[] = {0,  0, 2,  0xc0, 0x2b, 1, 0, 0, 22, 0, 10, 0, 4, 0, 2, 0,
	                               23, 0, 11, 0,    2,    1, 0, 0, 13, 0, 4,  0, 2, 4, 3};

	memcpy(out, head, sizeof head);
	memset(out + sizeof head, 0x5a, 32);
	memcpy(out + sizeof head + 32, tail, sizeof tail);
	return sizeof head + 32 + sizeof tail;
}

/* Anyone can do this; nng 1.5.2 by itself would never accept again (channel_endpoint.c). */
static void test_peers_that_go_in_the_handshake_do_not_close_the_address(void **state)
{
	struct files card, operator;
	struct gn_status status = {0};
	struct server server = {0};
	uint8_t hello[128];
	size_t size = client_hello(hello);

	assert_int_equal(size, 5 + hello[4]);
	start(&server, 0, endpoint(&card, "operators", "cards/card-1", NULL));
	endpoint(&operator, "cards", "operators/alice", "card-1");
	for (int i = 0; i < 800; i++) { /* over seconds, since nng reports ten failures in one */
		int fd = connect_tcp(server.url);

		assert_int_equal(write(fd, hello, size), size);
		close(fd);
		usleep(4000);
	}
	for (int tries = 0; call(server.url, &operator.tls, &status); tries++)
		if (tries == 20)
			fail_msg("%s", status.message);
	stop(&server);
}

/* ---- load and restart ---------------------------------------------------------------------- */

static void count(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	unsigned *n = context;

	if (status->code)
		fail_msg("%s", status->message);
	++*n;
}

static void test_thousands_over_tls_and_a_restart(void **state)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct gn_channel_client *client;
	struct files card, operator;
	struct gn_status status = {0};
	struct server server = {0};
	struct pollfd fd;
	unsigned n = 0;
	uint16_t number;

	endpoint(&card, "operators", "cards/card-1", NULL);
	endpoint(&operator, "cards", "operators/alice", "card-1");
	start(&server, 0, &card.tls);
	assert_int_equal(gn_channel_client_create(server.url, &operator.tls, &client, &status), 0);
	fd = (struct pollfd){.fd = gn_channel_client_fd(client), .events = POLLIN};
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(gn_channel_client_call(client, SERVICE, 1, &port.base, LONG_US,
		                                        count, &n, &status),
		                 0);
	while (n < 3000 && poll(&fd, 1, 60000) == 1)
		gn_channel_client_process(client);
	assert_int_equal(n, 3000);
	number = gn_channel_server_port(server.server);
	stop(&server);
	while (!gn_channel_client_check(client, &status))
		usleep(1000);
	start(&server, number, &card.tls);
	while (gn_channel_client_check(client, &status))
		usleep(1000);
	assert_int_equal(
	        gn_channel_client_call(client, SERVICE, 1, &port.base, LONG_US, count, &n, &status),
	        0);
	while (n < 3001 && poll(&fd, 1, 60000) == 1)
		gn_channel_client_process(client);
	assert_int_equal(n, 3001);
	gn_channel_client_destroy(client);
	stop(&server);
}

static void on_event(void *context, const char *topic, const ProtobufCMessage *message)
{
	++*(unsigned *)context;
}

static void test_events_over_tls(void **state)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;
	struct gn_channel_publisher *publisher;
	struct gn_channel_subscriber *trusted, *refused;
	struct files card, operator, shim;
	struct gn_status status = {0};
	unsigned n_trusted = 0, n_refused = 0;
	char url[64];

	endpoint(&card, "operators", "cards/card-1", NULL);
	assert_int_equal(gn_channel_publisher_create("tls+tcp://127.0.0.1:0", &card.tls, &publisher,
	                                             &status),
	                 0);
	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%u", gn_channel_publisher_port(publisher));
	assert_int_equal(gn_channel_subscriber_create(
	                         url, endpoint(&operator, "cards", "operators/alice", NULL),
	                         "ports", port.base.descriptor, on_event, &n_trusted, &trusted,
	                         &status),
	                 0);
	assert_int_equal(gn_channel_subscriber_create(
	                         url, endpoint(&shim, "cards", "hosts/host-1", NULL), "ports",
	                         port.base.descriptor, on_event, &n_refused, &refused, &status),
	                 0);
	while (n_trusted < 10) {
		assert_int_equal(gn_channel_publish(publisher, "ports", &port.base), 0);
		usleep(10000);
		gn_channel_subscriber_process(trusted);
		gn_channel_subscriber_process(refused);
	}
	assert_int_equal(n_refused, 0);
	assert_int_equal(gn_channel_subscriber_check(refused, &status), -ECONNREFUSED);
	gn_channel_subscriber_destroy(trusted);
	gn_channel_subscriber_destroy(refused);
	gn_channel_publisher_destroy(publisher);
}

/* ---- files ------------------------------------------------------------------------------------
 */

struct file_case {
	const char *name;
	const char *ca, *cert, *key; /* in dir */
	int error;
	const char *sentence;
};

static const struct file_case file_cases[] = {
        {"missing root", "none.pem", "cards/card-1.pem", "cards/card-1.key", -ENOENT, "none.pem"},
        {"missing certificate", "cards.pem", "cards/none.pem", "cards/card-1.key", -ENOENT,
         "none.pem"},
        {"missing key", "cards.pem", "cards/card-1.pem", "cards/none.key", -ENOENT, "none.key"},
        {"no key named", "cards.pem", "cards/card-1.pem", NULL, -EINVAL, "no key file"},
        {"a leaf as root", "cards/card-1.pem", "cards/card-1.pem", "cards/card-1.key", -EINVAL,
         "not a root"},
        {"another's key", "cards.pem", "cards/card-1.pem", "cards/card-2.key", -EINVAL,
         "does not belong"},
        {"key as certificate", "cards.pem", "cards/card-1.key", "cards/card-1.key", -EINVAL,
         "not usable PEM"},
        {"certificate as key", "cards.pem", "cards/card-1.pem", "plain.key", -EINVAL,
         "not usable PEM"},
        {"open key", "cards.pem", "cards/card-1.pem", "open.key", -EACCES, "chmod 0600"},
        {"empty root", "empty.pem", "cards/card-1.pem", "cards/card-1.key", -EINVAL,
         "regular file"},
        {"a directory", "cards", "cards/card-1.pem", "cards/card-1.key", -EINVAL, "regular file"},
};

static const char *path_of(char *buffer, size_t size, const char *name)
{
	if (!name)
		return NULL;
	snprintf(buffer, size, "%s/%s", dir, name);
	return buffer;
}

static void make_bad_files(void)
{
	char path[64];

	assert_int_equal(
	        gn_files_write(path_of(path, sizeof path, "open.key"), "x", 0644, true, NULL), 0);
	assert_int_equal(
	        gn_files_write(path_of(path, sizeof path, "plain.key"), "x", 0600, true, NULL), 0);
	assert_int_equal(
	        gn_files_write(path_of(path, sizeof path, "empty.pem"), "", 0644, true, NULL), 0);
}

static void test_files(void **state)
{
	make_bad_files();
	for (size_t i = 0; i < sizeof file_cases / sizeof file_cases[0]; i++) {
		const struct file_case *one = &file_cases[i];
		char ca[64], cert[64], key[64];
		struct gn_channel_tls tls = {.ca_file = path_of(ca, sizeof ca, one->ca),
		                             .cert_file = path_of(cert, sizeof cert, one->cert),
		                             .key_file = path_of(key, sizeof key, one->key)};
		struct gn_channel_server *server = NULL;
		struct gn_status status = {0};
		int rc = gn_channel_server_create("tls+tcp://127.0.0.1:0", &tls, &service, 1,
		                                  &server, &status);

		if (rc != one->error || !strstr(status.message, one->sentence))
			fail_msg("%s: %d, %s", one->name, rc, status.message);
		assert_null(server);
	}
}

static void test_port_in_use(void **state)
{
	struct gn_channel_server *second = NULL;
	struct gn_status status = {0};
	struct server server = {0};
	struct files card;

	start(&server, 0, endpoint(&card, "operators", "cards/card-1", NULL));
	assert_int_equal(
	        gn_channel_server_create(server.url, &card.tls, &service, 1, &second, &status),
	        -EADDRINUSE);
	assert_non_null(strstr(status.message, server.url));
	stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_trust),
	        cmocka_unit_test(test_recorded_requests_are_refused),
	        cmocka_unit_test(test_client_behind_the_mark_is_served),
	        cmocka_unit_test(test_revoked_operator_is_refused_without_a_restart),
	        cmocka_unit_test(test_refused_client_does_not_disturb_others),
	        cmocka_unit_test(test_server_that_speaks_garbage),
	        cmocka_unit_test(test_server_that_is_silent),
	        cmocka_unit_test(test_nothing_listens),
	        cmocka_unit_test(test_server_survives_plain_and_half_open_peers),
	        cmocka_unit_test(test_peers_that_go_in_the_handshake_do_not_close_the_address),
	        cmocka_unit_test(test_thousands_over_tls_and_a_restart),
	        cmocka_unit_test(test_events_over_tls),
	        cmocka_unit_test(test_files),
	        cmocka_unit_test(test_port_in_use),
	};
	int failed = cmocka_run_group_tests(tests, make_everything, remove_everything);

	nng_fini();
	return failed;
}
