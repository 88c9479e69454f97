/* sandbox.c - seccomp, capabilities, limits (sandbox.h). The only user of libseccomp. */
#include "firmware/introspect/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define NOBODY   65534
#define N(array) (sizeof(array) / sizeof(array)[0])

/* ---- users, capabilities, limits -------------------------------------------------------- */

static int keep_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i <= CAP_LAST_CAP; i++)
		if (!(keep >> i & 1))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective &= (uint32_t)(keep >> 32 * i);
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

static int become_nobody(void)
{
	if (geteuid() != 0)
		return 0;
	/* Only with the capabilities; without them the process stays what it is. */
	if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) != 0)
		return -errno;
	return 0;
}

static void limit(int resource, rlim_t value)
{
	struct rlimit limit = {value, value};

	setrlimit(resource, &limit);
}

/* Address space of the supervisor, in bytes; a parser begins as a copy of it. 0: not known. */
static uint64_t supervisor_bytes;

static uint64_t address_space(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file) {
		if (fscanf(file, "%llu", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void set_limits(uint64_t mapped_bytes)
{
	if (supervisor_bytes)
		limit(RLIMIT_AS, supervisor_bytes + mapped_bytes + GN_SANDBOX_HEAP_BYTES);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 1); /* what poll() allows */
	limit(RLIMIT_MEMLOCK, 0);
	setpriority(PRIO_PROCESS, 0, 10);
}

unsigned gn_sandbox_step_s(uint64_t mapped_bytes)
{
	return GN_SANDBOX_STEP_S + GN_SANDBOX_GIB_S * (unsigned)(mapped_bytes >> 30);
}

void gn_sandbox_step(uint64_t mapped_bytes)
{
	struct itimerval timer = {.it_value = {.tv_sec = gn_sandbox_step_s(mapped_bytes)}};

	setitimer(ITIMER_PROF, &timer, NULL); /* SIGPROF ends the process */
}

/* ---- system calls ------------------------------------------------------------------------- */

static int allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return err;
}

/* Memory of its own: never executable, never a file. */
static int allow_memory(scmp_filter_ctx filter, bool files)
{
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (err)
		return err;
	if (files)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
	                        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	                        SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
}

static const int parser_calls[] = {
        SCMP_SYS(pread64),   SCMP_SYS(lseek),          SCMP_SYS(brk),
        SCMP_SYS(munmap),    SCMP_SYS(mremap),         SCMP_SYS(madvise),
        SCMP_SYS(futex),     SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
        SCMP_SYS(poll),      SCMP_SYS(ppoll),          SCMP_SYS(setitimer),
        SCMP_SYS(exit),      SCMP_SYS(exit_group),     SCMP_SYS(rt_sigreturn),
        SCMP_SYS(getrandom), SCMP_SYS(gettid),         SCMP_SYS(getpid),
        SCMP_SYS(fstat),     SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
};

/* abort() signals its own process. All parsers are the same user, so another's must be out of
 * reach. */
static int allow_own_end(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

/* What every reader of a guest's memory needs. */
static int allow_reader(scmp_filter_ctx filter)
{
	int err = allow(filter, parser_calls, N(parser_calls));

	if (!err)
		err = allow_memory(filter, false);
	return err ? err : allow_own_end(filter);
}

static int filter_parser(int report_fd)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	const scmp_datum_t fd = (scmp_datum_t)report_fd;
	int err = filter ? allow_reader(filter) : -ENOMEM;

	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2,
		                       SCMP_A0(SCMP_CMP_EQ, fd), SCMP_A4(SCMP_CMP_EQ, 0));
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

static int filter_dump(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = filter ? allow_reader(filter) : -ENOMEM;

	for (scmp_datum_t fd = STDOUT_FILENO; fd <= STDERR_FILENO && !err; fd++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
		                       SCMP_A0(SCMP_CMP_EQ, fd));
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

static const int supervisor_calls[] = {
        SCMP_SYS(accept),
        SCMP_SYS(accept4),
        SCMP_SYS(access),
        SCMP_SYS(bind),
        SCMP_SYS(brk),
        SCMP_SYS(capget),
        SCMP_SYS(capset),
        SCMP_SYS(chmod), /* its socket, opened again */
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(clone),
        SCMP_SYS(clone3),
        SCMP_SYS(close),
        SCMP_SYS(close_range),
        SCMP_SYS(connect),
        SCMP_SYS(dup),
        SCMP_SYS(dup2),
        SCMP_SYS(dup3),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(eventfd2),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(fchmodat),
        SCMP_SYS(fcntl),
        SCMP_SYS(fstat),
        SCMP_SYS(futex),
        SCMP_SYS(getegid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrandom),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getsockname),
        SCMP_SYS(getsockopt),
        SCMP_SYS(gettid),
        SCMP_SYS(getuid),
        SCMP_SYS(kill),
        SCMP_SYS(listen),
        SCMP_SYS(lseek),
        SCMP_SYS(madvise),
        SCMP_SYS(mremap),
        SCMP_SYS(munmap),
        SCMP_SYS(newfstatat),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(prctl),
        SCMP_SYS(pread64),
        SCMP_SYS(prlimit64),
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rseq),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sched_yield),
        SCMP_SYS(seccomp),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(setgroups),
        SCMP_SYS(setitimer),
        SCMP_SYS(setpriority),
        SCMP_SYS(setresgid),
        SCMP_SYS(setresuid),
        SCMP_SYS(setrlimit),
        SCMP_SYS(setsockopt),
        SCMP_SYS(shutdown),
        SCMP_SYS(signalfd4),
        SCMP_SYS(tgkill),
        SCMP_SYS(timerfd_create),
        SCMP_SYS(timerfd_settime),
        SCMP_SYS(unlink),
        SCMP_SYS(unlinkat),
        SCMP_SYS(wait4),
        SCMP_SYS(waitid),
        SCMP_SYS(write),
        SCMP_SYS(writev),
};

/* Sockets and socket pairs of this machine only. */
static int allow_local_sockets(scmp_filter_ctx filter)
{
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
	                           SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

	return err ? err
	           : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
	                              SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

/* The channel opens a listener anew when nng's has died, and nng then sets its socket's mode. The
 * umask has made the socket private by then, and to change the mode of other files is no business
 * of this process: it is told that it was done. */
static int pretend_chmod(scmp_filter_ctx filter)
{
	int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(chmod), 0);

	return err ? err : seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(fchmodat), 0);
}

static int filter_supervisor(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = filter ? 0 : -ENOMEM;

	if (!err)
		err = allow(filter, supervisor_calls, N(supervisor_calls));
	if (!err)
		err = allow_memory(filter, true);
	if (!err)
		err = allow_local_sockets(filter);
	if (!err)
		err = pretend_chmod(filter);
	if (!err) /* nng's threads run already */
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

/* ---- doors -------------------------------------------------------------------------------------
 */

static int give_up_powers(void)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? -errno : keep_capabilities(0);
}

int gn_sandbox_parser(int report_fd, uint64_t mapped_bytes)
{
	int err = become_nobody();

	if (err)
		return err;
	set_limits(mapped_bytes);
	err = give_up_powers();
	return err ? err : filter_parser(report_fd);
}

int gn_sandbox_dump(void)
{
	int err = become_nobody();

	if (!err)
		err = give_up_powers();
	return err ? err : filter_dump();
}

int gn_sandbox_supervisor(void)
{
	const uint64_t keep = 1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_KILL;
	int err;

	supervisor_bytes = address_space();
	umask(0177);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	err = keep_capabilities(keep);
	return err ? err : filter_supervisor();
}
