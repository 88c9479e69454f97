/* agent_wire.h - what gnomon-guest tells its host, as bytes of a stream without boundaries (a
 * virtio-serial port): frames that can be found again after a loss, checked on arrival.
 *
 *   "GNA1"  size of the body, its checksum (FNV-1a, 32 bits)  body
 *
 * Little-endian. The reader trusts nothing: the guest writes what it likes. Pure. */
#ifndef GN_BPF_AGENT_WIRE_H
#define GN_BPF_AGENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/calls_abi.h"
#include "bpf/histogram_abi.h"

#define GN_AGENT_PORT      "org.gnomon.guest.0"
#define GN_AGENT_CALLS     64 /* rows told; the busiest */
#define GN_AGENT_API_SIZE  64
#define GN_AGENT_FRAME_MAX 16384

/* part, name: what an agent can tell */
#define GN_AGENT_PARTS(X)                                                                          \
	X(CALLS, "calls")                                                                          \
	X(RUNQ, "runq")                                                                            \
	X(ONCPU, "oncpu")                                                                          \
	X(BLOCKIO, "blockio")                                                                      \
	X(APIS, "apis")

enum gn_agent_part {
#define GN_AGENT_PART_ENUM(name, text) GN_AGENT_PART_##name,
	GN_AGENT_PARTS(GN_AGENT_PART_ENUM)
#undef GN_AGENT_PART_ENUM
	        GN_AGENT_N_PARTS
};

enum gn_agent_histogram {
	GN_AGENT_WAIT,  /* for a CPU; of runq */
	GN_AGENT_SLICE, /* on a CPU; of oncpu */
	GN_AGENT_READ,  /* block requests; of blockio */
	GN_AGENT_WRITE,
	GN_AGENT_OTHER,
	GN_AGENT_N_HISTOGRAMS,
};

struct gn_agent_report {
	uint64_t sequence;
	uint64_t uptime_us;   /* of the guest */
	uint64_t period_us;   /* what 'calls' refers to */
	uint32_t parts;       /* bits of enum gn_agent_part that work in this guest */
	uint64_t n_calls_all; /* calls in the period, also of rows that are not told */
	uint64_t lost;        /* since the agent's start: what full tables could not follow */
	uint32_t n_apis;
	char apis[GN_CALLS_APIS][GN_AGENT_API_SIZE]; /* "path:symbol", as the agent was told */
	uint32_t n_calls;
	struct {
		struct gn_calls_key key; /* an API's slot is below GN_CALLS_API + n_apis */
		struct gn_calls_value value;
	} calls[GN_AGENT_CALLS];
	/* Since the agent's start. */
	struct gn_histogram histograms[GN_AGENT_N_HISTOGRAMS];
};

/* "calls" ... */
const char *gn_agent_part_name(enum gn_agent_part part);

/* One frame; returns its size. */
size_t gn_agent_encode(const struct gn_agent_report *report, uint8_t frame[GN_AGENT_FRAME_MAX]);

/* A body, without the frame around it. Returns false and leaves 'out' untouched unless every
 * number is in range and nothing is left over. Text comes out printable and terminated. */
bool gn_agent_decode(const uint8_t *body, size_t size, struct gn_agent_report *out);

/* The reader's end. Zeroed: nothing came yet. */
struct gn_agent_stream {
	uint8_t bytes[2 * GN_AGENT_FRAME_MAX];
	size_t n;
	uint64_t n_skipped; /* bytes that belong to no good frame */
};

/* Where to put what comes next, and how much fits (never 0 after gn_agent_stream_next() returned
 * false). Then 'n' is told to gn_agent_stream_add(). */
uint8_t *gn_agent_stream_room(struct gn_agent_stream *stream, size_t *size);
void gn_agent_stream_add(struct gn_agent_stream *stream, size_t n);
/* The next good report; false: there is none yet. */
bool gn_agent_stream_next(struct gn_agent_stream *stream, struct gn_agent_report *out);

#endif
