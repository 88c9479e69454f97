/* child_test.c - what a reader may not do any more (sandbox.h), and what its supervisor takes from
 * one that a guest has taken over. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/introspect/child.h"
#include "firmware/introspect/sandbox.h"

#define DONE 42

/* ---- system calls ---------------------------------------------------------------------------- */

static int file_fd;      /* of what stands for the guest's memory; open for reading only */
static int report_fd[2]; /* [1] is the parser's */
static pid_t bystander;  /* another process of the same user */

static int be_parser(void)
{
	return gn_sandbox_parser(report_fd[1], 0);
}

/* How a process ends that shuts itself in and does this one thing: wait()'s status. */
static int end_of(int (*shut_in)(void), void (*act)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (shut_in() != 0)
			_exit(1);
		act();
		/* As a call like the others: the sanitizers do more at _exit(). */
		syscall(SYS_exit_group, DONE);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void open_file(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void look_at_file(void)
{
	char room[256];

	syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", room, 0);
}

static void make_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void make_process(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void run_program(void)
{
	syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void kill_another(void)
{
	syscall(SYS_kill, bystander, SIGKILL);
}

static void kill_anothers_thread(void)
{
	syscall(SYS_tgkill, bystander, bystander, SIGKILL);
}

static void trace_another(void)
{
	syscall(SYS_ptrace, PTRACE_ATTACH, bystander, 0, 0);
}

static void read_anothers_memory(void)
{
	syscall(SYS_process_vm_readv, bystander, NULL, 0, NULL, 0, 0);
}

static void write_file(void)
{
	syscall(SYS_pwrite64, file_fd, "x", 1, 0);
}

static void map_file(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
}

static void map_code(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void send_elsewhere(void)
{
	syscall(SYS_sendto, report_fd[0], "x", 1, 0, NULL, 0);
}

static void raise_limits(void)
{
	syscall(SYS_prlimit64, 0, 0, NULL, NULL);
}

static void (*const forbidden[])(void) = {
        open_file,
        look_at_file,
        make_socket,
        make_process,
        run_program,
        kill_another,
        kill_anothers_thread,
        trace_another,
        read_anothers_memory,
        write_file,
        map_file,
        map_code,
        send_elsewhere,
        raise_limits,
};

static void check_forbidden(int (*shut_in)(void))
{
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
		int status = end_of(shut_in, forbidden[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("act %zu: status %#x", i, status);
	}
	assert_int_equal(kill(bystander, 0), 0);
	assert_int_equal(waitpid(bystander, NULL, WNOHANG), 0);
}

static void forbidden_calls_end_it(void **state)
{
	check_forbidden(be_parser);
}

static void print(void)
{
	if (syscall(SYS_write, STDOUT_FILENO, "", 0) != 0)
		syscall(SYS_exit_group, 2);
}

/* Who reads a dump may print, and no more. */
static void a_dumps_reader_is_shut_in_too(void **state)
{
	int status = end_of(gn_sandbox_dump, print);

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
	check_forbidden(gn_sandbox_dump);
}

static void do_its_work(void)
{
	char byte;

	if (syscall(SYS_pread64, file_fd, &byte, 1, 0) != 1 ||
	    syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	            0) < 0 ||
	    syscall(SYS_sendto, report_fd[1], "x", 1, MSG_DONTWAIT, NULL, 0) != 1)
		syscall(SYS_exit_group, 2);
}

static void end_itself(void)
{
	syscall(SYS_tgkill, getpid(), getpid(), SIGABRT);
}

static void its_work_is_allowed(void **state)
{
	int status = end_of(be_parser, do_its_work);

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
	status = end_of(be_parser, end_itself);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void turn_for_ever(void)
{
	const struct itimerval soon = {.it_value = {.tv_usec = 20000}};

	gn_sandbox_step(0);
	syscall(SYS_setitimer, ITIMER_PROF, &soon, NULL); /* instead of its seconds */
	for (;;)
		;
}

/* Its CPU time is limited, by more for a guest with more memory. */
static void a_step_that_does_not_end_ends_it(void **state)
{
	int status = end_of(be_parser, turn_for_ever);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF);
	assert_int_equal(gn_sandbox_step_s(256 << 20), GN_SANDBOX_STEP_S);
	assert_int_equal(gn_sandbox_step_s(512ull << 30), GN_SANDBOX_STEP_S + 512);
}

/* ---- reports ----------------------------------------------------------------------------------
 */

static struct gn_report report;

static int send_one(struct gn_child *child, uint64_t now_us)
{
	static struct gn_report sent;

	memset(&sent, 0, sizeof sent);
	sent.state = GN_GUEST_READY;
	assert_int_equal(send(report_fd[1], &sent, sizeof sent, 0), sizeof sent);
	return gn_child_receive(child, now_us, &report);
}

static void a_flood_ends_it(void **state)
{
	struct gn_child child = {.fd = report_fd[0]};

	for (unsigned second = 5; second < 7; second++)
		for (unsigned i = 0; i < GN_CHILD_MOST_REPORTS; i++)
			assert_int_equal(send_one(&child, second * 1000000ull + i), 1);
	assert_int_equal(send_one(&child, 6500000), -EOVERFLOW);
}

static void nonsense_ends_it(void **state)
{
	struct gn_child child = {.fd = report_fd[0]};

	assert_int_equal(gn_child_receive(&child, 1, &report), 0);
	assert_int_equal(send(report_fd[1], "x", 1, 0), 1);
	assert_int_equal(gn_child_receive(&child, 1, &report), -EBADMSG);
	close(report_fd[1]);
	report_fd[1] = -1;
	assert_int_equal(gn_child_receive(&child, 1, &report), -EPIPE);
}

/* ---- set-up ------------------------------------------------------------------------------------
 */

static int set_up(void **state)
{
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bystander = fork();
	if (bystander == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	return file_fd >= 0 && bystander > 0 &&
	                       socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report_fd) == 0
	               ? 0
	               : -1;
}

static int tear_down(void **state)
{
	kill(bystander, SIGKILL);
	waitpid(bystander, NULL, 0);
	close(file_fd);
	close(report_fd[0]);
	if (report_fd[1] >= 0)
		close(report_fd[1]);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(forbidden_calls_end_it), TEST(a_dumps_reader_is_shut_in_too),
	        TEST(its_work_is_allowed),    TEST(a_step_that_does_not_end_ends_it),
	        TEST(a_flood_ends_it),        TEST(nonsense_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
