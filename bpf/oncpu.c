/* oncpu.c - loads oncpu.bpf.c; see program.h. */
#include "bpf/program.h"

#include "bpf/object.h"
#include "bpf/oncpu.skel.h"

static void *open_program(uint32_t process)
{
	struct gn_oncpu_bpf *skeleton = gn_oncpu_bpf__open();

	if (skeleton)
		skeleton->rodata->target = process;
	return skeleton;
}

static int load(void *skeleton)
{
	return gn_oncpu_bpf__load(skeleton);
}

static int attach(void *skeleton)
{
	return gn_oncpu_bpf__attach(skeleton);
}

static void start(void *skeleton, uint64_t end_ns)
{
	((struct gn_oncpu_bpf *)skeleton)->bss->end_ns = end_ns;
}

static int read_counts(const void *skeleton, struct gn_window_counts *out)
{
	const struct gn_oncpu_bpf *s = skeleton;
	int error = gn_program_read_histogram(bpf_map__fd(s->maps.histograms), 0, "slice", out);

	return error ? error : gn_program_read_lost(bpf_map__fd(s->maps.lost), out);
}

static void destroy(void *skeleton)
{
	gn_oncpu_bpf__destroy(skeleton);
}

const struct gn_program gn_program_oncpu = {open_program, load,        attach,
                                            start,        read_counts, destroy};
