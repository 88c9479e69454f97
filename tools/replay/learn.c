/* learn.c - see learn.h. Newton boosting (Friedman 2001; second order as in XGBoost): each
 * tree is grown level by level on binned features from sums of gradients and curvatures.
 * Runs on a workstation, so it may use floating point; what it makes is integers. */
#include "tools/replay/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_TREES     120
#define RATE        0.15
#define RIDGE       3.0
#define BINS        48
#define MIN_HESSIAN 4.0
#define FEATURES    GN_DRIVE_N_FEATURES

struct learner {
	const struct gn_drive_case *cases;
	size_t n;
	int32_t thresholds[FEATURES][BINS]; /* bin b holds values <= thresholds[b] */
	uint32_t n_bins[FEATURES];
	uint8_t (*bins)[FEATURES];
	float *score, *gradient, *hessian;
	uint8_t *node;
};

struct sums {
	double gradient, hessian;
};

static int compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

/* Thresholds at quantiles; the values above zero get most of them, since most are zero. */
static void find_thresholds(struct learner *l, uint32_t feature, int32_t *scratch)
{
	size_t n = 0, positive = 0;
	uint32_t k = 0;

	for (size_t i = 0; i < l->n; i++)
		scratch[n++] = l->cases[i].features[feature];
	qsort(scratch, n, sizeof(*scratch), compare);
	while (positive < n && scratch[positive] <= 0)
		positive++;
	l->thresholds[feature][k++] = -1;
	l->thresholds[feature][k++] = 0;
	for (uint32_t b = 0; b < BINS - 3 && positive < n; b++) {
		int32_t value = scratch[positive + (n - positive - 1) * b / (BINS - 3)];

		if (value > l->thresholds[feature][k - 1])
			l->thresholds[feature][k++] = value;
	}
	l->n_bins[feature] = k; /* and one more bin for what is above them all */
	for (size_t i = 0; i < l->n; i++) {
		uint32_t b = 0;

		while (b < k && l->cases[i].features[feature] > l->thresholds[feature][b])
			b++;
		l->bins[i][feature] = (uint8_t)b;
	}
}

static double gain_of(struct sums s)
{
	return s.gradient * s.gradient / (s.hessian + RIDGE);
}

/* The best split of one node from its histogram; false when there is none. */
static bool split_node(const struct learner *l, struct sums (*histogram)[BINS + 1],
                       uint8_t *feature, uint32_t *bin)
{
	double best = 1e-6;
	bool found = false;

	for (uint32_t f = 0; f < FEATURES; f++) {
		struct sums all = {0}, left = {0};

		for (uint32_t b = 0; b <= l->n_bins[f]; b++) {
			all.gradient += histogram[f][b].gradient;
			all.hessian += histogram[f][b].hessian;
		}
		for (uint32_t b = 0; b < l->n_bins[f]; b++) {
			struct sums right;
			double gain;

			left.gradient += histogram[f][b].gradient;
			left.hessian += histogram[f][b].hessian;
			right = (struct sums){all.gradient - left.gradient,
			                      all.hessian - left.hessian};
			if (left.hessian < MIN_HESSIAN || right.hessian < MIN_HESSIAN)
				continue;
			gain = gain_of(left) + gain_of(right) - gain_of(all);
			if (gain > best) {
				best = gain;
				*feature = (uint8_t)f;
				*bin = b;
				found = true;
			}
		}
	}
	return found;
}

static void grow_level(struct learner *l, struct gn_drive_tree *tree, uint32_t first,
                       uint32_t width, struct sums (*histogram)[FEATURES][BINS + 1])
{
	uint32_t bins[GN_DRIVE_NODES];

	memset(histogram, 0, width * sizeof(*histogram));
	for (size_t i = 0; i < l->n; i++) {
		struct sums(*own)[BINS + 1] = histogram[l->node[i]];

		if (l->cases[i].held_out)
			continue;
		for (uint32_t f = 0; f < FEATURES; f++) {
			own[f][l->bins[i][f]].gradient += l->gradient[i];
			own[f][l->bins[i][f]].hessian += l->hessian[i];
		}
	}
	for (uint32_t k = 0; k < width; k++) {
		uint8_t *feature = &tree->feature[first + k];

		tree->threshold[first + k] = INT32_MAX;
		bins[k] = BINS + 1;
		if (split_node(l, histogram[k], feature, &bins[k]))
			tree->threshold[first + k] = l->thresholds[*feature][bins[k]];
	}
	for (size_t i = 0; i < l->n; i++) {
		uint32_t k = l->node[i];

		l->node[i] = (uint8_t)(2 * k + (l->bins[i][tree->feature[first + k]] > bins[k]));
	}
}

static void fill_leaves(struct learner *l, struct gn_drive_tree *tree)
{
	struct sums leaves[GN_DRIVE_LEAVES] = {{0}};

	for (size_t i = 0; i < l->n; i++) {
		if (l->cases[i].held_out)
			continue;
		leaves[l->node[i]].gradient += l->gradient[i];
		leaves[l->node[i]].hessian += l->hessian[i];
	}
	for (uint32_t k = 0; k < GN_DRIVE_LEAVES; k++) {
		double value = RATE * leaves[k].gradient / (leaves[k].hessian + RIDGE);

		tree->leaf_q8[k] = (int16_t)lround(fmax(fmin(value, 8), -8) * 256);
	}
	for (size_t i = 0; i < l->n; i++)
		l->score[i] += tree->leaf_q8[l->node[i]] / 256.0f;
}

static int add_tree(struct learner *l, struct gn_drive_tree *tree)
{
	struct sums(*histogram)[FEATURES][BINS + 1] = malloc(4 * sizeof(*histogram));

	if (!histogram)
		return -1;
	memset(tree, 0, sizeof(*tree));
	for (size_t i = 0; i < l->n; i++) {
		float p = 1 / (1 + expf(-l->score[i]));

		l->gradient[i] = (l->cases[i].failed ? 1 : 0) - p;
		l->hessian[i] = p * (1 - p);
	}
	memset(l->node, 0, l->n);
	for (uint32_t level = 0; level < 3; level++)
		grow_level(l, tree, (1u << level) - 1, 1u << level, histogram);
	fill_leaves(l, tree);
	free(histogram);
	return 0;
}

static struct gn_drive_model *train(struct learner *l)
{
	size_t n = 0, failures = 0;
	struct gn_drive_model *model;
	int32_t *scratch = malloc(l->n * sizeof(*scratch));
	int status = scratch ? 0 : -1;

	model = calloc(1, sizeof(*model) + N_TREES * sizeof(model->trees[0]));
	for (size_t i = 0; i < l->n; i++) {
		n += !l->cases[i].held_out;
		failures += !l->cases[i].held_out && l->cases[i].failed;
	}
	if (!model || failures == 0 || failures == n)
		status = -1;
	for (uint32_t f = 0; f < FEATURES && status == 0; f++)
		find_thresholds(l, f, scratch);
	free(scratch);
	if (status == 0) {
		model->magic = GN_DRIVE_MAGIC;
		model->version = GN_DRIVE_VERSION;
		model->n_trees = N_TREES;
		model->bias_q8 =
		        (int32_t)lround(256 * log((double)failures / (double)(n - failures)));
		for (size_t i = 0; i < l->n; i++)
			l->score[i] = model->bias_q8 / 256.0f;
	}
	for (uint32_t t = 0; t < N_TREES && status == 0; t++)
		status = add_tree(l, &model->trees[t]);
	if (status != 0) {
		free(model);
		model = NULL;
	}
	return model;
}

struct gn_drive_model *gn_learn_drive(const struct gn_drive_case *cases, size_t n)
{
	struct learner l = {.cases = cases, .n = n};
	struct gn_drive_model *model = NULL;

	l.bins = malloc(n * sizeof(*l.bins));
	l.score = calloc(n, sizeof(float));
	l.gradient = calloc(n, sizeof(float));
	l.hessian = calloc(n, sizeof(float));
	l.node = calloc(n, 1);
	if (l.bins && l.score && l.gradient && l.hessian && l.node)
		model = train(&l);
	free(l.bins);
	free(l.score);
	free(l.gradient);
	free(l.hessian);
	free(l.node);
	return model;
}

size_t gn_learn_drive_size(const struct gn_drive_model *model)
{
	return sizeof(*model) + model->n_trees * sizeof(model->trees[0]);
}
