/* manifest_fuzz.c - whatever is signed, and whatever a disk holds: what is read can be written and
 * read again, and is the same. */
#include "firmware/update/manifest.h"
#include "firmware/update/slots.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char block[GN_SLOTS_BLOCK] = {0}, again[GN_SLOTS_BLOCK];
	struct gn_manifest manifest;
	struct gn_slots slots, read;

	gn_manifest_parse((const char *)data, size, &manifest);
	memcpy(block, data, size < sizeof block ? size : sizeof block);
	if (!gn_slots_decode(block, &slots))
		return 0;
	gn_slots_encode(&slots, again);
	assert(gn_slots_decode(again, &read));
	assert(read.first == slots.first && read.security == slots.security);
	assert(gn_slots_boot(&read) < GN_SLOTS);
	return 0;
}
