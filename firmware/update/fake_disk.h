/* fake_disk.h - a disk in memory whose power can be cut at any write. For tests. */
#ifndef GN_UPDATE_FAKE_DISK_H
#define GN_UPDATE_FAKE_DISK_H

#include <stdbool.h>
#include "firmware/update/disk.h"

#define FAKE_SLOT_BYTES (16u << 20)

struct gn_disk {
	/* What is on the medium. */
	char environment[GN_SLOTS_BLOCK];
	unsigned char *slots[GN_SLOTS];
	struct gn_disk_progress progress;
	char history[GN_DISK_LINES][GN_DISK_LINE];
	unsigned n_history;
	/* What is not yet: lost when the power is cut. */
	unsigned char *unsynced;
	unsigned unsynced_slot;
	uint64_t unsynced_from, unsynced_to;

	unsigned n_writes;    /* that reached the medium */
	unsigned n_until_cut; /* writes that still succeed; UINT_MAX: all */
};

struct gn_disk *fake_disk_create(void);
/* The power is back: what was not on the medium is gone, half of it at random excepted. */
void fake_disk_power_on(struct gn_disk *disk);
void fake_disk_destroy(struct gn_disk *disk);

#endif
