/* board.h - a board as data: what the card (or the machine that plays one) has.
 *
 * board/<name>/board.yaml is read once at start into an immutable struct. Unknown keys and
 * values out of range fail with a sentence. Every 'if' about hardware asks this struct. */
#ifndef GN_BOARD_H
#define GN_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"

enum gn_board_idle { GN_BOARD_POLL, GN_BOARD_BACKOFF };
/* How an image gets onto it the first time. */
enum gn_board_flash { GN_BOARD_FLASH_NONE, GN_BOARD_FLASH_DISK, GN_BOARD_FLASH_BFB };

/* What hardware may have or lack; explain.h says what follows. The name is the file's word. */
#define GN_BOARD_CAPABILITIES(X)                                                                   \
	X(VHOST_USER, "vhost-user")     /* QEMU's sockets and guests' RAM are on this machine */   \
	X(REPRESENTORS, "representors") /* an e-switch that shows each VM's port as a device */    \
	X(FLOW_MIRROR, "flow-mirror")   /* it can copy packets: rte_flow SAMPLE */                 \
	X(FLOW_METER, "flow-meter")     /* it can limit them: rte_flow METER */                    \
	X(WATCHDOG, "watchdog")         /* hardware that resets a card that hangs */               \
	X(SLOTS, "slots")               /* a disk with two images */

enum gn_board_capability {
#define X(name, word) GN_BOARD_CAN_##name,
	GN_BOARD_CAPABILITIES(X)
#undef X
	        GN_BOARD_N_CAPABILITIES
};

struct gn_board_uplink {
	char *name;    /* becomes "ports/<name>" */
	char *devargs; /* DPDK device, "net_tap0,iface=gn-up0" */
	uint32_t vlan; /* access VLAN; 0: trunk */
};

struct gn_board {
	char *name;
	char *compatible; /* "gnomon,devbox"; an image or update must carry the same */
	enum gn_board_idle idle;
	uint32_t main_lcore;
	uint32_t *workers; /* lcores that poll */
	unsigned workers_count;
	bool hugepages;      /* else --no-huge */
	uint32_t memory_mib; /* for DPDK; 64..1048576 */
	uint32_t mbufs;      /* packet buffers; 1024..16777216 */
	struct gn_board_uplink *uplinks;
	unsigned uplinks_count;
	char **eal_args; /* further EAL arguments, as they are */
	unsigned eal_args_count;
	uint32_t can; /* bit 1 << GN_BOARD_CAN_X of each capability that it has */
	enum gn_board_flash flash;
	char **drivers; /* DPDK's that its image has besides those of every board: "net_mlx5" */
	unsigned drivers_count;
};

/* Loads and checks the file. 0 or a negative errno with a sentence in 'status'. */
int gn_board_load(const char *path, struct gn_board **out, struct gn_status *status);
void gn_board_free(struct gn_board *board); /* NULL is fine */

#endif
