/* attack.h - one hostile front end, and the tables of what it does.
 *
 * A case gets a front end that is connected, or running with its vrings enabled, and does
 * one evil thing. It says whether the back end behaved: what had to be refused was refused.
 * That the back end lives, serves its other front ends and takes this one back honestly is
 * checked by whoever runs the case (hostile.c, hostile_test.py). */
#ifndef GN_TESTS_HOSTILE_ATTACK_H
#define GN_TESTS_HOSTILE_ATTACK_H

#include "tests/frontend/frontend.h"

enum gn_attack_kind { GN_ATTACK_NET = 1, GN_ATTACK_BLK = 2, GN_ATTACK_BOTH = 3 };

enum gn_attack_state {
	GN_ATTACK_CONNECTED, /* features known, owner set */
	GN_ATTACK_RUNNING,
	GN_ATTACK_UNSEALABLE, /* running on RAM whose file can be shortened */
};

struct gn_attack {
	enum gn_attack_kind kind;
	const char *socket_path;
	const char *other_path; /* another device of the same back end, unused; may be NULL */
	struct gn_frontend *fe;
	uint64_t random;
	char complaint[256];
};

/* Returns 0 when the back end behaved, else -1 with a complaint. */
typedef int gn_attack_run(struct gn_attack *attack);

struct gn_attack_case {
	const char *name;
	enum gn_attack_kind kinds;
	enum gn_attack_state state;
	gn_attack_run *run;
};

/* Each ends with a NULL name. */
extern const struct gn_attack_case gn_attack_messages[];
extern const struct gn_attack_case gn_attack_setups[];
extern const struct gn_attack_case gn_attack_rings[];

/* For cases: notes why the back end did not behave; returns -1. */
int gn_attack_complain(struct gn_attack *attack, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Sends the message, asking for an acknowledgement; 0 when it was refused or the connection
 * closed. Reconnects if it was. */
int gn_attack_must_refuse(struct gn_attack *attack, const char *what,
                          struct gn_wire_message *message, const int *fds, unsigned n_fds);
/* Sends it and takes any answer, or none, within a moment. Reconnects if it was closed. */
void gn_attack_send(struct gn_attack *attack, const struct gn_wire_message *message, size_t n_bytes,
                    const int *fds, unsigned n_fds);
/* Connects again, as far as the case's state was. */
int gn_attack_restore(struct gn_attack *attack);

void gn_attack_pause_ms(unsigned ms);
uint64_t gn_attack_random(struct gn_attack *attack);

static inline struct gn_wire_message gn_attack_message(uint32_t request, uint32_t size)
{
	return (struct gn_wire_message){.request = request, .flags = GN_WIRE_VERSION, .size = size};
}

static inline struct gn_wire_message gn_attack_u64(uint32_t request, uint64_t value)
{
	struct gn_wire_message m = gn_attack_message(request, 8);

	m.payload.u64 = value;
	return m;
}

static inline struct gn_wire_message gn_attack_vring(uint32_t request, uint32_t index, uint32_t num)
{
	struct gn_wire_message m = gn_attack_message(request, 8);

	m.payload.state.index = index;
	m.payload.state.num = num;
	return m;
}

#endif
