/* fake_host.c - see fake_host.h. */
#include "host-shim/fake_host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host-shim/domain_xml.h"

#define MIB (1024ull * 1024)

static const char production_xml[] =
        "<domain type='qemu'><name>web-1</name><uuid>ed68a2f8-2898-4158-b224-9f89109c281e</uuid>"
        "<memory unit='MiB'>1024</memory><vcpu current='1'>4</vcpu><devices>"
        "<interface type='vhostuser'><mac address='52:54:00:77:00:01'/>"
        "<source type='unix' path='/run/gnomon/web-1-net0.sock' mode='client'/></interface>"
        "<memballoon model='virtio'/></devices></domain>";

struct gn_host {
	struct fake_world *world;
};

static struct fake_world *used;

struct fake_world *fake_world_open(int fd)
{
	void *memory =
	        mmap(NULL, sizeof(struct fake_world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

struct fake_world *fake_world_new(void)
{
	int fd = memfd_create("fake libvirt", 0);
	struct fake_world *w;
	struct gn_vm *vm;

	if (fd < 0 || ftruncate(fd, sizeof *w))
		abort();
	w = fake_world_open(fd);
	w->fd = fd;
	vm = &w->vms[0];
	strcpy(vm->name, "web-1");
	strcpy(vm->uuid, "ed68a2f8-2898-4158-b224-9f89109c281e");
	vm->state = GN_VM_RUNNING;
	vm->allocation = (struct gn_vm_allocation){1, 4, 256 * MIB, 1024 * MIB, 1024, -1, 100000};
	vm->description.balloon = true;
	return w;
}

void fake_world_free(struct fake_world *w)
{
	close(w->fd);
	munmap(w, sizeof *w);
}

void fake_use(struct fake_world *w)
{
	used = w;
}

struct gn_vm *fake_vm(struct fake_world *w, const char *name)
{
	int i;

	for (i = 0; i < FAKE_VMS; i++)
		if (!strcmp(w->vms[i].name, name))
			return &w->vms[i];
	return NULL;
}

int gn_host_create(const char *uri, struct gn_host **out, struct gn_status *status)
{
	struct gn_host *host = malloc(sizeof *host);

	if (!host)
		abort();
	host->world = used;
	*out = host;
	return 0;
}

void gn_host_destroy(struct gn_host *host)
{
	free(host);
}

bool gn_host_connected(struct gn_host *host)
{
	return !host->world->away;
}

void gn_host_last_error(struct gn_host *host, char *out, size_t size)
{
	snprintf(out, size, "%s", host->world->away ? "away" : "");
}

static int reach(struct gn_host *host, struct gn_status *status)
{
	struct fake_world *w = host->world;

	if (w->hang) {
		w->hanging++;
		while (w->hang)
			usleep(1000);
		w->hanging--;
	}
	if (w->away)
		return gn_status_set(status, GN_UNAVAILABLE, "no connection to libvirt: away");
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

int gn_host_get_info(struct gn_host *host, struct gn_host_info *out, struct gn_status *status)
{
	int error = reach(host, status);

	if (error)
		return error;
	*out = (struct gn_host_info){.hostname = "fake", .cpus = 2, .memory_bytes = 4096 * MIB};
	return 0;
}

int gn_host_get_free_memory(struct gn_host *host, uint64_t *out, struct gn_status *status)
{
	*out = 2048 * MIB;
	return reach(host, status);
}

/* What was accepted earlier shows now. */
static void catch_up(struct fake_world *w)
{
	struct gn_vm *vm = fake_vm(w, w->pending_vm);

	if (!w->pending_vm[0] || !vm || --w->lag > 0)
		return;
	if (w->pending_memory)
		vm->allocation.memory_bytes = w->pending_memory;
	if (w->pending_vcpus)
		vm->allocation.vcpus = w->pending_vcpus;
	w->pending_memory = w->pending_vcpus = 0;
	w->pending_vm[0] = '\0';
}

int gn_host_get_vm(struct gn_host *host, const char *name, struct gn_vm *out,
                   struct gn_status *status)
{
	int error = reach(host, status);
	struct gn_vm *vm;

	if (error)
		return error;
	catch_up(host->world);
	vm = fake_vm(host->world, name);
	if (!vm)
		return gn_status_set(status, GN_NOT_FOUND, "libvirt: no domain '%s'", name);
	*out = *vm;
	return 0;
}

int gn_host_list_vms(struct gn_host *host, struct gn_vm **out, size_t *n_out,
                     struct gn_status *status)
{
	int i, error = reach(host, status);

	if (error)
		return error;
	*out = calloc(FAKE_VMS, sizeof **out);
	*n_out = 0;
	for (i = 0; i < FAKE_VMS; i++)
		if (host->world->vms[i].name[0])
			(*out)[(*n_out)++] = host->world->vms[i];
	return 0;
}

int gn_host_get_stats(struct gn_host *host, struct gn_vm_stats **out, size_t *n_out,
                      struct gn_status *status)
{
	int error = reach(host, status);

	if (error)
		return error;
	*out = calloc(1, sizeof **out);
	*n_out = 1;
	strcpy((*out)->name, "web-1");
	(*out)->cpu_time_ns = 5;
	(*out)->state = GN_VM_RUNNING;
	(*out)->wants_period = true;
	return 0;
}

/* ---- changing ------------------------------------------------------------------------------ */

typedef void effect_fn(struct fake_world *w, struct gn_vm *vm, const void *argument);

static int change(struct gn_host *host, const char *name, effect_fn *effect, const void *argument,
                  struct gn_status *status)
{
	struct fake_world *w = host->world;
	struct gn_vm *vm = fake_vm(w, name);
	int error = reach(host, status), fault;

	w->calls++;
	if (error)
		return error;
	fault = atomic_exchange(&w->fault, FAKE_NONE);
	if (fault == FAKE_REFUSE)
		return gn_status_set(status, GN_INTERNAL, "libvirt: the hypervisor said no");
	if (fault == FAKE_DIE_BEFORE)
		raise(SIGKILL);
	if (fault == FAKE_LOSE_BEFORE)
		return gn_status_set(status, GN_UNAVAILABLE, "libvirt: Broken pipe");
	if (fault == FAKE_STUBBORN)
		return 0;
	w->changes++;
	effect(w, vm, argument);
	if (fault == FAKE_DIE_AFTER)
		raise(SIGKILL);
	if (fault == FAKE_LOSE_AFTER)
		return gn_status_set(status, GN_UNAVAILABLE, "libvirt: Broken pipe");
	if (fault == FAKE_TIMEOUT)
		return gn_status_set(status, GN_DEADLINE_EXCEEDED,
		                     "libvirt: vcpu unplug request timed out");
	return 0;
}

static void to_vcpus(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	if (w->lag) {
		w->pending_vcpus = *(const uint32_t *)argument;
		strcpy(w->pending_vm, vm->name);
	} else {
		vm->allocation.vcpus = *(const uint32_t *)argument;
	}
}

int gn_host_set_vcpus(struct gn_host *host, const char *name, uint32_t vcpus,
                      struct gn_status *status)
{
	return change(host, name, to_vcpus, &vcpus, status);
}

static void to_memory(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	if (w->lag) {
		w->pending_memory = *(const uint64_t *)argument;
		strcpy(w->pending_vm, vm->name);
	} else {
		vm->allocation.memory_bytes = *(const uint64_t *)argument;
	}
}

int gn_host_set_memory(struct gn_host *host, const char *name, uint64_t bytes,
                       struct gn_status *status)
{
	return change(host, name, to_memory, &bytes, status);
}

static void to_shares(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	vm->allocation.cpu_shares = *(const uint64_t *)argument;
}

int gn_host_set_cpu_limit(struct gn_host *host, const char *name, uint64_t shares, int64_t quota_us,
                          uint64_t period_us, struct gn_status *status)
{
	return change(host, name, to_shares, &shares, status);
}

static void to_state(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	vm->state = *(const enum gn_vm_state *)argument;
}

static int set_state(struct gn_host *host, const char *name, enum gn_vm_state state,
                     struct gn_status *status)
{
	return change(host, name, to_state, &state, status);
}

int gn_host_pause(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_PAUSED, status);
}

int gn_host_resume(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_RUNNING, status);
}

int gn_host_start_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_RUNNING, status);
}

int gn_host_destroy_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_SHUT_OFF, status);
}

int gn_host_destroy_vm(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_SHUT_OFF, status);
}

int gn_host_start_vm(struct gn_host *host, const char *name, struct gn_status *status)
{
	return set_state(host, name, GN_VM_RUNNING, status);
}

static void to_nothing(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	memset(vm, 0, sizeof *vm);
}

int gn_host_undefine_shadow(struct gn_host *host, const char *name, struct gn_status *status)
{
	return change(host, name, to_nothing, NULL, status);
}

static void to_period(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	vm->description.balloon_period_s = *(const uint32_t *)argument;
}

int gn_host_set_stats_period(struct gn_host *host, const char *name, uint32_t seconds,
                             struct gn_status *status)
{
	to_period(host->world, fake_vm(host->world, name), &seconds);
	return 0;
}

int gn_host_get_xml(struct gn_host *host, const char *name, char **out, struct gn_status *status)
{
	int error = reach(host, status);

	if (!error)
		*out = strdup(production_xml);
	return error;
}

static void define(struct fake_world *w, struct gn_vm *vm, const void *argument)
{
	const char *xml = argument, *name = strstr(xml, "<name>") + 6;

	vm = fake_vm(w, "");
	if (!vm || gn_domain_xml_describe(xml, &vm->description, NULL))
		abort();
	snprintf(vm->name, sizeof vm->name, "%.*s", (int)strcspn(name, "<"), name);
	strcpy(vm->uuid, "00000000-0000-0000-0000-000000000001");
	vm->state = GN_VM_SHUT_OFF;
	vm->allocation = (struct gn_vm_allocation){1, 4, 64 * MIB, 1024 * MIB, 0, 0, 0};
}

int gn_host_define(struct gn_host *host, const char *xml, char uuid[GN_VM_UUID_SIZE],
                   struct gn_status *status)
{
	return change(host, "", define, xml, status);
}

int gn_host_ensure_pool(struct gn_host *host, const char *name, const char *path,
                        struct gn_status *status)
{
	snprintf(host->world->pool, sizeof host->world->pool, "%s %s", name, path);
	return reach(host, status);
}
