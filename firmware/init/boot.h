/* boot.h - what the card needs before its services: file systems, modules, huge pages, the
 * network, the data partition.
 *
 * Everything but /proc, /sys and /dev may fail: it is said on the console, and the card goes on
 * with what it has, since a card that does not come up cannot be mended from afar. */
#ifndef GN_INIT_BOOT_H
#define GN_INIT_BOOT_H

#include <stdbool.h>

/* From the kernel's command line:
 *   gn.net=eth0,192.0.2.7/24[,192.0.2.1]   an interface, its address, a gateway; "dhcp" for the
 *                                          address asks the network
 *   gn.data=/dev/vdb                       the data partition; else the one named or labelled
 * gn-data gn.slot=a gn.state=trial               which slot was booted, and what it was then
 *
 * Partitions whose GPT names begin with "gn-" are linked in /dev/gn; gn-esp is mounted on /boot,
 * and /run/gnomon/slot then says which slot runs. */
struct gn_boot {
	char net[128];
	char data[64];
	char slot[8];
	char state[16];
	bool has_data; /* /data is a disk; else it is forgotten at the next boot */
};

void gn_boot(struct gn_boot *boot);

/* Runs a program and waits; its exit status, or -1. 'words' ends with NULL. */
int gn_boot_run(char *const words[]);

#endif
