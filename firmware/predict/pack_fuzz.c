/* pack_fuzz.c - fuzzes model packs and drive models: what is accepted must be evaluable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/hazard/drive.h"
#include "firmware/predict/features.h"
#include "firmware/predict/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint16_t features[GN_N_FEATURES] = {0, 65535, 32768, 7};
	int32_t drive[GN_DRIVE_N_FEATURES] = {1, 1000000, -1}, corrections[GN_PACK_OUTPUTS];
	uint8_t *copy = malloc(size ? size : 1); /* aligned */
	const struct gn_drive_model *model;
	struct gn_pack pack;

	memcpy(copy, data, size);
	if (gn_pack_open(&pack, copy, size) == 0)
		gn_pack_evaluate(&pack, features, corrections);
	model = gn_drive_model_open(copy, size);
	if (model) {
		gn_drive_score(model, drive);
		gn_drive_reason(model, drive);
	}
	free(copy);
	return 0;
}
