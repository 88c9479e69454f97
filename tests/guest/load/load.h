/* load.h - the parts of gn-load, the program that makes the test guest work.
 *
 * Each part runs its own threads and follows a target that the main thread sets ten times a
 * second from a pattern. Counters are read by the main thread only for printing. */
#ifndef GN_GUEST_LOAD_H
#define GN_GUEST_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_LOAD_SLICE_MS 50

/* CPU: busy for 'milli' thousandths of one vCPU, spread over as many threads as needed. */
void gn_load_cpu_set(uint64_t milli);

/* Memory: keeps 'mib' MiB allocated and touched. Returns what is held. */
uint64_t gn_load_memory_set(uint64_t mib);

/* Network: UDP to 'peer' port 9 at 'kbps', HTTP/1.1 GETs to peer port 80 at 'rate'/s.
 * Every guest also serves HTTP on port 80 and discards UDP on port 9. */
struct gn_load_network {
	uint64_t udp_sent, udp_received, udp_lost, http_ok, http_failed, http_served;
	uint64_t longest_gap_ms; /* without any UDP packet from the peer, once there was one */
};
void gn_load_network_start(const char *peer); /* NULL: serve only */
void gn_load_network_set_udp(uint64_t kbps);
void gn_load_network_set_http(uint64_t rate);
void gn_load_network_get(struct gn_load_network *out);

/* Disk /dev/vda: random 4 KiB reads and writes, half each, at 'kib' KiB/s in all. */
struct gn_load_disk {
	uint64_t reads, writes, errors;
	/* The verified writer: see gn_load_disk_verify_start(). */
	uint64_t verify_writes, verify_checked, verify_wrong;
	uint64_t longest_ms; /* slowest single request */
	bool verify_running;
};
void gn_load_disk_set(uint64_t kib);
/* Writes stamped blocks with O_DIRECT and fdatasync in the second half of the disk for
 * 'seconds', remembers each block's last acknowledged stamp, then reads all back. */
void gn_load_disk_verify_start(uint64_t seconds);
void gn_load_disk_get(struct gn_load_disk *out);

#endif
