/* nbd.c - see nbd.h: the lcore's part of an NBD volume.
 *
 * A request has a slot from submit to done. Slots that are to be sent wait in 'queue'; 'current' is
 * the one of which the present send carries a part, those of which it carries the rest are in
 * 'sending'; 'sent' are those whose answer is to come, 'early' those whose answer came before the
 * send that carries them ended, which has to be awaited since it uses their memory. A long request
 * goes piece by piece. The cookie of a piece is the connection's number and the slot's, so that an
 * answer can only be for what this connection was asked.
 *
 * A receive is in flight only while answers are to come, so an idle volume has nothing in flight
 * and can be destroyed. A request is never ended while the kernel may still touch its memory: a cut
 * connection is shut down and drained first. */
#include "dataplane/volume/nbd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>
#include "dataplane/nbd/iov.h"
#include "dataplane/nbd/plan.h"
#include "dataplane/nbd/reply.h"
#include "dataplane/uring/uring.h"
#include "dataplane/volume/nbd_link.h"
#include "firmware/core/clock.h"

#define MAX_DEPTH    1024u
#define URING_DEPTH  8u /* a receive, a send, a shutdown */
#define REAP_BATCH   8u
#define INPUT_SIZE   65536u
#define BATCH_IOV    64u
#define BATCH_BYTES  (256u << 10) /* about, of one send */
#define DATA_PIECE   (1u << 20)
#define RANGE_PIECE  (1u << 30)
#define PHYSICAL_MAX 65536u
#define CHECK_US     50000u /* between two looks at the deadlines */

TAILQ_HEAD(slots, slot);

struct slot {
	TAILQ_ENTRY(slot) link;
	struct gn_volume_request *request;
	uint64_t number; /* in the order of submission */
	uint64_t since_us;
	uint64_t sent_us;
	uint32_t piece_bytes;
	uint32_t got_bytes; /* of a read's piece */
	int error;          /* that an answer not complete yet has told */
	bool is_waiting;    /* for its answer: in 'sending' or 'sent' */
	bool is_sending;
	uint8_t header[GN_NBD_REQUEST_SIZE];
};

enum op { OP_RECV, OP_SEND, OP_SHUTDOWN, N_OPS };

struct nbd_volume {
	struct gn_volume volume;
	struct gn_uring uring;
	struct gn_nbd_link *link;
	uint16_t flags; /* of the export; immutable, as the next */
	bool structured;
	bool write_through;
	uint32_t data_piece;
	uint64_t answer_us, give_up_us;

	int fd;              /* -1: none */
	uint32_t connection; /* number, for cookies */
	bool is_cutting;
	bool in_flight[N_OPS];
	uint64_t now_us, checked_us, next_number;

	struct slots free, queue, sending, sent, early;
	struct slots ready; /* answered without the server */
	struct slot *current;
	uint64_t current_bytes; /* of it that sends carried */
	uint64_t send_us;       /* when the present send began */
	struct msghdr message;
	struct iovec iov[BATCH_IOV];

	uint8_t *input;
	uint32_t input_start, input_end;
	struct slot *reading;   /* whose data comes now */
	uint64_t reading_at;    /* where, from the request's begin */
	uint32_t reading_bytes; /* how much still */
	bool reading_ends;      /* and then its answer is complete */
	uint32_t skip_bytes;
	bool into_request; /* the receive in flight */
	struct msghdr in_message;
	struct iovec in_iov[BATCH_IOV];

	struct gn_volume_nbd_status status; /* counters */
	unsigned n_slots;
	struct slot *slots;
};

static struct nbd_volume *to_nbd(struct gn_volume *volume)
{
	return (struct nbd_volume *)volume;
}

/* ---- requests ---------------------------------------------------------------------- */

static void finish(struct nbd_volume *nbd, struct slot *slot, int error)
{
	struct gn_volume_request *request = slot->request;

	slot->request = NULL;
	slot->is_waiting = false;
	TAILQ_INSERT_HEAD(&nbd->free, slot, link);
	nbd->volume.n_in_flight--;
	request->done(request, error);
}

/* Into the queue, by the order of submission; nearly always that is its end. */
static void enqueue(struct nbd_volume *nbd, struct slot *slot)
{
	struct slot *before = TAILQ_LAST(&nbd->queue, slots);

	while (before && before->number > slot->number)
		before = TAILQ_PREV(before, slots, link);
	if (before)
		TAILQ_INSERT_AFTER(&nbd->queue, before, slot, link);
	else
		TAILQ_INSERT_HEAD(&nbd->queue, slot, link);
}

static unsigned nbd_submit(struct gn_volume *volume, struct gn_volume_request **requests,
                           unsigned n)
{
	struct nbd_volume *nbd = to_nbd(volume);
	unsigned i;

	for (i = 0; i < n && !TAILQ_EMPTY(&nbd->free); i++) {
		struct slot *slot = TAILQ_FIRST(&nbd->free);

		assert(requests[i]->offset_bytes <= volume->size_bytes &&
		       requests[i]->length_bytes <= volume->size_bytes - requests[i]->offset_bytes);
		TAILQ_REMOVE(&nbd->free, slot, link);
		slot->request = requests[i];
		slot->request->done_bytes = 0;
		slot->number = nbd->next_number++;
		slot->since_us = gn_clock_monotonic_us();
		enqueue(nbd, slot);
		volume->n_in_flight++;
	}
	return i;
}

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

/* ---- the connection ------------------------------------------------------------------- */

static struct io_uring_sqe *entry(struct nbd_volume *nbd, enum op op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&nbd->uring.ring);

	assert(sqe); /* each kind is in flight once */
	nbd->in_flight[op] = true;
	return sqe;
}

static void submit_entry(struct io_uring_sqe *sqe, enum op op)
{
	io_uring_sqe_set_data64(sqe, op);
}

/* Nothing more goes over it; what the kernel has of it ends soon. */
static void cut(struct nbd_volume *nbd)
{
	struct io_uring_sqe *sqe;

	if (nbd->fd < 0 || nbd->is_cutting)
		return;
	nbd->is_cutting = true;
	sqe = entry(nbd, OP_SHUTDOWN);
	io_uring_prep_shutdown(sqe, nbd->fd, SHUT_RDWR);
	submit_entry(sqe, OP_SHUTDOWN);
}

static void garbled(struct nbd_volume *nbd)
{
	nbd->status.garbled += !nbd->is_cutting;
	cut(nbd);
}

/* What was not answered is to be sent again. */
static void take_back(struct nbd_volume *nbd)
{
	struct slot *slot;

	if (nbd->current) {
		enqueue(nbd, nbd->current);
		nbd->current = NULL;
	}
	while ((slot = TAILQ_LAST(&nbd->sending, slots))) {
		TAILQ_REMOVE(&nbd->sending, slot, link);
		slot->is_waiting = slot->is_sending = false;
		enqueue(nbd, slot);
	}
	while ((slot = TAILQ_LAST(&nbd->sent, slots))) {
		TAILQ_REMOVE(&nbd->sent, slot, link);
		slot->is_waiting = false;
		enqueue(nbd, slot);
		nbd->status.resent++;
	}
}

/* A piece was answered and its memory is no longer used. */
static void complete(struct nbd_volume *nbd, struct slot *slot)
{
	struct gn_volume_request *request = slot->request;

	if (slot->error) {
		finish(nbd, slot, slot->error);
		return;
	}
	request->done_bytes += slot->piece_bytes;
	if (request->done_bytes < request->length_bytes)
		enqueue(nbd, slot);
	else
		finish(nbd, slot, 0);
}

static void finish_early(struct nbd_volume *nbd)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(&nbd->early))) {
		TAILQ_REMOVE(&nbd->early, slot, link);
		complete(nbd, slot);
	}
}

static void finish_cut(struct nbd_volume *nbd)
{
	for (unsigned i = 0; i < N_OPS; i++)
		if (nbd->in_flight[i])
			return;
	finish_early(nbd);
	take_back(nbd);
	nbd->message.msg_iovlen = 0;
	nbd->reading = NULL;
	nbd->is_cutting = false;
	gn_nbd_link_ask(nbd->link, nbd->fd);
	nbd->fd = -1;
}

static void pick_up(struct nbd_volume *nbd)
{
	nbd->fd = gn_nbd_link_take(nbd->link);
	if (nbd->fd < 0)
		return;
	nbd->status.reconnects += nbd->connection != 0;
	nbd->connection++;
	nbd->input_start = nbd->input_end = 0;
	nbd->skip_bytes = 0;
}

/* ---- sending ------------------------------------------------------------------------------ */

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

static void start_send(struct nbd_volume *nbd)
{
	struct io_uring_sqe *sqe;

	if (!nbd->message.msg_iovlen)
		gather(nbd);
	if (!nbd->message.msg_iovlen)
		return;
	nbd->send_us = nbd->now_us;
	sqe = entry(nbd, OP_SEND);
	io_uring_prep_sendmsg(sqe, nbd->fd, &nbd->message, MSG_NOSIGNAL | MSG_WAITALL);
	submit_entry(sqe, OP_SEND);
}

static void on_send(struct nbd_volume *nbd, int result)
{
	struct slot *slot;

	if (nbd->is_cutting || result == -EINTR || result == -EAGAIN)
		return;
	if (result <= 0) {
		cut(nbd);
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
	finish_early(nbd);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

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
	complete(nbd, slot);
}

/* Bytes of a read have come; with the last chunk the piece must be whole. */
static void got(struct nbd_volume *nbd, struct slot *slot, uint32_t size, bool is_last)
{
	slot->got_bytes += size;
	if (!is_last)
		return;
	if (!slot->error && slot->request->op == GN_VOLUME_READ &&
	    slot->got_bytes != slot->piece_bytes)
		garbled(nbd);
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
		garbled(nbd); /* then it must be chunks */
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
		garbled(nbd);
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
			garbled(nbd);
		} else if (reply->kind == GN_NBD_REPLY_DATA) {
			expect_data(nbd, slot, at, reply->data_bytes, reply->is_last);
		} else {
			zero(slot->request, at, reply->data_bytes);
			got(nbd, slot, reply->data_bytes, reply->is_last);
		}
		return;
	case GN_NBD_REPLY_MORE:
	case GN_NBD_REPLY_GARBLED:
		garbled(nbd);
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

/* ---- receiving ----------------------------------------------------------------------------------
 */

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

static void start_recv(struct nbd_volume *nbd)
{
	uint32_t left = nbd->input_end - nbd->input_start;
	struct io_uring_sqe *sqe;

	/* See above: with nothing to come, nothing may be in flight. */
	if (TAILQ_EMPTY(&nbd->sent) && TAILQ_EMPTY(&nbd->sending))
		return;
	sqe = entry(nbd, OP_RECV);
	memmove(nbd->input, nbd->input + nbd->input_start, left);
	nbd->input_start = 0;
	nbd->input_end = left;
	nbd->into_request = false;
	if (nbd->reading && !left && nbd->reading_bytes > INPUT_SIZE / 8)
		recv_into_request(nbd, sqe);
	else
		io_uring_prep_recv(sqe, nbd->fd, nbd->input + left, INPUT_SIZE - left, 0);
	submit_entry(sqe, OP_RECV);
}

static void on_recv(struct nbd_volume *nbd, int result)
{
	if (nbd->is_cutting || result == -EINTR || result == -EAGAIN)
		return;
	if (result <= 0)
		cut(nbd);
	else if (nbd->into_request)
		took(nbd, (uint32_t)result);
	else
		nbd->input_end += (uint32_t)result;
}

static unsigned reap(struct nbd_volume *nbd)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	unsigned n = io_uring_peek_batch_cqe(&nbd->uring.ring, cqes, REAP_BATCH);
	enum op ops[REAP_BATCH];
	int results[REAP_BATCH];

	for (unsigned i = 0; i < n; i++) {
		ops[i] = (enum op)io_uring_cqe_get_data64(cqes[i]);
		results[i] = cqes[i]->res;
	}
	io_uring_cq_advance(&nbd->uring.ring, n);
	for (unsigned i = 0; i < n; i++) {
		nbd->in_flight[ops[i]] = false;
		if (ops[i] == OP_RECV)
			on_recv(nbd, results[i]);
		else if (ops[i] == OP_SEND)
			on_send(nbd, results[i]);
	}
	return n;
}

/* ---- deadlines
 * ------------------------------------------------------------------------------------ */

static void check_answers(struct nbd_volume *nbd)
{
	const struct slot *slot;

	TAILQ_FOREACH(slot, &nbd->sent, link)
	if (nbd->now_us - slot->sent_us > nbd->answer_us) {
		nbd->status.unanswered += !nbd->is_cutting;
		cut(nbd);
		return;
	}
	/* A send that does not end is no better. */
	if (nbd->in_flight[OP_SEND] && nbd->now_us - nbd->send_us > nbd->answer_us)
		cut(nbd);
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
		finish(nbd, slot, -ETIMEDOUT);
		n++;
	}
	return n;
}

static unsigned check(struct nbd_volume *nbd)
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

/* ---- the volume
 * -------------------------------------------------------------------------------------- */

static unsigned finish_ready(struct nbd_volume *nbd)
{
	struct slot *slot;
	unsigned n = 0;

	while ((slot = TAILQ_FIRST(&nbd->ready))) {
		TAILQ_REMOVE(&nbd->ready, slot, link);
		finish(nbd, slot, slot->error);
		n++;
	}
	return n;
}

static unsigned nbd_poll(struct gn_volume *volume)
{
	struct nbd_volume *nbd = to_nbd(volume);
	unsigned before = volume->n_in_flight;
	unsigned work = 0;

	if (!before)
		return 0;
	work += check(nbd);
	if (nbd->fd < 0)
		pick_up(nbd);
	nbd->status.is_connected = nbd->fd >= 0;
	if (nbd->fd < 0)
		return work;
	gn_uring_enter(&nbd->uring);
	work += reap(nbd);
	while (parse_one(nbd))
		work++;
	if (nbd->is_cutting) {
		finish_cut(nbd);
	} else {
		if (!nbd->in_flight[OP_SEND])
			start_send(nbd);
		if (!nbd->in_flight[OP_RECV])
			start_recv(nbd);
	}
	work += finish_ready(nbd);
	gn_uring_enter(&nbd->uring);
	return work;
}

static bool nbd_arm(struct gn_volume *volume)
{
	struct nbd_volume *nbd = to_nbd(volume);

	if (!volume->n_in_flight)
		return true;
	gn_nbd_link_watch(nbd->link);
	if (!TAILQ_EMPTY(&nbd->ready) || (nbd->fd < 0 && gn_nbd_link_has_one(nbd->link)))
		return false;
	/* New requests wait for the next poll, unless a send is under way. */
	if (nbd->fd >= 0 && !nbd->is_cutting && !nbd->in_flight[OP_SEND] &&
	    (nbd->current || !TAILQ_EMPTY(&nbd->queue)))
		return false;
	return gn_uring_arm(&nbd->uring);
}

static void nbd_disarm(struct gn_volume *volume)
{
	gn_uring_disarm(&to_nbd(volume)->uring);
}

/* Says good-bye, if the socket takes it at once. */
static void close_connection(struct nbd_volume *nbd)
{
	const struct gn_nbd_request bye = {.command = GN_NBD_CMD_DISC};
	uint8_t message[GN_NBD_REQUEST_SIZE];

	if (nbd->fd < 0)
		return;
	gn_nbd_put_request(message, &bye);
	if (send(nbd->fd, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		shutdown(nbd->fd, SHUT_RDWR);
	close(nbd->fd);
}

static void nbd_destroy(struct gn_volume *volume)
{
	struct nbd_volume *nbd = to_nbd(volume);

	assert(!volume->n_in_flight);
	close_connection(nbd);
	gn_nbd_link_destroy(nbd->link);
	gn_uring_fini(&nbd->uring);
	free(nbd->slots);
	free(nbd->input);
	free(nbd);
}

static const struct gn_volume_ops nbd_ops = {
        .submit = nbd_submit,
        .poll = nbd_poll,
        .arm = nbd_arm,
        .disarm = nbd_disarm,
        .destroy = nbd_destroy,
};

/* ---- create
 * -------------------------------------------------------------------------------------------- */

static void init_slots(struct nbd_volume *nbd)
{
	TAILQ_INIT(&nbd->free);
	TAILQ_INIT(&nbd->queue);
	TAILQ_INIT(&nbd->sending);
	TAILQ_INIT(&nbd->sent);
	TAILQ_INIT(&nbd->early);
	TAILQ_INIT(&nbd->ready);
	for (unsigned i = nbd->n_slots; i-- > 0;)
		TAILQ_INSERT_HEAD(&nbd->free, &nbd->slots[i], link);
}

static struct nbd_volume *allocate(const struct gn_volume_nbd_config *config)
{
	struct nbd_volume *nbd = calloc(1, sizeof *nbd);

	if (!nbd)
		return NULL;
	nbd->volume = (struct gn_volume){
	        .ops = &nbd_ops,
	        .depth = config->depth,
	        .read_only = config->read_only,
	        .event_fd = -1,
	        .file_fd = -1,
	};
	nbd->fd = -1;
	nbd->n_slots = config->depth;
	nbd->write_through = config->write_through;
	nbd->answer_us =
	        1000ull * (config->answer_ms ? config->answer_ms : GN_VOLUME_NBD_ANSWER_MS);
	nbd->give_up_us =
	        1000ull * (config->give_up_ms ? config->give_up_ms : GN_VOLUME_NBD_GIVE_UP_MS);
	nbd->input = malloc(INPUT_SIZE);
	nbd->slots = calloc(config->depth, sizeof *nbd->slots);
	if (nbd->slots)
		init_slots(nbd);
	return nbd;
}

static int adapt(struct nbd_volume *nbd, const char *url, struct gn_status *status)
{
	const struct gn_nbd_dial_answer *answer = gn_nbd_link_answer(nbd->link);
	uint32_t block = answer->min_block_bytes;
	uint32_t physical = answer->preferred_block_bytes;

	if (block < GN_VOLUME_SECTOR_SIZE)
		block = GN_VOLUME_SECTOR_SIZE;
	if (physical < 4096 || physical > PHYSICAL_MAX)
		physical = 4096;
	nbd->flags = answer->flags;
	nbd->structured = answer->structured;
	nbd->data_piece =
	        answer->max_block_bytes < DATA_PIECE ? answer->max_block_bytes : DATA_PIECE;
	nbd->data_piece -= nbd->data_piece % block;
	nbd->volume.block_bytes = block;
	nbd->volume.physical_block_bytes = physical > block ? physical : block;
	nbd->volume.size_bytes = answer->size_bytes - answer->size_bytes % block;
	if (block > 4096 || !nbd->data_piece || !nbd->volume.size_bytes) {
		gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "'%.200s' has %llu bytes in blocks of %u to %u; at least one block, of "
		        "at most 4096, is needed",
		        url, (unsigned long long)answer->size_bytes, answer->min_block_bytes,
		        answer->max_block_bytes);
		return -EPROTO;
	}
	return 0;
}

int gn_volume_nbd_create(const struct gn_volume_nbd_config *config, struct gn_volume **out,
                         struct gn_status *status)
{
	struct nbd_volume *nbd;
	int err = 0;

	if (!config->depth || config->depth > MAX_DEPTH)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "an NBD volume's depth of %u is not within 1..%u",
		                     config->depth, MAX_DEPTH);
	nbd = allocate(config);
	if (!nbd || !nbd->slots || !nbd->input)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a volume");
	if (!err) {
		err = gn_uring_init(&nbd->uring, URING_DEPTH);
		if (err)
			gn_status_set(status, gn_code_from_errno(err),
			              "io_uring cannot be set up: %s", strerror(-err));
	}
	if (!err) {
		nbd->volume.event_fd = nbd->uring.event_fd;
		err = gn_nbd_link_create(config, nbd->uring.event_fd, &nbd->link, status);
	}
	if (!err)
		err = adapt(nbd, config->url, status);
	if (err) {
		if (nbd)
			nbd_destroy(&nbd->volume);
		return err;
	}
	*out = &nbd->volume;
	return 0;
}

bool gn_volume_nbd_get_status(struct gn_volume *volume, struct gn_volume_nbd_status *out)
{
	struct nbd_volume *nbd = to_nbd(volume);

	if (volume->ops != &nbd_ops)
		return false;
	*out = nbd->status;
	gn_nbd_link_problem(nbd->link, out->problem, sizeof out->problem);
	return true;
}
