/* text.h - builds a sentence in a caller's buffer, for pure modules that explain themselves.
 *
 * Pure: no allocation, locale or printf. What does not fit is cut; the buffer always ends
 * with NUL. Owner: the caller. */
#ifndef GN_CORE_TEXT_H
#define GN_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct gn_text {
	char *buffer;
	size_t size;   /* of the buffer, with the NUL */
	size_t length; /* so far, without the NUL */
};

/* 'size' is at least 1. */
void gn_text_init(struct gn_text *text, char *buffer, size_t size);

void gn_text_add(struct gn_text *text, const char *string);
void gn_text_add_int(struct gn_text *text, int64_t value);

/* 'value' / 'unit' with at most 'decimals' (0..3) digits after the point, rounded half
 * away from zero, without trailing zeros: (970, 1000, 2) is "0.97", (2000, 1000, 2) "2".
 * 'unit' is 1..2^40. */
void gn_text_add_ratio(struct gn_text *text, int64_t value, int64_t unit, unsigned decimals);

/* "250 ms", "15 s", "2.5 min", "4 h", "3 days". */
void gn_text_add_duration(struct gn_text *text, uint64_t duration_us);

#endif
