/* blkload.h - a random load on a vhost-user-blk back end, with or without verification,
 * that lives through the back end's death. One thread drives all queues. */
#ifndef GN_TESTS_FRONTEND_BLKLOAD_H
#define GN_TESTS_FRONTEND_BLKLOAD_H

#include "tests/frontend/blkdrv.h"
#include "tests/frontend/latency.h"

/* How often each kind of request is made, by weight. */
struct gn_blkload_mix {
	unsigned read;
	unsigned write;
	unsigned zeroes;
	unsigned discard;
	unsigned flush;
};

struct gn_blkload_config {
	struct gn_blkdrv_config driver;
	struct gn_blkload_mix mix;
	uint32_t block_bytes; /* of a request; a multiple of 512 */
	uint64_t span_bytes;  /* of the disk, from its start; 0: all of it */
	uint64_t n_ops;       /* stop after so many; 0: no such limit */
	uint64_t duration_us; /* stop after so long; 0: no such limit */
	uint64_t rate;        /* operations per second at most; 0: no such limit */
	uint64_t seed;
	uint32_t reconnect_ms;    /* how long to wait for a back end that died; 0: fail */
	uint32_t stuck_ms;        /* no completion for so long is a failure; 0: 30000 */
	bool busy_poll;           /* spin on the used rings instead of sleeping */
	bool verify;              /* every read, and all that was written at the end */
	const char *image_path;   /* verify: the back end's file is compared too; NULL: not */
	volatile const int *stop; /* end early when it becomes true; NULL allowed */
};

struct gn_blkload_result {
	uint64_t reads;
	uint64_t writes;
	uint64_t others;
	uint64_t elapsed_us; /* the load itself, without the final verification */
	uint64_t kicks;
	uint64_t errors;     /* completed with another status than OK */
	uint64_t mismatches; /* content that is not what was acknowledged */
	uint64_t duplicates; /* completions of what was not outstanding */
	uint64_t lost;       /* never completed */
	uint64_t reconnects;
	uint64_t longest_gap_us;  /* between completions while some were outstanding */
	uint64_t verified_blocks; /* read back at the end */
	struct gn_latency latency;
};

/* 0 when the load ran to its end; whether all was right says the result. A negative errno
 * and a sentence when it could not. 'result' is filled in both cases. */
int gn_blkload_run(const struct gn_blkload_config *config, struct gn_blkload_result *result,
                   struct gn_status *status);

#endif
