/* config.h - gnomon-dataplane.yaml, read once at start into an immutable struct. The schema in
 * config.c is its documentation; unknown keys and values out of range fail with a sentence.
 *
 *   board: /usr/share/gnomon/board/devbox/board.yaml   required
 *   run_dir: /run/gnomon               sockets; made when missing
 *   state_dir: /var/lib/gnomon/dataplane   what control told us; made when missing
 *   control_url: ipc:///run/gnomon/dataplane.ipc       default: in run_dir
 *   telemetry_url: ipc:///run/gnomon/samples.ipc       default: in run_dir
 *   period_ms: 1000          between two samples, 100..60000
 *   flows_per_vm: 4096       tracked at once; a power of two, 64..1048576; some 264 bytes each
 *   max_frame_bytes: 2048    longest frame of a guest, 1518..9728; sets the size of packet
 *                            buffers, and above 2048 the MTU of DPDK devices
 *   socket_user: libvirt-qemu    owns the vhost-user sockets; default: who runs this
 *   file_prefix: gnomon      keeps DPDK processes apart
 *   ports:                   made at start, as by CreatePort
 *     - {name: ports/web-1-net0, vm: vms/web-1, vlan: 100, queues: 2}
 *     - {name: ports/up1, devargs: "net_af_packet0,iface=eth1", uplink: true}
 *   volumes:                 made at start, as by CreateVolume
 *     - {name: volumes/web-1-vda, vm: vms/web-1, path: /vm/web-1.raw}
 *
 *   nbd_tls:                 certificates for NBD exports with tls, PEM files of gnomon-ca
 *     {ca_file: operators.pem, cert_file: cards/card-1.pem, key_file: cards/card-1.key}
 *   nbd_client_tls:          the same for volumes at an nbds:// server; ca_file signs the server
 *     {ca_file: cards.pem, cert_file: cards/card-1.pem, key_file: cards/card-1.key}
 *
 * The board's uplinks become ports too. What the file makes is not kept in state_dir. */
#ifndef GN_DATAPLANE_CONFIG_H
#define GN_DATAPLANE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"

struct gn_config_port {
	char *name;
	char *vm;
	char *socket_path;
	char *devargs; /* set: a DPDK device; else vhost-user */
	uint32_t vlan;
	uint32_t *trunk_vlans;
	unsigned trunk_vlans_count;
	bool isolated;
	bool uplink;
	uint32_t queues;
};

struct gn_config_volume {
	char *name;
	char *vm;
	char *path;
	char *socket_path;
	char *serial;
	bool read_only;
	uint32_t queues;
};

struct gn_config_tls {
	char *ca_file; /* the root that signs the other side */
	char *cert_file;
	char *key_file;
};

/* Absent strings are NULL in ports and volumes; the others are filled with defaults. */
struct gn_config {
	char *board;
	char *run_dir;
	char *state_dir;
	char *control_url;
	char *telemetry_url;
	uint32_t period_ms;
	uint32_t flows_per_vm;
	uint32_t max_frame_bytes;
	char *socket_user; /* NULL: nobody else */
	char *file_prefix;
	struct gn_config_port *ports;
	unsigned ports_count;
	struct gn_config_volume *volumes;
	unsigned volumes_count;
	struct gn_config_tls *nbd_tls;        /* NULL: no export can have TLS */
	struct gn_config_tls *nbd_client_tls; /* NULL: no store can */
};

/* 0 or a negative errno with a sentence that names the file. */
int gn_config_load(const char *path, struct gn_config **out, struct gn_status *status);
void gn_config_free(struct gn_config *config); /* NULL is fine */

#endif
