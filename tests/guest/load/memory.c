/* memory.c - holds memory in chunks of 1 MiB, each page touched, so that it is resident. */
#include "tests/guest/load/load.h"

#include <sys/mman.h>

#define CHUNK      ((size_t)1 << 20)
#define MAX_CHUNKS 65536

static void *chunks[MAX_CHUNKS];
static uint64_t n_chunks;

static bool add_chunk(void)
{
	unsigned char *chunk =
	        mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (chunk == MAP_FAILED)
		return false;
	for (size_t i = 0; i < CHUNK; i += 4096)
		chunk[i] = (unsigned char)(i >> 12 | 1);
	chunks[n_chunks++] = chunk;
	return true;
}

uint64_t gn_load_memory_set(uint64_t mib)
{
	if (mib > MAX_CHUNKS)
		mib = MAX_CHUNKS;
	/* At most 16 MiB a call, so that a large step does not stall the other patterns. */
	for (int i = 0; i < 16 && n_chunks < mib; i++)
		if (!add_chunk())
			break;
	for (; n_chunks > mib; n_chunks--)
		munmap(chunks[n_chunks - 1], CHUNK);
	return n_chunks;
}
