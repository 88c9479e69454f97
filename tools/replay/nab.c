/* nab.c - see nab.h. Files that do not begin with the header 'timestamp,value' are left
 * alone, so a folder may hold labels and notes too. */
#include "tools/replay/nab.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "firmware/hazard/anomaly.h"
#include "tools/replay/trace.h"

#define SCALE         10000
#define QUIET_SAMPLES 288
#define PERIOD_US     300000000

static int make_folders(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		if (mkdir(path, 0777) != 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

static int score_lines(FILE *in, FILE *out, const char *path)
{
	struct gn_anomaly *anomaly = malloc(sizeof(*anomaly));
	char *line = NULL;
	size_t size = 0;
	int status = 0;

	if (!anomaly)
		return -ENOMEM;
	gn_anomaly_init(anomaly, QUIET_SAMPLES);
	fprintf(out, "timestamp,score\n");
	while (status == 0 && getline(&line, &size, in) > 0) {
		char *comma = strchr(line, ',');
		int64_t value;

		line[strcspn(line, "\r\n")] = 0;
		if (!comma || gn_trace_number(comma + 1, SCALE, &value) != 0) {
			fprintf(stderr,
			        "gnomon-replay: %s: expected 'timestamp,value', found '%s'\n", path,
			        line);
			status = -EINVAL;
			break;
		}
		struct gn_anomaly_result result = gn_anomaly_observe(anomaly, value, PERIOD_US);
		fprintf(out, "%.*s,%.6f\n", (int)(comma - line), line, result.score_q16 / 65536.0);
	}
	free(line);
	free(anomaly);
	return status;
}

static bool has_header(FILE *in)
{
	char line[64];

	return fgets(line, sizeof(line), in) && strncmp(line, "timestamp,value", 15) == 0;
}

static int score_file(const char *path, const char *name, const char *out_folder, int *n_files)
{
	FILE *in = fopen(path, "r"), *out = NULL;
	char *out_path = NULL;
	int status = 0;

	if (!in)
		return -errno;
	if (!has_header(in))
		goto done;
	if (asprintf(&out_path, "%s/%s", out_folder, name) < 0) {
		status = -ENOMEM;
		goto done;
	}
	status = make_folders(out_path);
	if (status == 0 && !(out = fopen(out_path, "w")))
		status = -errno;
	if (status != 0) {
		fprintf(stderr, "gnomon-replay: cannot write %s: %s\n", out_path,
		        strerror(-status));
		goto done;
	}
	status = score_lines(in, out, path);
	if (fclose(out) != 0 && status == 0)
		status = -errno;
	(*n_files)++;
done:
	free(out_path);
	fclose(in);
	return status;
}

int gn_replay_nab(const char *folder, const char *out)
{
	char *roots[] = {(char *)(uintptr_t)folder, NULL};
	FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	int status = 0, n_files = 0;

	if (!walk)
		return -errno;
	for (FTSENT *entry; status == 0 && (entry = fts_read(walk));) {
		size_t length = strlen(entry->fts_path);

		if (entry->fts_info == FTS_F && length > 4 &&
		    strcmp(entry->fts_path + length - 4, ".csv") == 0)
			status = score_file(entry->fts_path, entry->fts_path + strlen(folder) + 1,
			                    out, &n_files);
	}
	fts_close(walk);
	if (status == 0 && n_files == 0)
		fprintf(stderr, "gnomon-replay: no file 'timestamp,value' below %s\n", folder);
	return status ? status : n_files;
}
