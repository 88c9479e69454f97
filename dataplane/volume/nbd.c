/* nbd.c - see nbd.h: an NBD volume's door and its round on the lcore. See nbd_internal.h. */
#include "dataplane/volume/nbd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/volume/nbd_internal.h"
#include "firmware/core/clock.h"

#define MAX_DEPTH    1024u
#define URING_DEPTH  8u /* a receive, a send, a shutdown */
#define REAP_BATCH   8u
#define BLOCK_MAX    4096u
#define PHYSICAL_MIN 4096u
#define PHYSICAL_MAX 65536u

static struct nbd_volume *to_nbd(struct gn_volume *volume)
{
	return (struct nbd_volume *)volume;
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
		gn_nbd_store_enqueue(nbd, slot);
		volume->n_in_flight++;
	}
	return i;
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
			gn_nbd_store_received(nbd, results[i]);
		else if (ops[i] == OP_SEND)
			gn_nbd_store_sent(nbd, results[i]);
	}
	return n;
}

static unsigned finish_ready(struct nbd_volume *nbd)
{
	struct slot *slot;
	unsigned n = 0;

	while ((slot = TAILQ_FIRST(&nbd->ready))) {
		TAILQ_REMOVE(&nbd->ready, slot, link);
		gn_nbd_store_finish(nbd, slot, slot->error);
		n++;
	}
	return n;
}

static unsigned nbd_poll(struct gn_volume *volume)
{
	struct nbd_volume *nbd = to_nbd(volume);
	unsigned work = 0;

	if (nbd->fd < 0)
		gn_nbd_store_pick_up(nbd);
	if (!volume->n_in_flight)
		return 0;
	work += gn_nbd_store_check(nbd);
	if (nbd->fd < 0)
		return work;
	gn_uring_enter(&nbd->uring);
	work += reap(nbd);
	work += gn_nbd_store_parse(nbd);
	if (nbd->is_cutting) {
		work += gn_nbd_store_finish_cut(nbd);
	} else {
		if (!nbd->in_flight[OP_SEND])
			gn_nbd_store_start_send(nbd);
		if (!nbd->in_flight[OP_RECV])
			gn_nbd_store_start_recv(nbd);
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

/* ---- create -------------------------------------------------------------------- */

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

/* What can be said without the server. */
static void set_size(struct nbd_volume *nbd, uint64_t size_bytes, uint32_t block, uint32_t physical)
{
	nbd->volume.block_bytes = block;
	nbd->volume.physical_block_bytes = physical > block ? physical : block;
	nbd->volume.size_bytes = size_bytes - size_bytes % block;
}

static int adapt(struct nbd_volume *nbd, const char *url, struct gn_status *status)
{
	const struct gn_nbd_dial_answer *answer = gn_nbd_link_answer(nbd->link);
	uint32_t block = answer->min_block_bytes;
	uint32_t physical = answer->preferred_block_bytes;

	if (block < GN_VOLUME_SECTOR_SIZE)
		block = GN_VOLUME_SECTOR_SIZE;
	if (physical < PHYSICAL_MIN || physical > PHYSICAL_MAX)
		physical = PHYSICAL_MIN;
	set_size(nbd, answer->size_bytes, block, physical);
	if (block <= BLOCK_MAX && answer->max_block_bytes >= block && nbd->volume.size_bytes)
		return 0;
	gn_status_set(status, GN_FAILED_PRECONDITION,
	              "'%.200s' has %llu bytes in blocks of %u to %u; at least one block, of "
	              "at most 4096, is needed",
	              url, (unsigned long long)answer->size_bytes, answer->min_block_bytes,
	              answer->max_block_bytes);
	return -EPROTO;
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
	if (!err && config->size_bytes)
		set_size(nbd, config->size_bytes, config->block_bytes, PHYSICAL_MIN);
	else if (!err)
		err = adapt(nbd, config->url, status);
	if (!err)
		gn_nbd_store_pick_up(nbd);
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
