/* sequence.c - gn-fe-sequence: writes 1, 2, 3 ... to a disk, for mirror_test.py.
 *
 *   gn-fe-sequence SOCKET
 *
 * Write number i goes to the 4 KiB block that splitmix64(i) names and consists of i, so whoever
 * sees a disk knows which writes it has. Eight are in flight. When the back end goes, or on
 * SIGTERM, prints "acknowledged A submitted S": every write up to A was. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/frontend/blkdrv.h"

#define BLOCK 4096u
#define DEPTH 8u

static volatile int stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static uint64_t block_of(uint64_t i, uint64_t n_blocks)
{
	uint64_t z = i * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % n_blocks;
}

static bool submit(struct gn_blkdrv *drv, uint64_t i, uint64_t n_blocks)
{
	struct gn_blkdrv_request *request = gn_blkdrv_get(drv, 0);

	if (!request)
		return false;
	for (unsigned k = 0; k < BLOCK / 8; k++)
		((uint64_t *)request->data)[k] = i;
	request->type = VIRTIO_BLK_T_OUT;
	request->offset = block_of(i, n_blocks) * BLOCK;
	request->size_bytes = BLOCK;
	request->tag = i;
	if (gn_blkdrv_submit(drv, request) == 0)
		return true;
	gn_blkdrv_put(drv, request);
	return false;
}

/* The lowest 'DEPTH' tags above 'acknowledged' that have an answer, as bits. */
static uint64_t advance(uint64_t acknowledged, uint64_t *answered)
{
	while (*answered & 1) {
		*answered >>= 1;
		acknowledged++;
	}
	return acknowledged;
}

int main(int argc, char **argv)
{
	struct gn_blkdrv_config config = {.depth = DEPTH, .max_bytes = BLOCK, .wait_ms = 20000};
	struct gn_status status = {.code = GN_OK};
	struct gn_blkdrv *drv;
	struct gn_blkdrv_request *request;
	uint64_t next = 1, acknowledged = 0, answered = 0, n_blocks;
	int result = 0;

	if (argc != 2)
		return 2;
	config.socket_path = argv[1];
	signal(SIGTERM, on_signal);
	if (gn_blkdrv_create(&config, &drv, &status) != 0) {
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	n_blocks = gn_blkdrv_capacity_bytes(drv) / BLOCK;
	while (!stop && result >= 0) {
		while (next - acknowledged <= DEPTH && submit(drv, next, n_blocks))
			next++;
		gn_blkdrv_kick(drv, 0);
		result = gn_blkdrv_wait(drv, 0, 100);
		while (gn_blkdrv_reap(drv, 0, &request) == 1) {
			if (request->status == VIRTIO_BLK_S_OK)
				answered |= 1ull << (request->tag - acknowledged - 1);
			gn_blkdrv_put(drv, request);
			acknowledged = advance(acknowledged, &answered);
		}
	}
	printf("acknowledged %" PRIu64 " submitted %" PRIu64 "\n", acknowledged, next - 1);
	gn_blkdrv_destroy(drv);
	return 0;
}
