/* install.h - an update's way into the other slot, and what became of slots.
 *
 * Turns the pure rules (manifest.h, slots.h) into writes (disk.h), in an order in which a power
 * cut after any of them leaves a card that boots a slot that is whole:
 *
 *   begin    everything is checked first; then the other slot becomes EMPTY
 *   write    the image, from 'offset' on; every GN_INSTALL_SAVE_BYTES the progress is kept
 *   finish   reads all of it back, step by step, and only if it is what was signed: TRIAL
 *
 * Everything that a person may ask later goes into the history. One thread. */
#ifndef GN_UPDATE_INSTALL_H
#define GN_UPDATE_INSTALL_H

#include <stdbool.h>
#include "firmware/core/status.h"
#include "firmware/update/authentic.h"
#include "firmware/update/disk.h"

#define GN_INSTALL_SAVE_BYTES (4u << 20)
#define GN_INSTALL_DATA_MAX   (512u << 10) /* bytes in one write */
#define GN_INSTALL_STEP_BYTES (1u << 20)   /* read back in one step */

enum gn_install_phase { GN_INSTALL_IDLE, GN_INSTALL_RECEIVING, GN_INSTALL_CHECKING };

/* What runs; texts are borrowed. */
struct gn_install_card {
	const char *board;
	const char *roots_file;
	unsigned running;    /* slot */
	const char *version; /* of the running image, by itself */
	uint32_t security;
};

struct gn_install {
	struct gn_install_card card;
	struct gn_disk *disk;
	struct gn_slots slots;
	enum gn_install_phase phase;
	struct gn_manifest manifest; /* unless IDLE */
	uint64_t offset;             /* received, or checked */
	uint64_t saved;              /* of it on the disk for sure */
	struct gn_digest *digest;    /* CHECKING */
	char trouble[256];           /* why the last update came to nothing */
};

/* Reads the boot environment; one that is lost is made anew, with the running slot as the good
 * one. Writes down what became of a trial. 0, or a sentence. 'now_us', here and below, is wall. */
int gn_install_open(struct gn_install *install, const struct gn_install_card *card,
                    struct gn_disk *disk, uint64_t now_us, struct gn_status *status);
void gn_install_close(struct gn_install *install);

/* 0, or a sentence; nothing has changed then. An update that is under way is given up, unless it
 * is this one: 'install->offset' is where it goes on. */
int gn_install_begin(struct gn_install *install, const struct gn_authentic *offer, uint64_t now_us,
                     struct gn_status *status);
int gn_install_write(struct gn_install *install, uint64_t offset, const void *data, size_t size,
                     struct gn_status *status);
int gn_install_finish(struct gn_install *install, struct gn_status *status);
/* While CHECKING: one step. Then IDLE, and 'trouble' says whether it came to nothing. */
void gn_install_step(struct gn_install *install, uint64_t now_us);

int gn_install_rollback(struct gn_install *install, uint64_t now_us, struct gn_status *status);
/* The running slot's health. 'bad' returns an error when there is no other to go back to. */
int gn_install_good(struct gn_install *install, uint64_t now_us, struct gn_status *status);
int gn_install_bad(struct gn_install *install, const char *why, uint64_t now_us,
                   struct gn_status *status);

const char *gn_install_slot_name(unsigned slot);

#endif
