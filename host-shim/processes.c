/* processes.c - see processes.h. What was found is kept, and looked at again with each use: a
 * whole search of /proc is made when a VM is missing, at most every SEARCH_US. */
#include "host-shim/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "firmware/core/mutex.h"
#include "host-shim/qemu_process.h"

#define SEARCH_US 1000000u
#define MAX_FOUND GN_TASKS_MAX
#define LINE_SIZE 32768 /* QEMU has its name early in its command line */

struct found {
	char vm[GN_VM_NAME_SIZE];
	uint32_t process;
	bool is_machine;
	bool is_twice;
};

struct gn_processes {
	struct gn_mutex lock;   /* everything below */
	struct gn_tasks *tasks; /* NULL: cannot be read, because of 'why' */
	struct gn_status why;
	struct found found[MAX_FOUND];
	size_t n_found;
	uint64_t searched_us; /* monotonic; 0: never */
};

/* ---- /proc ------------------------------------------------------------------------------ */

static size_t read_file(uint32_t process, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%u/%s", process, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, out, size);
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

static bool read_vm(uint32_t process, char vm[GN_VM_NAME_SIZE])
{
	char line[LINE_SIZE];
	size_t n = read_file(process, "cmdline", line, sizeof line);

	return n && gn_qemu_process_vm(line, n, vm);
}

static bool is_machine(uint32_t process)
{
	char text[4096];
	size_t n = read_file(process, "cgroup", text, sizeof text);

	return gn_qemu_process_is_machine(text, n);
}

bool gn_processes_is_alive(const char *vm, uint32_t process)
{
	char name[GN_VM_NAME_SIZE];

	return read_vm(process, name) && !strcmp(name, vm);
}

/* ---- what was found ----------------------------------------------------------------------- */

static struct found *look_up(struct gn_processes *p, const char *vm)
{
	size_t i;

	for (i = 0; i < p->n_found; i++)
		if (!strcmp(p->found[i].vm, vm))
			return &p->found[i];
	return NULL;
}

static void note(struct gn_processes *p, const char *vm, uint32_t process)
{
	struct found *f = look_up(p, vm);
	bool machine = is_machine(process);

	if (f && machine == f->is_machine) {
		f->is_twice = true;
	} else if (f && !machine) {
		return;
	} else if (!f) {
		if (p->n_found == MAX_FOUND)
			return;
		f = &p->found[p->n_found++];
		strcpy(f->vm, vm);
		f->is_twice = false;
	} else {
		f->is_twice = false;
	}
	f->process = process;
	f->is_machine = machine;
}

static void search(struct gn_processes *p)
{
	DIR *proc = opendir("/proc");
	char vm[GN_VM_NAME_SIZE];
	struct dirent *entry;

	p->n_found = 0;
	p->searched_us = gn_clock_monotonic_us();
	while (proc && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0])) {
			uint32_t process = (uint32_t)strtoul(entry->d_name, NULL, 10);

			if (read_vm(process, vm))
				note(p, vm, process);
		}
	if (proc)
		closedir(proc);
}

static struct found *find(struct gn_processes *p, const char *vm)
{
	struct found *f = look_up(p, vm);

	if (f && gn_processes_is_alive(vm, f->process))
		return f;
	if (p->searched_us && gn_clock_monotonic_us() - p->searched_us < SEARCH_US)
		return NULL;
	search(p);
	return look_up(p, vm);
}

static int find_one(struct gn_processes *p, const char *vm, uint32_t *out, struct gn_status *status)
{
	const struct found *f = find(p, vm);

	if (!f)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "no QEMU process of vms/%s is found; is the VM running, and "
		                     "does /proc show other users' processes?",
		                     vm);
	if (f->is_twice)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "several processes claim to be vms/%s (%u is one); end those "
		                     "that libvirt did not start",
		                     vm, f->process);
	*out = f->process;
	return 0;
}

/* ---- the door ----------------------------------------------------------------------------- */

int gn_processes_create(struct gn_processes **out, struct gn_status *status)
{
	struct gn_processes *p = calloc(1, sizeof *p);

	if (!p)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_mutex_init(&p->lock);
	if (gn_tasks_open(&p->tasks, &p->why))
		p->tasks = NULL;
	*out = p;
	return 0;
}

void gn_processes_destroy(struct gn_processes *p)
{
	if (!p)
		return;
	gn_tasks_close(p->tasks);
	gn_mutex_destroy(&p->lock);
	free(p);
}

int gn_processes_check(const struct gn_processes *p, struct gn_status *status)
{
	if (p->tasks)
		return 0;
	return gn_status_set(status, p->why.code, "%s", p->why.message);
}

int gn_processes_find(struct gn_processes *p, const char *vm, uint32_t *out,
                      struct gn_status *status)
{
	int error;

	gn_mutex_lock(&p->lock);
	error = find_one(p, vm, out, status);
	gn_mutex_unlock(&p->lock);
	return error;
}

int gn_processes_threads(struct gn_processes *p, const char *vm, struct gn_tasks_record **out,
                         size_t *n_out, struct gn_status *status)
{
	uint32_t process;
	int error = gn_processes_check(p, status);

	if (error)
		return error;
	gn_mutex_lock(&p->lock);
	error = find_one(p, vm, &process, status);
	if (!error) {
		error = gn_tasks_read(p->tasks, &process, 1, out, n_out);
		if (error)
			gn_status_set(status, GN_INTERNAL, "reading the threads of %u: %s", process,
			              strerror(-error));
	}
	gn_mutex_unlock(&p->lock);
	return error;
}

static void fill(struct gn_processes *p, struct gn_vm_stats *vms, size_t n, const uint32_t *ids,
                 size_t n_ids)
{
	struct gn_tasks_record *records;
	size_t i, n_records;

	if (!n_ids || gn_tasks_read(p->tasks, ids, n_ids, &records, &n_records))
		return;
	for (i = 0; i < n; i++) {
		const struct found *f = look_up(p, vms[i].name);

		if (!f || f->is_twice)
			continue;
		gn_tasks_sum(records, n_records, f->process, &vms[i].process);
		vms[i].process_id = vms[i].process.n_threads ? f->process : 0;
	}
	free(records);
}

void gn_processes_fill(struct gn_processes *p, struct gn_vm_stats *vms, size_t n)
{
	uint32_t ids[MAX_FOUND];
	size_t i, n_ids = 0;

	if (!p->tasks)
		return;
	gn_mutex_lock(&p->lock);
	for (i = 0; i < n && n_ids < MAX_FOUND; i++)
		if (find_one(p, vms[i].name, &ids[n_ids], NULL) == 0)
			n_ids++;
	fill(p, vms, n, ids, n_ids);
	gn_mutex_unlock(&p->lock);
}
