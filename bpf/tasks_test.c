/* tasks_test.c - the iterator against /proc, for this process's own threads under known load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/tasks.h"

static struct gn_tasks *tasks;

static int open_tasks(void **state)
{
	struct gn_status status = {0};

	if (gn_tasks_open(&tasks, &status)) {
		print_message("# %s\n", status.message);
		tasks = NULL;
	}
	return 0;
}

static int close_tasks(void **state)
{
	gn_tasks_close(tasks);
	return 0;
}

#define NEEDS_TASKS()                                                                              \
	do                                                                                         \
		if (!tasks)                                                                        \
			skip();                                                                    \
	while (0)

/* ---- a child that does something known, then waits ----------------------------------------- */

struct child {
	pid_t pid;
	int to, from;
};

static void child_start(struct child *c, void (*work)(void))
{
	int to[2], from[2];
	char byte = 0;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	c->pid = fork();
	if (c->pid == 0) {
		close(to[1]);
		close(from[0]);
		work();
		if (write(from[1], &byte, 1) != 1 || read(to[0], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	assert_int_equal(read(c->from, &byte, 1), 1);
}

/* Until it sleeps in its read(): nothing of it changes after that. */
static void child_settle(const struct child *c)
{
	char path[64], text[256];

	snprintf(path, sizeof path, "/proc/%d/stat", c->pid);
	for (;;) {
		FILE *file = fopen(path, "r");

		assert_non_null(file);
		assert_non_null(fgets(text, sizeof text, file));
		fclose(file);
		if (strstr(text, ") S "))
			return;
		usleep(1000);
	}
}

static void child_stop(struct child *c)
{
	int status;

	assert_int_equal(write(c->to, "", 1), 1);
	close(c->to);
	close(c->from);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_int_equal(status, 0);
}

static struct gn_tasks_record *read_one(uint32_t process, size_t *n)
{
	struct gn_tasks_record *records = NULL;

	assert_int_equal(gn_tasks_read(tasks, &process, 1, &records, n), 0);
	return records;
}

/* ---- /proc ------------------------------------------------------------------------------------
 */

static uint64_t proc_word(uint32_t process, uint32_t thread, const char *file, unsigned word)
{
	char path[96], text[1024], *at, *state;
	unsigned i;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%u/task/%u/%s", process, thread, file);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_non_null(fgets(text, sizeof text, in));
	fclose(in);
	at = strrchr(text, ')'); /* of stat: what follows the name */
	at = strtok_r(at ? at + 1 : text, " \n", &state);
	for (i = 0; i < word; i++)
		at = strtok_r(NULL, " \n", &state);
	assert_non_null(at);
	return strtoull(at, NULL, 10);
}

static uint64_t proc_line(uint32_t process, uint32_t thread, const char *file, const char *name)
{
	char path[96], text[256];
	uint64_t value = UINT64_MAX;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%u/task/%u/%s", process, thread, file);
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(text, sizeof text, in))
		if (!strncmp(text, name, strlen(name)) && text[strlen(name)] == ':')
			value = strtoull(text + strlen(name) + 1, NULL, 10);
	fclose(in);
	return value;
}

static void compare(const struct gn_tasks_record *r)
{
	assert_int_equal(r->cpu_ns, proc_word(r->process, r->thread, "schedstat", 0));
	assert_int_equal(r->run_delay_ns, proc_word(r->process, r->thread, "schedstat", 1));
	assert_int_equal(r->runs, proc_word(r->process, r->thread, "schedstat", 2));
	assert_int_equal(r->minor_faults, proc_word(r->process, r->thread, "stat", 7));
	assert_int_equal(r->major_faults, proc_word(r->process, r->thread, "stat", 9));
	assert_int_equal(r->io.read_calls, proc_line(r->process, r->thread, "io", "syscr"));
	assert_int_equal(r->io.write_calls, proc_line(r->process, r->thread, "io", "syscw"));
	assert_int_equal(r->io.read_bytes, proc_line(r->process, r->thread, "io", "read_bytes"));
	assert_int_equal(r->io.write_bytes, proc_line(r->process, r->thread, "io", "write_bytes"));
	assert_int_equal(r->voluntary_switches,
	                 proc_line(r->process, r->thread, "status", "voluntary_ctxt_switches"));
	assert_int_equal(r->involuntary_switches,
	                 proc_line(r->process, r->thread, "status", "nonvoluntary_ctxt_switches"));
}

/* ---- the cases ----------------------------------------------------------------------------------
 */

#define CALLS 1234
#define PAGES 500

static void known_work(void)
{
	int null = open("/dev/null", O_RDWR);
	char byte = 0, *memory;
	int i;

	for (i = 0; i < CALLS; i++)
		if (write(null, &byte, 1) != 1)
			_exit(1);
	for (i = 0; i < 2 * CALLS; i++)
		if (read(null, &byte, 1) != 0)
			_exit(1);
	memory = aligned_alloc(4096, PAGES * 4096);
	for (i = 0; memory && i < PAGES; i++)
		*(volatile char *)(memory + i * 4096) = 1;
}

static void equals_proc(void **state)
{
	struct child before, after;
	struct gn_tasks_record *a, *b;
	size_t n;

	NEEDS_TASKS();
	child_start(&before, (void (*)(void))getpid);
	child_settle(&before);
	a = read_one((uint32_t)before.pid, &n);
	assert_int_equal(n, 1);
	compare(a);
	child_start(&after, known_work);
	child_settle(&after);
	b = read_one((uint32_t)after.pid, &n);
	assert_int_equal(n, 1);
	compare(b);
	assert_int_equal(b->io.write_calls - a->io.write_calls, CALLS);
	assert_int_equal(b->io.read_calls - a->io.read_calls, 2 * CALLS);
	assert_true(b->minor_faults - a->minor_faults >= PAGES);
	assert_true(b->cpu_ns > 0);
	child_stop(&before);
	child_stop(&after);
	free(a);
	free(b);
}

static void *write_some(void *context)
{
	known_work();
	return NULL;
}

static void *sleep_on(void *context)
{
	pause();
	return NULL;
}

static void threads_that_end(void)
{
	pthread_t thread;
	int i;

	for (i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, write_some, NULL) || pthread_join(thread, NULL))
			_exit(1);
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, sleep_on, NULL))
			_exit(1);
}

static void counts_ended_threads(void **state)
{
	struct gn_tasks_record *records;
	struct gn_tasks_total total;
	struct child c;
	size_t n, i;

	NEEDS_TASKS();
	child_start(&c, threads_that_end);
	child_settle(&c);
	records = read_one((uint32_t)c.pid, &n);
	assert_int_equal(n, 3);
	for (i = 0; i < n; i++) {
		assert_int_equal(records[i].process, c.pid);
		assert_true(i == 0 || records[i].thread > records[i - 1].thread);
	}
	compare(&records[0]);
	assert_true(records[0].ended_io.write_calls >= 3 * CALLS);
	gn_tasks_sum(records, n, (uint32_t)c.pid, &total);
	assert_int_equal(total.n_threads, 3);
	assert_true(total.io.write_calls >= 3 * CALLS && total.io.read_calls >= 6 * CALLS);
	assert_true(total.cpu_ns > records[0].cpu_ns);
	free(records);
	child_stop(&c);
}

static void several_and_none(void **state)
{
	struct child a, b;
	struct gn_tasks_record *records = NULL;
	uint32_t ids[3] = {0, 0, 4194305}; /* no process has that number */
	struct gn_tasks_total total;
	size_t n;

	NEEDS_TASKS();
	child_start(&a, (void (*)(void))getpid);
	child_start(&b, (void (*)(void))getpid);
	ids[0] = (uint32_t)b.pid;
	ids[1] = (uint32_t)a.pid;
	assert_int_equal(gn_tasks_read(tasks, ids, 3, &records, &n), 0);
	assert_int_equal(n, 2);
	assert_true(records[0].process < records[1].process);
	gn_tasks_sum(records, n, ids[2], &total);
	assert_int_equal(total.n_threads, 0);
	free(records);
	child_stop(&a);
	records = read_one((uint32_t)a.pid, &n);
	assert_int_equal(n, 0);
	free(records);
	assert_int_equal(gn_tasks_read(tasks, ids, GN_TASKS_MAX + 1, &records, &n), -E2BIG);
	child_stop(&b);
}

/* Without privilege the reason is one that can be told apart. */
static void says_why_not(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct gn_status why = {0};
		struct gn_tasks *t;

		if (getuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		_exit(gn_tasks_open(&t, &why) == -EPERM && why.code == GN_PERMISSION_DENIED &&
		                      strstr(why.message, "CAP_BPF")
		              ? 0
		              : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equals_proc),
	        cmocka_unit_test(counts_ended_threads),
	        cmocka_unit_test(several_and_none),
	        cmocka_unit_test(says_why_not),
	};

	return cmocka_run_group_tests(tests, open_tasks, close_tasks);
}
