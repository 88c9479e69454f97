/* packs_trial.c - what a trial has measured, as figures and in words (packs.h). */
#include <inttypes.h>
#include <stdio.h>
#include "firmware/brain/brain.h"
#include "firmware/brain/packs_internal.h"
#include "firmware/core/fixed.h"
#include "firmware/message/message.h"

void gn_packs_measure(const struct gn_brain *brain, struct gn_trial *trial)
{
	*trial = (struct gn_trial){0};
	for (size_t i = 0; i < brain->n_vms; i++)
		for (unsigned k = 1; k < GN_RESOURCE_END; k++)
			if (brain->vms[i]->series[k].trial)
				gn_trial_add(trial, &brain->vms[i]->series[k].trial->scores);
}

/* The geometric mean over the pairs, Q16. */
static int64_t mean_q16(int64_t sum_log_q10, uint32_t n)
{
	return n ? gn_exp2_q10((int32_t)(sum_log_q10 / (int64_t)n), 16) : 65536;
}

static Gnomon__V1__ModelTrial *message_of(const struct gn_packs *packs,
                                          const struct gn_trial *trial)
{
	Gnomon__V1__ModelTrial *m =
	        GN_MESSAGE_NEW(Gnomon__V1__ModelTrial, gnomon__v1__model_trial__init);
	char against[96];

	gn_packs_describe(&packs->slots[GN_PACKS_ACTIVE], against, sizeof against);
	gn_message_set(&m->against, "%s", against);
	m->series = packs->n_series;
	m->pairs = trial->n;
	m->needed_pairs = GN_TRIAL_MIN_PAIRS;
	m->better = trial->n_better;
	m->tied = trial->n_tied;
	m->targets = trial->n_targets;
	m->needed_targets = GN_TRIAL_FIRST_TARGETS;
	m->ratio_q16 = mean_q16(trial->sum_log_q10, trial->n);
	m->loss_of_naive_q16 = mean_q16(trial->sum_log_candidate_q10, trial->n);
	m->other_of_naive_q16 = mean_q16(trial->sum_log_present_q10, trial->n);
	m->began_us = packs->slots[GN_PACKS_TRIAL].record->since_us;
	return m;
}

/* Q16 as thousandths. */
static int64_t milli(int64_t q16)
{
	return (q16 * 1000 + 32768) >> 16;
}

static void say(char **text, const char *verdict, const Gnomon__V1__ModelTrial *m)
{
	int64_t ratio = milli(m->ratio_q16);

	gn_message_set(text,
	               "%s: its loss was %" PRId64 ".%03" PRId64
	               " times that of %s, less on %u of %u "
	               "series and horizons (%u tied), %" PRIu64 " forecasts",
	               verdict, ratio / 1000, ratio % 1000, m->against, m->better, m->pairs,
	               m->tied, m->targets);
}

void gn_packs_record_trial(struct gn_brain *brain, bool adopt)
{
	Gnomon__V1__Model *record = brain->packs.slots[GN_PACKS_TRIAL].record;
	struct gn_trial trial;

	gn_packs_measure(brain, &trial);
	GN_MESSAGE_FREE(record->trial);
	record->trial = message_of(&brain->packs, &trial);
	say(&record->decision, adopt ? "adopted" : "not adopted", record->trial);
}

static void say_progress(Gnomon__V1__Model *model, const struct gn_trial *trial)
{
	if (trial->n + trial->n_tied >= GN_TRIAL_MIN_PAIRS)
		say(&model->decision, "undecided so far", model->trial);
	else
		gn_message_set(&model->decision,
		               "measuring: %u of at least %u series and horizons have %u scored "
		               "forecasts",
		               trial->n + trial->n_tied, GN_TRIAL_MIN_PAIRS,
		               GN_TRIAL_FIRST_TARGETS);
}

Gnomon__V1__ModelList *gn_packs_list(const struct gn_brain *brain)
{
	Gnomon__V1__ModelList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__ModelList, gnomon__v1__model_list__init);
	struct gn_trial trial;

	for (unsigned role = 0; role < GN_PACKS_ROLES; role++) {
		const struct gn_packs_slot *slot = &brain->packs.slots[role];
		Gnomon__V1__Model *model;

		if (!slot->record)
			continue;
		model = GN_MESSAGE_COPY(Gnomon__V1__Model, slot->record);
		GN_MESSAGE_APPEND(list->models, list->n_models, model);
		if (role != GN_PACKS_TRIAL)
			continue;
		gn_packs_measure(brain, &trial);
		GN_MESSAGE_FREE(model->trial);
		model->trial = message_of(&brain->packs, &trial);
		say_progress(model, &trial);
	}
	return list;
}
