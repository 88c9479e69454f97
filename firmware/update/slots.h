/* slots.h - which of the card's two slots boots, and when a new one is good: the rules of an
 * update that cannot brick the card.
 *
 * Pure. The state is a handful of fields that the boot loader also reads and writes; every change
 * is one write of the whole, so a power cut leaves the old state or the new one.
 *
 *   begin     the other slot is empty, before its first byte is written
 *   written   it has been written and read back: on trial, first in order
 *   boot      (the boot loader, by grub.cfg) takes a try, and the other slot when none is left
 *   settle    the card is up again: a slot that ran out of tries is no longer first, and has failed
 *             if it was on trial
 *   good      the card's health said so: the slot's tries are whole again
 *   bad       its health failed: the next boot takes the other slot
 *   rollback  the operator wants the other slot, if that is good
 *
 * In every state that these functions leave, one slot at least is good. A good slot is counted as
 * well: three boots in a row without a 'good', and the other one, if it is good, gets its turn. */
#ifndef GN_UPDATE_SLOTS_H
#define GN_UPDATE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_SLOTS        2u
#define GN_SLOT_TRIES   3u /* boots without a 'good' before the other slot's turn */
#define GN_SLOT_VERSION 32u

#define GN_SLOT_STATES(X)                                                                          \
	X(EMPTY, "empty") /* nothing, or a part of an update */                                    \
	X(TRIAL, "trial") /* whole, never yet good */                                              \
	X(GOOD, "good")                                                                            \
	X(FAILED, "failed")   /* whole, was tried and was not good */                              \
	X(RETIRED, "retired") /* older in security than what was good since: never booted again */

#define X(name, text) GN_SLOT_##name,
enum gn_slot_state { GN_SLOT_STATES(X) GN_SLOT_N_STATES };
#undef X

struct gn_slot {
	enum gn_slot_state state;
	uint8_t tries; /* left, 0..GN_SLOT_TRIES */
	uint32_t security;
	char version[GN_SLOT_VERSION]; /* of its content; "" when EMPTY */
};

struct gn_slots {
	struct gn_slot slots[GN_SLOTS];
	uint8_t first;     /* the one to boot while it has tries */
	uint32_t security; /* the highest that was good: never goes back */
};

const char *gn_slot_state_name(enum gn_slot_state state);

/* A card as it was flashed, or one whose boot environment is lost: 'running' is good, the other
 * slot is empty. */
void gn_slots_init(struct gn_slots *state, unsigned running, const char *version,
                   uint32_t security);
/* Whether the fields make sense and one slot is good; what is read from a disk is asked. */
bool gn_slots_are_sound(const struct gn_slots *state);
/* The slot that an update goes to while 'running' runs. */
unsigned gn_slots_other(unsigned running);

/* Each changes 'state' or returns a negative errno and leaves it alone: -EBUSY: the running slot
 * is not good yet, so the other one is the only way back; -EPERM: the content's security version
 * is older than what was good; -ENOENT: the other slot has nothing good. */
int gn_slots_begin(struct gn_slots *state, unsigned running);
int gn_slots_written(struct gn_slots *state, unsigned slot, const char *version, uint32_t security);
int gn_slots_good(struct gn_slots *state, unsigned running);
int gn_slots_bad(struct gn_slots *state, unsigned running);
int gn_slots_rollback(struct gn_slots *state, unsigned running);

/* After a boot: true when the other slot was first and has no tries left. */
bool gn_slots_settle(struct gn_slots *state, unsigned running);

/* What the boot loader does: takes a try, and says which slot boots. */
unsigned gn_slots_boot(struct gn_slots *state);

/* ---- the boot environment: GRUB's block of 1024 bytes -------------------------------------------
 *
 * Everything is within its first 512 bytes, one sector, which a disk writes whole or not at all. */

#define GN_SLOTS_BLOCK 1024u

/* Writes the block. */
void gn_slots_encode(const struct gn_slots *state, char block[GN_SLOTS_BLOCK]);
/* False: it is not such a block, or not sound; 'state' is untouched. */
bool gn_slots_decode(const char block[GN_SLOTS_BLOCK], struct gn_slots *state);

#endif
