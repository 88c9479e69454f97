/* hdd.h - failure hazards of disk drives by the firmware's rule or a learnt model. */
#ifndef GN_REPLAY_HDD_H
#define GN_REPLAY_HDD_H

struct gn_replay_hdd {
	const char *file;   /* drives to score */
	const char *learn;  /* drives to learn from first; NULL: the documented rule. The same file
	                     * as 'file': learnt and scored in turns, so that no drive is scored by
	                     * a model that has seen it */
	const char *scores; /* where 'drive@hours,score' goes; NULL: standard output */
	const char *model;  /* where the learnt model is stored; NULL: nowhere */
};

/* 0, or a negative errno after a message. */
int gn_replay_hdd(const struct gn_replay_hdd *options);

#endif
