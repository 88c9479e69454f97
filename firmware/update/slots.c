/* slots.c - see slots.h. */
#include "firmware/update/slots.h"

#include <errno.h>
#include <string.h>

#define X(name, text) text,
static const char *const state_names[] = {GN_SLOT_STATES(X)};
#undef X

const char *gn_slot_state_name(enum gn_slot_state state)
{
	return state_names[state];
}

static void set_version(struct gn_slot *slot, const char *version)
{
	size_t n = strlen(version);

	if (n >= sizeof slot->version)
		n = sizeof slot->version - 1;
	memcpy(slot->version, version, n);
	slot->version[n] = '\0';
}

void gn_slots_init(struct gn_slots *state, unsigned running, const char *version, uint32_t security)
{
	*state = (struct gn_slots){.security = security, .first = (uint8_t)running};
	state->slots[running] = (struct gn_slot){
	        .state = GN_SLOT_GOOD, .tries = GN_SLOT_TRIES, .security = security};
	set_version(&state->slots[running], version);
}

bool gn_slots_are_sound(const struct gn_slots *state)
{
	bool any_good = false;

	for (unsigned i = 0; i < GN_SLOTS; i++) {
		const struct gn_slot *slot = &state->slots[i];

		if (slot->state >= GN_SLOT_N_STATES || slot->tries > GN_SLOT_TRIES ||
		    (slot->state == GN_SLOT_GOOD && slot->security > state->security))
			return false;
		any_good |= slot->state == GN_SLOT_GOOD;
	}
	return any_good && state->first < GN_SLOTS;
}

unsigned gn_slots_other(unsigned running)
{
	return 1 - running;
}

int gn_slots_begin(struct gn_slots *state, unsigned running)
{
	if (state->slots[running].state != GN_SLOT_GOOD)
		return -EBUSY;
	state->first = (uint8_t)running;
	state->slots[gn_slots_other(running)] = (struct gn_slot){0};
	return 0;
}

int gn_slots_written(struct gn_slots *state, unsigned slot, const char *version, uint32_t security)
{
	if (state->slots[gn_slots_other(slot)].state != GN_SLOT_GOOD ||
	    state->slots[slot].state != GN_SLOT_EMPTY)
		return -EBUSY;
	if (security < state->security)
		return -EPERM;
	state->slots[slot] = (struct gn_slot){
	        .state = GN_SLOT_TRIAL, .tries = GN_SLOT_TRIES, .security = security};
	set_version(&state->slots[slot], version);
	state->first = (uint8_t)slot;
	return 0;
}

/* A slot older in security than 'least' is a way back to a mended fault. */
static void retire_older(struct gn_slot *slot, uint32_t least)
{
	if (slot->state != GN_SLOT_EMPTY && slot->security < least) {
		slot->state = GN_SLOT_RETIRED;
		slot->tries = 0;
	}
}

int gn_slots_good(struct gn_slots *state, unsigned running)
{
	struct gn_slot *slot = &state->slots[running];

	if (slot->security < state->security)
		return -EPERM;
	slot->state = GN_SLOT_GOOD;
	slot->tries = GN_SLOT_TRIES;
	state->security = slot->security;
	retire_older(&state->slots[gn_slots_other(running)], state->security);
	return 0;
}

int gn_slots_bad(struct gn_slots *state, unsigned running)
{
	struct gn_slot *other = &state->slots[gn_slots_other(running)];

	if (other->state != GN_SLOT_GOOD)
		return -ENOENT;
	state->slots[running].state = GN_SLOT_FAILED;
	state->slots[running].tries = 0;
	other->tries = GN_SLOT_TRIES;
	state->first = (uint8_t)gn_slots_other(running);
	return 0;
}

int gn_slots_rollback(struct gn_slots *state, unsigned running)
{
	struct gn_slot *other = &state->slots[gn_slots_other(running)];

	if (other->state == GN_SLOT_RETIRED || other->security < state->security)
		return other->state == GN_SLOT_EMPTY ? -ENOENT : -EPERM;
	if (other->state != GN_SLOT_GOOD)
		return -ENOENT;
	other->tries = GN_SLOT_TRIES;
	state->first = (uint8_t)gn_slots_other(running);
	return 0;
}

bool gn_slots_settle(struct gn_slots *state, unsigned running)
{
	unsigned other = gn_slots_other(running);
	struct gn_slot *slot = &state->slots[other];

	if (slot->tries || state->first != other)
		return false;
	if (slot->state == GN_SLOT_TRIAL)
		slot->state = GN_SLOT_FAILED;
	else if (slot->state != GN_SLOT_GOOD)
		return false;
	else
		slot->tries = GN_SLOT_TRIES; /* for when this one fails: it was good once */
	state->first = (uint8_t)running;
	return true;
}

/* Whether it may be started: then a try has been taken. */
static bool try_slot(struct gn_slot *slot)
{
	if ((slot->state != GN_SLOT_GOOD && slot->state != GN_SLOT_TRIAL) || !slot->tries)
		return false;
	slot->tries--;
	return true;
}

unsigned gn_slots_boot(struct gn_slots *state)
{
	unsigned first = state->first, other = gn_slots_other(first);

	if (try_slot(&state->slots[first]))
		return first;
	if (try_slot(&state->slots[other]))
		return other;
	/* A card that boots and is not well can be mended from afar; one that stops cannot. */
	return state->slots[first].state == GN_SLOT_GOOD ? first : other;
}

/* ---- the boot environment -----------------------------------------------------------------------
 */

static const char head[] = "# GRUB Environment Block\n";
static const char *const slot_letters[GN_SLOTS] = {"a", "b"};

struct writer {
	char *at;
};

static void put(struct writer *w, const char *text)
{
	size_t n = strlen(text);

	memcpy(w->at, text, n);
	w->at += n;
}

static void put_number(struct writer *w, uint32_t value)
{
	char digits[11];
	unsigned n = sizeof digits - 1;

	digits[n] = '\0';
	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(w, digits + n);
}

static void put_slot(struct writer *w, const char *letter, const struct gn_slot *slot)
{
	put(w, letter);
	put(w, "_state=");
	put(w, state_names[slot->state]);
	put(w, "\n");
	put(w, letter);
	put(w, "_tries=");
	put_number(w, slot->tries);
	put(w, "\n");
	put(w, letter);
	put(w, "_security=");
	put_number(w, slot->security);
	put(w, "\n");
	put(w, letter);
	put(w, "_version=");
	put(w, slot->version);
	put(w, "\n");
}

void gn_slots_encode(const struct gn_slots *state, char block[GN_SLOTS_BLOCK])
{
	struct writer w = {.at = block};

	memset(block, '#', GN_SLOTS_BLOCK);
	put(&w, head);
	put(&w, "first=");
	put(&w, slot_letters[state->first]);
	put(&w, "\nsecurity=");
	put_number(&w, state->security);
	put(&w, "\n");
	for (unsigned i = 0; i < GN_SLOTS; i++)
		put_slot(&w, slot_letters[i], &state->slots[i]);
}

/* The value of 'name' ("a_tries="), up to its line's end, in 'out'. */
static bool find(const char *block, const char *name, char *out, size_t size)
{
	size_t length = strlen(name), n = 0;

	for (const char *at = block, *end = block + GN_SLOTS_BLOCK; at < end; at++) {
		if ((size_t)(end - at) < length || memcmp(at, name, length) != 0 ||
		    (at != block && at[-1] != '\n'))
			continue;
		for (at += length; at < end && *at != '\n' && n + 1 < size; at++)
			out[n++] = *at;
		out[n] = '\0';
		return at < end && *at == '\n';
	}
	return false;
}

static bool find_number(const char *block, const char *name, uint32_t *out)
{
	char text[12];
	uint64_t value = 0;

	if (!find(block, name, text, sizeof text) || !text[0])
		return false;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return false;
		value = value * 10 + (uint64_t)(*c - '0');
	}
	*out = (uint32_t)value;
	return value <= UINT32_MAX;
}

static bool find_state(const char *block, const char *name, enum gn_slot_state *out)
{
	char text[16];

	if (!find(block, name, text, sizeof text))
		return false;
	for (unsigned i = 0; i < GN_SLOT_N_STATES; i++) {
		if (strcmp(text, state_names[i]) == 0) {
			*out = (enum gn_slot_state)i;
			return true;
		}
	}
	return false;
}

struct slot_names {
	const char *state, *tries, *security, *version;
};
static const struct slot_names slot_names[GN_SLOTS] = {
        {"a_state=", "a_tries=", "a_security=", "a_version="},
        {"b_state=", "b_tries=", "b_security=", "b_version="},
};

static bool decode_slot(const char *block, const struct slot_names *names, struct gn_slot *slot)
{
	uint32_t tries;

	if (!find_state(block, names->state, &slot->state) ||
	    !find_number(block, names->tries, &tries) || tries > GN_SLOT_TRIES ||
	    !find_number(block, names->security, &slot->security) ||
	    !find(block, names->version, slot->version, sizeof slot->version))
		return false;
	slot->tries = (uint8_t)tries;
	return true;
}

bool gn_slots_decode(const char block[GN_SLOTS_BLOCK], struct gn_slots *state)
{
	struct gn_slots found = {0};
	char first[2];

	if (memcmp(block, head, sizeof head - 1) != 0 ||
	    !find(block, "first=", first, sizeof first) || (first[0] != 'a' && first[0] != 'b') ||
	    !find_number(block, "security=", &found.security))
		return false;
	found.first = first[0] == 'b';
	for (unsigned i = 0; i < GN_SLOTS; i++)
		if (!decode_slot(block, &slot_names[i], &found.slots[i]))
			return false;
	if (!gn_slots_are_sound(&found))
		return false;
	*state = found;
	return true;
}
