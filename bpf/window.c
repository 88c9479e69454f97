/* window.c - see window.h. */
#include "bpf/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/object.h"
#include "bpf/program.h"

struct gn_window {
	const struct gn_program *program;
	void *skeleton;
};

static const struct gn_program *const programs[GN_WINDOW_KINDS] = {
        [GN_WINDOW_RUNQ] = &gn_program_runq,
        [GN_WINDOW_ONCPU] = &gn_program_oncpu,
        [GN_WINDOW_BLOCKIO] = &gn_program_blockio,
        [GN_WINDOW_SYSCALLS] = &gn_program_syscalls,
};

static const char *const kind_names[GN_WINDOW_KINDS] = {
#define NAME(name, text) text,
        GN_WINDOW_KINDS_X(NAME)
#undef NAME
};

const char *gn_window_kind_name(enum gn_window_kind kind)
{
	return kind_names[kind];
}

int gn_window_kind_parse(const char *name, enum gn_window_kind *out)
{
	unsigned i;

	for (i = 0; i < GN_WINDOW_KINDS; i++)
		if (!strcmp(name, kind_names[i])) {
			*out = (enum gn_window_kind)i;
			return 0;
		}
	return -EINVAL;
}

int gn_window_open(enum gn_window_kind kind, uint32_t process, struct gn_window **out,
                   struct gn_status *status)
{
	struct gn_window *window = calloc(1, sizeof *window);
	int error;

	if (!window)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_bpf_begin();
	window->program = programs[kind];
	window->skeleton = window->program->open(process);
	error = window->skeleton ? window->program->load(window->skeleton) : -errno;
	if (!error)
		error = window->program->attach(window->skeleton);
	if (error) {
		error = gn_bpf_fail(error, kind_names[kind], status);
		gn_window_close(window);
		return error;
	}
	*out = window;
	return 0;
}

void gn_window_start(struct gn_window *window, uint64_t end_us)
{
	window->program->start(window->skeleton, end_us * 1000);
}

int gn_window_read(const struct gn_window *window, struct gn_window_counts *out)
{
	memset(out, 0, sizeof *out);
	return window->program->read(window->skeleton, out);
}

void gn_window_close(struct gn_window *window)
{
	if (!window)
		return;
	window->program->destroy(window->skeleton);
	free(window);
}

int gn_window_probe(enum gn_window_kind kind, struct gn_status *status)
{
	struct gn_window *window;
	int error = gn_window_open(kind, 0, &window, status);

	if (!error)
		gn_window_close(window);
	return error;
}

int gn_program_read_histogram(int map_fd, uint32_t key, const char *name,
                              struct gn_window_counts *out)
{
	struct gn_histogram *h = &out->histograms[out->n_histograms];

	_Static_assert(offsetof(struct gn_histogram, maximum_ns) ==
	                       sizeof *h - sizeof h->maximum_ns,
	               "the maximum is the last word");
	out->names[out->n_histograms++] = name;
	return gn_bpf_sum_and_maximum(map_fd, key, (uint64_t *)h, sizeof *h / sizeof(uint64_t));
}

int gn_program_read_lost(int map_fd, struct gn_window_counts *out)
{
	return gn_bpf_sum(map_fd, 0, &out->lost, 1);
}
