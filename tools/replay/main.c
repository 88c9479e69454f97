/* main.c - gnomon-replay: the firmware's own code over recorded histories. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "firmware/predict/pack.h"
#include "tools/replay/features.h"
#include "tools/replay/forecast.h"
#include "tools/replay/hdd.h"
#include "tools/replay/nab.h"
#include "tools/replay/policy.h"
#include "tools/replay/trace.h"

static const char usage[] =
        "Usage: gnomon-replay [OPTIONS] FILE...        forecasts of every series\n"
        "       gnomon-replay nab DIR --out DIR        anomaly scores\n"
        "       gnomon-replay hdd FILE [OPTIONS]       drives' failure hazards\n"
        "\n"
        "Runs the card's own forecasting code over histories, as if they happened now. FILEs are\n"
        "CSV, plain or gzip: '# interval_s: N', then 'series,t,<columns>'.\n"
        "\n"
        "  --horizons 1,6,12,24  steps ahead, ascending, at most four, up to 288\n"
        "  --out DIR             writes <group>__<series>__<column>.f32: float32 [n][horizons][4]\n"
        "  --data DIR            FILEs (and DIR of nab) are looked up in this folder\n"
        "  --pack FILE           with this model pack beside the on-line experts\n"
        "  --policy FILE         what this policy would have allocated, violated and wasted\n"
        "  --html FILE           that report with charts\n"
        "  --every N             one row in N only\n"
        "  --fold K/N            only the series of fold K of N, for cross-validation\n"
        "  --features FILE       what tools/train learns from; --every samples origins\n"
        "  --learn FILE          hdd: learns from these drives first; the same file as FILE:\n"
        "                        learns and scores in turns\n"
        "  --scores FILE         hdd: where 'drive@hours,score' goes (default: standard output)\n"
        "  --model FILE          hdd: stores the learnt model\n"
        "  --help, --version\n"
        "\n"
        "Examples:\n"
        "  gnomon-replay --out f/ history.csv.gz\n"
        "  gnomon-replay --policy policy.yaml --html report.html history.csv\n"
        "  gnomon-replay hdd drives.csv.gz --learn drives.csv.gz --scores scores.csv\n";

enum option_id {
	OPTION_HORIZONS = 256,
	OPTION_OUT,
	OPTION_DATA,
	OPTION_PACK,
	OPTION_POLICY,
	OPTION_HTML,
	OPTION_EVERY,
	OPTION_FOLD,
	OPTION_FEATURES,
	OPTION_LEARN,
	OPTION_SCORES,
	OPTION_MODEL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option longs[] = {
        {"horizons", required_argument, NULL, OPTION_HORIZONS},
        {"out", required_argument, NULL, OPTION_OUT},
        {"data", required_argument, NULL, OPTION_DATA},
        {"pack", required_argument, NULL, OPTION_PACK},
        {"policy", required_argument, NULL, OPTION_POLICY},
        {"html", required_argument, NULL, OPTION_HTML},
        {"every", required_argument, NULL, OPTION_EVERY},
        {"fold", required_argument, NULL, OPTION_FOLD},
        {"features", required_argument, NULL, OPTION_FEATURES},
        {"learn", required_argument, NULL, OPTION_LEARN},
        {"scores", required_argument, NULL, OPTION_SCORES},
        {"model", required_argument, NULL, OPTION_MODEL},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {0},
};

struct arguments {
	struct gn_replay_options replay;
	struct gn_replay_hdd hdd;
	const char *data, *pack, *policy, *html, *features;
	struct gn_pack opened;
	void *pack_bytes;
};

static int complain(const char *what, const char *value, const char *allowed)
{
	fprintf(stderr, "gnomon-replay: %s is '%s'; give %s\n", what, value, allowed);
	return -EINVAL;
}

static int parse_horizons(const char *text, struct gn_replay_options *options)
{
	const char *at = text;

	options->n_horizons = 0;
	while (*at) {
		char *end;
		unsigned long horizon = strtoul(at, &end, 10);
		uint32_t n = options->n_horizons;

		if (end == at || (*end && *end != ',') || n == GN_PREDICT_MAX_HORIZONS ||
		    horizon < 1 || horizon > GN_PREDICT_MAX_HORIZON ||
		    (n && horizon <= options->horizons[n - 1]))
			return complain("--horizons", text,
			                "one to four ascending numbers of steps, 1 to 288");
		options->horizons[options->n_horizons++] = (uint32_t)horizon;
		at = *end ? end + 1 : end;
	}
	return options->n_horizons ? 0 : complain("--horizons", text, "at least one number");
}

static int parse_option(int id, const char *text, struct arguments *a)
{
	unsigned int k = 0, n = 0;

	switch (id) {
	case OPTION_HORIZONS:
		return parse_horizons(text, &a->replay);
	case OPTION_OUT:
		a->replay.out = text;
		return 0;
	case OPTION_DATA:
		a->data = text;
		return 0;
	case OPTION_PACK:
		a->pack = text;
		return 0;
	case OPTION_POLICY:
		a->policy = text;
		return 0;
	case OPTION_HTML:
		a->html = text;
		return 0;
	case OPTION_EVERY:
		a->replay.every = (uint32_t)strtoul(text, NULL, 10);
		return a->replay.every ? 0 : complain("--every", text, "1 or more");
	case OPTION_FOLD:
		if (sscanf(text, "%u/%u", &k, &n) != 2 || n == 0 || k >= n)
			return complain("--fold", text, "K/N with K below N");
		a->replay.fold = k;
		a->replay.n_folds = n;
		return 0;
	case OPTION_FEATURES:
		a->features = text;
		return 0;
	case OPTION_LEARN:
		a->hdd.learn = text;
		return 0;
	case OPTION_SCORES:
		a->hdd.scores = text;
		return 0;
	case OPTION_MODEL:
		a->hdd.model = text;
		return 0;
	}
	return -EINVAL;
}

/* Reads a pack file; a signature behind the pack is not looked at here: nothing depends on
 * what is replayed. */
static int open_pack(struct arguments *a)
{
	FILE *file = fopen(a->pack, "rb");
	size_t room = GN_PACK_SIZE_MAX + 4096, size;
	int status;

	a->pack_bytes = malloc(room);
	if (!file || !a->pack_bytes) {
		fprintf(stderr, "gnomon-replay: cannot read %s: %s\n", a->pack, strerror(errno));
		if (file)
			fclose(file);
		return -EIO;
	}
	size = fread(a->pack_bytes, 1, room, file);
	fclose(file);
	status = gn_pack_open(&a->opened, a->pack_bytes, size);
	if (status != 0)
		fprintf(stderr, "gnomon-replay: %s is %s\n", a->pack,
		        status == -EPROTO ? "a model pack of another version; train it anew"
		                          : "not a model pack");
	else
		a->replay.pack = &a->opened;
	return status;
}

static int run_file(struct arguments *a, const char *name, struct gn_replay_features *features)
{
	struct gn_trace trace;
	char error[512], *path = NULL;
	int status;

	if (asprintf(&path, "%s%s%s", a->data ? a->data : "", a->data ? "/" : "", name) < 0)
		return -ENOMEM;
	status = gn_trace_read(path, &trace, error, sizeof(error));
	free(path);
	if (status != 0) {
		fprintf(stderr, "gnomon-replay: %s\n", error);
		return status;
	}
	if (a->features)
		status = gn_replay_features(&trace, &a->replay, features);
	else if (a->policy)
		status = gn_replay_policy(&trace, &a->replay, a->policy, a->html);
	else
		status = gn_replay_forecast(&trace, &a->replay);
	gn_trace_free(&trace);
	return status;
}

static int run_files(struct arguments *a, char **files, int n)
{
	struct gn_replay_features features = {0};
	int status = 0;

	if (n == 0)
		return complain("the file", "", "at least one CSV file; see --help");
	if (!a->replay.out && !a->features && !a->policy)
		return complain("--out", "", "a folder for the forecasts, or --policy FILE");
	if (a->html && !a->policy)
		return complain("--html", a->html, "--policy FILE too: it is that policy's report");
	if (a->replay.out && mkdir(a->replay.out, 0777) != 0 && errno != EEXIST) {
		fprintf(stderr, "gnomon-replay: cannot make %s: %s\n", a->replay.out,
		        strerror(errno));
		return -errno;
	}
	if (a->features)
		status = gn_replay_features_open(&features, a->features);
	for (int i = 0; i < n && status == 0; i++)
		status = run_file(a, files[i], &features);
	if (a->features && gn_replay_features_close(&features) != 0 && status == 0)
		status = -EIO;
	return status;
}

static int run_command(struct arguments *a, char **words, int n)
{
	char *path = NULL;
	int status;

	if (n >= 1 && (strcmp(words[0], "nab") == 0 || strcmp(words[0], "hdd") == 0)) {
		if (n != 2)
			return complain(words[0], n > 2 ? words[2] : "", "exactly one path");
		if (asprintf(&path, "%s%s%s", a->data ? a->data : "", a->data ? "/" : "",
		             words[1]) < 0)
			return -ENOMEM;
		if (words[0][0] == 'h') {
			a->hdd.file = path;
			status = gn_replay_hdd(&a->hdd);
		} else if (!a->replay.out) {
			status = complain("--out", "", "a folder for the scores");
		} else {
			status = gn_replay_nab(path, a->replay.out);
			status = status > 0 ? 0 : status < 0 ? status : -ENOENT;
		}
		free(path);
		return status;
	}
	return run_files(a, words, n);
}

int main(int argc, char **argv)
{
	struct arguments a = {.replay = {.horizons = {1, 6, 12, 24}, .n_horizons = 4, .every = 1}};
	int id, status = 0;

	while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (id == OPTION_HELP) {
			fputs(usage, stdout);
			return 0;
		}
		if (id == OPTION_VERSION) {
			puts("gnomon-replay " GN_VERSION);
			return 0;
		}
		if (id == '?' || parse_option(id, optarg, &a) != 0)
			return 2;
	}
	if (a.pack)
		status = open_pack(&a);
	if (status == 0)
		status = run_command(&a, argv + optind, argc - optind);
	free(a.pack_bytes);
	return status ? 1 : 0;
}
