/* nbd_internal.h - inside an NBD volume; for nbd*.c only.
 *
 *   nbd.c             the door: operations, a round, create and destroy
 *   nbd_connection.c  requests' ends, a connection's begin and end, deadlines
 *   nbd_send.c        requests as messages, gathered into one send at a time
 *   nbd_answer.c      receiving, and what the server answers
 *   nbd_link.c        the thread that connects (nbd_link.h)
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
#ifndef GN_DATAPLANE_VOLUME_NBD_INTERNAL_H
#define GN_DATAPLANE_VOLUME_NBD_INTERNAL_H

#include <sys/queue.h>
#include <sys/socket.h>
#include "dataplane/nbd/wire.h"
#include "dataplane/uring/uring.h"
#include "dataplane/volume/nbd.h"
#include "dataplane/volume/nbd_link.h"

#define INPUT_SIZE 65536u
#define BATCH_IOV  64u

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
	uint16_t flags; /* of the export, as the next two; set by its first connection */
	bool structured;
	uint32_t data_piece;
	bool write_through; /* immutable, as the next */
	uint64_t answer_us, give_up_us;

	int fd;              /* -1: none */
	uint32_t connection; /* number, for cookies */
	bool is_cutting;
	bool in_flight[N_OPS];
	uint64_t now_us, checked_us, next_number;

	struct slots free, queue, sending, early;
	struct slots sent;  /* oldest first */
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

/* ---- nbd_connection.c -------------------------------------------------------------- */

/* Into the queue, by the order of submission; nearly always that is its end. */
void gn_nbd_store_enqueue(struct nbd_volume *nbd, struct slot *slot);
/* Frees the slot and calls 'done'. */
void gn_nbd_store_finish(struct nbd_volume *nbd, struct slot *slot, int error);
/* A piece was answered and its memory is no longer used. */
void gn_nbd_store_complete(struct nbd_volume *nbd, struct slot *slot);
void gn_nbd_store_finish_early(struct nbd_volume *nbd);

/* An entry of the ring, which has room for one of each kind. */
struct io_uring_sqe *gn_nbd_store_entry(struct nbd_volume *nbd, enum op op);
/* Nothing more goes over it; what the kernel has of it ends soon. */
void gn_nbd_store_cut(struct nbd_volume *nbd);
/* The same, because the server broke the protocol. */
void gn_nbd_store_garbled(struct nbd_volume *nbd);
/* Once the kernel has nothing of a cut connection: what it did not answer is queued again, or fails
 * when it is too old. Returns how many requests ended. */
unsigned gn_nbd_store_finish_cut(struct nbd_volume *nbd);
void gn_nbd_store_pick_up(struct nbd_volume *nbd);
/* Deadlines. Sets 'now_us'. Returns how many requests ended. */
unsigned gn_nbd_store_check(struct nbd_volume *nbd);

/* ---- nbd_send.c, nbd_answer.c --------------------------------------------------------- */

void gn_nbd_store_start_send(struct nbd_volume *nbd);
void gn_nbd_store_sent(struct nbd_volume *nbd, int result);
void gn_nbd_store_start_recv(struct nbd_volume *nbd);
void gn_nbd_store_received(struct nbd_volume *nbd, int result);
/* What has been received. Returns how much was done. */
unsigned gn_nbd_store_parse(struct nbd_volume *nbd);

#endif
