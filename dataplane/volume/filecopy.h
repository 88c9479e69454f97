/* filecopy.h - a file made to hold what another one holds, part by part.
 *
 * Where the file system shares blocks (FICLONERANGE: XFS, btrfs) nothing is moved; else data is
 * copied and holes stay holes. Sharing takes some 8 us for each extent of the source, and the file
 * system lets nobody write to it meanwhile: so it goes in steps of a few milliseconds, with some
 * time in between.
 *
 * Blocks the calling thread: none of an lcore. One user per copy. */
#ifndef GN_DATAPLANE_VOLUME_FILECOPY_H
#define GN_DATAPLANE_VOLUME_FILECOPY_H

#include <stdbool.h>
#include <stdint.h>

struct gn_filecopy {
	int from, to; /* the caller's; not O_DIRECT. 'to' is as large as what shall be copied */
	/* 0, or a negative errno to end with; asked at every step. NULL allowed. */
	int (*may_go_on)(void *context);
	void *context;
	bool is_fresh; /* 'to' holds nothing yet: the source's holes need no care */
	bool hurries;  /* writers wait for the end anyway: no pauses */
	bool shared;   /* set: blocks were shared */

	/* The copy's own, 0 at first. */
	bool cannot_share;
	uint64_t step_bytes;
	uint8_t *buffer;
};

/* 0 or a negative errno; -EIO: the source is shorter. */
int gn_filecopy(struct gn_filecopy *copy, uint64_t offset, uint64_t length);
void gn_filecopy_fini(struct gn_filecopy *copy);

#endif
