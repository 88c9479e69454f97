/* syscalls_abi.h - counters of system calls, shared by syscalls.bpf.c and syscalls.c. */
#ifndef GN_BPF_SYSCALLS_ABI_H
#define GN_BPF_SYSCALLS_ABI_H

/* By number; the last two are no numbers. */
#define GN_SYSCALLS_NUMBERS 510
#define GN_SYSCALLS_COMPAT  510 /* made through the 32-bit interface, whose numbers differ */
#define GN_SYSCALLS_OTHER   511 /* a number beyond, or none (-1) */
#define GN_SYSCALLS_SIZE    512

#endif
