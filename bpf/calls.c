/* calls.c - loads and reads calls.bpf.c; see calls.h. A period's end is one word: the program then
 * counts into rows of the other parity, and these are read and taken out in peace. */
#include "bpf/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/calls.skel.h"
#include "bpf/object.h"

struct gn_calls {
	struct gn_calls_bpf *skeleton;
	struct bpf_link *apis[GN_CALLS_APIS];
	struct gn_calls_row rows[GN_CALLS_ROWS];
};

int gn_calls_open(struct gn_calls **out, struct gn_status *status)
{
	struct gn_calls *c = calloc(1, sizeof *c);
	int error;

	if (!c)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_bpf_begin();
	c->skeleton = gn_calls_bpf__open();
	error = c->skeleton ? 0 : -errno;
	if (!error) {
		c->skeleton->rodata->self = (uint32_t)getpid();
		error = gn_calls_bpf__load(c->skeleton);
	}
	if (!error)
		error = gn_calls_bpf__attach(c->skeleton);
	if (error) {
		gn_calls_close(c);
		return gn_bpf_fail(error, "calls", status);
	}
	*out = c;
	return 0;
}

void gn_calls_close(struct gn_calls *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < GN_CALLS_APIS; i++)
		bpf_link__destroy(c->apis[i]);
	gn_calls_bpf__destroy(c->skeleton);
	free(c);
}

int gn_calls_add_api(struct gn_calls *c, unsigned index, const char *path, const char *symbol,
                     struct gn_status *status)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .bpf_cookie = index, .func_name = symbol);

	if (index >= GN_CALLS_APIS || c->apis[index])
		return gn_status_set(status, GN_INVALID_ARGUMENT, "at most %d functions",
		                     GN_CALLS_APIS);
	gn_bpf_begin();
	c->apis[index] = bpf_program__attach_uprobe_opts(c->skeleton->progs.calls_api, -1, path, 0,
	                                                 &options);
	if (!c->apis[index])
		return gn_status_set(status, GN_NOT_FOUND,
		                     "function '%s' of '%s' cannot be observed (errno %d); give an "
		                     "executable or library with symbols, on a kernel with uprobes",
		                     symbol, path, errno);
	return 0;
}

static int by_count(const void *a, const void *b)
{
	const struct gn_calls_row *x = a, *y = b;

	if (x->value.count != y->value.count)
		return x->value.count > y->value.count ? -1 : 1;
	if (x->key.process != y->key.process)
		return x->key.process < y->key.process ? -1 : 1;
	return x->key.slot < y->key.slot ? -1 : x->key.slot > y->key.slot;
}

/* The next key is asked for before the row is taken out: without its key the walk would begin
 * anew. */
static size_t drain(struct gn_calls *c, uint32_t parity)
{
	int map = bpf_map__fd(c->skeleton->maps.table);
	struct gn_calls_key key, next;
	bool more = bpf_map_get_next_key(map, NULL, &key) == 0;
	size_t n = 0;

	for (size_t i = 0; more && i < 4 * GN_CALLS_ROWS; i++, key = next) {
		struct gn_calls_row *row = &c->rows[n];

		more = bpf_map_get_next_key(map, &key, &next) == 0;
		if ((key.slot & GN_CALLS_PARITY) != parity || n == GN_CALLS_ROWS ||
		    bpf_map_lookup_elem(map, &key, &row->value))
			continue;
		bpf_map_delete_elem(map, &key);
		row->key = (struct gn_calls_key){key.process, key.slot & ~GN_CALLS_PARITY};
		n++;
	}
	return n;
}

int gn_calls_read(struct gn_calls *c, const struct gn_calls_row **out, size_t *n_out,
                  uint64_t *lost)
{
	uint32_t parity = c->skeleton->bss->parity;
	size_t n;

	c->skeleton->bss->parity = parity ^ GN_CALLS_PARITY;
	n = drain(c, parity);
	qsort(c->rows, n, sizeof *c->rows, by_count);
	*out = c->rows;
	*n_out = n;
	*lost = 0;
	return gn_bpf_sum(bpf_map__fd(c->skeleton->maps.lost), 0, lost, 1);
}
