/* hostile.c - gn-fe-hostile: one evil thing done to a vhost-user socket, by name; then an
 * honest front end takes the socket over and must be served. Exit 0: the back end behaved. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "firmware/core/clock.h"
#include "tests/frontend/blkdrv.h"
#include "tests/frontend/netdrv.h"
#include "tests/frontend/netframe.h"
#include "tests/frontend/options.h"
#include "tests/hostile/attack.h"

#define CONNECT_MS 10000
#define REPLY_MS   3000
#define SERVE_US   10000000u
#define BIT(n)     (1ull << (n))

static const struct gn_attack_case *const tables[] = {gn_attack_messages, gn_attack_setups,
                                                      gn_attack_rings};

static const struct gn_attack_case *current;

int gn_attack_complain(struct gn_attack *attack, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(attack->complaint, sizeof(attack->complaint), format, args);
	va_end(args);
	return -1;
}

void gn_attack_pause_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

uint64_t gn_attack_random(struct gn_attack *attack)
{
	attack->random ^= attack->random >> 12;
	attack->random ^= attack->random << 25;
	attack->random ^= attack->random >> 27;
	return attack->random * 0x2545f4914f6cdd1dull;
}

int gn_attack_restore(struct gn_attack *attack)
{
	struct gn_status status = {0};
	int error = gn_frontend_connect(attack->fe, CONNECT_MS, &status);

	/* Rings start afresh, as after a guest's reset. */
	for (unsigned i = 0; i < attack->fe->n_ready && !error; i++) {
		struct gn_vring *v = &attack->fe->vrings[i];

		memset(v->used, 0, 6 + v->size * sizeof(struct vring_used_elem));
		memset(v->avail, 0, 6 + v->size * sizeof(uint16_t));
		v->avail_idx = v->used_idx = v->notified_idx = 0;
	}
	if (!error && current->state != GN_ATTACK_CONNECTED)
		error = gn_frontend_start(attack->fe, &status);
	if (error)
		return gn_attack_complain(attack, "not served any more: %s", status.message);
	return 0;
}

/* Waits for an answer to a message that wants one; the connection may also close. */
static int answer(struct gn_attack *attack, struct gn_wire_message *reply)
{
	int error = gn_wire_receive(attack->fe->socket, reply, NULL, REPLY_MS);

	if (error == -EPIPE || error == -ECONNRESET)
		return gn_attack_restore(attack) ? -1 : 1;
	if (error)
		return gn_attack_complain(attack, "no answer: %s", strerror(-error));
	return 0;
}

int gn_attack_must_refuse(struct gn_attack *attack, const char *what,
                          struct gn_wire_message *message, const int *fds, unsigned n_fds)
{
	struct gn_wire_message reply;
	int closed;

	message->flags |= GN_WIRE_NEED_REPLY;
	if (gn_wire_send(attack->fe->socket, message, fds, n_fds))
		return gn_attack_restore(attack);
	closed = answer(attack, &reply);
	if (closed < 0)
		return -1;
	if (!closed && reply.request == message->request && reply.size == 8 &&
	    reply.payload.u64 == 0)
		return gn_attack_complain(attack, "%s: accepted", what);
	return 0;
}

void gn_attack_send(struct gn_attack *attack, const struct gn_wire_message *message, size_t n_bytes,
                    const int *fds, unsigned n_fds)
{
	struct gn_wire_message reply;
	int error = gn_wire_send_raw(attack->fe->socket, message, n_bytes, fds, n_fds);

	if (!error)
		error = gn_wire_receive(attack->fe->socket, &reply, NULL, 10);
	if (error && error != -ETIMEDOUT)
		gn_attack_restore(attack);
}

static int open_attack(struct gn_attack *attack, struct gn_status *status)
{
	struct gn_frontend_config config = {
	        .socket_path = attack->socket_path,
	        .features = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	                    BIT(VIRTIO_F_VERSION_1) |
	                    (attack->kind == GN_ATTACK_NET
	                             ? BIT(VIRTIO_NET_F_MRG_RXBUF)
	                             : BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) |
	                                       BIT(VIRTIO_BLK_F_WRITE_ZEROES)),
	        .protocol_features = BIT(GN_WIRE_F_MQ) | BIT(GN_WIRE_F_REPLY_ACK) |
	                             BIT(GN_WIRE_F_CONFIG) | BIT(GN_WIRE_F_INFLIGHT_SHMFD) |
	                             BIT(GN_WIRE_F_LOG_SHMFD),
	        .n_vrings = attack->kind == GN_ATTACK_NET ? 2 : 1,
	        .vring_size = 256,
	        .ram_bytes = 16 << 20,
	        .timeout_ms = REPLY_MS,
	        .unsealable = current->state == GN_ATTACK_UNSEALABLE};
	int error = gn_frontend_create(&config, &attack->fe, status);

	if (!error)
		error = gn_frontend_connect(attack->fe, CONNECT_MS, status);
	if (!error && current->state != GN_ATTACK_CONNECTED)
		error = gn_frontend_start(attack->fe, status);
	return error;
}

/* ---- afterwards: an honest guest ------------------------------------------------ */

static int honest_blk(const char *path, struct gn_status *status)
{
	struct gn_blkdrv_config config = {.socket_path = path, .wait_ms = CONNECT_MS};
	uint8_t out[4096];
	uint8_t in[4096];
	struct gn_blkdrv *drv;
	int result;

	memset(out, 0x5a, sizeof(out));
	if (gn_blkdrv_create(&config, &drv, status))
		return -1;
	result = gn_blkdrv_run(drv, 0, VIRTIO_BLK_T_OUT, 8192, out, sizeof(out), CONNECT_MS);
	if (result == 0)
		result = gn_blkdrv_run(drv, 0, VIRTIO_BLK_T_IN, 8192, in, sizeof(in), CONNECT_MS);
	if (result == 0 && memcmp(in, out, sizeof(in)) != 0)
		result = -EIO;
	gn_blkdrv_destroy(drv);
	if (result)
		gn_status_set(status, GN_INTERNAL, "an honest disk request ended with %d", result);
	return result;
}

/* Its frames must be taken off its ring. */
static int honest_net(const char *path, struct gn_status *status)
{
	struct gn_netdrv_config config = {.socket_path = path, .wait_ms = CONNECT_MS};
	uint64_t end = gn_clock_monotonic_us() + SERVE_US;
	uint8_t frame[GN_NETFRAME_MIN];
	struct gn_netdrv *drv;
	uint32_t size = gn_netframe_announce(0x6666, 0, frame);
	unsigned unsent;

	if (gn_netdrv_create(&config, &drv, status))
		return -1;
	for (unsigned i = 0; i < 10; i++)
		gn_netdrv_send(drv, 0, frame, size);
	gn_netdrv_kick(drv, 0);
	do {
		gn_attack_pause_ms(1);
		gn_netdrv_reclaim(drv, 0);
		unsent = gn_netdrv_unsent(drv, 0);
	} while (unsent > 0 && gn_clock_monotonic_us() < end);
	gn_netdrv_destroy(drv);
	if (unsent)
		gn_status_set(status, GN_INTERNAL, "%u honest frames were not taken", unsent);
	return unsent ? -1 : 0;
}

/* ---- main --------------------------------------------------------------------------- */

struct arguments {
	const char *socket_path;
	const char *other_path;
	const char *kind;
	const char *name;
	uint64_t seed;
	bool list;
};

#define AT(field) offsetof(struct arguments, field)

static const struct gn_option options[] = {
        {"socket", GN_OPTION_TEXT, AT(socket_path), "of the port or disk that is attacked", 0, 0},
        {"other", GN_OPTION_TEXT, AT(other_path), "of another, which nobody uses", 0, 0},
        {"kind", GN_OPTION_TEXT, AT(kind), "net or blk", 0, 0},
        {"case", GN_OPTION_TEXT, AT(name), "what to do", 0, 0},
        {"seed", GN_OPTION_U64, AT(seed), "of random cases (1)", 0, 0},
        {"list", GN_OPTION_FLAG, AT(list), "print the names of that kind's cases", 0, 0},
        {NULL, GN_OPTION_FLAG, 0, NULL, 0, 0}};

static void list_cases(enum gn_attack_kind kind)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct gn_attack_case *c = tables[t]; c->name; c++)
			if (c->kinds & kind)
				puts(c->name);
}

static const struct gn_attack_case *find_case(const char *name)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct gn_attack_case *c = tables[t]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static int run_case(struct gn_attack *attack)
{
	struct gn_status status = {0};
	int error = open_attack(attack, &status);

	if (error)
		gn_attack_complain(attack, "cannot begin: %s", status.message);
	else
		error = current->run(attack);
	gn_frontend_destroy(attack->fe);
	if (!error) {
		error = attack->kind == GN_ATTACK_NET ? honest_net(attack->socket_path, &status)
		                                      : honest_blk(attack->socket_path, &status);
		if (error)
			gn_attack_complain(attack, "afterwards: %s", status.message);
	}
	return error;
}

int main(int argc, char **argv)
{
	struct arguments args = {.seed = 1};
	struct gn_attack attack = {.kind = GN_ATTACK_BLK};
	int error = gn_options_parse(options, "gn-fe-hostile: one attack on a vhost-user socket",
	                             argc, argv, &args);

	if (error)
		return error == 1 ? 0 : 2;
	if (args.kind && strcmp(args.kind, "net") == 0)
		attack.kind = GN_ATTACK_NET;
	if (args.list) {
		list_cases(attack.kind);
		return 0;
	}
	current = args.name ? find_case(args.name) : NULL;
	if (!current || !args.socket_path) {
		fputs("give --socket, and a --case that --list shows\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	attack.socket_path = args.socket_path;
	attack.other_path = args.other_path;
	attack.random = args.seed * 0x9e3779b97f4a7c15ull | 1;
	error = run_case(&attack);
	if (error)
		fprintf(stderr, "%s: %s\n", current->name, attack.complaint);
	return error ? 1 : 0;
}
