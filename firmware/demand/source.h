/* source.h - by which of two instruments a resource's demand is measured: the host (libvirt),
 * which always reports, or the guest's own kernel (gnomon-introspect), which says more but may
 * stop, stall or lie.
 *
 * The guest is used while it is good: read, fresh, sure, plausible. It is left after
 * GN_SOURCE_MAX_BAD bad readings in a row, or silence, and taken up after 'n_needed' good ones in
 * a row; that number doubles with every loss and is small again after a long good time. So it is
 * left quickly and returned to ever more slowly: it does not flap.
 *
 * The two do not read the same. The guest counts what waits in its run queue, the host what
 * emulation costs. Were one simply to replace the other, the difference would be learnt as a
 * change of demand that never was. So at a switch the new instrument is shifted by the difference
 * of the two means, taken while both reported, and the shift fades over GN_SOURCE_FADE_US: what
 * is learnt is a slope of at most a third of a percent of the difference per second. Below the new
 * instrument's mean the shift shrinks with the reading, so that it invents no demand for a VM that
 * goes idle. Above it, a shift upwards lifts a reading to what was learnt and no further, so that
 * it adds nothing where the new instrument reads the demand by itself; a shift downwards stays, so
 * that a rise is seen in full. Where the host's figure is no measurement but an estimate, the
 * shift does not fade: the series waits for the guest.
 *
 * Pure. The state is the caller's, zeroed at first; one owner. */
#ifndef GN_DEMAND_SOURCE_H
#define GN_DEMAND_SOURCE_H

#include "firmware/demand/demand.h"

#define GN_SOURCE_MAX_BAD        2
#define GN_SOURCE_NEEDED         5   /* good readings before the guest is used */
#define GN_SOURCE_MOST_NEEDED    160 /* after losses */
#define GN_SOURCE_STEADY         300 /* good readings in use until losses are forgotten */
#define GN_SOURCE_FADE_US        ((uint64_t)300 * 1000000)
#define GN_SOURCE_MIN_CONFIDENCE 80

/* doubt, why the guest is not used */
#define GN_SOURCE_DOUBTS(X)                                                                        \
	X(NONE, "")                                                                                \
	X(NEVER, "gnomon-introspect has reported nothing of this VM")                              \
	X(SILENT, "gnomon-introspect does not report any more")                                    \
	X(STATE, "its kernel cannot be read")                                                      \
	X(STALE, "its clock stands still")                                                         \
	X(UNSURE, "its memory changed while it was read")                                          \
	X(ABSENT, "its kernel does not show this figure")                                          \
	X(SELDOM, "it is read too seldom for the card's period")                                   \
	X(NO_ALLOCATION, "libvirt has not told yet what the VM has")                               \
	X(IMPLAUSIBLE, "it claims more CPU time than the host gave it")                            \
	X(CONTRADICTS, "its memory figures contradict each other")                                 \
	X(TRIAL, "its figures must be good for a while first")

#define GN_SOURCE_DOUBT(name, text) GN_DOUBT_##name,
enum gn_doubt { GN_SOURCE_DOUBTS(GN_SOURCE_DOUBT) GN_N_DOUBTS };
#undef GN_SOURCE_DOUBT

const char *gn_doubt_text(enum gn_doubt doubt);

struct gn_source_reading {
	uint64_t at_us; /* card time; 0: never */
	struct gn_demand_value value;
};

struct gn_source {
	bool is_guest;                        /* which is used */
	enum gn_doubt doubt;                  /* why not the guest: of its newest reading */
	uint64_t since_us;                    /* card time of the newest switch; 0: none */
	struct gn_source_reading host, guest; /* newest; the guest's: newest good one */
	uint64_t heard_us;                    /* the guest's newest report, good or bad */
	uint32_t n_good, n_bad;               /* in a row */
	uint32_t n_needed;
	/* Means over the readings of both at the same time. */
	uint32_t n_both;
	int64_t host_mean, guest_mean;
	int64_t host_bound; /* smoothed: CPU time that the host gave or owed */
	/* What is added to the instrument in use where it reads 'shift_at', its mean. */
	int64_t shift, shift_at;
	uint64_t shift_us; /* when the shift was taken */
	bool is_shift_kept;
	int64_t correction; /* of the newest value */
};

/* At the card's start: the guest was in use before. It stays so, with nothing learnt from the
 * host, unless it is silent. */
void gn_source_resume(struct gn_source *source, uint64_t now_us);

/* A reading of the host; 'value' is what came. 'gap_us' is how long a source may be silent.
 * True: to be learnt, as 'value' now says. */
bool gn_source_take_host(struct gn_source *source, uint64_t now_us, uint64_t gap_us,
                         struct gn_demand_value *value);

/* A reading of the guest, good when 'doubt' is NONE. Only 'value->value' is used; allocation and
 * maximum are the host's. True: to be learnt, as 'value' now says. */
bool gn_source_take_guest(struct gn_source *source, uint64_t now_us, uint64_t gap_us,
                          enum gn_doubt doubt, struct gn_demand_value *value);

/* What a sample of gnomon-introspect says of a resource of the host's (CPU, memory), and why it is
 * not to be believed. Of what waits in the guest's run queues counts the more the less its CPUs
 * idle: all of it when they never do. 'balloon_bytes' is the VM's memory as libvirt tells. 'value'
 * is set when NONE is returned. */
enum gn_doubt gn_source_read_guest(const struct gn_source *source, const Gnomon__V1__Sample *sample,
                                   enum gn_resource resource, uint64_t balloon_bytes,
                                   uint64_t gap_us, struct gn_demand_value *value);

/* Tells how much CPU time the host gave the VM, or owed it, in a period: more the guest cannot
 * have used. */
void gn_source_bound(struct gn_source *source, const Gnomon__V1__CpuSample *cpu);

#endif
