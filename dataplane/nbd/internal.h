/* internal.h - inside the NBD server; for the files of this folder only.
 *
 *   server.c     listeners, threads, the exports' table    control, accepting thread
 *   session.c    one client until it has chosen an export  a thread each, bounded
 *   export.c     an export's life and its pollable         control; the lcore
 *   conn.c       receiving, requests, answers              the lcore
 *   extents.c    which parts of a file are holes           a thread
 *   tls.c        adapter for mbedTLS                        session threads
 *
 * A connection is made by its session's thread, handed to the lcore, and given back through the
 * server's graveyard, whose thread frees it: the lcore neither allocates nor frees nor closes. */
#ifndef GN_DATAPLANE_NBD_INTERNAL_H
#define GN_DATAPLANE_NBD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "dataplane/blk/blk.h"
#include "dataplane/nbd/arena.h"
#include "dataplane/nbd/handshake.h"
#include "dataplane/nbd/nbd.h"
#include "dataplane/nbd/plan.h"
#include "dataplane/uring/uring.h"
#include "dataplane/worker/worker.h"
#include "firmware/core/mutex.h"

#define GN_NBD_INPUT_SIZE  65536u
#define GN_NBD_HEADER_MAX  160u       /* a reply's bytes before its data */
#define GN_NBD_PIECE_MAX   (1u << 20) /* longer reads and writes go in pieces of this */
#define GN_NBD_BATCH_IOV   64u        /* of one send */
#define GN_NBD_URING_DEPTH 256u       /* >= 3 entries for each of GN_NBD_MAX_CONNECTIONS */
#define GN_NBD_EXTENTS_MAX 500u       /* descriptors in one status reply; fit in a page */

struct gn_nbd_conn;

/* One request. In one list at most: free, waiting for the store, ready to be sent, being sent. */
struct gn_nbd_slot {
	struct gn_blk_user_request io;
	struct gn_nbd_conn *conn;
	struct gn_nbd_slot *next;
	struct gn_nbd_plan plan;
	uint64_t cookie;
	uint64_t offset_bytes;
	uint32_t length_bytes;
	uint32_t done_bytes;   /* in former pieces */
	uint32_t piece_bytes;  /* the present piece */
	uint32_t filled_bytes; /* of a write's piece, received */
	struct iovec data;     /* the piece */
	int first_page;        /* in the connection's arena; -1: none */
	unsigned n_pages;
	unsigned header_bytes;
	bool in_store;    /* or waiting for it */
	bool is_flushing; /* the second half of FUA */
	bool is_last;     /* this reply completes the request */
	uint8_t header[GN_NBD_HEADER_MAX];
	struct gn_nbd_slot *asked_next; /* for the extents' thread */
	unsigned n_extents;
};

struct gn_nbd_slots {
	struct gn_nbd_slot *first;
	struct gn_nbd_slot **end;
};

enum gn_nbd_op_kind { GN_NBD_OP_RECV, GN_NBD_OP_SEND, GN_NBD_OP_SHUTDOWN, GN_NBD_N_OPS };

/* What an entry of the ring belongs to. */
struct gn_nbd_op {
	struct gn_nbd_conn *conn;
	enum gn_nbd_op_kind kind;
	bool in_flight;
};

struct gn_nbd_conn {
	LIST_ENTRY(gn_nbd_conn) link; /* Owner: lcore */
	struct gn_nbd_export *export;
	struct gn_nbd_conn *grave_next;
	int fd;
	struct gn_nbd_limits limits;
	struct gn_nbd_op ops[GN_NBD_N_OPS];

	uint8_t *input; /* GN_NBD_INPUT_SIZE */
	uint32_t input_start, input_end;
	struct gn_nbd_slot *payload; /* the write whose data comes now */
	uint32_t skip_bytes;         /* of a refused write's data */
	uint32_t recv_bytes;         /* into the payload; 0: into 'input' */

	struct gn_nbd_slot *free;
	unsigned n_busy;
	struct gn_nbd_slots ready;
	struct gn_nbd_slots sending;
	struct gn_nbd_slot *stream; /* its data must come next: a long read without chunks */
	struct msghdr message;
	struct iovec iov[GN_NBD_BATCH_IOV];

	bool is_new;         /* waits until what others left behind has ended */
	unsigned n_changing; /* requests at the store, or waiting for it, that change content */
	bool is_leaving;     /* nothing more is received; answers still go out */
	bool is_closing;     /* the socket is dead, or to be cut */
	bool has_shut_down;
	struct gn_nbd_arena arena;
	uint8_t *arena_memory; /* GN_NBD_ARENA_SIZE, mapped */
	struct gn_nbd_slot slots[GN_NBD_SLOTS];
};

struct gn_nbd_listener;

struct gn_nbd_export {
	struct gn_pollable pollable;
	LIST_ENTRY(gn_nbd_export) link; /* of the server; under its lock */
	struct gn_nbd_server *server;
	struct gn_nbd_listener *listener;
	struct gn_worker *worker;
	char *name;
	char *export_name;
	char **clients;
	unsigned n_clients;
	unsigned max_connections;
	uint64_t size_bytes; /* immutable, as the next */
	uint32_t block_bytes;
	int extents_fd; /* the volume's file, for holes; -1: none */
	bool read_only;

	/* Under the server's lock. */
	unsigned n_connections; /* chosen by GO and not freed yet */

	/* Owner: lcore. */
	struct gn_uring uring;
	struct gn_blk_user user;
	LIST_HEAD(, gn_nbd_conn) conns;
	struct gn_nbd_slots waiting; /* for the store */
	struct gn_nbd_export_stats stats;
};

struct gn_nbd_server {
	struct gn_mutex lock;
	pthread_cond_t changed; /* a session ended, a connection was freed */
	LIST_HEAD(, gn_nbd_listener) listeners;
	LIST_HEAD(, gn_nbd_export) exports;
	LIST_HEAD(, gn_nbd_session) sessions;
	unsigned n_sessions;
	bool is_stopping;
	pthread_t acceptor, extents;
	bool has_acceptor, has_extents;
	int epoll_fd;
	int wake_fd;    /* the acceptor's */
	int extents_fd; /* the extents' thread's */
	/* Stacks that any lcore pushes to and one thread empties. */
	_Atomic(struct gn_nbd_conn *) graveyard;
	_Atomic(struct gn_nbd_slot *) asked;
};

struct gn_nbd_tls_config;

struct gn_nbd_listener {
	LIST_ENTRY(gn_nbd_listener) link; /* of the server; under its lock, as 'n_exports' */
	char *address;
	char *socket_path; /* NULL: TCP */
	int fd;
	unsigned n_exports;
	unsigned n_sessions;           /* that may still use 'tls' */
	struct gn_nbd_tls_config *tls; /* NULL: none */
};

/* ---- slots (inline: lists of the lcore) --------------------------------------- */

static inline void gn_nbd_slots_init(struct gn_nbd_slots *slots)
{
	slots->first = NULL;
	slots->end = &slots->first;
}

static inline void gn_nbd_slots_put(struct gn_nbd_slots *slots, struct gn_nbd_slot *slot)
{
	slot->next = NULL;
	*slots->end = slot;
	slots->end = &slot->next;
}

static inline struct gn_nbd_slot *gn_nbd_slots_take(struct gn_nbd_slots *slots)
{
	struct gn_nbd_slot *slot = slots->first;

	if (slot) {
		slots->first = slot->next;
		if (!slots->first)
			slots->end = &slots->first;
	}
	return slot;
}

/* ---- conn.c -------------------------------------------------------------------- */

/* Takes 'fd' (non-blocking is not needed) in any case. NULL: out of memory. Session thread. */
struct gn_nbd_conn *gn_nbd_conn_make(struct gn_nbd_export *export, int fd, bool structured,
                                     bool allocation);
void gn_nbd_conn_free(struct gn_nbd_conn *conn);

/* On the lcore. */
void gn_nbd_conn_completed(struct gn_nbd_op *op, int result);
unsigned gn_nbd_conn_progress(struct gn_nbd_conn *conn);
void gn_nbd_conn_cut(struct gn_nbd_conn *conn);
/* It has ended for its client, and the store has still to do what it was told. */
bool gn_nbd_conn_leaves_changes(const struct gn_nbd_conn *conn);
/* A request of a closing connection that the store has not got yet. */
void gn_nbd_conn_withdraw(struct gn_nbd_slot *slot);
/* The kernel and the store have nothing of it any more. */
bool gn_nbd_conn_is_dead(const struct gn_nbd_conn *conn);
/* The answer of the extents' thread is in the slot's page. */
void gn_nbd_conn_extents(struct gn_nbd_slot *slot);

/* ---- export.c ------------------------------------------------------------------- */

/* Hands it to the lcore. Session thread; the connection was counted before. */
void gn_nbd_export_adopt(struct gn_nbd_export *export, struct gn_nbd_conn *conn);

/* ---- server.c, extents.c, session.c ------------------------------------------------- */

/* On the lcore: to be freed. */
void gn_nbd_server_bury(struct gn_nbd_server *server, struct gn_nbd_conn *conn);
/* On the lcore: gn_nbd_conn_extents() will be called on this lcore. */
void gn_nbd_extents_ask(struct gn_nbd_server *server, struct gn_nbd_slot *slot);
void *gn_nbd_extents_run(void *server);

/* Finds or makes the listener and counts the export in. */
int gn_nbd_listen(struct gn_nbd_server *server, const struct gn_nbd_export_config *config,
                  struct gn_nbd_listener **out, struct gn_status *status);
void gn_nbd_unlisten(struct gn_nbd_server *server, struct gn_nbd_listener *listener);
/* A session of it ended. With the server's lock. */
void gn_nbd_listener_leave(struct gn_nbd_listener *listener);

/* Takes 'fd'. Acceptor. */
void gn_nbd_session_start(struct gn_nbd_server *server, struct gn_nbd_listener *listener, int fd);
/* Ends all; waits for their threads. */
void gn_nbd_sessions_end(struct gn_nbd_server *server);

#endif
