/* lease.c - the fencing rule; mirror.c reads and writes the sectors. */
#include "dataplane/volume/lease.h"

#include <stddef.h>
#include <string.h>
#include "dataplane/volume/journal.h"

#define MAGIC 0x31657361656c6e67ull

_Static_assert(sizeof(struct gn_lease) == GN_LEASE_SECTOR, "one sector");

static uint64_t checksum(const struct gn_lease *lease)
{
	return gn_journal_checksum(lease, offsetof(struct gn_lease, checksum), 2);
}

static bool is_valid(const struct gn_lease *lease)
{
	return lease->magic == MAGIC && lease->checksum == checksum(lease);
}

static int newest(const struct gn_lease slots[2])
{
	if (!is_valid(&slots[0]))
		return is_valid(&slots[1]) ? 1 : -1;
	if (!is_valid(&slots[1]))
		return 0;
	return slots[1].generation > slots[0].generation;
}

enum gn_lease_verdict gn_lease_attach(const struct gn_lease slots[2], uint64_t token,
                                      uint64_t holder, struct gn_lease *out, unsigned *slot)
{
	int current = newest(slots);
	const struct gn_lease *old = current < 0 ? NULL : &slots[current];

	if (old && (token < old->token || (token == old->token && holder != old->holder)))
		return GN_LEASE_REFUSED;
	if (old && token == old->token) {
		*out = *old;
		return GN_LEASE_HELD;
	}
	memset(out, 0, sizeof *out);
	out->magic = MAGIC;
	out->generation = old ? old->generation + 1 : 1;
	out->token = token;
	out->holder = holder;
	out->checksum = checksum(out);
	*slot = current == 0;
	return GN_LEASE_TAKE;
}
