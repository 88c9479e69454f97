/* confine_test.c - what a confined process can no longer do, and what it still can. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/confine/confine.h"

#define SOMEBODY 64123

static char directory[] = "/tmp/gn-confine-XXXXXX";
static char own[64], others[64], within[80];

/* ---- what is tried: 0, or the errno ---------------------------------------------------------- */

static int result(long value)
{
	return value < 0 ? errno : 0;
}

static int read_password_file(void)
{
	return result(open("/etc/passwd", O_RDONLY));
}

static int list_root(void)
{
	return result(open("/", O_RDONLY | O_DIRECTORY));
}

static int write_others(void)
{
	return result(open(others, O_WRONLY));
}

static int make_file(void)
{
	return result(open("/tmp/gn-confine-new", O_WRONLY | O_CREAT | O_EXCL, 0600));
}

static int make_internet_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_packet_socket(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int run_program(void)
{
	return result(execl("/bin/true", "true", (char *)NULL));
}

static int make_process(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return result(pid);
}

static int signal_parent(void)
{
	return result(kill(getppid(), 0));
}

static int trace_parent(void)
{
	return result(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
}

static int map_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int become_root(void)
{
	return result(syscall(SYS_setresuid, 0, 0, 0));
}

static int change_mode(void)
{
	return result(chmod(within, 0777));
}

static const struct {
	const char *name;
	int (*act)(void);
	int error;
} forbidden[] = {
        {"read another file", read_password_file, EACCES},
        {"list a directory", list_root, EACCES},
        {"write what may only be read", write_others, EACCES},
        {"make a file elsewhere", make_file, EACCES},
        {"make an internet socket", make_internet_socket, EPERM},
        {"make a packet socket", make_packet_socket, EPERM},
        {"run a program", run_program, EPERM},
        {"make a process", make_process, EPERM},
        {"signal another process", signal_parent, EPERM},
        {"trace another process", trace_parent, EPERM},
        {"map code", map_code, EPERM},
        {"become root", become_root, EPERM},
        {"change a file's mode", change_mode, EPERM},
};

static void *nothing(void *argument)
{
	return argument;
}

static int replace_own_file(void)
{
	char fresh[100];
	int fd;

	snprintf(fresh, sizeof fresh, "%s.new", within);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	return fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) || close(fd) || rename(fresh, within)
	               ? errno
	               : 0;
}

static int read_others(void)
{
	return result(open(others, O_RDONLY));
}

static int start_thread(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);

	return error ? error : pthread_join(thread, NULL);
}

static int make_local_socket(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static const struct {
	const char *name;
	int (*act)(void);
} still[] = {
        {"replace its own file", replace_own_file},
        {"read what it was left", read_others},
        {"start a thread", start_thread},
        {"make a socket of this machine", make_local_socket},
};

/* ---- the confined process -------------------------------------------------------------------- */

static int confine(void)
{
	const struct gn_confine_path paths[] = {{own, true}, {others, false}, {"/absent", false}};
	struct gn_confine_user user;
	struct gn_status status;
	char number[16];
	int signal = 0;

	snprintf(number, sizeof number, "%u", geteuid() ? geteuid() : SOMEBODY);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (gn_confine_find_user(number, &user, &status) ||
	    gn_confine_prepare(within, &user, &status) || gn_confine_files(paths, 3, &status) ||
	    gn_confine_become(&user, &status) || prctl(PR_GET_PDEATHSIG, &signal) ||
	    gn_confine_calls(&status)) {
		print_message("# %s\n", status.message);
		return -1;
	}
	/* It still ends with who started it. */
	return signal == SIGKILL ? 0 : -1;
}

/* What 'act' returned in a confined process. */
static int confined(int (*act)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		int value = confine() ? 255 : act();

		syscall(SYS_exit_group, value); /* the sanitizers do more at _exit() */
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 255);
	return WEXITSTATUS(status);
}

static void test_what_is_forbidden_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
		int error = confined(forbidden[i].act);

		if (error != forbidden[i].error)
			fail_msg("a confined process tried to %s: %s", forbidden[i].name,
			         error ? strerror(error) : "done");
	}
}

static void test_what_is_needed_works(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof still / sizeof still[0]; i++) {
		int error = confined(still[i].act);

		if (error)
			fail_msg("a confined process could not %s: %s", still[i].name,
			         strerror(error));
	}
}

static void test_users_are_found_or_named(void **state)
{
	struct gn_confine_user user;
	struct gn_status status;

	(void)state;
	assert_int_equal(gn_confine_find_user("64123", &user, &status), 0);
	assert_int_equal(user.uid, 64123);
	assert_int_equal(user.gid, 64123);
	assert_int_not_equal(gn_confine_find_user("no-such-user", &user, &status), 0);
	assert_non_null(strstr(status.message, "no-such-user"));
	assert_int_not_equal(gn_confine_find_user("root", &user, &status), 0);
	assert_non_null(strstr(status.message, "is root"));
	assert_int_not_equal(gn_confine_find_user("0", &user, &status), 0);
}

static void test_directory_of_another_is_refused(void **state)
{
	const struct gn_confine_user user = {SOMEBODY + 1, SOMEBODY + 1};
	struct gn_status status;

	(void)state;
	assert_int_equal(gn_confine_prepare(others, &user, &status), -EACCES);
	assert_non_null(strstr(status.message, "chown -R 64124:64124"));
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	if (!mkdtemp(directory) || chmod(directory, 0755))
		return -1;
	snprintf(own, sizeof own, "%s/own", directory);
	snprintf(within, sizeof within, "%s/file", own);
	snprintf(others, sizeof others, "%s/others", directory);
	fd = open(others, O_WRONLY | O_CREAT, 0644);
	return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(within);
	rmdir(own);
	unlink(others);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_is_forbidden_fails),
	        cmocka_unit_test(test_what_is_needed_works),
	        cmocka_unit_test(test_users_are_found_or_named),
	        cmocka_unit_test(test_directory_of_another_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
