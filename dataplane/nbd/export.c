/* export.c - an export's life, for control threads, and what the lcore does for it in a round:
 * completions of its ring, each connection's progress, requests to the store, one more entry into
 * the kernel for what these brought. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/nbd/internal.h"

#define REAP_BATCH 64u

static struct gn_nbd_export *export_of(struct gn_pollable *pollable)
{
	return (struct gn_nbd_export *)pollable;
}

/* ---- on the lcore ------------------------------------------------------------------ */

static unsigned reap(struct gn_nbd_export *export)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	struct gn_nbd_op *ops[REAP_BATCH];
	int results[REAP_BATCH];
	unsigned n = io_uring_peek_batch_cqe(&export->uring.ring, cqes, REAP_BATCH);

	for (unsigned i = 0; i < n; i++) {
		ops[i] = io_uring_cqe_get_data(cqes[i]);
		results[i] = cqes[i]->res;
	}
	io_uring_cq_advance(&export->uring.ring, n);
	for (unsigned i = 0; i < n; i++)
		gn_nbd_conn_completed(ops[i], results[i]);
	return n;
}

/* A client that lost its connection sends what was not answered again over a new one. The store
 * must not do the old copy of a write after the new one, nor after what came behind that. */
static bool must_wait(const struct gn_nbd_export *export, struct gn_nbd_conn *conn)
{
	const struct gn_nbd_conn *other;

	if (!conn->is_new || conn->is_closing)
		return false;
	LIST_FOREACH(other, &export->conns, link)
	if (gn_nbd_conn_leaves_changes(other))
		return true;
	conn->is_new = false;
	return false;
}

static unsigned progress_all(struct gn_nbd_export *export)
{
	struct gn_nbd_conn *conn, *next;
	unsigned work = 0;

	for (conn = LIST_FIRST(&export->conns); conn; conn = next) {
		next = LIST_NEXT(conn, link);
		if (must_wait(export, conn))
			continue;
		work += gn_nbd_conn_progress(conn);
		if (!gn_nbd_conn_is_dead(conn))
			continue;
		LIST_REMOVE(conn, link);
		export->stats.connections--;
		gn_nbd_server_bury(export->server, conn);
	}
	return work;
}

static unsigned submit_waiting(struct gn_nbd_export *export)
{
	unsigned n = 0;

	while (export->waiting.first) {
		struct gn_nbd_slot *slot = export->waiting.first;

		if (!slot->conn->is_closing && !gn_blk_submit(&slot->io))
			break;
		gn_nbd_slots_take(&export->waiting);
		if (slot->conn->is_closing)
			gn_nbd_conn_withdraw(slot);
		n++;
	}
	return n;
}

static unsigned poll_export(struct gn_pollable *pollable, uint64_t now)
{
	struct gn_nbd_export *export = export_of(pollable);
	unsigned work;

	(void)now;
	if (LIST_EMPTY(&export->conns))
		return 0;
	gn_uring_enter(&export->uring);
	work = reap(export) + progress_all(export) + submit_waiting(export);
	gn_uring_enter(&export->uring);
	return work;
}

static bool arm_export(struct gn_pollable *pollable)
{
	struct gn_nbd_export *export = export_of(pollable);

	return LIST_EMPTY(&export->conns) || gn_uring_arm(&export->uring);
}

static void disarm_export(struct gn_pollable *pollable)
{
	gn_uring_disarm(&export_of(pollable)->uring);
}

struct order {
	struct gn_nbd_export *export;
	struct gn_nbd_conn *conn;
	struct gn_nbd_export_stats *stats;
	int result;
};

static void call_add(void *arg)
{
	struct order *order = arg;

	order->result = gn_worker_add(order->export->worker, &order->export->pollable);
}

static void call_remove(void *arg)
{
	struct gn_nbd_export *export = ((struct order *)arg)->export;

	gn_worker_remove(export->worker, &export->pollable);
}

static void call_adopt(void *arg)
{
	struct order *order = arg;

	order->conn->is_new = true;
	LIST_INSERT_HEAD(&order->export->conns, order->conn, link);
	order->export->stats.connections++;
	order->export->stats.connections_total++;
}

static void call_cut(void *arg)
{
	struct order *order = arg;
	struct gn_nbd_conn *conn;

	LIST_FOREACH(conn, &order->export->conns, link)
	gn_nbd_conn_cut(conn);
}

static void call_read_stats(void *arg)
{
	struct order *order = arg;
	const struct gn_nbd_conn *conn;

	*order->stats = order->export->stats;
	LIST_FOREACH(conn, &order->export->conns, link)
	order->stats->in_flight += conn->n_busy;
}

void gn_nbd_export_adopt(struct gn_nbd_export *export, struct gn_nbd_conn *conn)
{
	struct order order = {.export = export, .conn = conn};

	gn_worker_call(export->worker, call_adopt, &order);
}

/* ---- control ------------------------------------------------------------------------- */

static void free_export(struct gn_nbd_export *export)
{
	gn_uring_fini(&export->uring);
	for (unsigned i = 0; export->clients && i < export->n_clients; i++)
		free(export->clients[i]);
	free(export->clients);
	free(export->name);
	free(export->export_name);
	if (export->extents_fd >= 0)
		close(export->extents_fd);
	free(export);
}

static bool copy_clients(struct gn_nbd_export *export, const struct gn_nbd_export_config *config)
{
	export->clients = calloc(config->n_clients + 1, sizeof *export->clients);
	if (!export->clients)
		return false;
	for (unsigned i = 0; i < config->n_clients; i++) {
		export->clients[i] = strdup(config->clients[i]);
		export->n_clients++;
		if (!export->clients[i])
			return false;
	}
	return true;
}

/* A descriptor of its own for looking for holes: the volume's may change with a mirror. */
static int open_for_extents(const struct gn_volume *volume)
{
	return volume->file_fd >= 0 ? dup(volume->file_fd) : -1;
}

static struct gn_nbd_export *allocate(struct gn_nbd_server *server, struct gn_blk *blk,
                                      const struct gn_nbd_export_config *config)
{
	const struct gn_volume *volume = gn_blk_volume(blk);
	struct gn_nbd_export *export = calloc(1, sizeof *export);

	if (!export)
		return NULL;
	export->server = server;
	export->worker = gn_blk_worker(blk);
	export->read_only = config->read_only;
	export->size_bytes = volume->size_bytes;
	export->block_bytes = volume->block_bytes;
	export->max_connections =
	        config->max_connections ? config->max_connections : GN_NBD_DEFAULT_CONNECTIONS;
	export->extents_fd = open_for_extents(volume);
	export->name = strdup(config->name);
	export->export_name = strdup(config->export_name);
	gn_nbd_slots_init(&export->waiting);
	if (!export->name || !export->export_name || !copy_clients(export, config)) {
		free_export(export);
		return NULL;
	}
	export->user = (struct gn_blk_user){.name = export->name, .may_write = !config->read_only};
	return export;
}

static int add_to_worker(struct gn_nbd_export *export, struct gn_status *status)
{
	struct order order = {.export = export};
	int err = gn_uring_init(&export->uring, GN_NBD_URING_DEPTH);

	if (err)
		return gn_status_set(status, gn_code_from_errno(err),
		                     "'%s': io_uring cannot be set up: %s", export->name,
		                     strerror(-err));
	export->pollable = (struct gn_pollable){
	        .name = export->name,
	        .poll = poll_export,
	        .arm = arm_export,
	        .disarm = disarm_export,
	        .fds = {export->uring.event_fd},
	        .n_fds = 1,
	};
	gn_worker_call(export->worker, call_add, &order);
	if (order.result)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "the worker of '%s' polls too much already", export->name);
	return 0;
}

static int check(const struct gn_nbd_export_config *config, struct gn_status *status)
{
	size_t size = strlen(config->export_name);

	if (!size || size > GN_NBD_NAME_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s': an export's name has 1 to %u bytes, this has %zu",
		                     config->name, GN_NBD_NAME_MAX, size);
	if (config->max_connections > GN_NBD_MAX_CONNECTIONS)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s': max_connections is %u; choose 1 to %u", config->name,
		                     config->max_connections, GN_NBD_MAX_CONNECTIONS);
	if (config->n_clients && !config->tls)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s': without TLS nobody's certificate can be checked; set tls, "
		        "or name no clients",
		        config->name);
	return 0;
}

/* Makes it visible, unless its name is taken there. */
static int publish(struct gn_nbd_export *export, struct gn_status *status)
{
	struct gn_nbd_server *server = export->server;
	const struct gn_nbd_export *other;
	unsigned n = 0;
	int err = 0;

	gn_mutex_lock(&server->lock);
	LIST_FOREACH(other, &server->exports, link)
	if (other->listener == export->listener) {
		n++;
		if (strcmp(other->export_name, export->export_name) == 0)
			err = gn_status_set(status, GN_ALREADY_EXISTS,
			                    "'%s' is exported as '%s' at '%s' already; choose "
			                    "another export_name or listen",
			                    other->name, other->export_name,
			                    export->listener->address);
	}
	if (!err && n >= GN_NBD_OFFERS_MAX)
		err = gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                    "'%s' has %u exports already; listen elsewhere",
		                    export->listener->address, n);
	if (!err)
		LIST_INSERT_HEAD(&server->exports, export, link);
	gn_mutex_unlock(&server->lock);
	return err;
}

int gn_nbd_export_create(struct gn_nbd_server *server, struct gn_blk *blk,
                         const struct gn_nbd_export_config *config, struct gn_nbd_export **out,
                         struct gn_status *status)
{
	struct order order = {.export = NULL};
	struct gn_nbd_export *export;
	bool is_polled = false;
	int err = check(config, status);

	if (err)
		return err;
	export = order.export = allocate(server, blk, config);
	if (!export)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for '%s'",
		                     config->name);
	err = gn_blk_attach(blk, &export->user, status);
	if (!err)
		err = add_to_worker(export, status);
	is_polled = !err;
	if (!err)
		err = gn_nbd_listen(server, config, &export->listener, status);
	if (!err)
		err = publish(export, status);
	if (!err) {
		*out = export;
		return 0;
	}
	gn_nbd_unlisten(server, export->listener);
	if (is_polled)
		gn_worker_call(export->worker, call_remove, &order);
	gn_blk_detach(&export->user);
	free_export(export);
	return err;
}

void gn_nbd_export_destroy(struct gn_nbd_export *export)
{
	struct order order = {.export = export};
	struct gn_nbd_server *server;

	if (!export)
		return;
	server = export->server;
	gn_mutex_lock(&server->lock);
	LIST_REMOVE(export, link); /* nobody can choose it any more */
	while (export->n_connections) {
		struct timespec until;

		gn_mutex_unlock(&server->lock);
		gn_worker_call(export->worker, call_cut, &order);
		gn_mutex_lock(&server->lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10 * 1000 * 1000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		/* Again: one may have been on its way to the lcore. */
		if (export->n_connections)
			gn_mutex_wait_until(&server->lock, &server->changed, &until);
	}
	gn_mutex_unlock(&server->lock);
	gn_nbd_unlisten(server, export->listener);
	gn_worker_call(export->worker, call_remove, &order);
	gn_blk_detach(&export->user);
	free_export(export);
}

void gn_nbd_export_get_stats(struct gn_nbd_export *export, struct gn_nbd_export_stats *out)
{
	struct order order = {.export = export, .stats = out};

	gn_worker_call(export->worker, call_read_stats, &order);
}
