/* syscalls.c - loads syscalls.bpf.c; see program.h. */
#include "bpf/program.h"

#include "bpf/object.h"
#include "bpf/syscalls.skel.h"

static void *open_program(uint32_t process)
{
	struct gn_syscalls_bpf *skeleton = gn_syscalls_bpf__open();

	if (skeleton)
		skeleton->rodata->target = process;
	return skeleton;
}

static int load(void *skeleton)
{
	return gn_syscalls_bpf__load(skeleton);
}

static int attach(void *skeleton)
{
	return gn_syscalls_bpf__attach(skeleton);
}

static void start(void *skeleton, uint64_t end_ns)
{
	((struct gn_syscalls_bpf *)skeleton)->bss->end_ns = end_ns;
}

static int read_counts(const void *skeleton, struct gn_window_counts *out)
{
	const struct gn_syscalls_bpf *s = skeleton;
	int error = 0;
	uint32_t i;

	for (i = 0; i < GN_SYSCALLS_SIZE && !error; i++)
		error = gn_bpf_sum(bpf_map__fd(s->maps.calls), i, &out->calls[i], 1);
	return error;
}

static void destroy(void *skeleton)
{
	gn_syscalls_bpf__destroy(skeleton);
}

const struct gn_program gn_program_syscalls = {open_program, load,        attach,
                                               start,        read_counts, destroy};
