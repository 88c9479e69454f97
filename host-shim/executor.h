/* executor.h - what to do about a command, given what libvirt says is the case.
 *
 * Three questions, asked in this order by the service, each answered from the command and
 * one observation: may it be executed now (decide), has it had its effect (reached), and,
 * after a crash in between, what became of it (resolve). Every effect is absolute ("2
 * vCPUs", never "one more"), so an execution that is repeated by mistake changes nothing.
 *
 * Observations: 'vm' is the domain that the command names and 'shadow', for DEFINE_SHADOW
 * only, the domain with the new shadow's name; NULL where libvirt has no such domain.
 * Pure: no I/O, clock or allocation. */
#ifndef GN_SHIM_EXECUTOR_H
#define GN_SHIM_EXECUTOR_H

#include "host-shim/command.h"

enum gn_executor_step {
	GN_EXECUTOR_REFUSE,  /* 'status' says why; nothing may be changed */
	GN_EXECUTOR_ALREADY, /* as it should be; nothing to change */
	GN_EXECUTOR_EXECUTE,
};

/* Only VMs that the limits name may be touched, and shadows of those. vCPUs are taken away
 * only from VMs on KVM: QEMU's TCG does not survive it. On REFUSE 'status' has NOT_FOUND,
 * ABORTED (another current value than expected), FAILED_PRECONDITION, PERMISSION_DENIED,
 * OUT_OF_RANGE or ALREADY_EXISTS. */
enum gn_executor_step gn_executor_decide(const struct gn_command *command, const struct gn_vm *vm,
                                         const struct gn_vm *shadow,
                                         const struct gn_command_limits *limits,
                                         struct gn_status *status);

/* The domain that a command changes: the shadow for DEFINE_SHADOW, otherwise the VM. */
const struct gn_vm *gn_executor_subject(const struct gn_command *command, const struct gn_vm *vm,
                                        const struct gn_vm *shadow);

/* Whether 'subject' (NULL: gone) is as the command wants it. */
bool gn_executor_reached(const struct gn_command *command, const struct gn_vm *subject);

/* Says in 'status' how far it got, for a command whose effect did not appear in time. */
int gn_executor_explain(const struct gn_command *command, const struct gn_vm *subject,
                        struct gn_status *status);

enum gn_executor_resolution {
	GN_EXECUTOR_DONE,
	GN_EXECUTOR_NOT_EXECUTED, /* as before it: the same command may be executed */
	GN_EXECUTOR_PARTLY,       /* neither; may still be moving */
};

/* 'before' is the allocation that was noted when the command was begun. */
enum gn_executor_resolution gn_executor_resolve(const struct gn_command *command,
                                                const struct gn_vm_allocation *before,
                                                const struct gn_vm *subject);

#endif
