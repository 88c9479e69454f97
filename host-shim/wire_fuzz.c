/* wire_fuzz.c - any bytes as a Command: decoded and checked, or refused with a sentence. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "host-shim/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const vms[] = {"*"}, *const paths[] = {"/run"};
	static const struct gn_command_limits limits = {
	        vms, 1, paths, 1, 64, 1 << 20, 1ull << 40, true, true, true,
	};
	static struct gn_command c;
	struct gn_status status = {0};
	struct gn_result result;

	gn_wire_unpack_result(data, size, &result);
	if (gn_wire_unpack_command(data, size, &c, &status) == 0) {
		status = (struct gn_status){0};
		gn_command_check(&c, &limits, 1700000000000000, &status);
	}
	assert(status.code == GN_OK || status.message[0]);
	return 0;
}
