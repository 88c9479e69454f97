/* probe.c - see probe.h. RFC 826 (ARP), 791 (IPv4), 9293 (TCP), 9112 (HTTP/1.1). */
#include "dataplane/probe/probe.h"

#include <stdio.h>
#include <string.h>

#define ATTEMPT_US 1000000
#define GET_US     5000000 /* an application may think for a while */

#define ETHERNET    14
#define ARP         28
#define IPV4        20
#define TCP         20
#define HEADERS     (ETHERNET + IPV4 + TCP)
#define TYPE_ARP    0x0806
#define TYPE_IPV4   0x0800
#define ARP_REQUEST 1
#define ARP_REPLY   2
#define PROTO_TCP   6
#define FLAG_SYN    0x02
#define FLAG_RST    0x04
#define FLAG_PSH    0x08
#define FLAG_ACK    0x10
#define WINDOW      4096

enum want {
	WANT_ARP_REPLY = 1,
	WANT_ARP_REQUEST = 2,
	WANT_SYN = 4,
	WANT_GET = 8,
	WANT_ACK = 16,
	WANT_RST = 32
};

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

const char *gn_probe_seen_text(enum gn_probe_seen seen)
{
	static const char *const texts[] = {
#define GN_PROBE_SEEN_TEXT(name, text) text,
	        GN_PROBE_SEEN(GN_PROBE_SEEN_TEXT)
#undef GN_PROBE_SEEN_TEXT
	};

	return (unsigned)seen < sizeof texts / sizeof texts[0] ? texts[seen] : "unknown";
}

/* ---- bytes ------------------------------------------------------------------------------- */

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static uint32_t add_up(uint32_t sum, const uint8_t *at, size_t n)
{
	for (; n > 1; n -= 2, at += 2)
		sum += get16(at);
	return n ? sum + ((uint32_t)*at << 8) : sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t draw(struct gn_probe *probe)
{
	probe->random ^= probe->random << 13;
	probe->random ^= probe->random >> 17;
	probe->random ^= probe->random << 5;
	return probe->random;
}

/* ---- out --------------------------------------------------------------------------------- */

static void put_ethernet(const struct gn_probe *probe, uint8_t *frame, const uint8_t to[6],
                         uint16_t type)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, probe->mac, 6);
	put16(frame + 12, type);
}

static size_t put_arp(const struct gn_probe *probe, uint8_t *frame, uint16_t operation)
{
	bool asks = operation == ARP_REQUEST;
	uint8_t *arp = frame + ETHERNET;

	put_ethernet(probe, frame, asks ? broadcast : probe->guest_mac, TYPE_ARP);
	put16(arp, 1); /* Ethernet */
	put16(arp + 2, TYPE_IPV4);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, operation);
	memcpy(arp + 8, probe->mac, 6);
	memcpy(arp + 14, probe->target.from, 4);
	memset(arp + 18, 0, 6);
	if (!asks)
		memcpy(arp + 18, probe->guest_mac, 6);
	memcpy(arp + 24, probe->target.address, 4);
	return ETHERNET + ARP;
}

static void put_ipv4(const struct gn_probe *probe, uint8_t *ip, size_t n_payload)
{
	memset(ip, 0, IPV4);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)(IPV4 + TCP + n_payload));
	put16(ip + 6, 0x4000); /* not to be fragmented */
	ip[8] = 64;
	ip[9] = PROTO_TCP;
	memcpy(ip + 12, probe->target.from, 4);
	memcpy(ip + 16, probe->target.address, 4);
	put16(ip + 10, checksum(add_up(0, ip, IPV4)));
}

/* The payload is there already. */
static size_t put_tcp(const struct gn_probe *probe, uint8_t *frame, uint32_t sequence,
                      uint8_t flags, size_t n_payload)
{
	uint8_t *ip = frame + ETHERNET, *tcp = ip + IPV4;
	uint32_t sum;

	put_ethernet(probe, frame, probe->guest_mac, TYPE_IPV4);
	put_ipv4(probe, ip, n_payload);
	memset(tcp, 0, TCP);
	put16(tcp, probe->port);
	put16(tcp + 2, probe->target.port);
	put32(tcp + 4, sequence);
	put32(tcp + 8, flags & FLAG_ACK ? probe->next : 0);
	tcp[12] = TCP / 4 << 4;
	tcp[13] = flags;
	put16(tcp + 14, WINDOW);
	sum = add_up(PROTO_TCP + (uint32_t)(TCP + n_payload), ip + 12, 8);
	put16(tcp + 16, checksum(add_up(sum, tcp, TCP + n_payload)));
	return HEADERS + n_payload;
}

static size_t request_of(const struct gn_probe *probe, char *out, size_t room)
{
	const struct gn_probe_target *t = &probe->target;
	int n = snprintf(out, room,
	                 "GET %s HTTP/1.0\r\nHost: %u.%u.%u.%u\r\nUser-Agent: gnomon\r\n\r\n",
	                 t->path, t->address[0], t->address[1], t->address[2], t->address[3]);

	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static uint32_t after_request(const struct gn_probe *probe)
{
	char request[GN_PROBE_FRAME_SIZE - HEADERS];

	return probe->sent + 1 +
	       (probe->stage == GN_PROBE_STAGE_GET
	                ? (uint32_t)request_of(probe, request, sizeof request)
	                : 0);
}

static size_t put(struct gn_probe *probe, enum want want, uint8_t *frame)
{
	size_t n;

	switch (want) {
	case WANT_ARP_REPLY:
		return put_arp(probe, frame, ARP_REPLY);
	case WANT_ARP_REQUEST:
		return put_arp(probe, frame, ARP_REQUEST);
	case WANT_SYN:
		return put_tcp(probe, frame, probe->sent, FLAG_SYN, 0);
	case WANT_GET:
		n = request_of(probe, (char *)frame + HEADERS, GN_PROBE_FRAME_SIZE - HEADERS);
		return put_tcp(probe, frame, probe->sent + 1, FLAG_ACK | FLAG_PSH, n);
	case WANT_ACK:
		return put_tcp(probe, frame, after_request(probe), FLAG_ACK, 0);
	case WANT_RST:
		n = put_tcp(probe, frame, after_request(probe), FLAG_RST | FLAG_ACK, 0);
		probe->stage = GN_PROBE_STAGE_IDLE;
		return n;
	}
	return 0;
}

static void begin_attempt(struct gn_probe *probe, uint64_t now_us)
{
	probe->has_begun = true;
	probe->attempt_us = now_us;
	probe->stage = GN_PROBE_STAGE_IDLE;
	if (!probe->knows_mac || probe->target.kind == GN_PROBE_ARP) {
		probe->wants = WANT_ARP_REQUEST;
		return;
	}
	probe->stage = GN_PROBE_STAGE_CONNECT;
	probe->port = (uint16_t)(32768 + draw(probe) % 28000);
	probe->sent = draw(probe);
	probe->next = 0;
	probe->n_line = 0;
	probe->wants = WANT_SYN;
}

size_t gn_probe_next(struct gn_probe *probe, uint64_t now_us, uint8_t frame[GN_PROBE_FRAME_SIZE])
{
	uint64_t patience = probe->stage == GN_PROBE_STAGE_GET ? GET_US : ATTEMPT_US;
	uint32_t want;

	if (!probe->passed && !probe->wants &&
	    (!probe->has_begun || now_us - probe->attempt_us >= patience))
		begin_attempt(probe, now_us);
	want = probe->wants & -probe->wants;
	probe->wants &= ~want;
	return want ? put(probe, (enum want)want, frame) : 0;
}

/* ---- in ---------------------------------------------------------------------------------- */

static void see(struct gn_probe *probe, enum gn_probe_seen seen)
{
	if (seen > probe->seen)
		probe->seen = seen;
}

static void take_arp(struct gn_probe *probe, const uint8_t *arp, size_t n)
{
	const struct gn_probe_target *t = &probe->target;
	uint16_t operation;

	if (n < ARP || get16(arp + 2) != TYPE_IPV4 || arp[4] != 6 || arp[5] != 4 ||
	    memcmp(arp + 14, t->address, 4) != 0)
		return;
	operation = get16(arp + 6);
	if (operation == ARP_REQUEST && memcmp(arp + 24, t->from, 4) == 0) {
		memcpy(probe->guest_mac, arp + 8, 6);
		probe->wants |= WANT_ARP_REPLY;
	}
	if (operation != ARP_REPLY || memcmp(arp + 18, probe->mac, 6) != 0)
		return;
	memcpy(probe->guest_mac, arp + 8, 6);
	see(probe, GN_PROBE_ANSWERS);
	if (t->kind == GN_PROBE_ARP)
		probe->passed = true;
	else if (!probe->knows_mac)
		probe->has_begun = false; /* connect at once */
	probe->knows_mac = true;
}

/* "HTTP/1.1 200" */
static uint16_t status_of(const char *line)
{
	uint32_t i, status = 0;

	if (memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
		return 0;
	for (i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return 0;
		status = status * 10 + (uint32_t)(line[i] - '0');
	}
	return (uint16_t)status;
}

static void take_answer(struct gn_probe *probe, const uint8_t *payload, size_t n)
{
	const size_t whole = sizeof "HTTP/1.1 200" - 1;
	size_t take = whole - probe->n_line < n ? whole - probe->n_line : n;

	memcpy(probe->line + probe->n_line, payload, take);
	probe->n_line += (uint32_t)take;
	probe->next += (uint32_t)n;
	probe->wants |= WANT_ACK;
	if (probe->n_line < whole)
		return;
	probe->wants = WANT_RST;
	probe->http_status = status_of(probe->line);
	see(probe, GN_PROBE_ERROR);
	probe->passed = probe->http_status >= 200 && probe->http_status < 400;
}

static void connected(struct gn_probe *probe, uint32_t sequence)
{
	probe->next = sequence + 1;
	see(probe, GN_PROBE_CONNECTS);
	if (probe->target.kind == GN_PROBE_TCP) {
		probe->passed = true;
		probe->wants |= WANT_RST;
		return;
	}
	probe->stage = GN_PROBE_STAGE_GET;
	probe->wants |= WANT_GET;
}

static void take_tcp(struct gn_probe *probe, const uint8_t *tcp, size_t n)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	uint32_t sequence = get32(tcp + 4);
	uint8_t flags = tcp[13];

	if (get16(tcp) != probe->target.port || get16(tcp + 2) != probe->port || header < TCP ||
	    header > n || probe->stage == GN_PROBE_STAGE_IDLE || !(flags & FLAG_ACK))
		return;
	if (flags & FLAG_RST) {
		if (probe->stage == GN_PROBE_STAGE_CONNECT && get32(tcp + 8) == probe->sent + 1)
			see(probe, GN_PROBE_REFUSES);
		probe->stage = GN_PROBE_STAGE_IDLE;
	} else if (flags & FLAG_SYN) {
		/* Once more when our request was lost. */
		if (get32(tcp + 8) == probe->sent + 1)
			connected(probe, sequence);
	} else if (probe->stage == GN_PROBE_STAGE_GET && sequence == probe->next && n > header) {
		take_answer(probe, tcp + header, n - header);
	}
}

static void take_ipv4(struct gn_probe *probe, const uint8_t *ip, size_t n)
{
	size_t header, total;

	if (n < IPV4 || ip[0] >> 4 != 4)
		return;
	header = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (header < IPV4 || total > n || total < header + TCP || ip[9] != PROTO_TCP ||
	    get16(ip + 6) & 0x3fff || /* a fragment */
	    memcmp(ip + 12, probe->target.address, 4) != 0 ||
	    memcmp(ip + 16, probe->target.from, 4) != 0)
		return;
	take_tcp(probe, ip + header, total - header);
}

void gn_probe_take(struct gn_probe *probe, const uint8_t *frame, size_t n)
{
	if (n < ETHERNET || probe->passed)
		return;
	see(probe, GN_PROBE_SENDS);
	if (memcmp(frame, probe->mac, 6) != 0 && memcmp(frame, broadcast, 6) != 0)
		return;
	if (get16(frame + 12) == TYPE_ARP)
		take_arp(probe, frame + ETHERNET, n - ETHERNET);
	else if (get16(frame + 12) == TYPE_IPV4)
		take_ipv4(probe, frame + ETHERNET, n - ETHERNET);
}

void gn_probe_init(struct gn_probe *probe, const struct gn_probe_target *target, uint32_t seed)
{
	*probe = (struct gn_probe){.target = *target, .random = seed ? seed : 1};
	probe->mac[0] = 0x02; /* locally administered */
	probe->mac[1] = 'g';
	put32(probe->mac + 2, draw(probe));
}
