/* ram.c - books of the VMs' memory tables, and their readers (ram.h). */
#include "dataplane/ram/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>
#include <rte_vhost.h>
#include "firmware/core/mutex.h"
#include "proto/ram.h"

#define MAX_READERS 4

struct device {
	LIST_ENTRY(device) link;
	char *socket_path;
	char vm[GN_RAM_MAX_VM];
	uint64_t generation; /* 0: it has no memory */
	uint32_t n_regions;
	struct gn_ram_region regions[GN_RAM_MAX_REGIONS];
	int fds[GN_RAM_MAX_REGIONS];
};

/* One dataplane, one set of books. */
static struct gn_mutex mutex = GN_MUTEX_INITIALIZER;
static struct {
	LIST_HEAD(, device) devices;
	uint64_t generation;
	int readers[MAX_READERS]; /* -1: free */
} ram GN_GUARDED_BY(mutex) = {
        .devices = {NULL},
        .readers = {-1, -1, -1, -1},
};

/* ---- readers ---------------------------------------------------------------------------- */

static bool send_message(int fd, const struct gn_ram_message *message, const int *fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(GN_RAM_MAX_REGIONS * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)message, sizeof *message};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t size = message->n_regions * sizeof(int);

	if (size) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(size);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, size);
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *message;
}

GN_REQUIRES(mutex) static struct device *speaker(const char *vm)
{
	struct device *device, *newest = NULL;

	LIST_FOREACH(device, &ram.devices, link)
	if (device->generation && strcmp(device->vm, vm) == 0 &&
	    (!newest || device->generation > newest->generation))
		newest = device;
	return newest;
}

static struct gn_ram_message make_message(const char *vm, const struct device *device)
{
	struct gn_ram_message message = {.version = GN_RAM_VERSION,
	                                 .kind = device ? GN_RAM_TABLE : GN_RAM_GONE};

	memcpy(message.vm, vm, strlen(vm));
	if (device) {
		message.generation = device->generation;
		message.n_regions = device->n_regions;
		memcpy(message.regions, device->regions, sizeof message.regions);
	}
	return message;
}

static void tell(int *reader, const char *vm, const struct device *device)
{
	struct gn_ram_message message = make_message(vm, device);

	if (*reader < 0 || send_message(*reader, &message, device ? device->fds : NULL))
		return;
	close(*reader);
	*reader = -1;
}

GN_REQUIRES(mutex) static void tell_all(const char *vm)
{
	const struct device *device = speaker(vm);

	for (int i = 0; i < MAX_READERS; i++)
		tell(&ram.readers[i], vm, device);
}

GN_REQUIRES(mutex) static void add_reader(int fd)
{
	struct device *device;
	int i = 0;

	while (i < MAX_READERS && ram.readers[i] >= 0)
		i++;
	if (i == MAX_READERS) {
		/* The oldest is the likeliest to be dead. */
		close(ram.readers[0]);
		memmove(ram.readers, ram.readers + 1, (MAX_READERS - 1) * sizeof *ram.readers);
		i = MAX_READERS - 1;
	}
	ram.readers[i] = fd;
	LIST_FOREACH(device, &ram.devices, link)
	if (speaker(device->vm) == device)
		tell(&ram.readers[i], device->vm, device);
}

void gn_ram_welcome(int fd)
{
	gn_mutex_lock(&mutex);
	add_reader(fd);
	gn_mutex_unlock(&mutex);
}

/* ---- devices ------------------------------------------------------------------------------ */

GN_REQUIRES(mutex) static struct device *find(const char *socket_path)
{
	struct device *device;

	LIST_FOREACH(device, &ram.devices, link)
	if (strcmp(device->socket_path, socket_path) == 0)
		break;
	return device;
}

static void drop_memory(struct device *device)
{
	for (uint32_t i = 0; i < device->n_regions; i++)
		close(device->fds[i]);
	device->n_regions = 0;
	device->generation = 0;
}

/* A descriptor of the same file that cannot write to the guest. */
static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool take_memory(struct device *device, const struct rte_vhost_memory *memory)
{
	for (uint32_t i = 0; i < memory->nregions && i < GN_RAM_MAX_REGIONS; i++) {
		const struct rte_vhost_mem_region *r = &memory->regions[i];
		int fd = r->fd >= 0 ? reopen(r->fd) : -1;

		if (fd < 0)
			continue;
		device->fds[device->n_regions] = fd;
		device->regions[device->n_regions++] = (struct gn_ram_region){
		        r->guest_phys_addr, r->size,
		        r->host_user_addr - (uint64_t)(uintptr_t)r->mmap_addr};
	}
	return device->n_regions != 0;
}

void gn_ram_offer(const char *socket_path, int vid)
{
	struct rte_vhost_memory *memory = NULL;
	struct device *device;

	if (rte_vhost_get_mem_table(vid, &memory) != 0)
		return;
	gn_mutex_lock(&mutex);
	device = find(socket_path);
	if (device) {
		bool spoke = speaker(device->vm) == device;

		drop_memory(device);
		if (take_memory(device, memory))
			device->generation = ++ram.generation;
		if (spoke || device->generation)
			tell_all(device->vm);
	}
	gn_mutex_unlock(&mutex);
	free(memory);
}

void gn_ram_revoke(const char *socket_path)
{
	struct device *device;

	gn_mutex_lock(&mutex);
	device = find(socket_path);
	if (device && device->generation) {
		bool spoke = speaker(device->vm) == device;

		drop_memory(device);
		if (spoke)
			tell_all(device->vm);
	}
	gn_mutex_unlock(&mutex);
}

int gn_ram_bind(const char *socket_path, const char *vm)
{
	struct device *device;

	if (strlen(vm) >= GN_RAM_MAX_VM)
		return -ENAMETOOLONG;
	gn_ram_unbind(socket_path);
	device = calloc(1, sizeof *device);
	if (!device || !(device->socket_path = strdup(socket_path))) {
		free(device);
		return -ENOMEM;
	}
	strcpy(device->vm, vm);
	gn_mutex_lock(&mutex);
	LIST_INSERT_HEAD(&ram.devices, device, link);
	gn_mutex_unlock(&mutex);
	return 0;
}

void gn_ram_unbind(const char *socket_path)
{
	struct device *device;

	gn_mutex_lock(&mutex);
	device = find(socket_path);
	if (device) {
		bool spoke = speaker(device->vm) == device;

		LIST_REMOVE(device, link);
		drop_memory(device);
		if (spoke)
			tell_all(device->vm);
		free(device->socket_path);
		free(device);
	}
	gn_mutex_unlock(&mutex);
}

void gn_ram_forget(void)
{
	struct device *device;

	gn_mutex_lock(&mutex);
	for (int i = 0; i < MAX_READERS; i++) {
		if (ram.readers[i] >= 0)
			close(ram.readers[i]);
		ram.readers[i] = -1;
	}
	while ((device = LIST_FIRST(&ram.devices))) {
		LIST_REMOVE(device, link);
		drop_memory(device);
		free(device->socket_path);
		free(device);
	}
	gn_mutex_unlock(&mutex);
}
