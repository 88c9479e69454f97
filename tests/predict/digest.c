/* digest.c - prints a digest of everything the predictor and the detectors say about made-up
 * series, so that two machines can be compared bit by bit. Integers only, its own generator.
 * Usage: digest [PACK]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/hazard/anomaly.h"
#include "firmware/predict/pack.h"
#include "firmware/predict/predict.h"

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *byte = data;

	while (size--)
		hash = (hash ^ *byte++) * 1099511628211u;
	return hash;
}

/* Smooth, spiky, heavy-tailed, constant, growing, tiny and huge. */
static int64_t value_of(uint32_t kind, uint32_t step)
{
	uint64_t noise = next_random();

	switch (kind) {
	case 0:
		return 1000 + (int64_t)(step % 288) * 5 + (int64_t)(noise % 200);
	case 1:
		return (step % 60 < 4 ? 3000 : 50) + (int64_t)(noise % 40);
	case 2:
		return (int64_t)(noise >> (noise % 64));
	case 3:
		return 7;
	case 4:
		return (int64_t)step * step * 1000;
	case 5:
		return (int64_t)(noise % 3);
	}
	return GN_PREDICT_MAX - (int64_t)(noise % 1000);
}

static void digest_series(uint32_t kind, const struct gn_pack *pack)
{
	static const uint64_t periods[] = {1000000, 60000000, 300000000};
	struct gn_predict_config config = {periods[kind % 3], 4, {1, 6, 12, 24}, 0};
	struct gn_predict *p = malloc(gn_predict_size);
	struct gn_anomaly *anomaly = malloc(sizeof(*anomaly));
	uint64_t hash = 14695981039346656037u, now = 0;
	char text[300];

	gn_predict_init(p, &config);
	gn_anomaly_init(anomaly, 288);
	for (uint32_t step = 0; step < 2500; step++) {
		int64_t value = value_of(kind, step);
		struct gn_anomaly_result result;

		now += config.period_us * (next_random() % 50 ? 1 : next_random() % 9 + 1);
		gn_predict_observe_with(p, pack, now, value);
		for (uint32_t h = 0; h < 4; h++) {
			struct gn_predict_forecast forecast;

			gn_predict_forecast(p, h, &forecast);
			hash = mix(hash, forecast.quantiles, sizeof(forecast.quantiles));
			hash = mix(hash, &forecast.error_ratio_q16, 4);
		}
		result = gn_anomaly_observe(anomaly, value, config.period_us);
		hash = mix(hash, &result.score_q16, 4);
		hash = mix(hash, &result.per_month_q8, 4);
	}
	gn_predict_explain(p, 2, text, sizeof(text));
	hash = mix(hash, text, strlen(text));
	hash = mix(hash, p, gn_predict_size);
	printf("%u %016llx\n", kind, (unsigned long long)hash);
	free(p);
	free(anomaly);
}

int main(int argc, char **argv)
{
	size_t room = GN_PACK_SIZE_MAX + 4096, size = 0;
	void *bytes = malloc(room);
	struct gn_pack pack, *with = NULL;
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;

	if (file) {
		size = fread(bytes, 1, room, file);
		fclose(file);
	}
	if (argc > 1) {
		if (gn_pack_open(&pack, bytes, size) != 0) {
			fprintf(stderr, "digest: %s is not a model pack\n", argv[1]);
			return 1;
		}
		with = &pack;
	}
	for (uint32_t kind = 0; kind < 7; kind++)
		digest_series(kind, with);
	free(bytes);
	return 0;
}
