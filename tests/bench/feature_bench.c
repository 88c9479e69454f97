/* feature_bench.c - cycles per packet of parsing and counting, on packets like those of a
 * VM: 512 frames that lie apart as mbufs do, in bursts of 32. Prints one JSON object per line.
 * Each figure is the median of many rounds, so that a busy machine disturbs it little. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "dataplane/feature/feature.h"
#include "dataplane/feature/testframe.h"

enum { N_FRAMES = 512, STRIDE = 2304, HEADROOM = 256, BURST = 32, N_FLOWS = 64, N_ROUNDS = 2001 };

struct load {
	uint8_t *memory;
	struct gn_packet *packets;
	const struct gn_packet *order[N_FRAMES];
	uint32_t sequence[N_FLOWS][2];
};

/* Time-stamp counter: cycles on x86-64, ticks of the generic timer on arm64. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

static void put(struct load *load, unsigned i, const struct gn_testframe_spec *spec)
{
	uint8_t *frame = load->memory + (size_t)i * STRIDE + HEADROOM;
	struct gn_packet *packet = &load->packets[i];
	uint32_t n = gn_testframe_build(spec, frame);

	*packet = (struct gn_packet){
	        .data = frame, .length = n < 60 ? 60 : n, .n_linear = (uint16_t)(n < 60 ? 60 : n)};
	load->order[i] = packet;
}

static struct gn_testframe_spec flow_spec(unsigned flow, uint8_t protocol)
{
	return (struct gn_testframe_spec){
	        .protocol = protocol,
	        .source = 0x0a000001 + flow,
	        .destination = 0x0a010001,
	        .source_port = (uint16_t)(40000 + flow),
	        .destination_port = 8080,
	        .tcp_flags = 0x10,
	};
}

/* 64 flows of 60-byte UDP packets. */
static void fill_udp(struct load *load, unsigned round)
{
	static const uint8_t payload[18];

	if (round)
		return;
	for (unsigned i = 0; i < N_FRAMES; i++) {
		struct gn_testframe_spec spec = flow_spec(i % N_FLOWS, IPPROTO_UDP);

		spec.payload = payload;
		spec.n_payload = sizeof(payload);
		put(load, i, &spec);
	}
}

/* 64 connections of which each sends data that is not HTTP, in order. */
static void fill_tcp(struct load *load, unsigned round)
{
	static const uint8_t payload[512];

	for (unsigned i = 0; i < N_FRAMES; i++) {
		unsigned flow = i % N_FLOWS;
		struct gn_testframe_spec spec = flow_spec(flow, IPPROTO_TCP);

		spec.tcp_options = 12;
		spec.sequence = load->sequence[flow][0];
		spec.payload = payload;
		spec.n_payload = sizeof(payload);
		load->sequence[flow][0] += sizeof(payload);
		put(load, i, &spec);
	}
}

/* 64 connections; of eight packets one is a request with nine headers, the others the body of an
 * upload, as it looks from one side of a keep-alive connection. */
static void fill_http(struct load *load, unsigned round)
{
	static const char request[] =
	        "POST /v1/items/42?page=7 HTTP/1.1\r\nHost: shop.example.com\r\n"
	        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\n"
	        "Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nConnection: keep-alive\r\n"
	        "Cookie: id=a8s7d6f5a8s7d6f5a8s7d6f5; theme=dark\r\nContent-Type: text/plain\r\n"
	        "Content-Length: 9800\r\n\r\n";
	static const uint8_t body[1400];

	for (unsigned i = 0; i < N_FRAMES; i++) {
		unsigned flow = i % N_FLOWS, phase = i / N_FLOWS;
		struct gn_testframe_spec spec = flow_spec(flow, IPPROTO_TCP);

		spec.tcp_options = 12;
		spec.sequence = load->sequence[flow][1];
		spec.payload = phase ? (const void *)body : request;
		spec.n_payload = phase ? sizeof(body) : sizeof(request) - 1;
		load->sequence[flow][1] += spec.n_payload;
		put(load, i, &spec);
	}
}

/* Hostile: a new connection with every packet, so that each makes room in a full table. */
static void fill_flood(struct load *load, unsigned round)
{
	for (unsigned i = 0; i < N_FRAMES; i++) {
		struct gn_testframe_spec spec = flow_spec(round * N_FRAMES + i, IPPROTO_TCP);

		spec.tcp_flags = 2;
		put(load, i, &spec);
	}
}

/* Hostile: as before, and each new connection is full of the shortest lines. */
static void fill_lines(struct load *load, unsigned round)
{
	static char payload[1400] = "GET / HTTP/1.1\n";

	if (!payload[20])
		for (unsigned i = (unsigned)strlen(payload); i < sizeof(payload); i++)
			payload[i] = i % 2 ? '\n' : 'c';
	for (unsigned i = 0; i < N_FRAMES; i++) {
		struct gn_testframe_spec spec = flow_spec(round * N_FRAMES + i, IPPROTO_TCP);

		spec.payload = payload;
		spec.n_payload = sizeof(payload);
		put(load, i, &spec);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t round_trip(struct load *load, struct gn_feature *feature)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < N_FRAMES; i += BURST) {
		gn_packet_parse_burst((struct gn_packet *const *)load->order + i, BURST);
		if (feature)
			gn_feature_burst(feature, load->order + i, BURST, GN_TX, start);
	}
	return ticks() - start;
}

static double measure(void (*fill)(struct load *, unsigned), bool with_feature)
{
	static uint64_t rounds[N_ROUNDS];
	struct gn_feature_config config = {2600000000u, 4096, {0x1234567890abcdef, 0xfedcba098765}};
	struct load *load = calloc(1, sizeof(*load));
	struct gn_feature *feature = NULL;

	load->memory = aligned_alloc(64, (size_t)N_FRAMES * STRIDE);
	load->packets = aligned_alloc(64, N_FRAMES * sizeof(struct gn_packet));
	if (!load->memory || !load->packets || gn_feature_create(&config, &feature))
		exit(1);
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		fill(load, round);
		rounds[round] = round_trip(load, with_feature ? feature : NULL);
	}
	qsort(rounds, N_ROUNDS, sizeof(rounds[0]), compare);
	gn_feature_destroy(feature);
	free(load->packets);
	free(load->memory);
	free(load);
	return (double)rounds[N_ROUNDS / 2] / N_FRAMES;
}

static void report(const char *name, double value)
{
	printf("{\"name\": \"%s\", \"value\": %.2f, \"unit\": \"cycles/packet\"}\n", name, value);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fill)(struct load *, unsigned);
	} loads[] = {{"udp64", fill_udp},
	             {"tcp64", fill_tcp},
	             {"http64", fill_http},
	             {"hostile_flood", fill_flood},
	             {"hostile_lines", fill_lines}};
	char name[64];

	for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		snprintf(name, sizeof(name), "packet_parse_%s", loads[i].name);
		report(name, measure(loads[i].fill, false));
		snprintf(name, sizeof(name), "feature_%s", loads[i].name);
		report(name, measure(loads[i].fill, true));
	}
	return 0;
}
