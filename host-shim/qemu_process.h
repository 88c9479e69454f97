/* qemu_process.h - which VM a process runs, by its command line as /proc shows it. Pure. */
#ifndef GN_SHIM_QEMU_PROCESS_H
#define GN_SHIM_QEMU_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include "host-shim/vm.h"

/* 'line' holds 'size' bytes: arguments, each ended by a NUL (the last one perhaps not). True for
 * QEMU started as libvirt does it, "-name guest=NAME,...", and writes the name. */
bool gn_qemu_process_vm(const char *line, size_t size, char name[GN_VM_NAME_SIZE]);

/* Whether the text of /proc/PID/cgroup puts the process below libvirt's partition "machine",
 * where nobody but root can put one. */
bool gn_qemu_process_is_machine(const char *cgroups, size_t size);

#endif
