/* programs_test.c - programs run by BPF_PROG_TEST_RUN: arguments in, counters out, no hook in
 * place. The kernel runs raw tracepoint programs so, in the calling thread; not tp_btf programs,
 * iterators and uprobes, which tasks_test.c and tests with real processes try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bpf/calls.skel.h"
#include "bpf/calls_abi.h"
#include "bpf/object.h"
#include "bpf/syscalls.skel.h"
#include "bpf/syscalls_abi.h"
#include "bpf/target_abi.h"

/* As sys_enter(regs, id) and sys_exit(regs, result) give them. */
static void run(const struct bpf_program *program, int64_t second)
{
	uint64_t arguments[2] = {0, (uint64_t)second};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = arguments,
	            .ctx_size_in = sizeof arguments);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0);
	assert_int_equal(options.retval, 0);
}

/* Without the capabilities or a kernel for it there is nothing to test. */
static void skip_if(int error)
{
	struct gn_status status = {0};

	if (!error)
		return;
	gn_bpf_fail(error, "BPF_PROG_TEST_RUN", &status);
	print_message("# %s\n", status.message);
	skip();
}

/* ---- syscalls.bpf.c ----------------------------------------------------------------------------
 */

static struct gn_syscalls_bpf *load_syscalls(uint32_t target)
{
	struct gn_syscalls_bpf *s;
	int error;

	gn_bpf_begin();
	s = gn_syscalls_bpf__open();
	assert_non_null(s);
	s->rodata->target = target;
	error = gn_syscalls_bpf__load(s);
	if (error)
		gn_syscalls_bpf__destroy(s);
	skip_if(error);
	s->bss->end_ns = UINT64_MAX;
	return s;
}

static uint64_t calls_in(const struct gn_syscalls_bpf *s, uint32_t slot)
{
	uint64_t n = 0;

	assert_int_equal(gn_bpf_sum(bpf_map__fd(s->maps.calls), slot, &n, 1), 0);
	return n;
}

static uint64_t calls_in_all(const struct gn_syscalls_bpf *s)
{
	uint64_t n = 0;

	for (uint32_t slot = 0; slot < GN_SYSCALLS_SIZE; slot++)
		n += calls_in(s, slot);
	return n;
}

static void counts_by_number(void **state)
{
	struct gn_syscalls_bpf *s = load_syscalls((uint32_t)getpid());
	static const int64_t beyond[] = {-1,     GN_SYSCALLS_NUMBERS, GN_SYSCALLS_SIZE,
	                                 100000, INT64_MAX,           INT64_MIN};

	run(s->progs.syscalls_enter, 0);
	run(s->progs.syscalls_enter, 39);
	run(s->progs.syscalls_enter, 39);
	run(s->progs.syscalls_enter, GN_SYSCALLS_NUMBERS - 1);
	for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++)
		run(s->progs.syscalls_enter, beyond[i]);
	assert_int_equal(calls_in(s, 0), 1);
	assert_int_equal(calls_in(s, 39), 2);
	assert_int_equal(calls_in(s, GN_SYSCALLS_NUMBERS - 1), 1);
	assert_int_equal(calls_in(s, GN_SYSCALLS_OTHER), 6);
	assert_int_equal(calls_in_all(s), 10);
	gn_syscalls_bpf__destroy(s);
}

static void counts_one_process_until_the_end(void **state)
{
	struct gn_syscalls_bpf *s = load_syscalls((uint32_t)getpid() + 1);

	run(s->progs.syscalls_enter, 39);
	assert_int_equal(calls_in_all(s), 0);
	gn_syscalls_bpf__destroy(s);
	s = load_syscalls(GN_TARGET_EVERYBODY);
	s->bss->end_ns = 0; /* not begun */
	run(s->progs.syscalls_enter, 39);
	s->bss->end_ns = 1; /* long over */
	run(s->progs.syscalls_enter, 39);
	assert_int_equal(calls_in_all(s), 0);
	s->bss->end_ns = UINT64_MAX;
	run(s->progs.syscalls_enter, 39);
	assert_int_equal(calls_in_all(s), 1);
	gn_syscalls_bpf__destroy(s);
}

/* ---- calls.bpf.c
 * --------------------------------------------------------------------------------- */

static struct gn_calls_bpf *load_calls(uint32_t self)
{
	struct gn_calls_bpf *c;
	int error;

	gn_bpf_begin();
	c = gn_calls_bpf__open();
	assert_non_null(c);
	c->rodata->self = self;
	error = gn_calls_bpf__load(c);
	if (error)
		gn_calls_bpf__destroy(c);
	skip_if(error);
	return c;
}

static bool find_row(const struct gn_calls_bpf *c, uint32_t slot, struct gn_calls_value *out)
{
	struct gn_calls_key key = {(uint32_t)getpid(), slot};

	return bpf_map_lookup_elem(bpf_map__fd(c->maps.table), &key, out) == 0;
}

static void counts_calls_errors_and_time(void **state)
{
	struct gn_calls_bpf *c = load_calls(0);
	static const int64_t results[] = {0, 7, -EBADF, -4095, -4096, INT64_MIN};
	struct gn_calls_value value;

	run(c->progs.calls_exit, -EBADF); /* of a call that began before the hooks */
	assert_false(find_row(c, 39, &value));
	for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
		run(c->progs.calls_enter, 39);
		run(c->progs.calls_exit, results[i]);
	}
	assert_true(find_row(c, 39, &value));
	assert_int_equal(value.count, 6);
	assert_int_equal(value.errors, 2);
	assert_true(value.sum_ns > 0 && value.maximum_ns > 0 && value.maximum_ns <= value.sum_ns);
	assert_true(value.name[0] && memchr(value.name, 0, sizeof value.name));
	gn_calls_bpf__destroy(c);
}

/* A call that ends in the next period has its time there, its count in the one in which it began.
 */
static void periods_have_rows_of_their_own(void **state)
{
	struct gn_calls_bpf *c = load_calls(0);
	struct gn_calls_value first, second;

	run(c->progs.calls_enter, 39);
	c->bss->parity = GN_CALLS_PARITY;
	run(c->progs.calls_exit, 0);
	assert_true(find_row(c, 39, &first) && find_row(c, 39 | GN_CALLS_PARITY, &second));
	assert_true(first.count == 1 && first.sum_ns == 0);
	assert_true(second.count == 0 && second.sum_ns > 0);
	gn_calls_bpf__destroy(c);
}

static void leaves_out_its_reader(void **state)
{
	struct gn_calls_bpf *c = load_calls((uint32_t)getpid());
	struct gn_calls_value value;

	run(c->progs.calls_enter, 39);
	run(c->progs.calls_exit, 0);
	assert_false(find_row(c, 39, &value));
	gn_calls_bpf__destroy(c);
}

static void says_what_did_not_fit(void **state)
{
	struct gn_calls_bpf *c = load_calls(0);
	struct gn_calls_value value = {.count = 1};
	struct gn_calls_key key = {.slot = 0};
	uint64_t lost = 0;

	do
		key.process++;
	while (bpf_map_update_elem(bpf_map__fd(c->maps.table), &key, &value, BPF_NOEXIST) == 0 ||
	       key.process == (uint32_t)getpid());
	run(c->progs.calls_enter, 39);
	assert_false(find_row(c, 39, &value));
	assert_int_equal(gn_bpf_sum(bpf_map__fd(c->maps.lost), 0, &lost, 1), 0);
	assert_int_equal(lost, 1);
	gn_calls_bpf__destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(counts_by_number),
	        cmocka_unit_test(counts_one_process_until_the_end),
	        cmocka_unit_test(counts_calls_errors_and_time),
	        cmocka_unit_test(periods_have_rows_of_their_own),
	        cmocka_unit_test(leaves_out_its_reader),
	        cmocka_unit_test(says_what_did_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
