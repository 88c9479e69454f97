/* bench.c - predict-bench VMS STEPS [PACK]: what forecasting costs. Feeds as many predictors,
 * one after another as samples of a host's VMs come in, and asks each for all its horizons.
 * Prints nanoseconds of CPU time per sample, bytes per predictor and bytes of the pack. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int64_t sample_of(size_t vm, size_t step)
{
	return (int64_t)((step + vm * 37) % 288 < 100 ? 1800 : 200) +
	       (int64_t)(next_random() % 600);
}

static void run(char *predictors, size_t n_vms, size_t from, size_t to, const struct gn_pack *pack)
{
	for (size_t step = from; step < to; step++) {
		for (size_t vm = 0; vm < n_vms; vm++) {
			struct gn_predict *p = (void *)(predictors + vm * gn_predict_size);
			struct gn_predict_forecast forecast;

			gn_predict_observe_with(p, pack, (step + 1) * 300000000ull,
			                        sample_of(vm, step));
			for (uint32_t h = 0; h < 4; h++)
				gn_predict_forecast(p, h, &forecast);
		}
	}
}

static const struct gn_pack *open_pack(const char *path, struct gn_pack *pack)
{
	size_t room = GN_PACK_SIZE_MAX + 4096, size;
	void *bytes = malloc(room);
	FILE *file = fopen(path, "rb");

	if (!file || !bytes)
		return NULL;
	size = fread(bytes, 1, room, file);
	fclose(file);
	return gn_pack_open(pack, bytes, size) == 0 ? pack : NULL;
}

int main(int argc, char **argv)
{
	struct gn_predict_config config = {300000000, 4, {1, 6, 12, 24}, 0};
	size_t n_vms = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	size_t steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	const struct gn_pack *pack = NULL;
	struct gn_pack opened;
	char *predictors;
	double start;

	if (n_vms == 0 || steps == 0) {
		fprintf(stderr, "usage: predict-bench VMS STEPS [PACK]\n");
		return 2;
	}
	if (argc > 3 && !(pack = open_pack(argv[3], &opened))) {
		fprintf(stderr, "predict-bench: %s is not a model pack\n", argv[3]);
		return 1;
	}
	predictors = malloc(n_vms * gn_predict_size);
	if (!predictors)
		return 1;
	for (size_t vm = 0; vm < n_vms; vm++)
		gn_predict_init((void *)(predictors + vm * gn_predict_size), &config);
	start = cpu_ns();
	run(predictors, n_vms, 0, steps, pack);
	printf("%.1f %zu %zu\n", (cpu_ns() - start) / (double)(n_vms * steps), gn_predict_size,
	       pack ? pack->size : 0);
	free(predictors);
	return 0;
}
