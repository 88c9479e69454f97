/* blob_fuzz.c - fuzzes the import of a predictor's state: the checksum is made right, so
 * that the checks behind it are reached, and what is accepted must work on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/predict/predict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gn_predict *p = malloc(gn_predict_size);
	uint8_t *blob = malloc(gn_predict_blob_max);
	struct gn_predict_config config = {1000000, 4, {1, 6, 12, 24}, 0};
	char text[256];
	uint64_t hash = 14695981039346656037u, now;
	struct gn_predict_forecast forecast;

	gn_predict_init(p, &config);
	for (uint64_t t = 1; t < 40; t++)
		gn_predict_observe(p, t * 1000000, (int64_t)(t * 37 % 19));
	gn_predict_export(p, blob, gn_predict_blob_max);
	/* each four bytes of input: where, and what to put there */
	for (size_t i = 0; i + 4 <= size; i += 4)
		memcpy(blob + 24 + (data[i] | data[i + 1] << 8) % (gn_predict_size - 1),
		       data + i + 2, 2);
	for (size_t i = 0; i < gn_predict_size; i++)
		hash = (hash ^ blob[24 + i]) * 1099511628211u;
	memcpy(blob + 16, &hash, 8);
	if (gn_predict_import(p, blob, gn_predict_blob_max) == 0) {
		memcpy(&now, blob + 24 + sizeof(config) + 8, sizeof(now));
		for (uint64_t t = 1; t < 30; t++)
			gn_predict_observe(p, now + t * 1000000, (int64_t)(t << (t * 2)));
		for (uint32_t h = 0; h < 4; h++)
			gn_predict_forecast(p, h, &forecast);
		gn_predict_explain(p, 0, text, sizeof(text));
	}
	gn_predict_import(p, data, size);
	free(blob);
	free(p);
	return 0;
}
