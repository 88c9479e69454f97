/* slots.h - which of the card's two slots boots, and when a new one is good: the rules of an
 * update that cannot brick the card.
 *
 * Pure. The state is a handful of fields that the boot loader also reads; every change is one
 * write of the whole (a file of fixed size, renamed or overwritten in one block), so a power
 * cut leaves the old state or the new one.
 *
 *   begin     the other slot is no longer bootable, before its first byte is written
 *   written   it has been written and read back: it is bootable, first in order, with tries left
 *   booting   (the boot loader) takes one try of a slot that is not good, or the other slot
 *   good      the card's health said so: no more tries are counted
 *   bad       health failed: not bootable; the next boot takes the other slot
 *   rollback  the operator wants the other slot, if that is good
 *
 * At every state, one slot at least is good: that of the last version that was. */
#ifndef GN_UPDATE_SLOTS_H
#define GN_UPDATE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define GN_SLOTS      2u
#define GN_SLOT_TRIES 3u /* boots without a 'good' before the slot is given up */

struct gn_slot {
	bool bootable;
	bool good;         /* has been marked good since it was written */
	uint8_t tries;     /* left; of one that is not good */
	uint32_t security; /* of its content */
};

struct gn_slots {
	struct gn_slot slots[GN_SLOTS];
	uint8_t first;     /* the one to boot when it is bootable */
	uint32_t security; /* the highest that was good: never goes back */
};

/* A card as it leaves the factory: slot 0 is good, slot 1 is empty. */
void gn_slots_init(struct gn_slots *state, uint32_t security);
/* Whether the fields make sense and one slot is good; what is read from a disk is asked. */
bool gn_slots_are_sound(const struct gn_slots *state);

/* The slot that an update goes to while 'running' runs. */
unsigned gn_slots_other(unsigned running);

/* Each changes 'state' or returns a negative errno and leaves it alone: -EINVAL: no such slot;
 * -EBUSY: the running slot is not good yet, so the other one is the only way back;
 * -EPERM: the content's security version is older than what was good; -ENOENT: the other slot
 * has nothing to go back to. */
int gn_slots_begin(struct gn_slots *state, unsigned running);
int gn_slots_written(struct gn_slots *state, unsigned slot, uint32_t security);
int gn_slots_good(struct gn_slots *state, unsigned running);
int gn_slots_bad(struct gn_slots *state, unsigned running);
int gn_slots_rollback(struct gn_slots *state, unsigned running);

/* What the boot loader does: takes a try, and says which slot boots. The state is to be written
 * before that slot is started. */
unsigned gn_slots_boot(struct gn_slots *state);

#endif
