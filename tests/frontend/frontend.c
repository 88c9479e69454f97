/* frontend.c - see frontend.h. */
#include "tests/frontend/frontend.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "firmware/core/clock.h"

#define RETRY_US        20000
#define DEFAULT_TIMEOUT 5000
#define BIT(n)          (1ull << (n))

static int fail(struct gn_status *status, const struct gn_frontend *fe, int error, const char *what)
{
	gn_status_set(status, gn_code_from_errno(-error), "%s: %s: %s", fe->config.socket_path,
	              what, strerror(-error));
	return error;
}

bool gn_frontend_has(const struct gn_frontend *fe, unsigned feature_bit)
{
	return fe->features & BIT(feature_bit);
}

bool gn_frontend_has_protocol(const struct gn_frontend *fe, unsigned feature_bit)
{
	return fe->protocol_features & BIT(feature_bit);
}

bool gn_frontend_gone(const struct gn_frontend *fe)
{
	return fe->socket < 0 || gn_wire_hung_up(fe->socket);
}

int gn_frontend_create(const struct gn_frontend_config *config, struct gn_frontend **out,
                       struct gn_status *status)
{
	struct gn_frontend *fe;
	int error;

	if (config->n_vrings < 1 || config->n_vrings > GN_FRONTEND_MAX_VRINGS)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%u vrings: give 1 to %d",
		                     config->n_vrings, GN_FRONTEND_MAX_VRINGS);
	fe = calloc(1, sizeof(*fe));
	if (!fe)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a front end");
	fe->config = *config;
	fe->socket = fe->inflight_fd = -1;
	if (fe->config.timeout_ms == 0)
		fe->config.timeout_ms = DEFAULT_TIMEOUT;
	error = gn_ram_init(&fe->ram, config->ram_bytes, config->n_regions ? config->n_regions : 1,
	                    config->unsealable);
	if (error) {
		fail(status, fe, error, "cannot make the guest's RAM");
		gn_frontend_destroy(fe);
		return error;
	}
	*out = fe;
	return 0;
}

void gn_frontend_destroy(struct gn_frontend *fe)
{
	if (!fe)
		return;
	gn_frontend_disconnect(fe);
	for (unsigned i = 0; i < fe->n_ready; i++)
		gn_vring_fini(&fe->vrings[i]);
	if (fe->inflight_fd >= 0)
		close(fe->inflight_fd);
	gn_ram_fini(&fe->ram);
	free(fe);
}

void gn_frontend_disconnect(struct gn_frontend *fe)
{
	if (fe->socket >= 0)
		close(fe->socket);
	fe->socket = -1;
}

int gn_frontend_ask(struct gn_frontend *fe, struct gn_wire_message *message, int *fd,
                    struct gn_status *status)
{
	uint32_t request = message->request;
	int error = gn_wire_send(fe->socket, message, NULL, 0);

	if (!error)
		error = gn_wire_receive(fe->socket, message, fd, (int)fe->config.timeout_ms);
	if (!error && (message->request != request || !(message->flags & GN_WIRE_REPLY)))
		error = -EBADMSG;
	if (error)
		gn_status_set(status, gn_code_from_errno(-error), "%s: vhost-user request %u: %s",
		              fe->config.socket_path, request, strerror(-error));
	return error;
}

int gn_frontend_call(struct gn_frontend *fe, struct gn_wire_message *message, const int *fds,
                     unsigned n_fds, struct gn_status *status)
{
	bool acked = gn_frontend_has_protocol(fe, GN_WIRE_F_REPLY_ACK);
	uint32_t request = message->request;
	struct gn_wire_message reply;
	int error;

	if (acked)
		message->flags |= GN_WIRE_NEED_REPLY;
	error = gn_wire_send(fe->socket, message, fds, n_fds);
	if (!error && acked)
		error = gn_wire_receive(fe->socket, &reply, NULL, (int)fe->config.timeout_ms);
	if (!error && acked && (reply.request != request || reply.size != sizeof(uint64_t)))
		error = -EBADMSG;
	if (!error && acked && reply.payload.u64 != 0)
		error = -EREMOTEIO;
	if (error)
		gn_status_set(status, gn_code_from_errno(-error), "%s: vhost-user request %u: %s",
		              fe->config.socket_path, request, strerror(-error));
	return error;
}

static int get_u64(struct gn_frontend *fe, uint32_t request, uint64_t *value,
                   struct gn_status *status)
{
	struct gn_wire_message m = {.request = request, .flags = GN_WIRE_VERSION};
	int error = gn_frontend_ask(fe, &m, NULL, status);

	if (!error && m.size != sizeof(uint64_t))
		error = fail(status, fe, -EBADMSG, "reply of a wrong size");
	if (!error)
		*value = m.payload.u64;
	return error;
}

static int set_u64(struct gn_frontend *fe, uint32_t request, uint64_t value,
                   struct gn_status *status)
{
	struct gn_wire_message m = {
	        .request = request, .flags = GN_WIRE_VERSION, .size = 8, .payload.u64 = value};

	return gn_frontend_call(fe, &m, NULL, 0, status);
}

static int set_vring_state(struct gn_frontend *fe, uint32_t request, uint32_t index, uint32_t num,
                           struct gn_status *status)
{
	struct gn_wire_message m = {.request = request,
	                            .flags = GN_WIRE_VERSION,
	                            .size = sizeof(m.payload.state),
	                            .payload.state = {index, num}};

	return gn_frontend_call(fe, &m, NULL, 0, status);
}

static int set_vring_fd(struct gn_frontend *fe, uint32_t request, uint32_t index, int fd,
                        struct gn_status *status)
{
	struct gn_wire_message m = {
	        .request = request, .flags = GN_WIRE_VERSION, .size = 8, .payload.u64 = index};

	return gn_frontend_call(fe, &m, &fd, 1, status);
}

/* What the guest's driver accepted cannot change under it, so features are settled once. */
static int settle_features(struct gn_frontend *fe, struct gn_status *status)
{
	uint64_t lacking;

	if (!fe->settled)
		fe->features = fe->offered & (fe->config.features | fe->config.required);
	lacking = (fe->features | fe->config.required) & ~fe->offered;
	if (lacking) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s: the back end lacks the virtio features 0x%llx",
		              fe->config.socket_path, (unsigned long long)lacking);
		return -EPROTO;
	}
	fe->settled = true;
	return 0;
}

static int negotiate_protocol(struct gn_frontend *fe, struct gn_status *status)
{
	uint64_t offered;
	int error;

	fe->protocol_features = 0;
	if (!(fe->offered & BIT(GN_WIRE_F_PROTOCOL_FEATURES)))
		return 0;
	error = get_u64(fe, GN_WIRE_GET_PROTOCOL_FEATURES, &offered, status);
	if (!error)
		error = set_u64(fe, GN_WIRE_SET_PROTOCOL_FEATURES,
		                offered & fe->config.protocol_features, status);
	if (error)
		return error;
	fe->protocol_features = offered & fe->config.protocol_features;
	if (gn_frontend_has_protocol(fe, GN_WIRE_F_MQ))
		error = get_u64(fe, GN_WIRE_GET_QUEUE_NUM, &fe->max_vrings, status);
	return error;
}

static int lay_out_vrings(struct gn_frontend *fe, struct gn_status *status)
{
	while (fe->n_ready < fe->config.n_vrings) {
		int error = gn_vring_init(&fe->vrings[fe->n_ready], &fe->ram, fe->config.vring_size,
		                          gn_frontend_has(fe, VIRTIO_RING_F_EVENT_IDX),
		                          gn_frontend_has(fe, VIRTIO_RING_F_INDIRECT_DESC));

		if (error)
			return fail(status, fe, error, "cannot lay out a vring");
		fe->n_ready++;
	}
	return 0;
}

static int connect_once(struct gn_frontend *fe, struct gn_status *status)
{
	int error = gn_wire_connect(fe->config.socket_path);

	if (error < 0)
		return fail(status, fe, error, "cannot connect");
	fe->socket = error;
	fe->protocol_features = 0;
	error = get_u64(fe, GN_WIRE_GET_FEATURES, &fe->offered, status);
	if (!error)
		error = settle_features(fe, status);
	if (!error)
		error = negotiate_protocol(fe, status);
	if (!error) {
		struct gn_wire_message m = {.request = GN_WIRE_SET_OWNER, .flags = GN_WIRE_VERSION};

		error = gn_frontend_call(fe, &m, NULL, 0, status);
	}
	if (!error)
		error = lay_out_vrings(fe, status);
	if (error)
		gn_frontend_disconnect(fe);
	return error;
}

/* Errors that a back end causes by being away, starting or dying. */
static bool passes(int error)
{
	return error == -ECONNREFUSED || error == -ENOENT || error == -EPIPE || error == -EAGAIN ||
	       error == -ETIMEDOUT || error == -ECONNRESET;
}

static void pause_us(uint64_t us)
{
	struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

	nanosleep(&t, NULL);
}

int gn_frontend_connect(struct gn_frontend *fe, unsigned wait_ms, struct gn_status *status)
{
	uint64_t end = gn_clock_monotonic_us() + wait_ms * 1000ull;
	int error;

	gn_frontend_disconnect(fe);
	while ((error = connect_once(fe, status)) && passes(error) && gn_clock_monotonic_us() < end)
		pause_us(RETRY_US);
	return error;
}

/* The back end makes the buffer at first; later connections get the same one back. */
int gn_frontend_share_inflight(struct gn_frontend *fe, struct gn_status *status)
{
	struct gn_wire_message m = {
	        .request = GN_WIRE_GET_INFLIGHT_FD,
	        .flags = GN_WIRE_VERSION,
	        .size = sizeof(m.payload.inflight),
	        .payload.inflight = {.n_queues = (uint16_t)fe->config.n_vrings,
	                             .queue_size = (uint16_t)fe->config.vring_size}};
	int error = 0;

	if (!gn_frontend_has_protocol(fe, GN_WIRE_F_INFLIGHT_SHMFD))
		return 0;
	if (fe->inflight_fd < 0) {
		error = gn_frontend_ask(fe, &m, &fe->inflight_fd, status);
		if (!error && fe->inflight_fd < 0)
			error = fail(status, fe, -EBADMSG, "no in-flight buffer came");
		if (error)
			return error;
		fe->inflight = m.payload.inflight;
	}
	m = (struct gn_wire_message){.request = GN_WIRE_SET_INFLIGHT_FD,
	                             .flags = GN_WIRE_VERSION,
	                             .size = sizeof(fe->inflight),
	                             .payload.inflight = fe->inflight};
	return gn_frontend_call(fe, &m, &fe->inflight_fd, 1, status);
}

int gn_frontend_set_features(struct gn_frontend *fe, struct gn_status *status)
{
	return set_u64(fe, GN_WIRE_SET_FEATURES,
	               fe->features | (fe->offered & BIT(GN_WIRE_F_PROTOCOL_FEATURES)), status);
}

int gn_frontend_share_memory(struct gn_frontend *fe, struct gn_status *status)
{
	struct gn_wire_message m = {.request = GN_WIRE_SET_MEM_TABLE, .flags = GN_WIRE_VERSION};
	int fds[GN_WIRE_MAX_REGIONS];

	m.payload.memory.n_regions = fe->ram.n_regions;
	for (unsigned i = 0; i < fe->ram.n_regions; i++) {
		const struct gn_ram_region *r = &fe->ram.regions[i];

		m.payload.memory.regions[i] = (struct gn_wire_region){
		        r->gpa, r->size_bytes, (uint64_t)(fe->ram.base + r->offset), r->offset};
		fds[i] = fe->ram.fd;
	}
	m.size = (uint32_t)(8 + fe->ram.n_regions * sizeof(struct gn_wire_region));
	return gn_frontend_call(fe, &m, fds, fe->ram.n_regions, status);
}

int gn_frontend_start_vring(struct gn_frontend *fe, unsigned index, uint16_t base,
                            struct gn_status *status)
{
	struct gn_vring *v = &fe->vrings[index];
	struct gn_wire_message m = {.request = GN_WIRE_SET_VRING_ADDR,
	                            .flags = GN_WIRE_VERSION,
	                            .size = sizeof(m.payload.addr),
	                            .payload.addr = {.index = index,
	                                             .desc_user_addr = (uint64_t)v->desc,
	                                             .used_user_addr = (uint64_t)v->used,
	                                             .avail_user_addr = (uint64_t)v->avail}};
	int error = set_vring_state(fe, GN_WIRE_SET_VRING_NUM, index, v->size, status);

	if (!error)
		error = set_vring_state(fe, GN_WIRE_SET_VRING_BASE, index, base, status);
	if (!error)
		error = gn_frontend_call(fe, &m, NULL, 0, status);
	if (!error)
		error = set_vring_fd(fe, GN_WIRE_SET_VRING_KICK, index, v->kick_fd, status);
	if (!error)
		error = set_vring_fd(fe, GN_WIRE_SET_VRING_CALL, index, v->call_fd, status);
	return error;
}

int gn_frontend_enable_vring(struct gn_frontend *fe, unsigned index, bool on,
                             struct gn_status *status)
{
	if (!(fe->offered & BIT(GN_WIRE_F_PROTOCOL_FEATURES)))
		return 0; /* without them a vring is enabled by its kick */
	return set_vring_state(fe, GN_WIRE_SET_VRING_ENABLE, index, on, status);
}

int gn_frontend_start(struct gn_frontend *fe, struct gn_status *status)
{
	int error = gn_frontend_share_inflight(fe, status);

	if (!error)
		error = gn_frontend_set_features(fe, status);
	if (!error)
		error = gn_frontend_share_memory(fe, status);
	for (unsigned i = 0; i < fe->n_ready && !error; i++)
		error = gn_frontend_start_vring(
		        fe, i, __atomic_load_n(&fe->vrings[i].used->idx, __ATOMIC_ACQUIRE), status);
	for (unsigned i = 0; i < fe->n_ready && !error; i++)
		error = gn_frontend_enable_vring(fe, i, true, status);
	return error;
}

int gn_frontend_stop(struct gn_frontend *fe, struct gn_status *status)
{
	int error = 0;

	for (unsigned i = 0; i < fe->n_ready && !error; i++) {
		struct gn_wire_message m = {.request = GN_WIRE_GET_VRING_BASE,
		                            .flags = GN_WIRE_VERSION,
		                            .size = sizeof(m.payload.state),
		                            .payload.state = {i, 0}};

		error = gn_frontend_ask(fe, &m, NULL, status);
	}
	return error;
}

int gn_frontend_reconnect(struct gn_frontend *fe, unsigned wait_ms, struct gn_status *status)
{
	uint64_t end = gn_clock_monotonic_us() + wait_ms * 1000ull;
	int error;

	fe->reconnects++;
	for (;;) {
		uint64_t now = gn_clock_monotonic_us();

		error = gn_frontend_connect(fe, now < end ? (unsigned)((end - now) / 1000) : 0,
		                            status);
		if (!error)
			error = gn_frontend_start(fe, status);
		if (!error || !passes(error) || gn_clock_monotonic_us() >= end)
			break;
		pause_us(RETRY_US);
	}
	for (unsigned i = 0; i < fe->n_ready && !error; i++)
		gn_vring_kick_always(&fe->vrings[i]);
	return error;
}

int gn_frontend_get_config(struct gn_frontend *fe, uint32_t offset, void *bytes,
                           uint32_t size_bytes, struct gn_status *status)
{
	struct gn_wire_message m = {.request = GN_WIRE_GET_CONFIG, .flags = GN_WIRE_VERSION};
	int error;

	if (!gn_frontend_has_protocol(fe, GN_WIRE_F_CONFIG))
		return fail(status, fe, -EOPNOTSUPP, "configuration space");
	if (size_bytes > GN_WIRE_CONFIG_MAX)
		return fail(status, fe, -EINVAL, "configuration space");
	m.payload.config.offset = offset;
	m.payload.config.size_bytes = size_bytes;
	m.size = 12 + size_bytes;
	error = gn_frontend_ask(fe, &m, NULL, status);
	if (!error && m.size != 12 + size_bytes)
		error = fail(status, fe, -EBADMSG, "configuration space");
	if (!error)
		memcpy(bytes, m.payload.config.bytes, size_bytes);
	return error;
}

int gn_frontend_wait(struct gn_frontend *fe, unsigned first, unsigned step, unsigned n,
                     int timeout_ms)
{
	struct pollfd p[GN_FRONTEND_MAX_VRINGS + 1] = {{.fd = fe->socket, .events = POLLRDHUP}};
	int ready;

	for (unsigned i = 0; i < n; i++) {
		struct gn_vring *v = &fe->vrings[first + i * step];

		if (!gn_vring_arm(v))
			return 0;
		p[1 + i] = (struct pollfd){.fd = v->call_fd, .events = POLLIN};
	}
	do {
		ready = poll(p, n + 1, timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	for (unsigned i = 0; i < n; i++)
		if (p[1 + i].revents & POLLIN)
			gn_vring_drain_call(&fe->vrings[first + i * step]);
	if (p[0].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
		return -EPIPE;
	return ready == 0 ? -ETIMEDOUT : 0;
}
