/* ethdev.c - any DPDK poll-mode driver as a port (port.h): an uplink, a representor, or in
 * tests net_ring and net_pcap. Where the driver has a receive descriptor (net_tap, cards),
 * a back-off worker sleeps on it, else its sleep is bounded by POLL_US. */
#include "dataplane/port/port.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include "dataplane/graph/graph.h"

#define N_DESCRIPTORS 1024
#define POLL_US       300
#define NO_DEVICE     RTE_MAX_ETHPORTS

struct ethdev_port {
	struct gn_port port;
	uint16_t id;
	bool started;
	bool linear_only; /* cannot send chained mbufs */
	char *devargs;
};

static unsigned ethdev_rx(struct gn_port *port, unsigned queue, struct rte_mbuf **mbufs, unsigned n)
{
	return rte_eth_rx_burst(((struct ethdev_port *)port)->id, (uint16_t)queue, mbufs,
	                        (uint16_t)n);
}

static unsigned tx_linear(uint16_t id, struct rte_mbuf **mbufs, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (mbufs[i]->next && rte_pktmbuf_linearize(mbufs[i]) != 0)
			break;
	return rte_eth_tx_burst(id, 0, mbufs, (uint16_t)i);
}

static unsigned ethdev_tx(struct gn_port *port, struct rte_mbuf **mbufs, struct gn_packet **packets,
                          unsigned n)
{
	struct ethdev_port *e = (struct ethdev_port *)port;

	if (unlikely(e->linear_only))
		return tx_linear(e->id, mbufs, n);
	return rte_eth_tx_burst(e->id, 0, mbufs, (uint16_t)n);
}

static bool ethdev_arm(struct gn_pollable *pollable)
{
	struct ethdev_port *e = (struct ethdev_port *)pollable;
	unsigned i;

	for (i = 0; i < e->port.n_rx_queues; i++)
		rte_eth_dev_rx_intr_enable(e->id, (uint16_t)i);
	return true;
}

static void ethdev_disarm(struct gn_pollable *pollable)
{
	struct ethdev_port *e = (struct ethdev_port *)pollable;
	unsigned i;

	for (i = 0; i < e->port.n_rx_queues; i++)
		rte_eth_dev_rx_intr_disable(e->id, (uint16_t)i);
}

/* Descriptors that become readable when packets come; bounded sleep without. Some drivers
 * have them only once they are started. */
static void find_descriptors(struct ethdev_port *e)
{
	struct gn_pollable *pollable = &e->port.pollable;
	unsigned i;

	pollable->n_fds = 0;

	for (i = 0; i < e->port.n_rx_queues; i++) {
		int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, (uint16_t)i);

		if (fd < 0)
			break;
		pollable->fds[pollable->n_fds++] = fd;
	}
	rte_log_set_level_pattern("lib.ethdev", RTE_LOG_WARNING);
	if (i < e->port.n_rx_queues) {
		pollable->n_fds = 0;
		pollable->max_sleep_us = POLL_US;
		return;
	}
	pollable->arm = ethdev_arm;
	pollable->disarm = ethdev_disarm;
}

static int set_up_queues(struct ethdev_port *e, struct rte_mempool *pool)
{
	int socket = rte_eth_dev_socket_id(e->id);
	uint16_t n_rx = N_DESCRIPTORS, n_tx = N_DESCRIPTORS;
	uint16_t i;
	int err;

	err = rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &n_rx, &n_tx);
	for (i = 0; i < e->port.n_rx_queues && !err; i++)
		err = rte_eth_rx_queue_setup(e->id, i, n_rx, (unsigned)socket, NULL, pool);
	for (i = 0; i < e->port.n_tx_queues && !err; i++)
		err = rte_eth_tx_queue_setup(e->id, i, n_tx, (unsigned)socket, NULL);
	return err;
}

/* Software drivers that copy a packet within 'tx'. DPDK has no flag for it. */
static bool copies_when_sending(const char *driver)
{
	static const char *const names[] = {"net_tap", "net_af_packet", "net_pcap", "net_null"};
	unsigned i;

	for (i = 0; i < RTE_DIM(names); i++)
		if (strcmp(driver, names[i]) == 0)
			return true;
	return false;
}

static int configure(struct ethdev_port *e, const struct gn_port_config *config)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = {.intr_conf.rxq = 1};
	int err = rte_eth_dev_info_get(e->id, &info);

	if (err)
		return err;
	e->port.n_rx_queues = (uint16_t)RTE_MIN(config->queues, info.max_rx_queues);
	/* Some drivers (net_tap) want as many to send. */
	e->port.n_tx_queues = (uint16_t)RTE_MIN(config->queues, info.max_tx_queues);
	if (e->port.n_rx_queues > 1 && info.flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
		        info.flow_type_rss_offloads &
		        (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	e->port.done_when_sent = copies_when_sending(info.driver_name);
	e->linear_only = !(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	if (!e->linear_only)
		conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	err = rte_eth_dev_configure(e->id, e->port.n_rx_queues, e->port.n_tx_queues, &conf);
	if (err) {
		conf.intr_conf.rxq = 0;
		err = rte_eth_dev_configure(e->id, e->port.n_rx_queues, e->port.n_tx_queues, &conf);
	}
	if (!err && config->max_frame_bytes > RTE_MBUF_DEFAULT_DATAROOM)
		err = rte_eth_dev_set_mtu(e->id, config->max_frame_bytes - RTE_ETHER_HDR_LEN - 4);
	if (!err)
		err = set_up_queues(e, config->pool);
	/* One lcore sends, always on queue 0. */
	e->port.n_tx_queues = 1;
	return err;
}

/* The first device that matches. */
static uint16_t find_device(const char *devargs)
{
	struct rte_dev_iterator it;
	char name[RTE_ETH_NAME_MAX_LEN];
	uint16_t id;

	snprintf(name, sizeof name, "%.*s", (int)strcspn(devargs, ","), devargs);
	if (rte_eth_dev_get_port_by_name(name, &id) == 0)
		return id;
	id = NO_DEVICE;
	if (rte_eth_iterator_init(&it, devargs) == 0) {
		id = rte_eth_iterator_next(&it);
		rte_eth_iterator_cleanup(&it);
	}
	return id;
}

static int probe(struct ethdev_port *e, struct gn_status *status)
{
	int err = rte_dev_probe(e->devargs);

	e->id = err ? NO_DEVICE : find_device(e->devargs);
	if (e->id != NO_DEVICE)
		return 0;
	gn_status_set(status, GN_FAILED_PRECONDITION,
	              "DPDK finds no device for devargs '%s' (%s); check its spelling and that the "
	              "device is there and not in use",
	              e->devargs, err ? rte_strerror(-err) : "no port of that name");
	return -ENODEV;
}

/* net_tap reads its descriptor only after a real-time signal told it to. If another thread
 * took the signal, the lcore could be woken by the descriptor, find nothing yet, and sleep
 * over the packets; so in the dataplane only lcores take them (main.c). */
static void hear_signals(void *arg)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int ethdev_start(struct gn_port *port, struct gn_status *status)
{
	struct ethdev_port *e = (struct ethdev_port *)port;
	int err;

	if (port->worker)
		gn_worker_call(port->worker, hear_signals, NULL);
	err = rte_eth_dev_start(e->id);
	if (err)
		return gn_status_set(status, GN_INTERNAL, "device '%s' does not start: %s",
		                     e->devargs, rte_strerror(-err));
	e->started = true;
	find_descriptors(e);
	rte_eth_promiscuous_enable(e->id); /* a switch takes every address; not all can */
	rte_eth_dev_set_link_up(e->id);
	return 0;
}

/* The device must be idle: its port is in no graph any more. */
static void ethdev_stop(struct gn_port *port)
{
	struct ethdev_port *e = (struct ethdev_port *)port;

	if (e->started)
		rte_eth_dev_stop(e->id);
	e->started = false;
}

/* Unplugs the device, unless it has further ports (representors). */
static void close_device(uint16_t id)
{
	struct rte_eth_dev_info info;
	uint16_t other;

	if (rte_eth_dev_info_get(id, &info) != 0)
		return;
	rte_eth_dev_close(id);
	RTE_ETH_FOREACH_DEV_OF(other, info.device)
	return;
	rte_dev_remove(info.device);
}

static void ethdev_free(struct gn_port *port)
{
	struct ethdev_port *e = (struct ethdev_port *)port;

	if (e->id != NO_DEVICE)
		close_device(e->id);
	free(e->devargs);
	gn_port_fini(port);
	free(e);
}

static const struct gn_port_ops ethdev_ops = {
        .rx = ethdev_rx,
        .tx = ethdev_tx,
        .start = ethdev_start,
        .stop = ethdev_stop,
        .free = ethdev_free,
};

int gn_port_ethdev_create(struct gn_worker *worker, const struct gn_port_config *config,
                          struct gn_port **out, struct gn_status *status)
{
	struct ethdev_port *e = calloc(1, sizeof *e);
	int err;

	if (!e || gn_port_init(&e->port, &ethdev_ops, worker, config) != 0) {
		free(e);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for port '%s'",
		                     config->name);
	}
	e->id = NO_DEVICE;
	e->devargs = strdup(config->devargs);
	err = e->devargs ? probe(e, status) : -ENOMEM;
	if (!err) {
		err = configure(e, config);
		if (err)
			gn_status_set(status, GN_INTERNAL, "device '%s' cannot be configured: %s",
			              e->devargs, rte_strerror(-err));
	}
	if (err) {
		ethdev_free(&e->port);
		return err;
	}
	*out = &e->port;
	return 0;
}
