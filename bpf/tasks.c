/* tasks.c - see tasks.h. */
#include "bpf/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/object.h"
#include "bpf/tasks.skel.h"

#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu /* its inode, PROC_PID_INIT_INO */
#define CHUNK                 65536

struct gn_tasks {
	struct gn_tasks_bpf *skeleton;
	struct bpf_link *link;
	uint32_t wanted[GN_TASKS_MAX];
	size_t n_wanted;
};

/* The iterator counts in the host's numbers; elsewhere they name other processes. */
static int check_namespace(struct gn_status *status)
{
	struct stat info;

	if (stat("/proc/self/ns/pid", &info) || info.st_ino == INITIAL_PID_NAMESPACE)
		return 0;
	return gn_status_set(status, GN_FAILED_PRECONDITION,
	                     "threads can be read only in the host's own pid namespace; run this "
	                     "process outside of containers");
}

int gn_tasks_open(struct gn_tasks **out, struct gn_status *status)
{
	struct gn_tasks *t;
	int error = check_namespace(status);

	if (error)
		return error;
	t = calloc(1, sizeof *t);
	if (!t)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_bpf_begin();
	t->skeleton = gn_tasks_bpf__open();
	error = t->skeleton ? gn_tasks_bpf__load(t->skeleton) : -errno;
	if (!error) {
		t->link = bpf_program__attach_iter(t->skeleton->progs.gn_tasks, NULL);
		error = t->link ? 0 : -errno;
	}
	if (error) {
		error = gn_bpf_fail(error, "reading threads", status);
		gn_tasks_close(t);
		return error;
	}
	*out = t;
	return 0;
}

void gn_tasks_close(struct gn_tasks *t)
{
	if (!t)
		return;
	bpf_link__destroy(t->link);
	gn_tasks_bpf__destroy(t->skeleton);
	free(t);
}

/* Makes the map hold exactly these. */
static int want(struct gn_tasks *t, const uint32_t *ids, size_t n)
{
	int map = bpf_map__fd(t->skeleton->maps.wanted);
	const uint8_t yes = 1;
	size_t i;

	if (n > GN_TASKS_MAX)
		return -E2BIG;
	if (n == t->n_wanted && memcmp(ids, t->wanted, n * sizeof *ids) == 0)
		return 0;
	for (i = 0; i < t->n_wanted; i++)
		bpf_map_delete_elem(map, &t->wanted[i]);
	t->n_wanted = 0;
	for (i = 0; i < n; i++) {
		if (bpf_map_update_elem(map, &ids[i], &yes, BPF_ANY))
			return -errno;
		t->wanted[t->n_wanted++] = ids[i];
	}
	return 0;
}

static int read_all(int fd, char **out, size_t *size)
{
	char *data = NULL;
	size_t used = 0, room = 0;
	ssize_t n;

	do {
		if (room - used < CHUNK) {
			char *more = realloc(data, room + 2 * CHUNK);

			if (!more) {
				free(data);
				return -ENOMEM;
			}
			data = more;
			room += 2 * CHUNK;
		}
		n = read(fd, data + used, room - used);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	if (n < 0) {
		free(data);
		return -errno;
	}
	*out = data;
	*size = used;
	return 0;
}

static int by_process(const void *a, const void *b)
{
	const struct gn_tasks_record *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->thread < y->thread ? -1 : x->thread > y->thread;
}

int gn_tasks_read(struct gn_tasks *t, const uint32_t *ids, size_t n_ids,
                  struct gn_tasks_record **out, size_t *n_out)
{
	char *data = NULL;
	size_t size = 0;
	int fd, error = want(t, ids, n_ids);

	if (error)
		return error;
	fd = bpf_iter_create(bpf_link__fd(t->link));
	if (fd < 0)
		return -errno;
	error = read_all(fd, &data, &size);
	close(fd);
	if (error)
		return error;
	*out = (struct gn_tasks_record *)data;
	*n_out = size / sizeof **out;
	qsort(*out, *n_out, sizeof **out, by_process);
	return 0;
}

static void add_io(struct gn_tasks_io *total, const struct gn_tasks_io *one)
{
	total->read_calls += one->read_calls;
	total->write_calls += one->write_calls;
	total->read_bytes += one->read_bytes;
	total->write_bytes += one->write_bytes;
}

void gn_tasks_sum(const struct gn_tasks_record *records, size_t n, uint32_t process,
                  struct gn_tasks_total *out)
{
	size_t i;

	memset(out, 0, sizeof *out);
	for (i = 0; i < n; i++) {
		const struct gn_tasks_record *r = &records[i];

		if (r->process != process)
			continue;
		out->n_threads++;
		out->cpu_ns += r->cpu_ns + r->ended_cpu_ns;
		out->run_delay_ns += r->run_delay_ns;
		out->minor_faults += r->minor_faults + r->ended_minor_faults;
		out->major_faults += r->major_faults + r->ended_major_faults;
		add_io(&out->io, &r->io);
		add_io(&out->io, &r->ended_io);
	}
}
