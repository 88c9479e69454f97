/* network.c - UDP and HTTP load against a peer guest, and the servers for the peer's. */
#include "tests/guest/load/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define UDP_PORT    9
#define HTTP_PORT   80
#define UDP_PAYLOAD 1000u

static struct sockaddr_in peer_address;
static _Atomic uint64_t target_kbps, target_rate;
static _Atomic uint64_t udp_sent, udp_received, udp_lost, http_ok, http_failed, http_served;
static _Atomic uint64_t longest_gap_ms;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int listener(int type, uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&any, sizeof any) ||
	    (type == SOCK_STREAM && listen(fd, 64))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *send_udp(void *argument)
{
	static uint64_t payload[UDP_PAYLOAD / 8];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t owed = 0;

	for (;;) {
		owed += atomic_load(&target_kbps) * GN_LOAD_SLICE_MS / 8;
		for (; owed >= UDP_PAYLOAD; owed -= UDP_PAYLOAD) {
			payload[0]++;
			if (sendto(fd, payload, sizeof payload, 0, (struct sockaddr *)&peer_address,
			           sizeof peer_address) > 0)
				atomic_fetch_add(&udp_sent, 1);
		}
		usleep(GN_LOAD_SLICE_MS * 1000);
	}
	return NULL;
}

static void *receive_udp(void *argument)
{
	int fd = listener(SOCK_DGRAM, UDP_PORT);
	uint64_t expected = 0, last = 0, payload[UDP_PAYLOAD / 8];

	while (fd >= 0) {
		ssize_t n = recv(fd, payload, sizeof payload, 0);
		uint64_t now = now_ms();

		if (n < 8)
			continue;
		if (expected && payload[0] > expected)
			atomic_fetch_add(&udp_lost, payload[0] - expected);
		if (last && now - last > atomic_load(&longest_gap_ms))
			atomic_store(&longest_gap_ms, now - last);
		last = now;
		expected = payload[0] + 1;
		atomic_fetch_add(&udp_received, 1);
	}
	return NULL;
}

/* One GET, answered within two seconds, counts as ok. */
static bool get_once(void)
{
	static const char request[] =
	        "GET /load HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n";
	struct timeval limit = {.tv_sec = 2};
	struct sockaddr_in address = peer_address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char reply[512];
	bool ok;

	address.sin_port = htons(HTTP_PORT);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	ok = !connect(fd, (struct sockaddr *)&address, sizeof address) &&
	     write(fd, request, sizeof request - 1) == sizeof request - 1 &&
	     read(fd, reply, sizeof reply) >= 12 && !memcmp(reply, "HTTP/1.1 200", 12);
	close(fd);
	return ok;
}

static void *get_http(void *argument)
{
	uint64_t owed_milli = 0;

	for (;;) {
		uint64_t start = now_ms();

		owed_milli += atomic_load(&target_rate) * GN_LOAD_SLICE_MS;
		for (; owed_milli >= 1000; owed_milli -= 1000) {
			atomic_fetch_add(get_once() ? &http_ok : &http_failed, 1);
			if (now_ms() - start > 1000)
				owed_milli = 1000; /* slow peer: skip, do not pile up */
		}
		usleep(GN_LOAD_SLICE_MS * 1000);
	}
	return NULL;
}

static void *serve_http(void *argument)
{
	static const char reply[] =
	        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
	int fd = listener(SOCK_STREAM, HTTP_PORT);

	while (fd >= 0) {
		struct timeval limit = {.tv_sec = 2};
		int client = accept(fd, NULL, NULL);
		char request[1024];

		if (client < 0)
			continue;
		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		if (read(client, request, sizeof request) > 0 &&
		    write(client, reply, sizeof reply - 1) > 0)
			atomic_fetch_add(&http_served, 1);
		close(client);
	}
	return NULL;
}

static void start(void *(*run)(void *))
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, run, NULL))
		pthread_detach(thread);
}

void gn_load_network_start(const char *peer)
{
	start(receive_udp);
	start(serve_http);
	peer_address.sin_family = AF_INET;
	peer_address.sin_port = htons(UDP_PORT);
	if (!peer || inet_pton(AF_INET, peer, &peer_address.sin_addr) != 1)
		return;
	start(send_udp);
	start(get_http);
}

void gn_load_network_set_udp(uint64_t kbps)
{
	atomic_store(&target_kbps, kbps);
}

void gn_load_network_set_http(uint64_t rate)
{
	atomic_store(&target_rate, rate);
}

void gn_load_network_get(struct gn_load_network *out)
{
	*out = (struct gn_load_network){
	        .udp_sent = udp_sent,
	        .udp_received = udp_received,
	        .udp_lost = udp_lost,
	        .http_ok = http_ok,
	        .http_failed = http_failed,
	        .http_served = http_served,
	        .longest_gap_ms = atomic_exchange(&longest_gap_ms, 0),
	};
}
