/* disk.h - all that an update writes: the boot environment, the slots, how far it has come, the
 * history. Everything that returns 0 from a write is on the disk.
 *
 * A shell, apart from install.c so that tests can cut its power at every write. One thread. */
#ifndef GN_UPDATE_DISK_H
#define GN_UPDATE_DISK_H

#include <stddef.h>
#include <stdint.h>
#include "firmware/update/manifest.h"
#include "firmware/update/slots.h"

struct gn_disk;

/* Where things are: block devices on a card, files in tests. 'state_dir' is made when missing. */
struct gn_disk_paths {
	const char *environment; /* exists, of GN_SLOTS_BLOCK bytes */
	const char *slots[GN_SLOTS];
	const char *state_dir;
};

/* 0, or a negative errno. The texts of 'paths' are borrowed. */
int gn_disk_open(const struct gn_disk_paths *paths, struct gn_disk **out);
void gn_disk_close(struct gn_disk *disk); /* NULL is fine */

int gn_disk_read_environment(struct gn_disk *disk, char block[GN_SLOTS_BLOCK]);
/* Overwrites it in place, in one write of which the first sector alone matters. */
int gn_disk_write_environment(struct gn_disk *disk, const char block[GN_SLOTS_BLOCK]);

/* Bytes; 0 when the slot cannot be opened. */
uint64_t gn_disk_slot_size(struct gn_disk *disk, unsigned slot);
/* On the disk only after gn_disk_sync_slot(). */
int gn_disk_write_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, const void *data,
                       size_t size);
int gn_disk_sync_slot(struct gn_disk *disk, unsigned slot);
/* Reads from the medium, not from memory; -EIO when there is less. */
int gn_disk_read_slot(struct gn_disk *disk, unsigned slot, uint64_t offset, void *data,
                      size_t size);

/* How far the update of that image has come; 'offset' 0 with no digest: nothing is under way. */
struct gn_disk_progress {
	uint8_t sha256[GN_MANIFEST_DIGEST]; /* of the image, by its manifest */
	uint64_t offset;                    /* bytes that are on the disk */
};
int gn_disk_save_progress(struct gn_disk *disk, const struct gn_disk_progress *progress);
void gn_disk_load_progress(struct gn_disk *disk, struct gn_disk_progress *progress);

/* One line, without a line feed, of at most GN_DISK_LINE bytes. The newest GN_DISK_LINES lines
 * are kept. */
#define GN_DISK_LINE  300u
#define GN_DISK_LINES 200u
int gn_disk_add_history(struct gn_disk *disk, const char *line);
/* Calls 'each' for every line, oldest first. */
void gn_disk_each_history(struct gn_disk *disk, void (*each)(void *context, char *line),
                          void *context);

#endif
