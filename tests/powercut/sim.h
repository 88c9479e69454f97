/* sim.h - stores that exist in memory only, for the power-cut test.
 *
 * A store is a gn_volume. Requests complete in a random order and after a random time, from its
 * world's own random numbers, so a seed gives the same run every time. What was written but not
 * flushed may be lost by a power cut, sector by sector; what was in flight may be there or not, or
 * partly, after any end. Every write, discard and flush that completes on a store counts as one
 * persistent step of the world; at a chosen step everything stops. */
#ifndef GN_TESTS_POWERCUT_SIM_H
#define GN_TESTS_POWERCUT_SIM_H

#include "dataplane/volume/volume.h"

#define SIM_SECTOR    512u
#define SIM_MAX_QUEUE 128u

struct sim_world {
	uint64_t random;
	uint64_t now_us;
	uint64_t steps;   /* persistent ones so far */
	uint64_t stop_at; /* the step at which all ends; 0: never */
	bool has_stopped;
};

uint64_t sim_random(struct sim_world *world);
/* 0 .. n - 1 */
static inline uint64_t sim_below(struct sim_world *world, uint64_t n)
{
	return sim_random(world) % n;
}
/* Counts a persistent step; true when the world ends with it, so it must not take effect. */
bool sim_step(struct sim_world *world);

enum sim_health { SIM_WELL, SIM_SLOW, SIM_FAILING, SIM_HANGING };

struct sim_store {
	struct gn_volume volume;
	struct sim_world *world;
	enum sim_health health;
	unsigned error_percent; /* of changing requests, when well */
	uint8_t *content;       /* what a read gives */
	uint8_t *durable;       /* what is left after a power cut, at least */
	uint64_t *written;      /* per sector: when it was last written, counted */
	uint64_t *flushed;      /* per sector: 'written' of what 'durable' has */
	uint64_t clock;
	struct {
		struct gn_volume_request *request;
		uint64_t flush_clock;
	} queue[SIM_MAX_QUEUE];
};

void sim_store_init(struct sim_store *store, struct sim_world *world, uint64_t size_bytes);
void sim_store_fini(struct sim_store *store);
/* The process dies, or with 'power' the whole card: what it leaves. Nothing is in flight after. */
void sim_store_crash(struct sim_store *store, bool power);
/* Makes durable what is there. */
void sim_store_harden(struct sim_store *store);

#endif
