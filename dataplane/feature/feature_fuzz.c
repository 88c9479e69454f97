/* feature_fuzz.c - a burst of hostile frames: each is two bytes of length (the top bit is the
 * direction), then the frame. */
#include "dataplane/feature/feature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gn_feature_config config = {1000000000, 64, {1, 2}};
	static struct gn_feature *feature;
	struct gn_feature_counters counters;
	uint64_t now = 1;

	if (!feature && gn_feature_create(&config, &feature))
		return 0;
	gn_feature_init(feature, &config);
	while (size > 2) {
		uint32_t length = (uint32_t)(data[0] & 0x7f) << 8 | data[1];
		uint32_t n = length < size - 2 ? length : (uint32_t)(size - 2);
		struct gn_packet packet = {
		        .data = data + 2, .length = length, .n_linear = (uint16_t)n};
		const struct gn_packet *packets[] = {&packet};

		gn_packet_parse(&packet);
		gn_feature_burst(feature, packets, 1, data[0] >> 7 ? GN_TX : GN_RX, now += 1000);
		data += 2 + n;
		size -= 2 + n;
	}
	gn_feature_read(feature, now, &counters);
	return 0;
}
