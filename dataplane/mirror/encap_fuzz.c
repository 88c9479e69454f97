/* encap_fuzz.c - any frame in any tunnel and as a pcapng block. */
#include <stdlib.h>
#include "dataplane/mirror/encap.h"
#include "dataplane/mirror/pcapng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_encap_config config = {GN_ENCAP_ERSPAN, {2}, {2}, 0x0100000a, 0x0200000a, 5};
	struct gn_packet packet = {.data = data, .length = (uint32_t)size};
	struct gn_pcapng_packet block = {0, 1, (uint32_t)size, (uint32_t)size, GN_RX};
	uint8_t out[GN_ENCAP_BYTES], tail[GN_PCAPNG_TAIL_MAX];

	packet.n_linear = (uint16_t)(size < UINT16_MAX ? size : UINT16_MAX);
	gn_packet_parse(&packet);
	for (int kind = GN_ENCAP_ERSPAN; kind <= GN_ENCAP_VXLAN; kind++) {
		struct gn_encap encap;

		config.kind = (enum gn_encap_kind)kind;
		if (gn_encap_init(&encap, &config) ||
		    gn_encap_write(&encap, &packet, packet.n_linear, GN_RX, out))
			return 0;
	}
	if (gn_pcapng_packet_head(&block, out) + size + gn_pcapng_packet_tail(&block, tail) !=
	    gn_pcapng_packet_size((uint32_t)size))
		abort();
	return 0;
}
