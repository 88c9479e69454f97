/* hdd.c - see hdd.h. Every 720 power-on hours a drive is looked at: its state then and 720
 * hours before, and whether it fails in the next 720. Drives whose next 720 hours are unknown
 * are scored but not learnt from. */
#include "tools/replay/hdd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "firmware/hazard/drive.h"
#include "tools/replay/learn.h"
#include "tools/replay/trace.h"

#define HORIZON_H 720
#define FOLDS     3
#define LINE_SIZE 4096
#define FIELDS    64

static const char *const columns[GN_DRIVE_N_ATTRIBUTES] = {"smart_5",   "smart_12",  "smart_187",
                                                           "smart_188", "smart_189", "smart_196",
                                                           "smart_197", "smart_198"};

struct line {
	char drive[32];
	int64_t stop;
	int64_t size_gb;
	bool fail;
	struct gn_drive_reading reading; /* .hours: where the line begins */
};

struct lines {
	struct line *all;
	size_t n, room;
};

struct landmark {
	const char *drive;
	int64_t hours;
	bool known;
};

struct landmarks {
	struct gn_drive_case *cases;
	struct landmark *about;
	size_t n, room;
};

static int column_of(char **fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i], name) == 0)
			return (int)i;
	return -1;
}

static size_t split(char *line, char **fields)
{
	size_t n = 0;

	line[strcspn(line, "\r\n")] = 0;
	while (line && n < FIELDS)
		fields[n++] = strsep(&line, ",");
	return n;
}

struct header {
	int drive, start, stop, fail, size, raw[GN_DRIVE_N_ATTRIBUTES];
	size_t n;
};

static int read_header(char **fields, size_t n, struct header *header)
{
	header->n = n;
	header->drive = column_of(fields, n, "drive");
	header->start = column_of(fields, n, "tstart");
	header->stop = column_of(fields, n, "tstop");
	header->fail = column_of(fields, n, "fail");
	header->size = column_of(fields, n, "size_tb");
	for (size_t a = 0; a < GN_DRIVE_N_ATTRIBUTES; a++)
		header->raw[a] = column_of(fields, n, columns[a]);
	return header->drive < 0 || header->start < 0 || header->stop < 0 || header->fail < 0
	               ? -EINVAL
	               : 0;
}

static int64_t number(char **fields, int column, int64_t scale, int64_t otherwise)
{
	int64_t value;

	if (column < 0 || gn_trace_number(fields[column], scale, &value) != 0)
		return otherwise;
	return value;
}

static int add_line(struct lines *lines, const struct header *header, char **fields)
{
	struct line *line;

	if (lines->n == lines->room) {
		size_t room = lines->room ? 2 * lines->room : 4096;
		struct line *grown = realloc(lines->all, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		lines->all = grown;
		lines->room = room;
	}
	line = &lines->all[lines->n++];
	memset(line, 0, sizeof(*line));
	snprintf(line->drive, sizeof(line->drive), "%s", fields[header->drive]);
	line->reading.hours = number(fields, header->start, 1, 0);
	line->stop = number(fields, header->stop, 1, 0);
	line->fail = number(fields, header->fail, 1, 0) > 0;
	line->size_gb = number(fields, header->size, 1000, 0);
	for (size_t a = 0; a < GN_DRIVE_N_ATTRIBUTES; a++)
		line->reading.raw[a] = number(fields, header->raw[a], 1, GN_DRIVE_UNKNOWN);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int order = strcmp(x->drive, y->drive);

	if (order)
		return order;
	return x->reading.hours < y->reading.hours ? -1 : x->reading.hours > y->reading.hours;
}

static int read_lines(const char *path, struct lines *lines)
{
	gzFile file = gzopen(path, "rb");
	char line[LINE_SIZE], *fields[FIELDS];
	struct header header = {0};
	size_t number_of_line = 0;
	int status = file ? 0 : -ENOENT;

	while (status == 0 && gzgets(file, line, sizeof(line))) {
		size_t n;

		number_of_line++;
		if (line[0] == '#')
			continue;
		n = split(line, fields);
		if (header.n == 0)
			status = read_header(fields, n, &header);
		else if (n == header.n)
			status = add_line(lines, &header, fields);
		else
			status = -EINVAL;
	}
	if (status != 0)
		fprintf(stderr,
		        "gnomon-replay: %s, line %zu: %s (expected a table with the columns drive, "
		        "tstart, tstop, fail, smart_N)\n",
		        path, number_of_line, strerror(-status));
	if (file)
		gzclose(file);
	if (status == 0)
		qsort(lines->all, lines->n, sizeof(*lines->all), compare);
	return status;
}

/* The last of a drive's lines that begins at or before 'hours'; the first if none does. */
static const struct line *line_at(const struct line *first, size_t n, int64_t hours)
{
	size_t i = 0;

	while (i + 1 < n && first[i + 1].reading.hours <= hours)
		i++;
	return &first[i];
}

static int add_landmark(struct landmarks *marks, const struct line *first, size_t n, int64_t hours)
{
	const struct line *last = &first[n - 1], *now = line_at(first, n, hours);
	struct gn_drive_reading at = now->reading;
	struct gn_drive_case *one;

	if (marks->n == marks->room) {
		size_t room = marks->room ? 2 * marks->room : 4096;
		struct gn_drive_case *cases = realloc(marks->cases, room * sizeof(*cases));
		struct landmark *about = realloc(marks->about, room * sizeof(*about));

		marks->cases = cases ? cases : marks->cases;
		marks->about = about ? about : marks->about;
		if (!cases || !about)
			return -ENOMEM;
		marks->room = room;
	}
	one = &marks->cases[marks->n];
	at.hours = hours;
	gn_drive_features(&at, &line_at(first, n, hours - HORIZON_H)->reading, now->size_gb,
	                  one->features);
	one->failed = last->fail && last->stop - hours <= HORIZON_H;
	one->held_out = false;
	marks->about[marks->n++] = (struct landmark){
	        .drive = first->drive,
	        .hours = hours,
	        .known = last->fail || last->stop - hours >= HORIZON_H,
	};
	return 0;
}

static int find_landmarks(const struct lines *lines, struct landmarks *marks)
{
	for (size_t i = 0, n; i < lines->n; i += n) {
		const struct line *first = &lines->all[i];

		for (n = 1; i + n < lines->n && strcmp(first[n].drive, first->drive) == 0; n++)
			;
		for (int64_t hours = first->reading.hours + HORIZON_H; hours < first[n - 1].stop;
		     hours += HORIZON_H) {
			int status = add_landmark(marks, first, n, hours);

			if (status != 0)
				return status;
		}
	}
	return 0;
}

static uint32_t fold_of(const char *drive)
{
	uint32_t hash = 2166136261u;

	for (; *drive; drive++)
		hash = (hash ^ (uint8_t)*drive) * 16777619u;
	return (hash >> 8) % FOLDS;
}

/* Learns without fold 'fold' (FOLDS: from all). */
static struct gn_drive_model *learn_without(struct landmarks *marks, uint32_t fold)
{
	for (size_t i = 0; i < marks->n; i++)
		marks->cases[i].held_out =
		        !marks->about[i].known || fold_of(marks->about[i].drive) == fold;
	return gn_learn_drive(marks->cases, marks->n);
}

static void write_score(FILE *out, const struct landmarks *marks, size_t i,
                        const struct gn_drive_model *model)
{
	const int32_t *features = marks->cases[i].features;
	int32_t score = model ? gn_drive_score(model, features) : gn_drive_rule(features);

	fprintf(out, "%s@%lld,%.4f\n", marks->about[i].drive, (long long)marks->about[i].hours,
	        score / 256.0);
}

static int score_in_turns(FILE *out, struct landmarks *marks)
{
	for (uint32_t fold = 0; fold < FOLDS; fold++) {
		struct gn_drive_model *model = learn_without(marks, fold);

		if (!model)
			return -EINVAL;
		for (size_t i = 0; i < marks->n; i++)
			if (fold_of(marks->about[i].drive) == fold)
				write_score(out, marks, i, model);
		free(model);
	}
	return 0;
}

static int store(const struct gn_drive_model *model, const char *path)
{
	size_t size = gn_learn_drive_size(model);
	FILE *file = fopen(path, "wb");
	int status = 0;

	if (!file || fwrite(model, 1, size, file) != size)
		status = -errno;
	if (file && fclose(file) != 0)
		status = -errno;
	if (status != 0)
		fprintf(stderr, "gnomon-replay: cannot write %s: %s\n", path, strerror(-status));
	return status;
}

static int learn_from(const char *path, struct gn_drive_model **model)
{
	struct landmarks marks = {0};
	struct lines lines = {0};
	int status = read_lines(path, &lines);

	if (status == 0)
		status = find_landmarks(&lines, &marks);
	if (status == 0) {
		*model = learn_without(&marks, FOLDS);
		if (!*model) {
			fprintf(stderr, "gnomon-replay: %s: no failed drive to learn from\n", path);
			status = -EINVAL;
		}
	}
	free(lines.all);
	free(marks.cases);
	free(marks.about);
	return status;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int gn_replay_hdd(const struct gn_replay_hdd *options)
{
	bool in_turns = options->learn && is_same_file(options->learn, options->file);
	FILE *out = options->scores ? fopen(options->scores, "w") : stdout;
	struct gn_drive_model *model = NULL;
	struct landmarks marks = {0};
	struct lines lines = {0};
	int status = out ? 0 : -errno;

	if (status == 0 && options->learn && (!in_turns || options->model))
		status = learn_from(options->learn, &model);
	if (status == 0 && model && options->model)
		status = store(model, options->model);
	if (status == 0)
		status = read_lines(options->file, &lines);
	if (status == 0)
		status = find_landmarks(&lines, &marks);
	if (status == 0)
		fprintf(out, "drive@hours,score\n");
	if (status == 0 && in_turns)
		status = score_in_turns(out, &marks);
	for (size_t i = 0; i < marks.n && status == 0 && !in_turns; i++)
		write_score(out, &marks, i, model);
	if (out && out != stdout && fclose(out) != 0 && status == 0)
		status = -errno;
	free(model);
	free(lines.all);
	free(marks.cases);
	free(marks.about);
	return status;
}
