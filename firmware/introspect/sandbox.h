/* sandbox.h - takes from a process what it will not need.
 *
 * Two processes: the parser of one VM's memory, which reads what a hostile guest wrote, and its
 * supervisor, which starts parsers and publishes what they find. Both lose the file system and
 * the network; a system call that is not on the list ends a parser at once and fails in the
 * supervisor. */
#ifndef GN_INTROSPECT_SANDBOX_H
#define GN_INTROSPECT_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#define GN_SANDBOX_HEAP_BYTES (512ull << 20) /* besides the guest's memory, mapped before */
#define GN_SANDBOX_STEP_S     20             /* CPU time of one step of a parser ... */
#define GN_SANDBOX_GIB_S      1 /* ... and of each GiB, which a search may read whole */

/* The calling process becomes a parser: no capabilities, nobody's user when it was root, lowest
 * priority, limits on memory and CPU, system calls that compute, read the descriptors it has and
 * send to 'report_fd'. 'mapped_bytes' of guest memory are mapped already. Negative errno. */
int gn_sandbox_parser(int report_fd, uint64_t mapped_bytes);

/* The calling process reads a dump, which is as hostile as a living guest: as a parser, but it
 * writes to standard output and error, at whatever length, and its memory and time are its user's.
 * Standard output must have a buffer (setvbuf()) by then. Negative errno. */
int gn_sandbox_dump(void);

/* CPU time that one step over that much memory may take, in seconds. */
unsigned gn_sandbox_step_s(uint64_t mapped_bytes);

/* Starts the time limit of one step again; at its end the process dies by SIGPROF. */
void gn_sandbox_step(uint64_t mapped_bytes);

/* The calling process becomes the supervisor: no capabilities but those for making parsers
 * powerless, no opening of files, sockets of this machine only, no new programs. Negative errno. */
int gn_sandbox_supervisor(void);

#endif
