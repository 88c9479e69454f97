/* syscall_name.h - the names of this machine's system calls; the adapter for libseccomp. */
#ifndef GN_BPF_SYSCALL_NAME_H
#define GN_BPF_SYSCALL_NAME_H

#include <stdint.h>

#define GN_SYSCALL_NAME_SIZE 40

/* Of a slot of syscalls_abi.h: "read", "32-bit", "other", or "#451" for what libseccomp does not
 * know. Returns 'out'. */
char *gn_syscall_name(uint32_t slot, char out[GN_SYSCALL_NAME_SIZE]);

#endif
