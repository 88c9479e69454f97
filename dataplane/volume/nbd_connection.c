/* nbd_connection.c - how an NBD volume's requests and connections end, and what happens in between
 * two connections. See nbd_internal.h. */
#include "dataplane/volume/nbd_internal.h"

#include <assert.h>
#include <errno.h>
#include "firmware/core/clock.h"

#define CHECK_US   50000u /* between two looks at the deadlines */
#define DATA_PIECE (1u << 20)

void gn_nbd_store_finish(struct nbd_volume *nbd, struct slot *slot, int error)
{
	struct gn_volume_request *request = slot->request;

	slot->request = NULL;
	slot->is_waiting = false;
	TAILQ_INSERT_HEAD(&nbd->free, slot, link);
	nbd->volume.n_in_flight--;
	request->done(request, error);
}

void gn_nbd_store_enqueue(struct nbd_volume *nbd, struct slot *slot)
{
	struct slot *before = TAILQ_LAST(&nbd->queue, slots);

	while (before && before->number > slot->number)
		before = TAILQ_PREV(before, slots, link);
	if (before)
		TAILQ_INSERT_AFTER(&nbd->queue, before, slot, link);
	else
		TAILQ_INSERT_HEAD(&nbd->queue, slot, link);
}

struct io_uring_sqe *gn_nbd_store_entry(struct nbd_volume *nbd, enum op op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&nbd->uring.ring);

	assert(sqe); /* each kind is in flight once */
	nbd->in_flight[op] = true;
	return sqe;
}

void gn_nbd_store_cut(struct nbd_volume *nbd)
{
	struct io_uring_sqe *sqe;

	if (nbd->fd < 0 || nbd->is_cutting)
		return;
	nbd->is_cutting = true;
	sqe = gn_nbd_store_entry(nbd, OP_SHUTDOWN);
	io_uring_prep_shutdown(sqe, nbd->fd, SHUT_RDWR);
	io_uring_sqe_set_data64(sqe, OP_SHUTDOWN);
}

void gn_nbd_store_garbled(struct nbd_volume *nbd)
{
	nbd->status.garbled += !nbd->is_cutting;
	gn_nbd_store_cut(nbd);
}

/* What was not answered is to be sent again. */
static void take_back(struct nbd_volume *nbd)
{
	struct slot *slot;

	if (nbd->current) {
		gn_nbd_store_enqueue(nbd, nbd->current);
		nbd->current = NULL;
	}
	/* Also what a server said to have done before it can have had all of it. */
	while ((slot = TAILQ_LAST(&nbd->early, slots))) {
		TAILQ_REMOVE(&nbd->early, slot, link);
		gn_nbd_store_enqueue(nbd, slot);
	}
	while ((slot = TAILQ_LAST(&nbd->sending, slots))) {
		TAILQ_REMOVE(&nbd->sending, slot, link);
		slot->is_waiting = slot->is_sending = false;
		gn_nbd_store_enqueue(nbd, slot);
	}
	while ((slot = TAILQ_LAST(&nbd->sent, slots))) {
		TAILQ_REMOVE(&nbd->sent, slot, link);
		slot->is_waiting = false;
		gn_nbd_store_enqueue(nbd, slot);
		nbd->status.resent++;
	}
}

void gn_nbd_store_complete(struct nbd_volume *nbd, struct slot *slot)
{
	struct gn_volume_request *request = slot->request;

	if (slot->error) {
		gn_nbd_store_finish(nbd, slot, slot->error);
		return;
	}
	request->done_bytes += slot->piece_bytes;
	if (request->done_bytes < request->length_bytes)
		gn_nbd_store_enqueue(nbd, slot);
	else
		gn_nbd_store_finish(nbd, slot, 0);
}

void gn_nbd_store_finish_early(struct nbd_volume *nbd)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(&nbd->early))) {
		TAILQ_REMOVE(&nbd->early, slot, link);
		gn_nbd_store_complete(nbd, slot);
	}
}

/* Only without a connection: nothing of it is in the kernel's hands then. */
static unsigned give_up(struct nbd_volume *nbd)
{
	struct slot *slot;
	unsigned n = 0;

	while ((slot = TAILQ_FIRST(&nbd->queue)) &&
	       nbd->now_us - slot->since_us > nbd->give_up_us) {
		TAILQ_REMOVE(&nbd->queue, slot, link);
		nbd->status.given_up++;
		gn_nbd_store_finish(nbd, slot, -ETIMEDOUT);
		n++;
	}
	return n;
}

static void set_link(struct nbd_volume *nbd, int fd)
{
	nbd->fd = fd;
	nbd->status.is_connected = fd >= 0;
	nbd->volume.is_unreachable = fd < 0;
}

unsigned gn_nbd_store_finish_cut(struct nbd_volume *nbd)
{
	for (unsigned i = 0; i < N_OPS; i++)
		if (nbd->in_flight[i])
			return 0;
	take_back(nbd);
	nbd->message.msg_iovlen = 0;
	nbd->reading = NULL;
	nbd->is_cutting = false;
	gn_nbd_link_ask(nbd->link, nbd->fd);
	set_link(nbd, -1);
	/* Now, since the next connection may be there before the deadlines are looked at. */
	return give_up(nbd);
}

/* The same for every connection of the volume. */
static void adopt(struct nbd_volume *nbd, const struct gn_nbd_dial_answer *answer)
{
	uint32_t most = answer->max_block_bytes;

	nbd->flags = answer->flags;
	nbd->structured = answer->structured;
	nbd->data_piece = most < DATA_PIECE ? most : DATA_PIECE;
	nbd->data_piece -= nbd->data_piece % nbd->volume.block_bytes;
}

void gn_nbd_store_pick_up(struct nbd_volume *nbd)
{
	set_link(nbd, gn_nbd_link_take(nbd->link));
	if (nbd->fd < 0)
		return;
	adopt(nbd, gn_nbd_link_answer(nbd->link));
	nbd->status.reconnects += nbd->connection != 0;
	nbd->connection++;
	nbd->input_start = nbd->input_end = 0;
	nbd->skip_bytes = 0;
}

static void check_answers(struct nbd_volume *nbd)
{
	const struct slot *oldest = TAILQ_FIRST(&nbd->sent);

	if (oldest && nbd->now_us - oldest->sent_us > nbd->answer_us) {
		nbd->status.unanswered++;
		gn_nbd_store_cut(nbd);
	}
	/* A send that does not end is no better. */
	if (nbd->in_flight[OP_SEND] && nbd->now_us - nbd->send_us > nbd->answer_us)
		gn_nbd_store_cut(nbd);
}

unsigned gn_nbd_store_check(struct nbd_volume *nbd)
{
	nbd->now_us = gn_clock_monotonic_us();
	if (nbd->now_us - nbd->checked_us < CHECK_US)
		return 0;
	nbd->checked_us = nbd->now_us;
	if (nbd->fd < 0)
		return give_up(nbd);
	if (!nbd->is_cutting)
		check_answers(nbd);
	return 0;
}
