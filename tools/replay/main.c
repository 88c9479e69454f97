/* main.c - gnomon-replay: the firmware's own forecasting code over recorded histories. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/replay/features.h"
#include "tools/replay/forecast.h"
#include "tools/replay/trace.h"

static int parse_horizons(const char *text, struct gn_replay_options *options)
{
	options->n_horizons = 0;
	while (*text) {
		char *end;
		unsigned long horizon = strtoul(text, &end, 10);

		if (end == text || options->n_horizons == GN_PREDICT_MAX_HORIZONS ||
		    horizon > GN_PREDICT_MAX_HORIZON)
			return -EINVAL;
		options->horizons[options->n_horizons++] = (uint32_t)horizon;
		text = *end == ',' ? end + 1 : end;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct gn_replay_options options = {
	        .horizons = {1, 6, 12, 24}, .n_horizons = 4, .every = 1};
	static const struct option longs[] = {
	        {"horizons", required_argument, NULL, 'h'}, {"out", required_argument, NULL, 'o'},
	        {"every", required_argument, NULL, 'e'},    {"pack", required_argument, NULL, 'p'},
	        {"features", required_argument, NULL, 'f'}, {0}};
	FILE *features = NULL;
	uint32_t n_rows = 0;
	struct gn_pack pack;
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'h' && parse_horizons(optarg, &options) != 0)
			return 2;
		else if (option == 'o')
			options.out = optarg;
		else if (option == 'e')
			options.every = (uint32_t)atoi(optarg);
		else if (option == 'f')
			features = fopen(optarg, "wb");
		else if (option == 'p') {
			FILE *file = fopen(optarg, "rb");
			void *data = malloc(300000);
			size_t size = fread(data, 1, 300000, file);

			int status = gn_pack_open(&pack, data, size);
			if (status) {
				fprintf(stderr, "bad pack %d\n", status);
				return 1;
			}
			options.pack = &pack;
		} else if (option == '?')
			return 2;
	}
	if (options.out)
		mkdir(options.out, 0777);
	for (int i = optind; i < argc; i++) {
		struct gn_trace trace;
		char error[256];

		if (gn_trace_read(argv[i], &trace, error, sizeof(error)) != 0) {
			fprintf(stderr, "gnomon-replay: %s\n", error);
			return 1;
		}
		if (features) {
			if (gn_replay_features(&trace, &options, &n_rows, features, stdout) != 0)
				return 1;
		} else if (gn_replay_forecast(&trace, &options) != 0)
			return 1;
		gn_trace_free(&trace);
	}
	return 0;
}
