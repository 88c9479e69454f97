/* replay.c - gn-feature-replay: a capture (pcap, Ethernet) through the dataplane's parser,
 * features, pcapng writer and encapsulation, as the card would see it.
 *
 *   gn-feature-replay CAPTURE MAC [OUT.pcapng | OUT.erspan | OUT.vxlan]
 *
 * MAC is the VM's: what comes from it was sent by the VM. Prints the counters as JSON.
 * OUT gets the same packets, wrapped according to its suffix. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/feature.h"
#include "dataplane/mirror/encap.h"
#include "dataplane/mirror/pcapng.h"

#define TSC_HZ 1000000000u

enum sink { SINK_NONE, SINK_PCAPNG, SINK_ERSPAN, SINK_VXLAN };

struct replay {
	FILE *in, *out;
	enum sink sink;
	bool nanoseconds;
	uint8_t mac[6];
	struct gn_feature *feature;
	struct gn_encap encap;
	uint64_t now_ns;
};

struct pcap_record {
	uint32_t seconds;
	uint32_t fraction;
	uint32_t captured;
	uint32_t original;
};

static int fail(const char *text, const char *subject)
{
	fprintf(stderr, "gn-feature-replay: %s: %s\n", subject, text);
	return 1;
}

static bool put(struct replay *replay, const void *bytes, size_t n)
{
	return fwrite(bytes, 1, n, replay->out) == n;
}

static bool write_pcapng(struct replay *replay, const struct gn_packet *packet,
                         enum gn_direction direction)
{
	struct gn_pcapng_packet block = {0, replay->now_ns, packet->n_linear, packet->length,
	                                 direction};
	uint8_t head[GN_PCAPNG_HEAD_BYTES], tail[GN_PCAPNG_TAIL_MAX];

	return put(replay, head, gn_pcapng_packet_head(&block, head)) &&
	       put(replay, packet->data, packet->n_linear) &&
	       put(replay, tail, gn_pcapng_packet_tail(&block, tail));
}

/* As a packet of a pcapng file again, so that tcpdump can look inside. */
static bool write_wrapped(struct replay *replay, const struct gn_packet *packet,
                          enum gn_direction direction)
{
	static uint8_t frame[GN_ENCAP_BYTES + UINT16_MAX];
	struct gn_packet outer = {.data = frame};

	if (gn_encap_write(&replay->encap, packet, packet->n_linear, direction, frame))
		return true; /* too long for a tunnel; the dataplane would truncate it */
	memcpy(frame + GN_ENCAP_BYTES, packet->data, packet->n_linear);
	outer.length = GN_ENCAP_BYTES + (uint32_t)packet->n_linear;
	outer.n_linear = (uint16_t)outer.length;
	return write_pcapng(replay, &outer, GN_TX);
}

static bool take(struct replay *replay, struct gn_packet *packet)
{
	enum gn_direction direction =
	        packet->n_linear >= 12 && !memcmp(packet->data + 6, replay->mac, 6) ? GN_TX : GN_RX;
	const struct gn_packet *packets[] = {packet};

	gn_packet_parse(packet);
	gn_feature_burst(replay->feature, packets, 1, direction, replay->now_ns);
	if (replay->sink == SINK_PCAPNG)
		return write_pcapng(replay, packet, direction);
	return replay->sink == SINK_NONE || write_wrapped(replay, packet, direction);
}

static int open_input(struct replay *replay, const char *path)
{
	uint32_t header[6];

	replay->in = fopen(path, "rb");
	if (!replay->in || fread(header, sizeof(header), 1, replay->in) != 1)
		return fail("cannot be read", path);
	replay->nanoseconds = header[0] == 0xa1b23c4d;
	if ((header[0] != 0xa1b2c3d4 && !replay->nanoseconds) || header[5] != 1)
		return fail("is no pcap file of Ethernet frames in this machine's byte order",
		            path);
	return 0;
}

static int open_output(struct replay *replay, const char *path)
{
	struct gn_encap_config config = {.local_mac = {2, 0, 0, 0, 0, 1},
	                                 .collector_mac = {2, 0, 0, 0, 0, 2},
	                                 .local_ip = htonl(0xc0000201),
	                                 .collector_ip = htonl(0xc0000202),
	                                 .session_id = 7};
	uint8_t block[GN_PCAPNG_INTERFACE_MAX];

	replay->sink = strstr(path, ".erspan")  ? SINK_ERSPAN
	               : strstr(path, ".vxlan") ? SINK_VXLAN
	                                        : SINK_PCAPNG;
	config.kind = replay->sink == SINK_VXLAN ? GN_ENCAP_VXLAN : GN_ENCAP_ERSPAN;
	replay->out = fopen(path, "wb");
	if (!replay->out || gn_encap_init(&replay->encap, &config) ||
	    !put(replay, block, gn_pcapng_section("gnomon " GN_VERSION, block, sizeof(block))) ||
	    !put(replay, block, gn_pcapng_interface("net0", 0, block, sizeof(block))))
		return fail("cannot be written", path);
	return 0;
}

static int replay_all(struct replay *replay)
{
	static uint8_t frame[UINT16_MAX];
	struct pcap_record record;

	while (fread(&record, sizeof(record), 1, replay->in) == 1) {
		struct gn_packet packet = {.data = frame,
		                           .length = record.original,
		                           .n_linear = (uint16_t)record.captured};

		if (record.captured > sizeof(frame) ||
		    fread(frame, 1, record.captured, replay->in) != record.captured)
			return fail("is damaged", "the capture");
		replay->now_ns = record.seconds * 1000000000ull +
		                 record.fraction * (replay->nanoseconds ? 1 : 1000ull);
		if (!take(replay, &packet))
			return fail("cannot be written", "the output");
	}
	return replay->out && fclose(replay->out) ? fail("cannot be written", "the output") : 0;
}

static void report(struct replay *replay)
{
	struct gn_feature_counters c;

	gn_feature_read(replay->feature, replay->now_ns, &c);
#define FIELD(name) printf("\"" #name "\": %llu, ", (unsigned long long)c.name)
	printf("{");
	FIELD(rx_packets);
	FIELD(tx_packets);
	FIELD(rx_bytes);
	FIELD(tx_bytes);
	FIELD(tcp_opened);
	FIELD(tcp_closed);
	FIELD(tcp_retransmissions);
	FIELD(tcp_resets);
	FIELD(tcp_handshake.count);
	FIELD(tcp_handshake.sum_us);
	FIELD(http_requests);
	FIELD(http_status[1]);
	FIELD(http_status[3]);
	FIELD(http_first_byte.count);
	FIELD(http_first_byte.sum_us);
	FIELD(dns_queries);
	FIELD(dns_failures);
	FIELD(tls_handshakes);
	printf("\"flows_tracked\": %llu}\n", (unsigned long long)c.flows_tracked);
#undef FIELD
}

int main(int argc, char **argv)
{
	static const struct gn_feature_config config = {TSC_HZ, 4096, {1, 2}};
	struct replay replay = {0};
	unsigned mac[6];

	if (argc < 3 || argc > 4 ||
	    sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
	           &mac[5]) != 6)
		return fail("gn-feature-replay CAPTURE MAC [OUT.pcapng|OUT.erspan|OUT.vxlan]",
		            "usage");
	for (unsigned i = 0; i < 6; i++)
		replay.mac[i] = (uint8_t)mac[i];
	if (gn_feature_create(&config, &replay.feature) || open_input(&replay, argv[1]) ||
	    (argc == 4 && open_output(&replay, argv[3])) || replay_all(&replay))
		return 1;
	report(&replay);
	gn_feature_destroy(replay.feature);
	fclose(replay.in);
	return 0;
}
