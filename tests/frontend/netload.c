/* netload.c - see netload.h. */
#include "tests/frontend/netload.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "firmware/core/clock.h"
#include "tests/frontend/netframe.h"

#define MAX_FLOWS       4096
#define ANNOUNCE_US     200000
#define HEAR_TIMEOUT_US 20000000
#define WAIT_MS         20
#define DRAIN_US        2000000
#define BURST           32

struct flow {
	uint64_t next_send;
	uint64_t next_receive;
};

struct station {
	struct gn_netdrv *drv;
	uint32_t number;
	bool observer;
	uint32_t next_flow;
	uint64_t n_out; /* its frames on their way */
	uint32_t heard; /* bit set of stations whose announcement came */
};

struct load {
	struct gn_netload_config config;
	struct gn_netload_result *result;
	struct station stations[2 * GN_NETLOAD_MAX_STATIONS];
	struct flow flows[GN_NETLOAD_MAX_STATIONS][MAX_FLOWS];
	unsigned n_all;
	uint64_t random;
	uint64_t start_us;
	uint64_t last_arrival_us;
	uint64_t patient_since_us; /* the stall limit counts from here */
	uint64_t restart_until_us; /* what is lost or late until then is put down to a restart */
	uint8_t frame[GN_NETDRV_MAX_FRAME];
};

static uint64_t next_random(struct load *l)
{
	l->random ^= l->random >> 12;
	l->random ^= l->random << 25;
	l->random ^= l->random >> 27;
	return l->random * 0x2545f4914f6cdd1dull;
}

static int revive(struct load *l, struct station *s, struct gn_status *status)
{
	int error;

	if (l->config.reconnect_ms == 0)
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "%s: the back end closed the connection",
		                     gn_netdrv_frontend(s->drv)->config.socket_path);
	error = gn_netdrv_reconnect(s->drv, l->config.reconnect_ms, status);
	if (!error) {
		l->result->reconnects++;
		l->patient_since_us = gn_clock_monotonic_us();
		l->restart_until_us = l->patient_since_us + 3000ull * l->config.stall_ms;
	}
	return error;
}

static bool restarting(const struct load *l)
{
	return l->restart_until_us > 0 && gn_clock_monotonic_us() < l->restart_until_us;
}

static void count_lost(struct load *l, uint64_t n)
{
	l->result->lost += n;
	l->result->lost_restarting += n > 0 && restarting(l) ? n : 0;
}

static void take_data(struct load *l, struct station *s, const struct gn_netframe *f)
{
	uint32_t from = f->source - l->config.first_station;
	struct flow *flow;
	uint64_t gap;

	if (f->destination != s->number) {
		l->result->misdelivered++;
		return;
	}
	if (from >= l->config.n_stations || f->flow >= l->config.n_flows) {
		l->result->foreign++;
		return;
	}
	flow = &l->flows[from][f->flow];
	if (f->sequence < flow->next_receive || f->sequence >= flow->next_send) {
		l->result->late++;
		l->result->late_restarting += restarting(l);
		return;
	}
	gap = f->sequence - flow->next_receive;
	flow->next_receive = f->sequence + 1;
	count_lost(l, gap);
	l->result->received++;
	l->result->bytes += f->size_bytes;
	l->stations[from].n_out -= gap + 1;
}

static void take_frame(struct load *l, struct station *s, uint32_t size_bytes)
{
	struct gn_netframe f;

	switch (gn_netframe_parse(l->frame, size_bytes, s->observer, &f)) {
	case GN_NETFRAME_FOREIGN:
		l->result->foreign++;
		break;
	case GN_NETFRAME_ANNOUNCE:
		if (f.source - l->config.first_station < l->config.n_stations)
			s->heard |= 1u << (f.source - l->config.first_station);
		break;
	case GN_NETFRAME_DATA:
		if (s->observer)
			l->result->observed++;
		else
			take_data(l, s, &f);
		break;
	case GN_NETFRAME_CORRUPT:
		*(s->observer ? &l->result->observed_corrupt : &l->result->corrupt) += 1;
		break;
	}
}

static void note_arrival(struct load *l)
{
	uint64_t now = gn_clock_monotonic_us();

	if (now - l->last_arrival_us > l->result->longest_gap_us)
		l->result->longest_gap_us = now - l->last_arrival_us;
	l->last_arrival_us = l->patient_since_us = now;
}

static unsigned receive_station(struct load *l, struct station *s)
{
	uint64_t before = l->result->received;
	unsigned taken = 0;

	for (unsigned pair = 0; pair < l->config.driver.n_pairs; pair++) {
		uint32_t size_bytes;
		int n;

		while ((n = gn_netdrv_receive(s->drv, pair, l->frame, &size_bytes)) != 0) {
			taken++;
			if (n < 0)
				l->result->device_errors++;
			else
				take_frame(l, s, size_bytes);
		}
		gn_netdrv_kick(s->drv, pair);
	}
	if (l->result->received > before)
		note_arrival(l);
	return taken;
}

static bool may_send(const struct load *l, uint64_t now)
{
	const struct gn_netload_config *c = &l->config;

	if (c->stop && *c->stop)
		return false;
	if (c->n_frames && l->result->sent >= c->n_frames)
		return false;
	if (c->duration_us && now - l->start_us >= c->duration_us)
		return false;
	return !c->rate || l->result->sent * 1000000 <= (now - l->start_us) * c->rate;
}

static bool ended(const struct load *l, uint64_t now)
{
	const struct gn_netload_config *c = &l->config;

	return (c->stop && *c->stop) || (c->n_frames && l->result->sent >= c->n_frames) ||
	       (c->duration_us && now - l->start_us >= c->duration_us);
}

static int send_one(struct load *l, struct station *s)
{
	uint32_t index = s->number - l->config.first_station;
	uint32_t flow = s->next_flow;
	uint32_t spread = l->config.max_bytes - l->config.min_bytes + 1u;
	struct gn_netframe f = {
	        .source = s->number,
	        .destination = l->config.first_station + (index + 1) % l->config.n_stations,
	        .flow = flow,
	        .sequence = l->flows[index][flow].next_send,
	        .vlan = l->config.vlan,
	        .size_bytes = (uint16_t)(l->config.min_bytes + (next_random(l) >> 32) % spread)};
	int error;

	gn_netframe_build(&f, l->frame);
	error = gn_netdrv_send(s->drv, flow % l->config.driver.n_pairs, l->frame, f.size_bytes);
	if (error)
		return error;
	s->next_flow = (flow + 1) % l->config.n_flows;
	l->flows[index][flow].next_send++;
	s->n_out++;
	l->result->sent++;
	return 0;
}

static unsigned send_station(struct load *l, struct station *s, uint64_t now)
{
	unsigned sent = 0;

	while (sent < BURST && s->n_out < l->config.window && may_send(l, now) &&
	       send_one(l, s) == 0)
		sent++;
	for (unsigned pair = 0; sent > 0 && pair < l->config.driver.n_pairs; pair++)
		gn_netdrv_kick(s->drv, pair);
	return sent;
}

static uint64_t n_out(const struct load *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->config.n_stations; i++)
		sum += l->stations[i].n_out;
	return sum;
}

/* Nothing came for too long: what is out will not come. */
static void give_up_frames(struct load *l)
{
	for (unsigned i = 0; i < l->config.n_stations; i++) {
		struct station *s = &l->stations[i];

		count_lost(l, s->n_out);
		s->n_out = 0;
		for (unsigned f = 0; f < l->config.n_flows; f++)
			l->flows[i][f].next_receive = l->flows[i][f].next_send;
	}
	note_arrival(l);
}

/* Sleeps until a frame comes to anyone; revives who lost the back end. */
static int sleep_all(struct load *l, int timeout_ms, struct gn_status *status)
{
	struct pollfd p[2 * GN_NETLOAD_MAX_STATIONS];
	int error = 0;

	for (unsigned i = 0; i < l->n_all; i++) {
		struct gn_vring *rx = &gn_netdrv_frontend(l->stations[i].drv)->vrings[0];

		if (!gn_vring_arm(rx))
			return 0;
		p[i] = (struct pollfd){.fd = rx->call_fd, .events = POLLIN};
	}
	poll(p, l->n_all, l->config.driver.n_pairs > 1 ? 1 : timeout_ms);
	for (unsigned i = 0; i < l->n_all && !error; i++) {
		struct gn_frontend *fe = gn_netdrv_frontend(l->stations[i].drv);

		if (p[i].revents & POLLIN)
			gn_vring_drain_call(&fe->vrings[0]);
		if (gn_frontend_gone(fe))
			error = revive(l, &l->stations[i], status);
	}
	return error;
}

static unsigned step(struct load *l)
{
	uint64_t now = gn_clock_monotonic_us();
	unsigned work = 0;

	for (unsigned i = 0; i < l->n_all; i++)
		work += receive_station(l, &l->stations[i]);
	for (unsigned i = 0; i < l->config.n_stations; i++) {
		if (n_out(l) == 0)
			l->last_arrival_us = l->patient_since_us = now;
		work += send_station(l, &l->stations[i], now);
	}
	return work;
}

static int run_load(struct load *l, struct gn_status *status)
{
	uint64_t stall_us = l->config.stall_ms * 1000ull;
	int error = 0;

	l->start_us = l->last_arrival_us = l->patient_since_us = gn_clock_monotonic_us();
	while (!error) {
		uint64_t now;

		if (step(l) == 0)
			error = sleep_all(l, l->config.rate ? 1 : WAIT_MS, status);
		now = gn_clock_monotonic_us();
		if (n_out(l) > 0 && now - l->patient_since_us > stall_us)
			give_up_frames(l);
		if (n_out(l) == 0 && ended(l, now))
			break;
	}
	l->result->elapsed_us = gn_clock_monotonic_us() - l->start_us;
	return error;
}

/* A mirror's copies may come a little after the frames themselves. */
static int drain_observers(struct load *l, struct gn_status *status)
{
	uint64_t quiet_us = gn_clock_monotonic_us();
	uint64_t end_us = quiet_us + DRAIN_US;
	int error = 0;

	while (!error && l->config.n_observers && gn_clock_monotonic_us() < end_us &&
	       gn_clock_monotonic_us() - quiet_us < DRAIN_US / 10) {
		if (step(l) > 0)
			quiet_us = gn_clock_monotonic_us();
		else
			error = sleep_all(l, WAIT_MS, status);
	}
	return error;
}

static bool all_heard(const struct load *l)
{
	uint32_t all = (1u << l->config.n_stations) - 1;

	for (unsigned i = 0; i < l->config.n_stations; i++)
		if ((l->stations[i].heard | 1u << i) != all)
			return false;
	return true;
}

static int introduce(struct load *l, struct gn_status *status)
{
	uint64_t end = gn_clock_monotonic_us() + HEAR_TIMEOUT_US;
	uint64_t next = 0;
	int error = 0;

	while (!error && !all_heard(l)) {
		uint64_t now = gn_clock_monotonic_us();

		if (now > end)
			return gn_status_set(status, GN_UNAVAILABLE,
			                     "the stations do not hear each other's broadcasts");
		for (unsigned i = 0; now >= next && i < l->config.n_stations; i++) {
			uint16_t size = gn_netframe_announce(l->stations[i].number, l->config.vlan,
			                                     l->frame);

			if (gn_netdrv_send(l->stations[i].drv, 0, l->frame, size) == 0)
				gn_netdrv_kick(l->stations[i].drv, 0);
		}
		if (now >= next)
			next = now + ANNOUNCE_US;
		for (unsigned i = 0; i < l->n_all; i++)
			receive_station(l, &l->stations[i]);
		error = sleep_all(l, WAIT_MS, status);
	}
	return error;
}

static int open_station(struct load *l, const char *path, bool observer, struct gn_status *status)
{
	struct station *s = &l->stations[l->n_all];
	int error;

	l->config.driver.socket_path = path;
	error = gn_netdrv_create(&l->config.driver, &s->drv, status);
	if (error)
		return error;
	s->number = l->config.first_station + l->n_all;
	s->observer = observer;
	l->n_all++;
	return 0;
}

static int fill_defaults(struct gn_netload_config *c, struct gn_status *status)
{
	uint16_t least = c->vlan ? GN_NETFRAME_MIN + 4 : GN_NETFRAME_MIN;

	c->n_flows = c->n_flows ? c->n_flows : 16;
	c->min_bytes = c->min_bytes ? c->min_bytes : least;
	c->max_bytes = c->max_bytes ? c->max_bytes : c->min_bytes;
	c->first_station = c->first_station ? c->first_station : 1;
	c->window = c->window ? c->window : 64;
	c->stall_ms = c->stall_ms ? c->stall_ms : 1000;
	c->driver.n_pairs = c->driver.n_pairs ? c->driver.n_pairs : 1;
	if (c->n_stations < 2 || c->n_stations > GN_NETLOAD_MAX_STATIONS ||
	    c->n_observers > GN_NETLOAD_MAX_STATIONS)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%u stations: give 2 to %d",
		                     c->n_stations, GN_NETLOAD_MAX_STATIONS);
	if (c->n_flows > MAX_FLOWS || c->min_bytes < least || c->max_bytes < c->min_bytes ||
	    c->max_bytes > GN_NETFRAME_MAX)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "frames of %u to %u bytes in %u flows: give %u to %d, and 1 to "
		        "%d flows",
		        c->min_bytes, c->max_bytes, c->n_flows, least, GN_NETFRAME_MAX, MAX_FLOWS);
	return 0;
}

int gn_netload_run(const struct gn_netload_config *config, struct gn_netload_result *result,
                   struct gn_status *status)
{
	struct load *l = calloc(1, sizeof(*l));
	int error;

	memset(result, 0, sizeof(*result));
	if (!l)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a load");
	l->config = *config;
	l->result = result;
	l->random = config->seed | 1;
	error = fill_defaults(&l->config, status);
	for (unsigned i = 0; i < config->n_stations && !error; i++)
		error = open_station(l, config->sockets[i], false, status);
	for (unsigned i = 0; i < config->n_observers && !error; i++)
		error = open_station(l, config->observers[i], true, status);
	if (!error)
		error = introduce(l, status);
	if (!error)
		error = run_load(l, status);
	if (!error)
		error = drain_observers(l, status);
	for (unsigned i = 0; i < l->n_all; i++)
		gn_netdrv_destroy(l->stations[i].drv);
	free(l);
	return error;
}
