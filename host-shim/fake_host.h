/* fake_host.h - a libvirt of a few variables, for tests: libvirt_host.h's functions over
 * memory that outlives the process which uses it, as libvirtd outlives the shim. Faults are
 * set by the test. */
#ifndef GN_SHIM_FAKE_HOST_H
#define GN_SHIM_FAKE_HOST_H

#include <stdatomic.h>
#include "host-shim/libvirt_host.h"

#define FAKE_VMS 4

enum fake_fault {
	FAKE_NONE,
	FAKE_REFUSE,      /* a change fails with libvirt's text */
	FAKE_LOSE_BEFORE, /* the connection breaks, and nothing was done */
	FAKE_LOSE_AFTER,  /* ... and it was done */
	FAKE_DIE_BEFORE,  /* the shim is killed before libvirt hears of it */
	FAKE_DIE_AFTER,   /* ... before libvirt's answer arrives */
	FAKE_STUBBORN,    /* the change is accepted and has no effect */
	FAKE_TIMEOUT,     /* libvirt gives up waiting; the effect comes later */
};

struct fake_world {
	int fd;                     /* of this memory; inherited by children */
	struct gn_vm vms[FAKE_VMS]; /* name empty: none */
	_Atomic int changes;        /* that were carried out */
	_Atomic int calls;          /* of functions that change */
	_Atomic int fault;          /* of the next change; then none */
	_Atomic int away;           /* not 0: no connection */
	_Atomic int hang;           /* not 0: every call waits until it is 0 again */
	_Atomic int hanging;        /* calls that do */
	_Atomic int lag;            /* observations until a memory change shows */
	uint64_t pending_memory;
	char pending_vm[GN_VM_NAME_SIZE];
	uint32_t pending_vcpus;
	char pool[128]; /* "name path" */
};

/* In memory shared with children. One running VM "web-1", 1 of 4 vCPUs, 256 of 1024 MiB. */
struct fake_world *fake_world_new(void);
/* The same memory, in a child that was given the descriptor. */
struct fake_world *fake_world_open(int fd);
void fake_world_free(struct fake_world *world);
struct gn_vm *fake_vm(struct fake_world *world, const char *name); /* NULL: none */

/* What gn_host_create() will give, in this process. */
void fake_use(struct fake_world *world);

#endif
