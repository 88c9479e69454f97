/* Mutated guest memory through everything that reads it, libbpf's parser included. The input is
 * mutations of a made-up kernel's memory: a byte that chooses the layout and the way, then
 * (offset, value) pairs of 4 and 8 bytes. */
#include <stdlib.h>
#include <string.h>
#include "firmware/introspect/globals.h"
#include "firmware/introspect/klog.h"
#include "firmware/introspect/walk.h"
#include "tests/introspect/image.h"

#define PAIR 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gn_image image;
static struct gn_process processes[256];

static void mutate(const uint8_t *data, size_t size)
{
	for (; size >= PAIR; data += PAIR, size -= PAIR) {
		uint32_t at;

		memcpy(&at, data, 4);
		memcpy(image.bytes + at % (GN_IMAGE_SIZE - 8), data + 4, 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gn_bootstrap_hints hints;
	struct gn_walk walk = {.processes = processes, .capacity = 256};
	struct gn_klog log = {.next_seq = 0};
	struct gn_klog_news news;
	struct gn_globals globals;
	struct gn_kernel kernel;

	if (!size || size > 4096)
		return 0;
	gn_image_make(&image, (enum gn_image_layout)(data[0] % 3));
	if (data[0] & 0x80)
		*(char *)gn_image_at(&image, GN_IMAGE_VMCOREINFO) = 'X';
	mutate(data + 1, size - 1);
	if (gn_bootstrap(&image.memory, &hints, &kernel) != GN_BOOTSTRAP_OK)
		return 0;
	gn_walk(&kernel, &walk);
	gn_globals(&kernel, &globals);
	gn_klog_read(&kernel, &log, 4096, &news);
	return 0;
}
