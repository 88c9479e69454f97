/* executor.c - see executor.h. A table says, per kind of command, what the domain must be;
 * the functions below it what its numbers must be. */
#include "host-shim/executor.h"

#include <string.h>

#define STATE(s) (1u << GN_VM_##s)

/* Which states a command may start from, which one it leads to (0: the state does not
 * matter), and whether only a domain that gnomon marked as a shadow may be touched. */
static const struct rule {
	unsigned from;
	enum gn_vm_state to;
	bool shadows_only;
	const char *hint; /* what to do when the state is none of 'from' */
} rules[] = {
        [GN_COMMAND_SET_VCPUS] = {STATE(RUNNING), 0, false, "start or resume it first"},
        [GN_COMMAND_SET_MEMORY] = {STATE(RUNNING), 0, false, "start or resume it first"},
        [GN_COMMAND_SET_CPU_LIMIT] = {STATE(RUNNING) | STATE(PAUSED), 0, false, "start it first"},
        [GN_COMMAND_DEFINE_SHADOW] = {STATE(RUNNING) | STATE(PAUSED) | STATE(SHUT_OFF), 0, false,
                                      "wait until it is running or shut off"},
        [GN_COMMAND_START_SHADOW] = {STATE(SHUT_OFF) | STATE(CRASHED), GN_VM_RUNNING, true,
                                     "destroy it first, or resume it if it is paused"},
        [GN_COMMAND_PAUSE_VM] = {STATE(RUNNING), GN_VM_PAUSED, false,
                                 "only a running VM can be "
                                 "paused"},
        [GN_COMMAND_RESUME_VM] = {STATE(PAUSED), GN_VM_RUNNING, false,
                                  "only a paused VM can be "
                                  "resumed"},
        [GN_COMMAND_DESTROY_SHADOW] = {STATE(RUNNING) | STATE(PAUSED) | STATE(CRASHED) |
                                               STATE(OTHER),
                                       GN_VM_SHUT_OFF, true, ""},
        [GN_COMMAND_UNDEFINE_SHADOW] = {STATE(SHUT_OFF) | STATE(CRASHED), 0, true,
                                        "destroy it first"},
        [GN_COMMAND_FENCE_VM] = {STATE(RUNNING) | STATE(PAUSED) | STATE(CRASHED) | STATE(OTHER),
                                 GN_VM_SHUT_OFF, false, ""},
        [GN_COMMAND_START_VM] = {STATE(SHUT_OFF), GN_VM_RUNNING, false, "fence it first"},
};

static const char *state_name(enum gn_vm_state state)
{
	switch (state) {
	case GN_VM_RUNNING:
		return "running";
	case GN_VM_PAUSED:
		return "paused";
	case GN_VM_SHUT_OFF:
		return "shut off";
	case GN_VM_CRASHED:
		return "crashed";
	case GN_VM_OTHER:
		return "between states";
	case GN_VM_UNKNOWN:
		break;
	}
	return "in an unknown state";
}

static enum gn_executor_step aborted(struct gn_status *status, const char *vm, const char *what,
                                     long long expected, long long current)
{
	gn_status_set(status, GN_ABORTED,
	              "%s has %lld %s, not %lld as the command expected; nothing was changed; "
	              "read the current value and decide again",
	              vm, current, what, expected);
	return GN_EXECUTOR_REFUSE;
}

static enum gn_executor_step decide_vcpus(const struct gn_command *c, const struct gn_vm *vm,
                                          struct gn_status *status)
{
	const struct gn_vm_allocation *now = &vm->allocation;

	if (now->vcpus != c->set_vcpus.expected)
		return aborted(status, vm->name, "vCPUs", c->set_vcpus.expected, now->vcpus);
	if (c->set_vcpus.vcpus > now->vcpus_maximum) {
		gn_status_set(status, GN_OUT_OF_RANGE,
		              "%s can have at most %u vCPUs without a restart; %u were asked for",
		              vm->name, now->vcpus_maximum, c->set_vcpus.vcpus);
		return GN_EXECUTOR_REFUSE;
	}
	/* Seen with QEMU 7.2: the vCPU goes, libvirt is not told, the heap is damaged, and the
	 * next plug ends in "double free or corruption": the VM is lost. */
	if (vm->description.tcg && c->set_vcpus.vcpus < now->vcpus) {
		gn_status_set(
		        status, GN_FAILED_PRECONDITION,
		        "%s runs under TCG (without KVM), where QEMU crashes after a vCPU was "
		        "taken away; limit its CPU quota instead",
		        vm->name);
		return GN_EXECUTOR_REFUSE;
	}
	return now->vcpus == c->set_vcpus.vcpus ? GN_EXECUTOR_ALREADY : GN_EXECUTOR_EXECUTE;
}

static enum gn_executor_step decide_memory(const struct gn_command *c, const struct gn_vm *vm,
                                           struct gn_status *status)
{
	const struct gn_vm_allocation *now = &vm->allocation;

	if (now->memory_bytes != c->set_memory.expected_bytes)
		return aborted(status, vm->name, "bytes of memory",
		               (long long)c->set_memory.expected_bytes,
		               (long long)now->memory_bytes);
	if (c->set_memory.bytes > now->memory_maximum_bytes) {
		gn_status_set(status, GN_OUT_OF_RANGE,
		              "%s can have at most %llu bytes of memory without a restart; %llu "
		              "were asked for",
		              vm->name, (unsigned long long)now->memory_maximum_bytes,
		              (unsigned long long)c->set_memory.bytes);
		return GN_EXECUTOR_REFUSE;
	}
	if (now->memory_bytes == c->set_memory.bytes)
		return GN_EXECUTOR_ALREADY;
	if (!vm->description.balloon) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s has no balloon device, so its memory cannot be changed while it "
		              "runs; give it <memballoon model='virtio'/>",
		              vm->name);
		return GN_EXECUTOR_REFUSE;
	}
	return GN_EXECUTOR_EXECUTE;
}

static enum gn_executor_step decide_cpu_limit(const struct gn_command *c, const struct gn_vm *vm,
                                              struct gn_status *status)
{
	const struct gn_vm_allocation *now = &vm->allocation;

	if (!now->cpu_period_us) {
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "libvirt reports no CPU shares or quota for %s: this host's libvirtd "
		              "has no usable cpu cgroup controller",
		              vm->name);
		return GN_EXECUTOR_REFUSE;
	}
	if (c->set_cpu_limit.shares && now->cpu_shares != c->set_cpu_limit.expected_shares)
		return aborted(status, vm->name, "CPU shares",
		               (long long)c->set_cpu_limit.expected_shares,
		               (long long)now->cpu_shares);
	if (c->set_cpu_limit.quota_us && now->cpu_quota_us != c->set_cpu_limit.expected_quota_us)
		return aborted(status, vm->name, "us of CPU quota",
		               c->set_cpu_limit.expected_quota_us, now->cpu_quota_us);
	return gn_executor_reached(c, vm) ? GN_EXECUTOR_ALREADY : GN_EXECUTOR_EXECUTE;
}

static enum gn_executor_step decide_shadow(const struct gn_command *c, const struct gn_vm *vm,
                                           const struct gn_vm *shadow, struct gn_status *status)
{
	const struct gn_shadow_spec *s = &c->define_shadow;

	if (vm->description.shadow_of[0])
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "%s is itself a shadow (of %s); name the production VM", vm->name,
		              vm->description.shadow_of);
	else if (shadow && strcmp(shadow->description.shadow_of, vm->name))
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "a domain '%s' exists that is not a shadow of %s; choose another "
		              "shadow name",
		              s->name, vm->name);
	else if (shadow)
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "%s is already defined; undefine it first to make it anew", s->name);
	else if (s->vcpus > vm->allocation.vcpus_maximum)
		gn_status_set(status, GN_OUT_OF_RANGE,
		              "a shadow of %s can start with at most %u vCPUs; %u were asked for",
		              vm->name, vm->allocation.vcpus_maximum, s->vcpus);
	else if (s->memory_bytes > vm->allocation.memory_maximum_bytes)
		gn_status_set(status, GN_OUT_OF_RANGE,
		              "a shadow of %s can start with at most %llu bytes; %llu were asked "
		              "for",
		              vm->name, (unsigned long long)vm->allocation.memory_maximum_bytes,
		              (unsigned long long)s->memory_bytes);
	else
		return GN_EXECUTOR_EXECUTE;
	return GN_EXECUTOR_REFUSE;
}

/* Whose domain it is: the part that no state can excuse. */
static int check_owner(const struct gn_command *c, const struct gn_vm *vm,
                       const struct gn_command_limits *limits, struct gn_status *status)
{
	bool is_shadow = vm && vm->description.shadow_of[0];
	const char *owner = is_shadow ? vm->description.shadow_of : c->vm;

	if (!gn_command_vm_allowed(limits, owner))
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host does not let a card touch '%s'; add its name to "
		                     "limits.vms in gnomon-shim.yaml if it may",
		                     owner);
	if (!vm)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "libvirt has no domain '%s' on this host", c->vm);
	if (is_shadow && (c->kind == GN_COMMAND_FENCE_VM || c->kind == GN_COMMAND_START_VM))
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "%s is a shadow; %s is for production VMs", c->vm,
		                     gn_command_kind_name(c->kind));
	if (is_shadow)
		return 0;
	if (rules[c->kind].shadows_only)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "%s is not a shadow that gnomon made; %s is only for those",
		                     c->vm, gn_command_kind_name(c->kind));
	if (!limits->allow_pause &&
	    (c->kind == GN_COMMAND_PAUSE_VM || c->kind == GN_COMMAND_RESUME_VM))
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host does not let a card pause production VMs; set "
		                     "limits.allow_pause: true in gnomon-shim.yaml if it may");
	return 0;
}

enum gn_executor_step gn_executor_decide(const struct gn_command *c, const struct gn_vm *vm,
                                         const struct gn_vm *shadow,
                                         const struct gn_command_limits *limits,
                                         struct gn_status *status)
{
	const struct rule *rule = &rules[c->kind];

	if (check_owner(c, vm, limits, status))
		return GN_EXECUTOR_REFUSE;
	if (rule->to && vm->state == rule->to)
		return GN_EXECUTOR_ALREADY;
	if (!(rule->from & (1u << vm->state))) {
		gn_status_set(status, GN_FAILED_PRECONDITION, "%s is %s; %s", c->vm,
		              state_name(vm->state), rule->hint);
		return GN_EXECUTOR_REFUSE;
	}
	switch (c->kind) {
	case GN_COMMAND_SET_VCPUS:
		return decide_vcpus(c, vm, status);
	case GN_COMMAND_SET_MEMORY:
		return decide_memory(c, vm, status);
	case GN_COMMAND_SET_CPU_LIMIT:
		return decide_cpu_limit(c, vm, status);
	case GN_COMMAND_DEFINE_SHADOW:
		return decide_shadow(c, vm, shadow, status);
	case GN_COMMAND_START_SHADOW:
	case GN_COMMAND_PAUSE_VM:
	case GN_COMMAND_RESUME_VM:
	case GN_COMMAND_DESTROY_SHADOW:
	case GN_COMMAND_UNDEFINE_SHADOW:
	case GN_COMMAND_FENCE_VM:
	case GN_COMMAND_START_VM:
		return GN_EXECUTOR_EXECUTE;
	}
	return GN_EXECUTOR_REFUSE;
}

const struct gn_vm *gn_executor_subject(const struct gn_command *c, const struct gn_vm *vm,
                                        const struct gn_vm *shadow)
{
	return c->kind == GN_COMMAND_DEFINE_SHADOW ? shadow : vm;
}

static bool cpu_limit_reached(const struct gn_command *c, const struct gn_vm_allocation *now)
{
	uint64_t shares = c->set_cpu_limit.shares, period = c->set_cpu_limit.period_us;
	int64_t quota = c->set_cpu_limit.quota_us;

	return (!shares || shares == now->cpu_shares) && (!quota || quota == now->cpu_quota_us) &&
	       (!period || period == now->cpu_period_us);
}

bool gn_executor_reached(const struct gn_command *c, const struct gn_vm *subject)
{
	switch (c->kind) {
	case GN_COMMAND_DESTROY_SHADOW:
		return !subject || subject->state == GN_VM_SHUT_OFF;
	case GN_COMMAND_UNDEFINE_SHADOW:
		return !subject;
	case GN_COMMAND_SET_VCPUS:
		return subject && subject->allocation.vcpus == c->set_vcpus.vcpus;
	case GN_COMMAND_SET_MEMORY:
		return subject && subject->allocation.memory_bytes == c->set_memory.bytes;
	case GN_COMMAND_SET_CPU_LIMIT:
		return subject && cpu_limit_reached(c, &subject->allocation);
	case GN_COMMAND_DEFINE_SHADOW:
		return subject && !strcmp(subject->description.shadow_of, c->vm);
	case GN_COMMAND_START_SHADOW:
	case GN_COMMAND_PAUSE_VM:
	case GN_COMMAND_RESUME_VM:
	case GN_COMMAND_FENCE_VM:
	case GN_COMMAND_START_VM:
		return subject && subject->state == rules[c->kind].to;
	}
	return false;
}

int gn_executor_explain(const struct gn_command *c, const struct gn_vm *subject,
                        struct gn_status *status)
{
	if (!subject)
		return gn_status_set(status, GN_ABORTED, "%s disappeared while the command ran",
		                     c->kind == GN_COMMAND_DEFINE_SHADOW ? c->define_shadow.name
		                                                         : c->vm);
	switch (c->kind) {
	case GN_COMMAND_SET_VCPUS:
		return gn_status_set(status, GN_DEADLINE_EXCEEDED,
		                     "libvirt still reports %u vCPUs for %s, not %u: the guest did "
		                     "not cooperate (a vCPU can be taken away only if its kernel "
		                     "offlines it)",
		                     subject->allocation.vcpus, c->vm, c->set_vcpus.vcpus);
	case GN_COMMAND_SET_MEMORY:
		return gn_status_set(
		        status, GN_DEADLINE_EXCEEDED,
		        "the balloon of %s stands at %llu bytes, not %llu: the guest's "
		        "balloon driver is absent, slow or out of memory; the target "
		        "stays set",
		        c->vm, (unsigned long long)subject->allocation.memory_bytes,
		        (unsigned long long)c->set_memory.bytes);
	case GN_COMMAND_SET_CPU_LIMIT:
		return gn_status_set(status, GN_ABORTED,
		                     "libvirt reports shares %llu, quota %lld us, period %llu us "
		                     "for %s, which is not what was set",
		                     (unsigned long long)subject->allocation.cpu_shares,
		                     (long long)subject->allocation.cpu_quota_us,
		                     (unsigned long long)subject->allocation.cpu_period_us, c->vm);
	case GN_COMMAND_DEFINE_SHADOW:
	case GN_COMMAND_START_SHADOW:
	case GN_COMMAND_PAUSE_VM:
	case GN_COMMAND_RESUME_VM:
	case GN_COMMAND_DESTROY_SHADOW:
	case GN_COMMAND_UNDEFINE_SHADOW:
	case GN_COMMAND_FENCE_VM:
	case GN_COMMAND_START_VM:
		break;
	}
	return gn_status_set(status, GN_ABORTED, "%s had no effect: libvirt reports %s as %s",
	                     gn_command_kind_name(c->kind), subject->name,
	                     state_name(subject->state));
}

static bool allocation_unchanged(const struct gn_command *c, const struct gn_vm_allocation *before,
                                 const struct gn_vm_allocation *now)
{
	switch (c->kind) {
	case GN_COMMAND_SET_VCPUS:
		return before->vcpus == now->vcpus;
	case GN_COMMAND_SET_MEMORY:
		return before->memory_bytes == now->memory_bytes;
	case GN_COMMAND_SET_CPU_LIMIT:
		return before->cpu_shares == now->cpu_shares &&
		       before->cpu_quota_us == now->cpu_quota_us &&
		       before->cpu_period_us == now->cpu_period_us;
	case GN_COMMAND_DEFINE_SHADOW:
	case GN_COMMAND_START_SHADOW:
	case GN_COMMAND_PAUSE_VM:
	case GN_COMMAND_RESUME_VM:
	case GN_COMMAND_DESTROY_SHADOW:
	case GN_COMMAND_UNDEFINE_SHADOW:
	case GN_COMMAND_FENCE_VM:
	case GN_COMMAND_START_VM:
		break;
	}
	return false;
}

enum gn_executor_resolution gn_executor_resolve(const struct gn_command *c,
                                                const struct gn_vm_allocation *before,
                                                const struct gn_vm *subject)
{
	if (gn_executor_reached(c, subject))
		return GN_EXECUTOR_DONE;
	if (!subject)
		return c->kind == GN_COMMAND_DEFINE_SHADOW ? GN_EXECUTOR_NOT_EXECUTED
		                                           : GN_EXECUTOR_PARTLY;
	if (allocation_unchanged(c, before, &subject->allocation))
		return GN_EXECUTOR_NOT_EXECUTED;
	/* A state that the command could have started from: it did not happen. */
	if (rules[c->kind].to || c->kind == GN_COMMAND_UNDEFINE_SHADOW)
		return rules[c->kind].from & (1u << subject->state) ? GN_EXECUTOR_NOT_EXECUTED
		                                                    : GN_EXECUTOR_PARTLY;
	return GN_EXECUTOR_PARTLY;
}
