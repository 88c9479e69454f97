/* dial_fuzz.c - any bytes as what a server says. */
#include "dataplane/nbd/dial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t memory[GN_NBD_DIAL_OUT_MAX];
	struct gn_nbd_out out = {.data = memory};
	enum gn_nbd_dial_step step = GN_NBD_DIAL_MORE;
	struct gn_nbd_dial dial;
	size_t at = 1;

	gn_nbd_dial_init(&dial, "export", size && *data & 1);
	while (step != GN_NBD_DIAL_DONE && step != GN_NBD_DIAL_FAILED &&
	       at + gn_nbd_dial_wants(&dial) <= size) {
		size_t wanted = gn_nbd_dial_wants(&dial);

		step = gn_nbd_dial_take(&dial, data + at, &out);
		at += wanted;
		if (step == GN_NBD_DIAL_STARTTLS)
			gn_nbd_dial_secured(&dial, &out);
	}
	return 0;
}
