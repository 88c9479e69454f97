/* syscall_name.c - see syscall_name.h. */
#include "bpf/syscall_name.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/syscalls_abi.h"

char *gn_syscall_name(uint32_t slot, char out[GN_SYSCALL_NAME_SIZE])
{
	char *known;

	if (slot == GN_SYSCALLS_COMPAT || slot == GN_SYSCALLS_OTHER) {
		snprintf(out, GN_SYSCALL_NAME_SIZE,
		         slot == GN_SYSCALLS_COMPAT ? "32-bit" : "other");
		return out;
	}
	known = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)slot);
	if (known)
		snprintf(out, GN_SYSCALL_NAME_SIZE, "%s", known);
	else
		snprintf(out, GN_SYSCALL_NAME_SIZE, "#%u", slot);
	free(known);
	return out;
}
