/* fake_disk.c - see fake_disk.h. */
#include "firmware/update/fake_disk.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gn_disk *fake_disk_create(void)
{
	struct gn_disk *disk = calloc(1, sizeof *disk);

	for (unsigned i = 0; i < GN_SLOTS; i++)
		disk->slots[i] = calloc(1, FAKE_SLOT_BYTES);
	disk->unsynced = calloc(1, FAKE_SLOT_BYTES);
	disk->n_until_cut = UINT_MAX;
	return disk;
}

void fake_disk_destroy(struct gn_disk *disk)
{
	for (unsigned i = 0; i < GN_SLOTS; i++)
		free(disk->slots[i]);
	free(disk->unsynced);
	free(disk);
}

/* Whether the power is still there for this write. */
static bool reaches(struct gn_disk *disk)
{
	if (!disk->n_until_cut)
		return false;
	disk->n_until_cut -= disk->n_until_cut != UINT_MAX;
	disk->n_writes++;
	return true;
}

static void settle(struct gn_disk *disk, uint64_t part)
{
	uint64_t n = (disk->unsynced_to - disk->unsynced_from) / part;

	memcpy(disk->slots[disk->unsynced_slot] + disk->unsynced_from,
	       disk->unsynced + disk->unsynced_from, n);
	disk->unsynced_from = disk->unsynced_to = 0;
}

void fake_disk_power_on(struct gn_disk *disk)
{
	settle(disk, 2); /* a cache may have written a part */
	disk->n_until_cut = UINT_MAX;
}

int gn_disk_read_environment(struct gn_disk *disk, char block[GN_SLOTS_BLOCK])
{
	memcpy(block, disk->environment, GN_SLOTS_BLOCK);
	return 0;
}

int gn_disk_write_environment(struct gn_disk *disk, const char block[GN_SLOTS_BLOCK])
{
	if (!reaches(disk)) {
		if (disk->n_writes % 2) /* the first sector got there, the second did not */
			memcpy(disk->environment, block, 512);
		return -EIO;
	}
	memcpy(disk->environment, block, GN_SLOTS_BLOCK);
	return 0;
}

uint64_t gn_disk_slot_size(struct gn_disk *disk, unsigned slot)
{
	return FAKE_SLOT_BYTES;
}

int gn_disk_write_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, const void *data,
                       size_t size)
{
	if (!reaches(disk))
		return -EIO;
	if (disk->unsynced_from == disk->unsynced_to)
		disk->unsynced_from = offset;
	disk->unsynced_slot = slot;
	disk->unsynced_to = offset + size;
	memcpy(disk->unsynced + offset, data, size);
	return 0;
}

int gn_disk_sync_slot(struct gn_disk *disk, unsigned slot)
{
	if (!reaches(disk))
		return -EIO;
	settle(disk, 1);
	return 0;
}

int gn_disk_read_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, void *data, size_t size)
{
	memcpy(data, disk->slots[slot] + offset, size);
	return disk->n_until_cut ? 0 : -EIO;
}

int gn_disk_save_progress(struct gn_disk *disk, const struct gn_disk_progress *progress)
{
	if (!reaches(disk))
		return -EIO;
	disk->progress = *progress;
	return 0;
}

void gn_disk_load_progress(struct gn_disk *disk, struct gn_disk_progress *progress)
{
	*progress = disk->progress;
}

int gn_disk_add_history(struct gn_disk *disk, const char *line)
{
	if (!reaches(disk))
		return -EIO;
	if (disk->n_history < GN_DISK_LINES)
		snprintf(disk->history[disk->n_history++], GN_DISK_LINE, "%s", line);
	return 0;
}

void gn_disk_each_history(struct gn_disk *disk, void (*each)(void *context, char *line),
                          void *context)
{
	for (unsigned i = 0; i < disk->n_history; i++)
		each(context, disk->history[i]);
}
