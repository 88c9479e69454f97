/* packs.h - the model packs of the card: the active one, one on trial, the one before.
 *
 *   ImportModel --> TRIAL --better--> ACTIVE --next adoption--> PREVIOUS
 *                     |                  ^---------------rollback---v
 *                     +--not better--> a record (REJECTED)
 *
 * The configuration's model_pack is active until another one was measured to be better on
 * this card (firmware/predict/trial.h has the rule). Imported packs live in the store, each
 * with its record, changed in one transaction: a kill at any instant leaves the roles as
 * they were before or after. What the store holds is checked against 'model_key' again at
 * every start; what no longer fits is dropped, and 'note' says so. A new model_pack (the
 * firmware was updated) goes on trial when another pack had been adopted over the old one.
 *
 * At most GN_PACKS_TRIAL_SERIES series take part in a trial, those of whole VMs chosen by
 * their name, so that its memory and time are bounded: 10 KiB and one more forecast each.
 *
 * Part of the brain: one thread, no I/O but the store's. */
#ifndef GN_BRAIN_PACKS_H
#define GN_BRAIN_PACKS_H

#include "firmware/brain/series.h"
#include "firmware/core/status.h"
#include "firmware/model/model.h"
#include "firmware/store/store.h"
#include "proto/gnomon/v1/model.pb-c.h"

#define GN_PACKS_TRIAL_SERIES 512

struct gn_brain;
struct gn_vm;
struct gn_time;

enum gn_packs_role { GN_PACKS_ACTIVE, GN_PACKS_TRIAL, GN_PACKS_PREVIOUS, GN_PACKS_REJECTED };
#define GN_PACKS_ROLES 4

struct gn_packs_slot {
	struct gn_model *model;    /* NULL: no pack, the experts alone; REJECTED: always */
	Gnomon__V1__Model *record; /* NULL: nothing in this role */
};

struct gn_packs {
	struct gn_packs_slot slots[GN_PACKS_ROLES];
	struct gn_series_packs in_use;         /* what the series see */
	uint32_t n_series;                     /* that take part in the trial */
	char note[2 * GN_STATUS_MESSAGE_SIZE]; /* of gn_packs_open(); "": all is well */
};

/* Takes over what the store holds, else the configuration's pack. */
void gn_packs_open(struct gn_packs *packs, const struct gn_config *config, struct gn_store *store,
                   uint64_t wall_us);
void gn_packs_close(struct gn_packs *packs);

/* Checks a signed pack, stores it and begins its trial. On failure nothing has changed and
 * 'status' says why: GN_UNAUTHENTICATED, GN_INVALID_ARGUMENT, GN_ALREADY_EXISTS (it is active
 * or on trial), GN_FAILED_PRECONDITION (another one is on trial and not 'replace'),
 * GN_UNAVAILABLE (it cannot be stored). */
int gn_packs_import(struct gn_brain *brain, const void *bytes, size_t size, bool replace,
                    struct gn_time now, struct gn_status *status);
/* Returns to the previous pack, which changes places with the active one; a trial goes on
 * against it, measured anew. With 'trial_only' ends the trial instead. */
int gn_packs_rollback(struct gn_brain *brain, bool trial_only, struct gn_time now,
                      struct gn_status *status);
/* Every period: takes new series into the trial, and decides once enough was measured. */
void gn_packs_tick(struct gn_brain *brain, struct gn_time now);

/* All roles with the trial's figures of now; gn_message_free(). */
Gnomon__V1__ModelList *gn_packs_list(const struct gn_brain *brain);

/* Writes the packs and records again. */
void gn_packs_save_all(struct gn_brain *brain);
/* A VM's part in the trial, with its predictors: stored, taken over (after the predictors),
 * forgotten. */
void gn_packs_save_vm(struct gn_brain *brain, const struct gn_vm *vm);
void gn_packs_load_trials(struct gn_brain *brain);
void gn_packs_forget_vm(struct gn_brain *brain, struct gn_vm *vm);

#endif
