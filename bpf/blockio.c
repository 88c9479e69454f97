/* blockio.c - loads blockio.bpf.c; see program.h. */
#include "bpf/program.h"

#include "bpf/blockio_abi.h"
#include "bpf/object.h"
#include "bpf/blockio.skel.h"

static void *open_program(uint32_t process)
{
	struct gn_blockio_bpf *skeleton = gn_blockio_bpf__open();

	if (skeleton)
		skeleton->rodata->target = process;
	return skeleton;
}

static int load(void *skeleton)
{
	return gn_blockio_bpf__load(skeleton);
}

static int attach(void *skeleton)
{
	return gn_blockio_bpf__attach(skeleton);
}

static void start(void *skeleton, uint64_t end_ns)
{
	((struct gn_blockio_bpf *)skeleton)->bss->end_ns = end_ns;
}

static int read_counts(const void *skeleton, struct gn_window_counts *out)
{
	static const char *const names[GN_BLOCKIO_KINDS] = {
	        [GN_BLOCKIO_READ] = "read",
	        [GN_BLOCKIO_WRITE] = "write",
	        [GN_BLOCKIO_OTHER] = "other",
	};
	const struct gn_blockio_bpf *s = skeleton;
	int error = 0;
	uint32_t i;

	for (i = 0; i < GN_BLOCKIO_KINDS && !error; i++)
		error = gn_program_read_histogram(bpf_map__fd(s->maps.histograms), i, names[i],
		                                  out);
	return error ? error : gn_program_read_lost(bpf_map__fd(s->maps.lost), out);
}

static void destroy(void *skeleton)
{
	gn_blockio_bpf__destroy(skeleton);
}

const struct gn_program gn_program_blockio = {open_program, load,        attach,
                                              start,        read_counts, destroy};
