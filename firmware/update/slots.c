/* slots.c - see slots.h. */
#include "firmware/update/slots.h"

#include <errno.h>

void gn_slots_init(struct gn_slots *state, uint32_t security)
{
	*state = (struct gn_slots){.security = security};
	state->slots[0] = (struct gn_slot){.bootable = true, .good = true, .security = security};
}

bool gn_slots_are_sound(const struct gn_slots *state)
{
	bool any_good = false;

	for (unsigned i = 0; i < GN_SLOTS; i++) {
		const struct gn_slot *slot = &state->slots[i];

		if (slot->tries > GN_SLOT_TRIES || (slot->good && !slot->bootable) ||
		    (slot->good && slot->security > state->security))
			return false;
		any_good |= slot->good;
	}
	return any_good && state->first < GN_SLOTS;
}

unsigned gn_slots_other(unsigned running)
{
	return 1 - running;
}

int gn_slots_begin(struct gn_slots *state, unsigned running)
{
	if (running >= GN_SLOTS)
		return -EINVAL;
	if (!state->slots[running].good)
		return -EBUSY;
	state->first = (uint8_t)running;
	state->slots[gn_slots_other(running)] = (struct gn_slot){0};
	return 0;
}

int gn_slots_written(struct gn_slots *state, unsigned slot, uint32_t security)
{
	if (slot >= GN_SLOTS)
		return -EINVAL;
	if (!state->slots[gn_slots_other(slot)].good || state->slots[slot].bootable)
		return -EBUSY;
	if (security < state->security)
		return -EPERM;
	state->slots[slot] = (struct gn_slot){
	        .bootable = true, .tries = GN_SLOT_TRIES, .security = security};
	state->first = (uint8_t)slot;
	return 0;
}

int gn_slots_good(struct gn_slots *state, unsigned running)
{
	struct gn_slot *slot;

	if (running >= GN_SLOTS || !state->slots[running].bootable)
		return -EINVAL;
	slot = &state->slots[running];
	slot->good = true;
	slot->tries = 0;
	if (slot->security > state->security)
		state->security = slot->security;
	return 0;
}

int gn_slots_bad(struct gn_slots *state, unsigned running)
{
	if (running >= GN_SLOTS)
		return -EINVAL;
	if (!state->slots[gn_slots_other(running)].good)
		return -EBUSY;
	state->slots[running] = (struct gn_slot){0};
	state->first = (uint8_t)gn_slots_other(running);
	return 0;
}

int gn_slots_rollback(struct gn_slots *state, unsigned running)
{
	const struct gn_slot *other;

	if (running >= GN_SLOTS)
		return -EINVAL;
	other = &state->slots[gn_slots_other(running)];
	if (!other->good)
		return -ENOENT;
	if (other->security < state->security)
		return -EPERM;
	state->first = (uint8_t)gn_slots_other(running);
	return 0;
}

/* Whether it may be started, with a try taken when it needs one. */
static bool try_slot(struct gn_slot *slot)
{
	if (!slot->bootable)
		return false;
	if (slot->good)
		return true;
	if (slot->tries) {
		slot->tries--;
		return true;
	}
	*slot = (struct gn_slot){0};
	return false;
}

unsigned gn_slots_boot(struct gn_slots *state)
{
	if (!try_slot(&state->slots[state->first])) {
		state->first = (uint8_t)gn_slots_other(state->first);
		try_slot(&state->slots[state->first]);
	}
	return state->first;
}
