/* verify.h - which sectors of a mirrored volume have been compared with its shadow.
 *
 * The comparison goes on while the disk is written, window by window. When a try at a window
 * begins, 'head' of the journal is noted; the window is read once the shadow has everything before
 * it. A sector that no write touched from the beginning of the try to the end of its reading was
 * then equal or not, for certain; one that was touched is looked at in the next try.
 *
 * Sectors are read and compared, not sums of them: both lie on the same card, so both have to be
 * read either way, and bytes cannot collide. Pure: mirror_verify.c reads and repairs. */
#ifndef GN_DATAPLANE_VOLUME_VERIFY_H
#define GN_DATAPLANE_VOLUME_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#define GN_VERIFY_WINDOW_BYTES (32u << 20)
#define GN_VERIFY_WORDS        (GN_VERIFY_WINDOW_BYTES / 512u / 64u)
#define GN_VERIFY_MAX_RANGES   16u

struct gn_verify_range {
	uint64_t offset_bytes, length_bytes;
};

struct gn_verify_result {
	uint64_t done_bytes;      /* of the volume: looked at for the last time */
	uint64_t differing_bytes; /* found to differ, repaired ones included */
	uint64_t repaired_bytes;
	uint64_t unsettled_bytes; /* rewritten whenever they were looked at */
	uint64_t primary_unreadable_bytes, shadow_unreadable_bytes; /* so nothing is known */
	unsigned n_ranges; /* the first ones that differed */
	struct gn_verify_range ranges[GN_VERIFY_MAX_RANGES];
};

/* Owner: one lcore. */
struct gn_verify {
	uint64_t volume_bytes;
	uint32_t block_bytes; /* one bit; power of two, at least 512 */
	bool repairs;
	uint64_t begin, end; /* the window */
	unsigned tries;
	uint64_t todo[GN_VERIFY_WORDS];    /* still to be compared */
	uint64_t touched[GN_VERIFY_WORDS]; /* written since the try began */
	uint64_t differs[GN_VERIFY_WORDS]; /* to be repaired, or being looked at again */
	struct gn_verify_result result;
};

/* Before the first window. */
void gn_verify_init(struct gn_verify *verify, uint64_t volume_bytes, uint32_t block_bytes,
                    bool repairs);
/* The next window, all of it to be compared; false: there is none. */
bool gn_verify_next_window(struct gn_verify *verify);
/* Nothing is touched any more. */
void gn_verify_begin_try(struct gn_verify *verify);
/* A write to this range begins; any range. */
void gn_verify_touch(struct gn_verify *verify, uint64_t offset, uint64_t length);
/* Whether any of this range, any range, is still to be compared. */
bool gn_verify_is_open(const struct gn_verify *verify, uint64_t offset, uint64_t length);

/* What was read from 'offset' on, within the window; NULL: that one cannot be read. It is tried
 * again; a shadow that cannot even then counts as differing if that is repaired. */
void gn_verify_judge(struct gn_verify *verify, uint64_t offset, uint64_t length,
                     const void *primary, const void *shadow);

/* The next range at or after 'at' (in the window) that is to be repaired, at most 'limit' bytes;
 * false: there is none. */
bool gn_verify_next_repair(const struct gn_verify *verify, uint64_t at, uint64_t limit,
                           struct gn_verify_range *out);
bool gn_verify_window_is_done(const struct gn_verify *verify);
/* What is left of the window stays unknown, or differing where it was seen to. */
void gn_verify_give_up_window(struct gn_verify *verify);

#endif
