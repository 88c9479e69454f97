/* nbd_send.c - an NBD volume's requests as the protocol's, and the one send that is under way. */
#include "dataplane/volume/nbd_internal.h"

#include <errno.h>
#include "dataplane/nbd/iov.h"

#define BATCH_BYTES (256u << 10) /* about, of one send */
#define RANGE_PIECE (1u << 30)

static bool moves_data(const struct slot *slot)
{
	return slot->request->op == GN_VOLUME_READ || slot->request->op == GN_VOLUME_WRITE;
}

/* 1: ask the server; else what the request ends with at once. */
static int translate(const struct nbd_volume *nbd, const struct gn_volume_request *from,
                     struct gn_nbd_request *to)
{
	bool fua = nbd->write_through && nbd->flags & GN_NBD_SEND_FUA;

	to->flags = fua ? GN_NBD_FLAG_FUA : 0;
	switch (from->op) {
	case GN_VOLUME_READ:
		to->command = GN_NBD_CMD_READ;
		to->flags = 0;
		return 1;
	case GN_VOLUME_WRITE:
		to->command = GN_NBD_CMD_WRITE;
		return nbd->volume.read_only ? -EROFS : 1;
	case GN_VOLUME_FLUSH:
		/* A server that knows no flush has nothing to flush. */
		to->command = GN_NBD_CMD_FLUSH;
		to->flags = 0;
		return nbd->flags & GN_NBD_SEND_FLUSH ? 1 : 0;
	case GN_VOLUME_DISCARD:
		to->command = GN_NBD_CMD_TRIM;
		return nbd->flags & GN_NBD_SEND_TRIM ? 1 : -EOPNOTSUPP;
	case GN_VOLUME_WRITE_ZEROES:
		to->flags |= GN_NBD_FLAG_NO_HOLE;
		break;
	case GN_VOLUME_WRITE_ZEROES_UNMAP:
		break;
	}
	to->command = GN_NBD_CMD_WRITE_ZEROES;
	if (from->is_fast_only) {
		to->flags |= GN_NBD_FLAG_FAST_ZERO;
		if (!(nbd->flags & GN_NBD_SEND_FAST_ZEROES))
			return -EOPNOTSUPP;
	}
	return nbd->flags & GN_NBD_SEND_ZEROES ? 1 : -EOPNOTSUPP;
}

/* The next piece's message. False: the server need not be asked. */
static bool prepare(struct nbd_volume *nbd, struct slot *slot)
{
	const struct gn_volume_request *request = slot->request;
	uint64_t left = request->length_bytes - request->done_bytes;
	uint32_t limit = moves_data(slot) ? nbd->data_piece : RANGE_PIECE;
	struct gn_nbd_request message = {
	        .cookie = (uint64_t)nbd->connection << 32 | (uint32_t)(slot - nbd->slots),
	        .offset_bytes = request->offset_bytes + request->done_bytes,
	};
	int verdict = translate(nbd, request, &message);

	if (verdict == 1 && !left && request->op != GN_VOLUME_FLUSH)
		verdict = 0;
	if (verdict != 1) {
		slot->error = verdict;
		return false;
	}
	slot->piece_bytes = left < limit ? (uint32_t)left : limit;
	slot->got_bytes = 0;
	slot->error = 0;
	message.length_bytes = slot->piece_bytes;
	if (request->op == GN_VOLUME_FLUSH)
		message.offset_bytes = 0;
	gn_nbd_put_request(slot->header, &message);
	return true;
}

static bool next_slot(struct nbd_volume *nbd)
{
	struct slot *slot;

	while (!nbd->current && (slot = TAILQ_FIRST(&nbd->queue))) {
		TAILQ_REMOVE(&nbd->queue, slot, link);
		if (!prepare(nbd, slot)) {
			TAILQ_INSERT_TAIL(&nbd->ready, slot, link);
			continue;
		}
		nbd->current = slot;
		nbd->current_bytes = 0;
	}
	return nbd->current;
}

static void add(struct nbd_volume *nbd, const struct iovec *iov, unsigned n_iov, uint64_t skip,
                uint64_t size)
{
	uint64_t taken;

	nbd->message.msg_iovlen +=
	        gn_nbd_iov_slice(iov, n_iov, skip, size, nbd->iov + nbd->message.msg_iovlen,
	                         BATCH_IOV - (unsigned)nbd->message.msg_iovlen, &taken);
	nbd->current_bytes += taken;
}

/* As much of 'current' as fits; true: all of it. */
static bool add_current(struct nbd_volume *nbd)
{
	struct slot *slot = nbd->current;
	const struct gn_volume_request *request = slot->request;
	const struct iovec header = {slot->header, GN_NBD_REQUEST_SIZE};
	uint64_t total = GN_NBD_REQUEST_SIZE;

	if (nbd->current_bytes < GN_NBD_REQUEST_SIZE)
		add(nbd, &header, 1, nbd->current_bytes, GN_NBD_REQUEST_SIZE - nbd->current_bytes);
	if (request->op == GN_VOLUME_WRITE) {
		uint64_t done = nbd->current_bytes - GN_NBD_REQUEST_SIZE;

		total += slot->piece_bytes;
		add(nbd, request->iov, request->n_iov, request->done_bytes + done,
		    slot->piece_bytes - done);
	}
	return nbd->current_bytes == total;
}

static void gather(struct nbd_volume *nbd)
{
	uint64_t total = 0;

	nbd->message = (struct msghdr){.msg_iov = nbd->iov};
	while (nbd->message.msg_iovlen < BATCH_IOV && total < BATCH_BYTES && next_slot(nbd)) {
		struct slot *slot = nbd->current;

		if (!add_current(nbd))
			break;
		total += nbd->current_bytes;
		nbd->current = NULL;
		slot->sent_us = nbd->now_us;
		slot->is_waiting = slot->is_sending = true;
		TAILQ_INSERT_TAIL(&nbd->sending, slot, link);
	}
}

void gn_nbd_store_start_send(struct nbd_volume *nbd)
{
	struct io_uring_sqe *sqe;

	if (!nbd->message.msg_iovlen) {
		gather(nbd);
		nbd->send_us = nbd->now_us; /* not again for the rest of it: it may come in drips */
	}
	if (!nbd->message.msg_iovlen)
		return;
	sqe = gn_nbd_store_entry(nbd, OP_SEND);
	io_uring_prep_sendmsg(sqe, nbd->fd, &nbd->message, MSG_NOSIGNAL | MSG_WAITALL);
	io_uring_sqe_set_data64(sqe, OP_SEND);
}

void gn_nbd_store_sent(struct nbd_volume *nbd, int result)
{
	struct slot *slot;

	if (nbd->is_cutting || result == -EINTR || result == -EAGAIN)
		return;
	if (result <= 0) {
		gn_nbd_store_cut(nbd);
		return;
	}
	gn_nbd_iov_advance(&nbd->message, (size_t)result);
	if (nbd->message.msg_iovlen)
		return; /* poll sends the rest */
	while ((slot = TAILQ_FIRST(&nbd->sending))) {
		TAILQ_REMOVE(&nbd->sending, slot, link);
		slot->is_sending = false;
		TAILQ_INSERT_TAIL(&nbd->sent, slot, link);
	}
	gn_nbd_store_finish_early(nbd);
}
