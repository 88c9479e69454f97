/* config.h - gnomon-updater's configuration: /etc/gnomon/update.yaml. Immutable once loaded. */
#ifndef GN_UPDATE_CONFIG_H
#define GN_UPDATE_CONFIG_H

#include <stdint.h>
#include "firmware/core/status.h"

/* All but 'slot_a' and 'slot_b' have defaults, those of a card. */
struct gn_update_config {
	char *listen;          /* ipc:///run/gnomon/update.ipc: service Updater */
	char *dataplane_url;   /* ipc:///run/gnomon/dataplane.ipc */
	char *gnomond_url;     /* ipc:///run/gnomon/gnomond.ipc */
	char *board;           /* /etc/gnomon/board.yaml */
	char *release;         /* /etc/gnomon/release: "VERSION SECURITY" of the running image */
	char *roots;           /* /data/identity/updates.pem: who may sign updates */
	char *environment;     /* /boot/grubenv */
	char *slot_a, *slot_b; /* partitions */
	char *running_file;    /* /run/gnomon/slot: "a" or "b", which of them runs */
	char *good_file;       /* /run/gnomon/good: made when the running slot is good */
	char *state_dir;       /* /data/state/update */
	char **restart;        /* the command that restarts the card: busybox reboot */
	unsigned restart_count;
	uint32_t steady_s; /* 20: well for so long is good; 1..3600 */
	uint32_t
	        patience_s; /* 300: a slot on trial that is not good by then has failed; 10..3600 */
};

int gn_update_config_load(const char *path, struct gn_update_config **out,
                          struct gn_status *status);
void gn_update_config_free(struct gn_update_config *config); /* NULL is fine */

#endif
