/* conn.c - a connection in its transmission phase, on the lcore.
 *
 * Bytes come into 'input', from which requests are parsed; a write's data goes into pages of the
 * connection's arena, the part that is not in 'input' yet directly. What cannot be had (a slot,
 * pages) stops the parsing, 'input' fills up, and the client has to wait. Answers are gathered
 * into one send at a time.
 *
 * Reads and writes longer than GN_NBD_PIECE_MAX go piece by piece through one stretch of pages. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "dataplane/nbd/internal.h"
#include "dataplane/nbd/iov.h"

/* ---- slots ----------------------------------------------------------------------- */

static bool take_pages(struct gn_nbd_slot *slot, uint32_t size)
{
	struct gn_nbd_conn *conn = slot->conn;
	unsigned n = (size + GN_NBD_PAGE_SIZE - 1) / GN_NBD_PAGE_SIZE;

	slot->first_page = gn_nbd_arena_take(&conn->arena, n);
	slot->n_pages = n;
	if (slot->first_page < 0)
		return false;
	slot->data.iov_base = conn->arena_memory + (size_t)slot->first_page * GN_NBD_PAGE_SIZE;
	return true;
}

static void free_slot(struct gn_nbd_slot *slot)
{
	struct gn_nbd_conn *conn = slot->conn;

	if (slot->first_page >= 0)
		gn_nbd_arena_give(&conn->arena, (unsigned)slot->first_page, slot->n_pages);
	slot->first_page = -1;
	slot->next = conn->free;
	conn->free = slot;
	conn->n_busy--;
}

/* Of a connection that is closing. */
static void forget(struct gn_nbd_slot *slot)
{
	if (slot->conn->payload == slot)
		slot->conn->payload = NULL;
	free_slot(slot);
}

static struct gn_nbd_slot *take_slot(struct gn_nbd_conn *conn)
{
	struct gn_nbd_slot *slot = conn->free;

	if (slot) {
		conn->free = slot->next;
		conn->n_busy++;
	}
	return slot;
}

/* ---- answers ------------------------------------------------------------------------ */

static void answer(struct gn_nbd_slot *slot, const uint8_t *header_end, size_t data_bytes)
{
	slot->header_bytes = (unsigned)(header_end - slot->header);
	slot->data.iov_len = data_bytes;
	gn_nbd_slots_put(&slot->conn->ready, slot);
}

static void answer_done(struct gn_nbd_slot *slot)
{
	uint8_t *p = slot->header;

	slot->is_last = true;
	/* A read's answer must be structured once that was negotiated, also one of no bytes. */
	if (slot->conn->limits.structured)
		p = gn_nbd_put_chunk(p, GN_NBD_CHUNK_DONE, GN_NBD_CHUNK_NONE, slot->cookie, 0);
	else
		p = gn_nbd_put_simple(p, 0, slot->cookie);
	answer(slot, p, 0);
}

static void answer_error(struct gn_nbd_slot *slot, uint32_t error, const char *message)
{
	size_t size = strnlen(message, GN_NBD_HEADER_MAX - GN_NBD_STRUCTURED_SIZE - 6);
	uint8_t *p = slot->header;

	slot->conn->export->stats.errors++;
	slot->is_last = true;
	if (!slot->conn->limits.structured) {
		answer(slot, gn_nbd_put_simple(p, error, slot->cookie), 0);
		return;
	}
	p = gn_nbd_put_chunk(p, GN_NBD_CHUNK_DONE, GN_NBD_CHUNK_ERROR, slot->cookie,
	                     (uint32_t)(6 + size));
	p = gn_nbd_put16(gn_nbd_put32(p, error), (uint16_t)size);
	memcpy(p, message, size);
	answer(slot, p + size, 0);
}

static void answer_data(struct gn_nbd_slot *slot)
{
	uint8_t *p = slot->header;

	slot->is_last = slot->done_bytes + slot->piece_bytes == slot->length_bytes;
	if (slot->conn->limits.structured) {
		p = gn_nbd_put_chunk(p, slot->is_last ? GN_NBD_CHUNK_DONE : 0, GN_NBD_CHUNK_DATA,
		                     slot->cookie, 8 + slot->piece_bytes);
		p = gn_nbd_put64(p, slot->offset_bytes + slot->done_bytes);
	} else if (!slot->done_bytes) {
		p = gn_nbd_put_simple(p, 0, slot->cookie);
	}
	answer(slot, p, slot->piece_bytes);
}

/* ---- the store ------------------------------------------------------------------------ */

static const char *text_of(int error)
{
	switch (-error) {
	case ENOSPC:
		return "no space left in the store";
	case EOPNOTSUPP:
		return "the store cannot do that";
	case ETIMEDOUT:
		return "the store does not answer";
	default:
		return "the store failed";
	}
}

static bool changes_content(const struct gn_nbd_slot *slot)
{
	return slot->io.io.op != GN_VOLUME_READ && slot->io.io.op != GN_VOLUME_FLUSH;
}

static void to_store(struct gn_nbd_slot *slot)
{
	slot->in_store = true;
	slot->conn->n_changing += changes_content(slot);
	gn_nbd_slots_put(&slot->conn->export->waiting, slot);
}

static enum gn_volume_op op_of(enum gn_nbd_plan_kind kind)
{
	switch (kind) {
	case GN_NBD_PLAN_WRITE:
		return GN_VOLUME_WRITE;
	case GN_NBD_PLAN_FLUSH:
		return GN_VOLUME_FLUSH;
	case GN_NBD_PLAN_TRIM:
		return GN_VOLUME_DISCARD;
	case GN_NBD_PLAN_ZEROES:
		return GN_VOLUME_WRITE_ZEROES;
	case GN_NBD_PLAN_ZEROES_UNMAP:
		return GN_VOLUME_WRITE_ZEROES_UNMAP;
	case GN_NBD_PLAN_READ:
	case GN_NBD_PLAN_ANSWER:
	case GN_NBD_PLAN_STATUS:
	case GN_NBD_PLAN_DISCONNECT:
	case GN_NBD_PLAN_BROKEN:
		break;
	}
	return GN_VOLUME_READ;
}

static uint32_t next_piece(const struct gn_nbd_slot *slot)
{
	uint32_t left = slot->length_bytes - slot->done_bytes;
	bool moves_data =
	        slot->plan.kind == GN_NBD_PLAN_READ || slot->plan.kind == GN_NBD_PLAN_WRITE;

	return moves_data && left > GN_NBD_PIECE_MAX ? GN_NBD_PIECE_MAX : left;
}

static void start_io(struct gn_nbd_slot *slot)
{
	struct gn_volume_request *io = &slot->io.io;

	io->op = op_of(slot->plan.kind);
	io->offset_bytes = slot->offset_bytes + slot->done_bytes;
	io->length_bytes = slot->piece_bytes;
	io->iov = &slot->data;
	io->n_iov = 1;
	io->is_fast_only = slot->plan.fast_only;
	slot->data.iov_len = slot->piece_bytes;
	to_store(slot);
}

static void start_flush(struct gn_nbd_slot *slot)
{
	slot->is_flushing = true;
	slot->io.io.op = GN_VOLUME_FLUSH;
	slot->io.io.offset_bytes = slot->io.io.length_bytes = 0;
	to_store(slot);
}

static void start_write_piece(struct gn_nbd_slot *slot)
{
	slot->piece_bytes = next_piece(slot);
	slot->filled_bytes = 0;
	slot->conn->payload = slot;
}

static void count(struct gn_nbd_slot *slot)
{
	struct gn_nbd_export_stats *stats = &slot->conn->export->stats;

	switch (slot->plan.kind) {
	case GN_NBD_PLAN_READ:
		stats->reads++;
		stats->read_bytes += slot->length_bytes;
		break;
	case GN_NBD_PLAN_WRITE:
		stats->writes++;
		stats->write_bytes += slot->length_bytes;
		break;
	case GN_NBD_PLAN_FLUSH:
		stats->flushes++;
		break;
	case GN_NBD_PLAN_TRIM:
	case GN_NBD_PLAN_ZEROES:
	case GN_NBD_PLAN_ZEROES_UNMAP:
	case GN_NBD_PLAN_ANSWER:
	case GN_NBD_PLAN_STATUS:
	case GN_NBD_PLAN_DISCONNECT:
	case GN_NBD_PLAN_BROKEN:
		stats->others++;
		break;
	}
}

static void fail(struct gn_nbd_slot *slot, int error)
{
	struct gn_nbd_conn *conn = slot->conn;

	if (slot->plan.kind == GN_NBD_PLAN_READ && slot->done_bytes && !conn->limits.structured) {
		/* Success was promised and cannot be taken back. */
		free_slot(slot);
		gn_nbd_conn_cut(conn);
		return;
	}
	if (conn->payload == slot) {
		conn->skip_bytes = slot->length_bytes - slot->done_bytes - slot->piece_bytes;
		conn->payload = NULL;
	}
	answer_error(slot, gn_nbd_error_of(error), text_of(error));
}

static void succeed(struct gn_nbd_slot *slot)
{
	if (slot->plan.kind == GN_NBD_PLAN_READ) {
		answer_data(slot);
		return;
	}
	if (slot->plan.kind == GN_NBD_PLAN_WRITE && !slot->is_flushing) {
		slot->done_bytes += slot->piece_bytes;
		if (slot->done_bytes < slot->length_bytes) {
			start_write_piece(slot);
			return;
		}
		slot->conn->payload = slot->conn->payload == slot ? NULL : slot->conn->payload;
	}
	if (slot->plan.fua && slot->plan.kind != GN_NBD_PLAN_FLUSH && !slot->is_flushing)
		start_flush(slot);
	else
		answer_done(slot);
}

static void on_io_done(struct gn_blk_user_request *request, int error)
{
	struct gn_nbd_slot *slot = (struct gn_nbd_slot *)request;

	slot->in_store = false;
	slot->conn->n_changing -= changes_content(slot);
	if (slot->conn->is_closing)
		forget(slot);
	else if (error)
		fail(slot, error);
	else
		succeed(slot);
}

void gn_nbd_conn_withdraw(struct gn_nbd_slot *slot)
{
	slot->in_store = false;
	slot->conn->n_changing -= changes_content(slot);
	forget(slot);
}

void gn_nbd_conn_extents(struct gn_nbd_slot *slot)
{
	uint8_t *p = slot->header;

	slot->in_store = false;
	if (slot->conn->is_closing) {
		forget(slot);
		return;
	}
	slot->is_last = true;
	p = gn_nbd_put_chunk(p, GN_NBD_CHUNK_DONE, GN_NBD_CHUNK_STATUS, slot->cookie,
	                     4 + 8 * slot->n_extents);
	p = gn_nbd_put32(p, GN_NBD_CONTEXT_ID);
	answer(slot, p, 8 * (size_t)slot->n_extents);
}

/* ---- requests ---------------------------------------------------------------------------- */

static void start(struct gn_nbd_slot *slot)
{
	count(slot);
	slot->piece_bytes = next_piece(slot);
	switch (slot->plan.kind) {
	case GN_NBD_PLAN_ANSWER:
	case GN_NBD_PLAN_DISCONNECT:
	case GN_NBD_PLAN_BROKEN:
		if (slot->plan.error)
			answer_error(slot, slot->plan.error, slot->plan.message);
		else
			answer_done(slot);
		return;
	case GN_NBD_PLAN_WRITE:
		start_write_piece(slot);
		return;
	case GN_NBD_PLAN_STATUS:
		slot->in_store = true;
		gn_nbd_extents_ask(slot->conn->export->server, slot);
		return;
	case GN_NBD_PLAN_READ:
	case GN_NBD_PLAN_FLUSH:
	case GN_NBD_PLAN_TRIM:
	case GN_NBD_PLAN_ZEROES:
	case GN_NBD_PLAN_ZEROES_UNMAP:
		start_io(slot);
		return;
	}
}

static uint32_t pages_for(const struct gn_nbd_plan *plan, uint32_t length_bytes)
{
	switch (plan->kind) {
	case GN_NBD_PLAN_READ:
	case GN_NBD_PLAN_WRITE:
		return length_bytes < GN_NBD_PIECE_MAX ? length_bytes : GN_NBD_PIECE_MAX;
	case GN_NBD_PLAN_STATUS:
		return GN_NBD_PAGE_SIZE;
	case GN_NBD_PLAN_ANSWER:
	case GN_NBD_PLAN_FLUSH:
	case GN_NBD_PLAN_TRIM:
	case GN_NBD_PLAN_ZEROES:
	case GN_NBD_PLAN_ZEROES_UNMAP:
	case GN_NBD_PLAN_DISCONNECT:
	case GN_NBD_PLAN_BROKEN:
		break;
	}
	return 0;
}

/* A slot with what the request needs; NULL: not now. */
static struct gn_nbd_slot *prepare_slot(struct gn_nbd_conn *conn,
                                        const struct gn_nbd_request *request,
                                        const struct gn_nbd_plan *plan)
{
	uint32_t size = pages_for(plan, request->length_bytes);
	struct gn_nbd_slot *slot = take_slot(conn);

	if (!slot)
		return NULL;
	slot->first_page = -1;
	if (size && !take_pages(slot, size)) {
		free_slot(slot);
		return NULL;
	}
	slot->plan = *plan;
	slot->cookie = request->cookie;
	/* A flush has no range, whatever the client says. */
	slot->offset_bytes = plan->kind == GN_NBD_PLAN_FLUSH ? 0 : request->offset_bytes;
	slot->length_bytes = plan->kind == GN_NBD_PLAN_FLUSH ? 0 : request->length_bytes;
	slot->done_bytes = 0;
	slot->is_flushing = slot->is_last = false;
	return slot;
}

/* True: something was taken from 'input'. */
static bool parse_request(struct gn_nbd_conn *conn)
{
	struct gn_nbd_request request;
	struct gn_nbd_slot *slot;
	struct gn_nbd_plan plan;

	if (conn->input_end - conn->input_start < GN_NBD_REQUEST_SIZE)
		return false;
	plan.kind = GN_NBD_PLAN_BROKEN;
	if (gn_nbd_get_request(conn->input + conn->input_start, &request))
		gn_nbd_plan(&conn->limits, &request, &plan);
	if (plan.kind == GN_NBD_PLAN_BROKEN) {
		conn->export->stats.rejected++;
		gn_nbd_conn_cut(conn);
		return false;
	}
	if (plan.kind == GN_NBD_PLAN_DISCONNECT) {
		conn->is_leaving = true;
		return false;
	}
	slot = prepare_slot(conn, &request, &plan);
	if (!slot)
		return false;
	conn->input_start += GN_NBD_REQUEST_SIZE;
	if (plan.kind != GN_NBD_PLAN_WRITE)
		conn->skip_bytes = plan.payload_bytes;
	start(slot);
	return true;
}

static void fill(struct gn_nbd_slot *slot, uint32_t size)
{
	slot->filled_bytes += size;
	if (slot->filled_bytes < slot->piece_bytes)
		return;
	/* A longer write keeps the stream for its next piece. */
	if (slot->done_bytes + slot->piece_bytes == slot->length_bytes)
		slot->conn->payload = NULL;
	start_io(slot);
}

static bool parse_payload(struct gn_nbd_conn *conn)
{
	struct gn_nbd_slot *slot = conn->payload;
	uint32_t size = conn->input_end - conn->input_start;

	if (slot->in_store || !size || conn->recv_bytes)
		return false;
	if (size > slot->piece_bytes - slot->filled_bytes)
		size = slot->piece_bytes - slot->filled_bytes;
	memcpy((uint8_t *)slot->data.iov_base + slot->filled_bytes, conn->input + conn->input_start,
	       size);
	conn->input_start += size;
	fill(slot, size);
	return true;
}

static bool parse_one(struct gn_nbd_conn *conn)
{
	uint32_t size = conn->input_end - conn->input_start;

	if (conn->is_closing || conn->is_leaving)
		return false;
	if (conn->payload)
		return parse_payload(conn);
	if (!conn->skip_bytes)
		return parse_request(conn);
	if (size > conn->skip_bytes)
		size = conn->skip_bytes;
	conn->input_start += size;
	conn->skip_bytes -= size;
	return size;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static struct io_uring_sqe *entry(struct gn_nbd_conn *conn, enum gn_nbd_op_kind kind)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&conn->export->uring.ring);

	if (sqe)
		conn->ops[kind].in_flight = true;
	return sqe; /* NULL: the queue is full until the next round */
}

static void start_recv_payload(struct gn_nbd_conn *conn, struct gn_nbd_slot *slot)
{
	struct io_uring_sqe *sqe = entry(conn, GN_NBD_OP_RECV);

	if (!sqe)
		return;
	conn->recv_bytes = slot->piece_bytes - slot->filled_bytes;
	io_uring_prep_recv(sqe, conn->fd, (uint8_t *)slot->data.iov_base + slot->filled_bytes,
	                   conn->recv_bytes, MSG_WAITALL);
	io_uring_sqe_set_data(sqe, &conn->ops[GN_NBD_OP_RECV]);
}

static void start_recv(struct gn_nbd_conn *conn)
{
	struct gn_nbd_slot *slot = conn->payload;
	struct io_uring_sqe *sqe;
	uint32_t left = conn->input_end - conn->input_start;

	if (slot && !slot->in_store && !left) {
		start_recv_payload(conn, slot);
		return;
	}
	if (conn->input_start && (!left || conn->input_end == GN_NBD_INPUT_SIZE)) {
		memmove(conn->input, conn->input + conn->input_start, left);
		conn->input_start = 0;
		conn->input_end = left;
	}
	if (conn->input_end == GN_NBD_INPUT_SIZE)
		return;
	sqe = entry(conn, GN_NBD_OP_RECV);
	if (!sqe)
		return;
	conn->recv_bytes = 0;
	io_uring_prep_recv(sqe, conn->fd, conn->input + conn->input_end,
	                   GN_NBD_INPUT_SIZE - conn->input_end, 0);
	io_uring_sqe_set_data(sqe, &conn->ops[GN_NBD_OP_RECV]);
}

static void on_recv(struct gn_nbd_conn *conn, int result)
{
	bool into_payload = conn->recv_bytes;

	conn->recv_bytes = 0;
	if (result == -EAGAIN || result == -EINTR || conn->is_closing)
		return;
	if (result < 0)
		gn_nbd_conn_cut(conn);
	else if (!result)
		conn->is_leaving = true; /* it may still want its answers */
	else if (into_payload)
		fill(conn->payload, (uint32_t)result);
	else
		conn->input_end += (uint32_t)result;
}

static void add_iov(struct gn_nbd_conn *conn, void *data, size_t size)
{
	if (size)
		conn->iov[conn->message.msg_iovlen++] = (struct iovec){data, size};
}

static void gather(struct gn_nbd_conn *conn)
{
	conn->message = (struct msghdr){.msg_iov = conn->iov};
	while (conn->message.msg_iovlen + 2 <= GN_NBD_BATCH_IOV && conn->ready.first) {
		struct gn_nbd_slot *slot = conn->ready.first;

		if (conn->stream && conn->stream != slot) {
			/* Answers that came in between go behind it. */
			struct gn_nbd_slot *first = slot;

			do {
				gn_nbd_slots_put(&conn->ready, gn_nbd_slots_take(&conn->ready));
				slot = conn->ready.first;
			} while (slot != conn->stream && slot != first);
			if (slot != conn->stream)
				break;
		}
		gn_nbd_slots_put(&conn->sending, gn_nbd_slots_take(&conn->ready));
		add_iov(conn, slot->header, slot->header_bytes);
		add_iov(conn, slot->data.iov_base, slot->data.iov_len);
		conn->stream = slot->is_last || conn->limits.structured ? NULL : slot;
		if (conn->stream)
			break;
	}
}

static void send_rest(struct gn_nbd_conn *conn)
{
	struct io_uring_sqe *sqe = entry(conn, GN_NBD_OP_SEND);

	if (!sqe)
		return;
	io_uring_prep_sendmsg(sqe, conn->fd, &conn->message, MSG_NOSIGNAL | MSG_WAITALL);
	io_uring_sqe_set_data(sqe, &conn->ops[GN_NBD_OP_SEND]);
}

static void start_send(struct gn_nbd_conn *conn)
{
	if (!conn->sending.first)
		gather(conn);
	if (conn->sending.first)
		send_rest(conn);
}

static void on_slot_sent(struct gn_nbd_slot *slot)
{
	if (slot->is_last) {
		free_slot(slot);
		return;
	}
	slot->done_bytes += slot->piece_bytes;
	slot->piece_bytes = next_piece(slot);
	start_io(slot);
}

static void on_send(struct gn_nbd_conn *conn, int result)
{
	struct gn_nbd_slot *slot;

	if (result == -EAGAIN || result == -EINTR || conn->is_closing)
		return;
	if (result <= 0) {
		gn_nbd_conn_cut(conn);
		return;
	}
	gn_nbd_iov_advance(&conn->message, (size_t)result);
	if (conn->message.msg_iovlen)
		return; /* progress sends the rest */
	while ((slot = gn_nbd_slots_take(&conn->sending)))
		on_slot_sent(slot);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

void gn_nbd_conn_cut(struct gn_nbd_conn *conn)
{
	conn->is_closing = true;
}

static void drop(struct gn_nbd_slots *slots)
{
	struct gn_nbd_slot *slot;

	while ((slot = gn_nbd_slots_take(slots)))
		free_slot(slot);
}

/* Ends what the kernel has of it, then what waits for the kernel. */
static void close_down(struct gn_nbd_conn *conn)
{
	struct gn_nbd_op *op = &conn->ops[GN_NBD_OP_SHUTDOWN];
	struct io_uring_sqe *sqe;

	if (!conn->has_shut_down && !op->in_flight) {
		sqe = entry(conn, GN_NBD_OP_SHUTDOWN);
		if (!sqe)
			return;
		io_uring_prep_shutdown(sqe, conn->fd, SHUT_RDWR);
		io_uring_sqe_set_data(sqe, op);
	}
	if (!conn->ops[GN_NBD_OP_SEND].in_flight)
		drop(&conn->sending);
	drop(&conn->ready);
	if (conn->payload && !conn->payload->in_store && !conn->ops[GN_NBD_OP_RECV].in_flight) {
		free_slot(conn->payload);
		conn->payload = NULL;
	}
}

bool gn_nbd_conn_is_dead(const struct gn_nbd_conn *conn)
{
	for (unsigned i = 0; i < GN_NBD_N_OPS; i++)
		if (conn->ops[i].in_flight)
			return false;
	return conn->is_closing && conn->has_shut_down && !conn->n_busy;
}

/* ---- from the export's poll --------------------------------------------------------------------
 */

void gn_nbd_conn_completed(struct gn_nbd_op *op, int result)
{
	op->in_flight = false;
	switch (op->kind) {
	case GN_NBD_OP_RECV:
		on_recv(op->conn, result);
		return;
	case GN_NBD_OP_SEND:
		on_send(op->conn, result);
		return;
	case GN_NBD_OP_SHUTDOWN:
	case GN_NBD_N_OPS:
		op->conn->has_shut_down = true;
		return;
	}
}

bool gn_nbd_conn_leaves_changes(const struct gn_nbd_conn *conn)
{
	return (conn->is_leaving || conn->is_closing) && conn->n_changing;
}

unsigned gn_nbd_conn_progress(struct gn_nbd_conn *conn)
{
	unsigned work = 0;

	while (parse_one(conn))
		work++;
	if (conn->is_closing) {
		close_down(conn);
		return work;
	}
	if (!conn->ops[GN_NBD_OP_SEND].in_flight)
		start_send(conn);
	/* What a leaving client began to write is dropped with the rest. */
	if (conn->is_leaving &&
	    conn->n_busy == (conn->payload && !conn->payload->in_store ? 1u : 0u))
		gn_nbd_conn_cut(conn);
	else if (!conn->is_leaving && !conn->ops[GN_NBD_OP_RECV].in_flight)
		start_recv(conn);
	return work;
}

/* ---- make, free
 * ---------------------------------------------------------------------------------- */

static void init_slots(struct gn_nbd_conn *conn)
{
	for (unsigned i = GN_NBD_SLOTS; i-- > 0;) {
		struct gn_nbd_slot *slot = &conn->slots[i];

		slot->conn = conn;
		slot->first_page = -1;
		slot->io.user = &conn->export->user;
		slot->io.done = on_io_done;
		slot->next = conn->free;
		conn->free = slot;
	}
	for (unsigned i = 0; i < GN_NBD_N_OPS; i++) {
		conn->ops[i].conn = conn;
		conn->ops[i].kind = (enum gn_nbd_op_kind)i;
	}
	gn_nbd_slots_init(&conn->ready);
	gn_nbd_slots_init(&conn->sending);
}

struct gn_nbd_conn *gn_nbd_conn_make(struct gn_nbd_export *export, int fd, bool structured,
                                     bool allocation)
{
	struct gn_nbd_conn *conn = calloc(1, sizeof *conn);

	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->export = export;
	conn->fd = fd;
	conn->limits = (struct gn_nbd_limits){
	        .size_bytes = export->size_bytes,
	        .block_bytes = export->block_bytes,
	        .chunk_bytes = GN_NBD_PIECE_MAX,
	        .read_only = export->read_only,
	        .structured = structured,
	        .allocation = allocation,
	};
	init_slots(conn);
	conn->input = malloc(GN_NBD_INPUT_SIZE);
	conn->arena_memory = mmap(NULL, GN_NBD_ARENA_SIZE, PROT_READ | PROT_WRITE,
	                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (conn->input && conn->arena_memory != MAP_FAILED)
		return conn;
	if (conn->arena_memory == MAP_FAILED)
		conn->arena_memory = NULL;
	gn_nbd_conn_free(conn);
	return NULL;
}

void gn_nbd_conn_free(struct gn_nbd_conn *conn)
{
	close(conn->fd);
	if (conn->arena_memory)
		munmap(conn->arena_memory, GN_NBD_ARENA_SIZE);
	free(conn->input);
	free(conn);
}
