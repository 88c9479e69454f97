/* config.h - gnomon-introspect.yaml, read once at start into an immutable struct. Unknown keys and
 * values out of range fail with a sentence.
 *
 *   run_dir: /run/gnomon
 *   ram_socket: /run/gnomon/ram.sock          the dataplane's; default: in run_dir
 *   publish_url: ipc:///run/gnomon/guests.ipc default: in run_dir; topic "samples"
 *   period_ms: 1000            between two passes over a VM, 100..60000
 *   top: 10                    processes named by CPU, by memory and by I/O each, 0..20
 *   max_processes: 32768       read of one VM, 16..65536
 *   stale_ms: 1500             a guest's clock may stand still that long, 200..600000
 *   give_up_s: 60              until a VM without a known kernel is UNSUPPORTED, 1..86400
 *   stuck_s: 30                a thread may sleep uninterruptibly that long, 1..86400
 *   leak_s: 300                the growth of memory in use is told over that long, 10..86400
 *   budget_us: 20000           CPU time for one VM, per second; 100..1000000
 *   budget_kib: 262144         read of one VM's memory, per second; 64..16777216 */
#ifndef GN_INTROSPECT_CONFIG_H
#define GN_INTROSPECT_CONFIG_H

#include <stdint.h>
#include "firmware/core/status.h"

struct gn_introspect_config {
	char *run_dir;
	char *ram_socket;
	char *publish_url;
	uint32_t period_ms;
	uint32_t *top; /* never NULL once loaded */
	uint32_t max_processes;
	uint32_t stale_ms;
	uint32_t give_up_s;
	uint32_t stuck_s;
	uint32_t leak_s;
	uint32_t budget_us;
	uint32_t budget_kib;
};

/* 0 or a negative errno with a sentence that names the file. */
int gn_introspect_config_load(const char *path, struct gn_introspect_config **out,
                              struct gn_status *status);
void gn_introspect_config_free(struct gn_introspect_config *config); /* NULL is fine */

#endif
