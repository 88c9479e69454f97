/* ring_test.c - the split ring, and what is left of it when its process dies at any store.
 *
 * The crash test forks: the child's ring is in shared memory, and the parent steps it with
 * ptrace, one instruction at a time, through taking and answering requests. What recovery
 * (the vhost-user specification's, as rte_vhost does it) finds after each must be exactly the
 * requests that were offered and not answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "dataplane/blk/ring.h"

#define SIZE 8u

/* The memory that guest, QEMU and we share. */
struct shared {
	struct vring_desc desc[SIZE];
	struct {
		uint16_t flags;
		uint16_t idx;
		uint16_t ring[SIZE];
		uint16_t used_event;
	} avail;
	struct {
		uint16_t flags;
		uint16_t idx;
		struct vring_used_elem ring[SIZE];
		uint16_t avail_event;
	} used __attribute__((aligned(4)));
	struct rte_vhost_inflight_info_split inflight;
	struct rte_vhost_inflight_desc_split inflight_desc[SIZE];
};

static struct shared *make_shared(struct gn_blk_ring *ring)
{
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(shared, MAP_FAILED);
	shared->inflight.version = 1;
	shared->inflight.desc_num = SIZE;
	*ring = (struct gn_blk_ring){
	        .desc = shared->desc,
	        .avail = (struct vring_avail *)&shared->avail,
	        .used = (struct vring_used *)&shared->used,
	        .inflight = &shared->inflight,
	        .size = SIZE,
	        .signal_always = true,
	};
	return shared;
}

static void offer(struct shared *shared, uint16_t head)
{
	shared->avail.ring[shared->avail.idx % SIZE] = head;
	shared->avail.idx++;
}

static void test_take_and_put(void **state)
{
	struct gn_blk_ring ring;
	struct shared *shared = make_shared(&ring);

	assert_int_equal(gn_blk_ring_pending(&ring), 0);
	for (unsigned round = 0; round < 70000; round++) { /* over the wrap of 16 bits */
		uint16_t head = (uint16_t)(round * 3 % SIZE);

		offer(shared, head);
		assert_int_equal(gn_blk_ring_pending(&ring), 1);
		assert_int_equal(gn_blk_ring_head(&ring), head);
		gn_blk_ring_take(&ring, head);
		assert_int_equal(gn_blk_ring_pending(&ring), 0);
		assert_int_equal(shared->inflight.desc[head].inflight, 1);
		gn_blk_ring_put(&ring, head, round);
		assert_int_equal(shared->used.idx, (uint16_t)(round + 1));
		assert_int_equal(shared->used.ring[round % SIZE].id, head);
		assert_int_equal(shared->used.ring[round % SIZE].len, round);
		assert_int_equal(shared->inflight.desc[head].inflight, 0);
		assert_int_equal(shared->inflight.used_idx, shared->used.idx);
	}
	munmap(shared, sizeof *shared);
}

static void test_mad_index(void **state)
{
	struct gn_blk_ring ring;
	struct shared *shared = make_shared(&ring);

	shared->avail.idx = SIZE;
	assert_int_equal(gn_blk_ring_pending(&ring), SIZE);
	shared->avail.idx = SIZE + 1;
	assert_int_equal(gn_blk_ring_pending(&ring), -EPROTO);
	shared->avail.idx = 0xffff;
	assert_int_equal(gn_blk_ring_pending(&ring), -EPROTO);
	munmap(shared, sizeof *shared);
}

static void test_signals_by_flag(void **state)
{
	struct gn_blk_ring ring;
	struct shared *shared = make_shared(&ring);

	gn_blk_ring_put(&ring, 0, 0);
	assert_true(gn_blk_ring_wants_signal(&ring));
	shared->avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(gn_blk_ring_wants_signal(&ring));
	gn_blk_ring_refuse_kicks(&ring);
	assert_int_equal(shared->used.flags, VRING_USED_F_NO_NOTIFY);
	assert_true(gn_blk_ring_ask_for_kicks(&ring));
	assert_int_equal(shared->used.flags, 0);
	offer(shared, 1);
	assert_false(gn_blk_ring_ask_for_kicks(&ring));
	munmap(shared, sizeof *shared);
}

static void test_signals_by_index(void **state)
{
	struct gn_blk_ring ring;
	struct shared *shared = make_shared(&ring);

	ring.event_idx = true;
	shared->avail.flags = VRING_AVAIL_F_NO_INTERRUPT; /* means nothing now */
	gn_blk_ring_put(&ring, 0, 0);
	assert_true(gn_blk_ring_wants_signal(&ring)); /* the first always */
	shared->avail.used_event = 3;
	gn_blk_ring_put(&ring, 1, 0);
	gn_blk_ring_put(&ring, 2, 0);
	assert_false(gn_blk_ring_wants_signal(&ring)); /* 3 answers: up to index 2 */
	gn_blk_ring_put(&ring, 3, 0);
	assert_true(gn_blk_ring_wants_signal(&ring));
	gn_blk_ring_put(&ring, 4, 0);
	assert_false(gn_blk_ring_wants_signal(&ring));
	offer(shared, 0);
	assert_false(gn_blk_ring_ask_for_kicks(&ring));
	gn_blk_ring_take(&ring, 0);
	assert_true(gn_blk_ring_ask_for_kicks(&ring));
	assert_int_equal(shared->used.avail_event, 1);
	munmap(shared, sizeof *shared);
}

/* ---- crash ------------------------------------------------------------------- */

/* Two taken, answered in the other order, with a third between. */
static void script(struct gn_blk_ring *ring)
{
	gn_blk_ring_take(ring, gn_blk_ring_head(ring)); /* 5 */
	gn_blk_ring_take(ring, gn_blk_ring_head(ring)); /* 2 */
	gn_blk_ring_put(ring, 2, 1);
	gn_blk_ring_take(ring, gn_blk_ring_head(ring)); /* 7 */
	gn_blk_ring_put(ring, 5, 1);
	gn_blk_ring_put(ring, 7, 1);
}

static void offer_script(struct shared *shared)
{
	offer(shared, 5);
	offer(shared, 2);
	offer(shared, 7);
}

/* What a successor would do: heads to run again, in order, then the rest of the ring. Returns
 * the set of heads that it answers, as bits; -1 when one would run twice. */
static int recover(struct shared *shared)
{
	struct rte_vhost_inflight_info_split *inflight = &shared->inflight;
	uint16_t last_avail = shared->used.idx;
	uint64_t previous = 0;
	int heads = 0;

	if (inflight->used_idx != shared->used.idx)
		inflight->desc[inflight->last_inflight_io].inflight = 0;
	for (unsigned i = 0; i < SIZE; i++)
		last_avail += inflight->desc[i].inflight;
	for (unsigned i = 0; i < SIZE; i++)
		heads |= inflight->desc[i].inflight << i;
	if (inflight->desc[5].inflight && inflight->desc[2].inflight) {
		previous = inflight->desc[5].counter;
		assert_true(inflight->desc[2].counter > previous);
	}
	for (; last_avail != shared->avail.idx; last_avail++) {
		int bit = 1 << shared->avail.ring[last_avail % SIZE];

		if (heads & bit)
			return -1;
		heads |= bit;
	}
	return heads;
}

static int answered(const struct shared *shared)
{
	int heads = 0;

	for (uint16_t i = 0; i < shared->used.idx; i++)
		heads |= 1 << shared->used.ring[i].id;
	return heads;
}

/* After each instruction of the child, looks at what it would leave behind if killed now. */
static void test_killed_at_every_instruction(void **state)
{
	const int all = 1 << 5 | 1 << 2 | 1 << 7;
	struct gn_blk_ring ring;
	struct shared *shared = make_shared(&ring);
	int seen[4] = {0};
	int status;
	pid_t child;

	offer_script(shared);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		script(&ring);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	while (WIFSTOPPED(status) && shared->inflight.used_idx < 3) {
		struct shared left = *shared;

		seen[left.used.idx]++;
		assert_int_equal(recover(&left), all & ~answered(&left));
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(answered(shared), all);
	assert_int_equal(recover(shared), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(seen[i] > 0);
	munmap(shared, sizeof *shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_take_and_put),
	        cmocka_unit_test(test_mad_index),
	        cmocka_unit_test(test_signals_by_flag),
	        cmocka_unit_test(test_signals_by_index),
	        cmocka_unit_test(test_killed_at_every_instruction),
	};

	return cmocka_run_group_tests_name("blk_ring", tests, NULL, NULL);
}
