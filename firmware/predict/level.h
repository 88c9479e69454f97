/* level.h - what values a series takes, regardless of order: a decaying histogram.
 *
 * The memory that heavy-tailed series need: their next peak is not forecast by the last
 * hour but by how often such peaks came in days. Bins are an eighth of an octave wide and
 * remember where in the bin the values lay, so that a constant series has exact quantiles.
 * Like the histogram of the Kubernetes vertical pod autoscaler, but with two half-lives.
 * Pure. */
#ifndef GN_PREDICT_LEVEL_H
#define GN_PREDICT_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#define GN_LEVEL_BINS     80
#define GN_LEVEL_MEMORIES 2
#define GN_LEVEL_KEPT     4 /* quantiles */

struct gn_level {
	uint8_t top;                  /* octave position (log2, Q3) of the highest bin */
	uint8_t place[GN_LEVEL_BINS]; /* mean position within the bin, Q8 */
	uint32_t
	        step_q16[GN_LEVEL_MEMORIES]; /* weight of the next sample, grows instead of decay */
	uint16_t counts[GN_LEVEL_MEMORIES][GN_LEVEL_BINS];
	int32_t kept[GN_LEVEL_MEMORIES][GN_LEVEL_KEPT]; /* quantiles as last read */
};

void gn_level_init(struct gn_level *level);

/* Takes a value in; 'half_lives' in steps. */
void gn_level_observe(struct gn_level *level, int32_t value,
                      const uint32_t half_lives[GN_LEVEL_MEMORIES]);

/* Reads the quantiles of one memory at ascending levels (Q16) and keeps them. */
void gn_level_read(struct gn_level *level, uint32_t memory,
                   const uint32_t levels_q16[GN_LEVEL_KEPT]);

/* The unit of values has grown by 2^shift. */
void gn_level_rescale(struct gn_level *level, unsigned int shift);

/* Whether a state read from outside can be used. */
bool gn_level_is_sound(const struct gn_level *level);

#endif
