/* probe_fuzz.c - any frames to a probe at any stage: each input is a list of frames, length first.
 */
#include <stdlib.h>
#include <string.h>
#include "dataplane/probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Addresses and numbers that a guest knows, so that the deeper stages are reached. */
static void fill_in(const struct gn_probe *probe, uint8_t *frame, size_t n)
{
	if (n < 54)
		return;
	memcpy(frame, probe->mac, 6);
	if (frame[12] & 1)
		return;
	memcpy(frame + 26, probe->target.address, 4);
	memcpy(frame + 30, probe->target.from, 4);
	frame[34] = (uint8_t)(probe->target.port >> 8);
	frame[35] = (uint8_t)probe->target.port;
	frame[36] = (uint8_t)(probe->port >> 8);
	frame[37] = (uint8_t)probe->port;
	for (int i = 0; i < 4; i++)
		frame[42 + i] = (uint8_t)((probe->sent + 1) >> (24 - 8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_probe_target target = {GN_PROBE_HTTP, {10, 0, 0, 2}, {10, 0, 0, 3}, 80, "/"};
	struct gn_probe probe;
	uint8_t out[GN_PROBE_FRAME_SIZE], frame[256];
	uint64_t now = 0;

	if (size)
		target.kind = (enum gn_probe_kind)(data[0] % 3);
	gn_probe_init(&probe, &target, 1);
	probe.knows_mac = size > 1 && data[1] & 1;
	for (size_t at = 2; at < size;) {
		size_t n = data[at++];

		n = n < size - at ? n : size - at;
		memcpy(frame, data + at, n);
		fill_in(&probe, frame, n);
		gn_probe_take(&probe, frame, n);
		at += n;
		for (int i = 0; i < 8; i++)
			if (gn_probe_next(&probe, now, out) > sizeof out)
				abort();
		now += 400000;
	}
	return 0;
}
