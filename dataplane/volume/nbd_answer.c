/* nbd_answer.c - what an NBD volume's server says. Nothing of it is trusted: an answer must be for
 * a request that waits, and its data within what was asked for. */
#include "dataplane/volume/nbd_internal.h"

#include <string.h>
#include "dataplane/nbd/iov.h"
#include "dataplane/nbd/plan.h"
#include "dataplane/nbd/reply.h"

static void answered(struct nbd_volume *nbd, struct slot *slot)
{
	slot->is_waiting = false;
	if (slot->is_sending) {
		TAILQ_REMOVE(&nbd->sending, slot, link);
		slot->is_sending = false;
		TAILQ_INSERT_TAIL(&nbd->early, slot, link);
		return;
	}
	TAILQ_REMOVE(&nbd->sent, slot, link);
	gn_nbd_store_complete(nbd, slot);
}

/* Bytes of a read have come; with the last chunk the piece must be whole. */
static void got(struct nbd_volume *nbd, struct slot *slot, uint32_t size, bool is_last)
{
	slot->got_bytes += size;
	if (!is_last)
		return;
	if (!slot->error && slot->request->op == GN_VOLUME_READ &&
	    slot->got_bytes != slot->piece_bytes)
		gn_nbd_store_garbled(nbd);
	else
		answered(nbd, slot);
}

static struct slot *slot_of(struct nbd_volume *nbd, uint64_t cookie)
{
	uint32_t index = (uint32_t)cookie;

	if (cookie >> 32 != nbd->connection || index >= nbd->n_slots ||
	    !nbd->slots[index].is_waiting)
		return NULL;
	return &nbd->slots[index];
}

static void expect_data(struct nbd_volume *nbd, struct slot *slot, uint64_t at, uint32_t size,
                        bool ends)
{
	nbd->reading = slot;
	nbd->reading_at = at;
	nbd->reading_bytes = size;
	nbd->reading_ends = ends;
}

static void on_simple(struct nbd_volume *nbd, struct slot *slot, uint32_t error)
{
	bool is_read = slot->request->op == GN_VOLUME_READ;

	if (error)
		slot->error = gn_nbd_errno_of(error);
	if (is_read && nbd->structured)
		gn_nbd_store_garbled(nbd); /* then it must be chunks */
	else if (is_read && !error)
		expect_data(nbd, slot, slot->request->done_bytes, slot->piece_bytes, true);
	else
		answered(nbd, slot);
}

/* Where the chunk's data belongs, from the request's begin; false: not within the piece. */
static bool place(const struct slot *slot, const struct gn_nbd_reply *reply, uint64_t *at)
{
	const struct gn_volume_request *request = slot->request;
	uint64_t begin = request->offset_bytes + request->done_bytes;

	if (request->op != GN_VOLUME_READ || reply->offset_bytes < begin ||
	    reply->offset_bytes - begin > slot->piece_bytes ||
	    reply->data_bytes > slot->piece_bytes - (reply->offset_bytes - begin) ||
	    reply->data_bytes > slot->piece_bytes - slot->got_bytes)
		return false;
	*at = reply->offset_bytes - request->offset_bytes;
	return true;
}

static void zero(const struct gn_volume_request *request, uint64_t at, uint64_t size)
{
	while (size) {
		struct iovec iov[BATCH_IOV];
		uint64_t taken;
		unsigned n = gn_nbd_iov_slice(request->iov, request->n_iov, at, size, iov,
		                              BATCH_IOV, &taken);

		for (unsigned i = 0; i < n; i++)
			memset(iov[i].iov_base, 0, iov[i].iov_len);
		at += taken;
		size -= taken;
	}
}

static void on_reply(struct nbd_volume *nbd, const struct gn_nbd_reply *reply)
{
	struct slot *slot = slot_of(nbd, reply->cookie);
	uint64_t at;

	if (!slot) {
		gn_nbd_store_garbled(nbd);
		return;
	}
	/* It was not done, and nothing else will be over this connection. */
	if (reply->error == GN_NBD_ESHUTDOWN) {
		gn_nbd_store_cut(nbd);
		return;
	}
	switch (reply->kind) {
	case GN_NBD_REPLY_SIMPLE:
		on_simple(nbd, slot, reply->error);
		return;
	case GN_NBD_REPLY_NONE:
		got(nbd, slot, 0, true);
		return;
	case GN_NBD_REPLY_ERROR:
		slot->error = gn_nbd_errno_of(reply->error);
		nbd->skip_bytes = reply->skip_bytes;
		got(nbd, slot, 0, reply->is_last);
		return;
	case GN_NBD_REPLY_DATA:
	case GN_NBD_REPLY_HOLE:
		if (!place(slot, reply, &at)) {
			gn_nbd_store_garbled(nbd);
		} else if (reply->kind == GN_NBD_REPLY_DATA) {
			expect_data(nbd, slot, at, reply->data_bytes, reply->is_last);
		} else {
			zero(slot->request, at, reply->data_bytes);
			got(nbd, slot, reply->data_bytes, reply->is_last);
		}
		return;
	case GN_NBD_REPLY_MORE:
	case GN_NBD_REPLY_GARBLED:
		gn_nbd_store_garbled(nbd);
		return;
	}
}

/* 'size' bytes of the data that is expected are in their place. */
static void took(struct nbd_volume *nbd, uint32_t size)
{
	struct slot *slot = nbd->reading;

	nbd->reading_at += size;
	nbd->reading_bytes -= size;
	if (!nbd->reading_bytes)
		nbd->reading = NULL;
	got(nbd, slot, size, !nbd->reading && nbd->reading_ends);
}

static void copy_data(struct nbd_volume *nbd, uint32_t size)
{
	const struct gn_volume_request *request = nbd->reading->request;
	struct iovec iov[BATCH_IOV];
	uint64_t taken;
	unsigned n = gn_nbd_iov_slice(request->iov, request->n_iov, nbd->reading_at, size, iov,
	                              BATCH_IOV, &taken);

	for (unsigned i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, nbd->input + nbd->input_start, iov[i].iov_len);
		nbd->input_start += (uint32_t)iov[i].iov_len;
	}
	took(nbd, (uint32_t)taken);
}

static bool parse_one(struct nbd_volume *nbd)
{
	uint32_t size = nbd->input_end - nbd->input_start;
	struct gn_nbd_reply reply;

	if (nbd->is_cutting || !size)
		return false;
	if (nbd->skip_bytes) {
		size = size < nbd->skip_bytes ? size : nbd->skip_bytes;
		nbd->input_start += size;
		nbd->skip_bytes -= size;
		return true;
	}
	if (nbd->reading) {
		copy_data(nbd, size < nbd->reading_bytes ? size : nbd->reading_bytes);
		return true;
	}
	gn_nbd_reply_parse(nbd->input + nbd->input_start, size, nbd->structured, &reply);
	if (reply.kind == GN_NBD_REPLY_MORE)
		return false;
	nbd->input_start += reply.size_bytes;
	on_reply(nbd, &reply);
	return true;
}

static void recv_into_request(struct nbd_volume *nbd, struct io_uring_sqe *sqe)
{
	const struct gn_volume_request *request = nbd->reading->request;
	uint64_t taken;

	nbd->in_message = (struct msghdr){.msg_iov = nbd->in_iov};
	nbd->in_message.msg_iovlen =
	        gn_nbd_iov_slice(request->iov, request->n_iov, nbd->reading_at, nbd->reading_bytes,
	                         nbd->in_iov, BATCH_IOV, &taken);
	io_uring_prep_recvmsg(sqe, nbd->fd, &nbd->in_message, MSG_WAITALL);
	nbd->into_request = true;
}

void gn_nbd_store_start_recv(struct nbd_volume *nbd)
{
	uint32_t left = nbd->input_end - nbd->input_start;
	struct io_uring_sqe *sqe;

	/* See above: with nothing to come, nothing may be in flight. */
	if (TAILQ_EMPTY(&nbd->sent) && TAILQ_EMPTY(&nbd->sending))
		return;
	sqe = gn_nbd_store_entry(nbd, OP_RECV);
	memmove(nbd->input, nbd->input + nbd->input_start, left);
	nbd->input_start = 0;
	nbd->input_end = left;
	nbd->into_request = false;
	if (nbd->reading && !left && nbd->reading_bytes > INPUT_SIZE / 8)
		recv_into_request(nbd, sqe);
	else
		io_uring_prep_recv(sqe, nbd->fd, nbd->input + left, INPUT_SIZE - left, 0);
	io_uring_sqe_set_data64(sqe, OP_RECV);
}

void gn_nbd_store_received(struct nbd_volume *nbd, int result)
{
	if (nbd->is_cutting || result == -EINTR || result == -EAGAIN)
		return;
	if (result <= 0)
		gn_nbd_store_cut(nbd);
	else if (nbd->into_request)
		took(nbd, (uint32_t)result);
	else
		nbd->input_end += (uint32_t)result;
}

unsigned gn_nbd_store_parse(struct nbd_volume *nbd)
{
	unsigned n = 0;

	while (parse_one(nbd))
		n++;
	return n;
}
