/* sim.c - simulated stores. */
#include "tests/powercut/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t sim_random(struct sim_world *world)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = world->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

bool sim_step(struct sim_world *world)
{
	if (world->has_stopped)
		return true;
	world->steps++;
	world->has_stopped = world->steps == world->stop_at;
	return world->has_stopped;
}

static struct sim_store *to_sim(struct gn_volume *volume)
{
	return (struct sim_store *)volume;
}

static unsigned sim_submit(struct gn_volume *volume, struct gn_volume_request **requests,
                           unsigned n)
{
	struct sim_store *store = to_sim(volume);
	unsigned i;

	for (i = 0; i < n && volume->n_in_flight < volume->depth; i++) {
		assert(requests[i]->offset_bytes + requests[i]->length_bytes <= volume->size_bytes);
		assert(requests[i]->length_bytes % SIM_SECTOR == 0);
		store->queue[volume->n_in_flight].request = requests[i];
		store->queue[volume->n_in_flight++].flush_clock = store->clock;
	}
	return i;
}

static void write_sector(struct sim_store *store, uint64_t sector, const uint8_t *data)
{
	uint8_t *to = store->content + sector * SIM_SECTOR;

	if (data)
		memcpy(to, data, SIM_SECTOR);
	else
		memset(to, 0, SIM_SECTOR);
	store->written[sector] = ++store->clock;
}

/* One sector's bytes of a request, gathered or scattered. */
static void move_sector(const struct gn_volume_request *request, uint64_t index, uint8_t *sector,
                        bool to_memory)
{
	uint64_t skip = index * SIM_SECTOR;
	const struct iovec *iov = request->iov;

	while (skip >= iov->iov_len)
		skip -= (iov++)->iov_len;
	assert(iov->iov_len - skip >= SIM_SECTOR);
	if (to_memory)
		memcpy((uint8_t *)iov->iov_base + skip, sector, SIM_SECTOR);
	else
		memcpy(sector, (uint8_t *)iov->iov_base + skip, SIM_SECTOR);
}

/* Writes a request's sectors; with 'partly' each with one chance in two. */
static void change(struct sim_store *store, const struct gn_volume_request *request, bool partly)
{
	uint64_t first = request->offset_bytes / SIM_SECTOR;
	uint8_t data[SIM_SECTOR];

	for (uint64_t i = 0; i < request->length_bytes / SIM_SECTOR; i++) {
		if (partly && sim_below(store->world, 2))
			continue;
		if (request->op == GN_VOLUME_WRITE)
			move_sector(request, i, data, false);
		write_sector(store, first + i, request->op == GN_VOLUME_WRITE ? data : NULL);
	}
}

static void fetch(struct sim_store *store, const struct gn_volume_request *request)
{
	for (uint64_t i = 0; i < request->length_bytes / SIM_SECTOR; i++)
		move_sector(request, i, store->content + request->offset_bytes + i * SIM_SECTOR,
		            true);
}

static void harden(struct sim_store *store, uint64_t sector)
{
	memcpy(store->durable + sector * SIM_SECTOR, store->content + sector * SIM_SECTOR,
	       SIM_SECTOR);
	store->flushed[sector] = store->written[sector];
}

static void flush(struct sim_store *store, uint64_t clock)
{
	/* A sector that was written again since may be newer than asked for. */
	for (uint64_t i = 0; i < store->volume.size_bytes / SIM_SECTOR; i++)
		if (store->flushed[i] != store->written[i] && store->flushed[i] <= clock)
			harden(store, i);
}

/* Ends the request in 'slot'. */
static void complete(struct sim_store *store, unsigned slot)
{
	struct gn_volume_request *request = store->queue[slot].request;
	uint64_t flush_clock = store->queue[slot].flush_clock;
	bool is_read = request->op == GN_VOLUME_READ;
	bool fails = store->health == SIM_FAILING ||
	             (!is_read && sim_below(store->world, 100) < store->error_percent);

	if (!is_read && !fails && sim_step(store->world))
		return; /* it stays in flight */
	store->queue[slot] = store->queue[--store->volume.n_in_flight];
	if (fails)
		request->done(request, -EIO);
	else if (is_read)
		fetch(store, request);
	else if (request->op == GN_VOLUME_FLUSH)
		flush(store, flush_clock);
	else
		change(store, request, false);
	if (!fails)
		request->done(request, 0);
}

static unsigned sim_poll(struct gn_volume *volume)
{
	struct sim_store *store = to_sim(volume);
	unsigned chance = store->health == SIM_SLOW ? 16 : 2;
	unsigned n = volume->n_in_flight, done = 0;

	if (store->health == SIM_HANGING)
		return 0;
	for (unsigned i = 0; i < n && !store->world->has_stopped; i++) {
		if (!volume->n_in_flight || sim_below(store->world, chance))
			continue;
		complete(store, (unsigned)sim_below(store->world, volume->n_in_flight));
		done++;
	}
	return done;
}

static void sim_destroy(struct gn_volume *volume)
{
	(void)volume; /* the test keeps its stores over the death of what used them */
}

static const struct gn_volume_ops sim_ops = {
        .submit = sim_submit,
        .poll = sim_poll,
        .destroy = sim_destroy,
};

void sim_store_init(struct sim_store *store, struct sim_world *world, uint64_t size_bytes)
{
	uint64_t n = size_bytes / SIM_SECTOR;

	memset(store, 0, sizeof *store);
	store->world = world;
	store->volume = (struct gn_volume){.ops = &sim_ops,
	                                   .size_bytes = size_bytes,
	                                   .block_bytes = SIM_SECTOR,
	                                   .physical_block_bytes = SIM_SECTOR,
	                                   .event_fd = -1,
	                                   .file_fd = -1,
	                                   .depth = SIM_MAX_QUEUE};
	store->content = calloc(1, size_bytes);
	store->durable = calloc(1, size_bytes);
	store->written = calloc(n, sizeof *store->written);
	store->flushed = calloc(n, sizeof *store->flushed);
	if (!store->content || !store->durable || !store->written || !store->flushed)
		abort();
}

void sim_store_fini(struct sim_store *store)
{
	free(store->content);
	free(store->durable);
	free(store->written);
	free(store->flushed);
}

void sim_store_harden(struct sim_store *store)
{
	for (uint64_t i = 0; i < store->volume.size_bytes / SIM_SECTOR; i++)
		harden(store, i);
}

void sim_store_crash(struct sim_store *store, bool power)
{
	for (unsigned i = 0; i < store->volume.n_in_flight; i++) {
		const struct gn_volume_request *request = store->queue[i].request;

		if (request->op != GN_VOLUME_READ && request->op != GN_VOLUME_FLUSH &&
		    sim_below(store->world, 3))
			change(store, request, sim_below(store->world, 2));
	}
	store->volume.n_in_flight = 0;
	for (uint64_t i = 0; power && i < store->volume.size_bytes / SIM_SECTOR; i++) {
		if (store->flushed[i] == store->written[i])
			continue;
		if (sim_below(store->world, 2)) {
			harden(store, i);
			continue;
		}
		memcpy(store->content + i * SIM_SECTOR, store->durable + i * SIM_SECTOR,
		       SIM_SECTOR);
		store->written[i] = store->flushed[i];
	}
}
