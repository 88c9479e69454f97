/* messages.c - vhost-user messages that are malformed by themselves. */
#include "tests/hostile/attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_FLOOD       20000
#define N_CONNECTIONS 100
#define N_CYCLES      100
#define N_LEAKS       500
#define OTHER_TIMEOUT 5000

static int unknown_requests(struct gn_attack *a)
{
	static const uint32_t requests[] = {0,  22, 23, 26, 28,         29,
	                                    30, 33, 41, 99, 0x80000000, 0xffffffff};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct gn_wire_message m = gn_attack_message(requests[i], 0);

		if (gn_attack_must_refuse(a, "unknown request", &m, NULL, 0))
			return -1;
	}
	return 0;
}

static int wrong_version(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_u64(GN_WIRE_SET_FEATURES, 0);

	m.flags = 2;
	return gn_attack_must_refuse(a, "version 2", &m, NULL, 0);
}

static int wrong_sizes(struct gn_attack *a)
{
	static const uint32_t requests[] = {GN_WIRE_SET_FEATURES,    GN_WIRE_SET_VRING_NUM,
	                                    GN_WIRE_SET_VRING_ADDR,  GN_WIRE_SET_VRING_BASE,
	                                    GN_WIRE_SET_MEM_TABLE,   GN_WIRE_SET_VRING_ENABLE,
	                                    GN_WIRE_SET_INFLIGHT_FD, GN_WIRE_SET_PROTOCOL_FEATURES};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct gn_wire_message m = gn_attack_message(requests[i], 3);

		memset(m.payload.bytes, 0xff, sizeof(m.payload.bytes));
		if (gn_attack_must_refuse(a, "3 bytes of payload", &m, NULL, 0))
			return -1;
		m = gn_attack_message(requests[i], 600);
		memset(m.payload.bytes, 0xff, sizeof(m.payload.bytes));
		if (gn_attack_must_refuse(a, "600 bytes of payload", &m, NULL, 0))
			return -1;
	}
	return 0;
}

static int giant_sizes(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_message(GN_WIRE_SET_FEATURES, 4096);

	if (gn_attack_must_refuse(a, "4096 bytes of payload", &m, NULL, 0))
		return -1;
	m.size = 0xffffffff;
	gn_attack_send(a, &m, 4096, NULL, 0);
	m.size = 0x80000000;
	gn_attack_send(a, &m, 0, NULL, 0);
	return 0;
}

/* A message cut at every byte of header and payload, then closed. */
static int cut_messages(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_u64(GN_WIRE_SET_FEATURES, 0);

	for (size_t n = 1; n < GN_WIRE_HEADER_SIZE + 8; n++) {
		int fd = gn_wire_connect(a->socket_path);

		gn_frontend_disconnect(a->fe);
		if (fd < 0)
			fd = gn_wire_connect(a->socket_path);
		if (fd >= 0 && write(fd, &m, n) < 0)
			gn_attack_pause_ms(1);
		if (fd >= 0)
			close(fd);
	}
	return gn_attack_restore(a);
}

/* Half a message, then silence: the back end must go on answering its other front ends. */
static int stalled_message(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_message(GN_WIRE_GET_FEATURES, 0);
	struct gn_wire_message half = gn_attack_u64(GN_WIRE_SET_FEATURES, 0);
	int other;
	int error;

	if (!a->other_path)
		return 0;
	if (write(a->fe->socket, &half, GN_WIRE_HEADER_SIZE + 2) < 0)
		return gn_attack_complain(a, "cannot send half a message: %s", strerror(errno));
	other = gn_wire_connect(a->other_path);
	if (other < 0)
		return gn_attack_complain(a, "%s: %s", a->other_path, strerror(-other));
	error = gn_wire_send(other, &m, NULL, 0);
	if (!error)
		error = gn_wire_receive(other, &m, NULL, OTHER_TIMEOUT);
	close(other);
	if (error)
		return gn_attack_complain(a, "half a message stops all other front ends: %s",
		                          strerror(-error));
	return gn_attack_restore(a);
}

/* Never reads the replies. */
static int unread_replies(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_message(GN_WIRE_GET_FEATURES, 0);
	struct timeval limit = {.tv_usec = 100000};

	setsockopt(a->fe->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	for (unsigned i = 0; i < N_FLOOD; i++)
		if (gn_wire_send(a->fe->socket, &m, NULL, 0))
			break;
	if (a->other_path) {
		int other = gn_wire_connect(a->other_path);
		int error = other < 0 ? other : gn_wire_send(other, &m, NULL, 0);

		if (!error)
			error = gn_wire_receive(other, &m, NULL, OTHER_TIMEOUT);
		if (other >= 0)
			close(other);
		if (error)
			return gn_attack_complain(a, "unread replies stop other front ends: %s",
			                          strerror(-error));
	}
	return gn_attack_restore(a);
}

/* Descriptors with a request that takes none; the caller counts what the back end kept. */
static int stray_descriptors(struct gn_attack *a)
{
	int fds[GN_WIRE_MAX_REGIONS];

	for (unsigned i = 0; i < GN_WIRE_MAX_REGIONS; i++)
		fds[i] = eventfd(0, 0);
	for (unsigned i = 0; i < N_LEAKS; i++) {
		struct gn_wire_message m = gn_attack_vring(GN_WIRE_SET_VRING_NUM, 0, 256);

		if (i % 3 == 1)
			m = gn_attack_message(GN_WIRE_SET_MEM_TABLE, 8);
		if (i % 3 == 2)
			m = gn_attack_message(99, 0);
		gn_attack_send(a, &m, m.size, fds, GN_WIRE_MAX_REGIONS);
	}
	for (unsigned i = 0; i < GN_WIRE_MAX_REGIONS; i++)
		close(fds[i]);
	return 0;
}

static int connection_flood(struct gn_attack *a)
{
	int fds[N_CONNECTIONS];
	struct gn_wire_message m = gn_attack_message(GN_WIRE_GET_FEATURES, 0);

	for (unsigned i = 0; i < N_CONNECTIONS; i++) {
		fds[i] = gn_wire_connect(a->socket_path);
		if (fds[i] >= 0)
			gn_wire_send(fds[i], &m, NULL, 0);
	}
	gn_attack_pause_ms(100);
	for (unsigned i = 0; i < N_CONNECTIONS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return 0;
}

static int bad_inflight(struct gn_attack *a)
{
	static const struct {
		uint64_t size, offset;
		uint16_t n_queues, queue_size;
	} cases[] = {
	        {4096, 0, 1, 32768},        {4096, 0, 0, 256},    {4096, 0, 16, 32768},
	        {UINT64_MAX, 0, 1, 256},    {1 << 20, 0, 1, 256}, {4096, UINT64_MAX - 4095, 1, 16},
	        {4096, 1ull << 40, 1, 16},  {0, 0, 1, 256},       {64, 0, 1, 0},
	        {1 << 20, 0, 65535, 65535},
	};
	int fd = memfd_create("inflight", MFD_CLOEXEC);
	int result = ftruncate(fd, 4096);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && !result; i++) {
		struct gn_wire_message m =
		        gn_attack_message(GN_WIRE_SET_INFLIGHT_FD, sizeof(m.payload.inflight));

		m.payload.inflight = (struct gn_wire_inflight){
		        cases[i].size, cases[i].offset, cases[i].n_queues, cases[i].queue_size};
		result = gn_attack_must_refuse(a, "in-flight buffer", &m, &fd, 1);
	}
	close(fd);
	return result;
}

static int bad_config(struct gn_attack *a)
{
	static const uint32_t cases[][2] = {
	        {0, 0xffffffff}, {0xffffffff, 1}, {255, 2}, {0, 257}, {0xfffffff0, 0x20}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gn_wire_message m = gn_attack_message(GN_WIRE_GET_CONFIG, 12 + 256);

		m.payload.config.offset = cases[i][0];
		m.payload.config.size_bytes = cases[i][1];
		gn_attack_send(a, &m, m.size, NULL, 0);
		m.size = 12;
		gn_attack_send(a, &m, m.size, NULL, 0);
		m.request = GN_WIRE_SET_CONFIG;
		gn_attack_send(a, &m, m.size, NULL, 0);
	}
	return 0;
}

static int bad_log(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_message(GN_WIRE_SET_LOG_BASE, 16);
	int fd = memfd_create("log", MFD_CLOEXEC);
	int result;

	memcpy(m.payload.bytes, &(uint64_t[2]){1 << 20, 0}, 16);
	result = gn_attack_must_refuse(a, "log larger than its file", &m, &fd, 1);
	memcpy(m.payload.bytes, &(uint64_t[2]){4096, UINT64_MAX - 4095}, 16);
	if (!result)
		result = gn_attack_must_refuse(a, "log that wraps around", &m, &fd, 1);
	close(fd);
	return result;
}

/* Connects and leaves, at various points of the negotiation, again and again. */
static int connection_cycles(struct gn_attack *a)
{
	struct gn_frontend *fe = a->fe;

	for (unsigned i = 0; i < N_CYCLES; i++) {
		int error = gn_frontend_connect(fe, 5000, NULL);

		if (error)
			return gn_attack_complain(a, "connection %u: %s", i, strerror(-error));
		if (i % 5 > 0)
			gn_frontend_set_features(fe, NULL);
		if (i % 5 > 1)
			gn_frontend_share_memory(fe, NULL);
		if (i % 5 > 2)
			gn_frontend_start_vring(fe, 0, 0, NULL);
		if (i % 5 > 3)
			gn_frontend_enable_vring(fe, 0, true, NULL);
	}
	return 0;
}

/* Whatever bytes, whatever request. */
static int random_messages(struct gn_attack *a)
{
	for (unsigned i = 0; i < N_LEAKS; i++) {
		struct gn_wire_message m = gn_attack_message((uint32_t)(gn_attack_random(a) % 42),
		                                             (uint32_t)(gn_attack_random(a) % 300));

		for (unsigned k = 0; k < 300; k += 8) {
			uint64_t r = gn_attack_random(a);

			if (r % 3 == 0)
				r %= 16;
			memcpy(m.payload.bytes + k, &r, 8);
		}
		m.flags |= gn_attack_random(a) % 4 ? GN_WIRE_NEED_REPLY : 0;
		gn_attack_send(a, &m, m.size, &a->fe->ram.fd, gn_attack_random(a) % 2);
	}
	return 0;
}

const struct gn_attack_case gn_attack_messages[] = {
        {"unknown-requests", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, unknown_requests},
        {"wrong-version", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, wrong_version},
        {"wrong-sizes", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, wrong_sizes},
        {"giant-sizes", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, giant_sizes},
        {"cut-messages", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, cut_messages},
        {"stalled-message", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, stalled_message},
        {"unread-replies", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, unread_replies},
        {"stray-descriptors", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, stray_descriptors},
        {"connection-flood", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, connection_flood},
        {"connection-cycles", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, connection_cycles},
        {"bad-inflight", GN_ATTACK_BLK, GN_ATTACK_CONNECTED, bad_inflight},
        {"bad-config", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_config},
        {"bad-log", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_log},
        {"random-messages", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, random_messages},
        {"random-messages-running", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, random_messages},
        {NULL, 0, 0, NULL},
};
