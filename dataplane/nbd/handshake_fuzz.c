/* handshake_fuzz.c - any bytes as what a client says, to a server with and without TLS. */
#include "dataplane/nbd/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gn_nbd_offer offers[] = {{.name = "a", .size_bytes = 1 << 20},
	                                             {.name = "b", .refusal = "no"}};
	static uint8_t memory[GN_NBD_STEP_OUT_MAX];
	struct gn_nbd_out out = {.data = memory};
	struct gn_nbd_handshake handshake;
	enum gn_nbd_step step = GN_NBD_STEP_MORE;
	size_t at = 1;

	gn_nbd_handshake_init(&handshake, size && *data & 1, &out);
	while (step != GN_NBD_STEP_GO && step != GN_NBD_STEP_CLOSE &&
	       at + gn_nbd_handshake_wants(&handshake) <= size) {
		size_t wanted = gn_nbd_handshake_wants(&handshake);

		step = gn_nbd_handshake_take(&handshake, offers, 2, data + at, &out);
		at += wanted;
		if (step == GN_NBD_STEP_STARTTLS)
			gn_nbd_handshake_secured(&handshake);
	}
	return 0;
}
