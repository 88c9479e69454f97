/* confine.c - see confine.h. Landlock has no library in Debian 12: its three calls are made here.
 */
#include "firmware/confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N(array) (sizeof(array) / sizeof(array)[0])

/* ---- the user ------------------------------------------------------------------------------ */

int gn_confine_find_user(const char *name, struct gn_confine_user *out, struct gn_status *status)
{
	const struct passwd *entry;
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	if (name[0] && !*end && number > 0 && number < UINT32_MAX) {
		*out = (struct gn_confine_user){(uid_t)number, (gid_t)number};
		return 0;
	}
	entry = getpwnam(name);
	if (!entry || !entry->pw_uid)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "user '%s' %s: make one with 'useradd --system %s', or give a "
		                     "number",
		                     name, entry ? "is root" : "does not exist", name);
	*out = (struct gn_confine_user){entry->pw_uid, entry->pw_gid};
	return 0;
}

int gn_confine_prepare(const char *file, const struct gn_confine_user *user,
                       struct gn_status *status)
{
	char copy[PATH_MAX];
	const char *directory;
	struct stat now;

	if (snprintf(copy, sizeof copy, "%s", file) >= (int)sizeof copy)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "'%s' is too long", file);
	directory = dirname(copy);
	if (!mkdir(directory, 0700) && chown(directory, user->uid, user->gid))
		return gn_status_set(status, gn_code_from_errno(errno),
		                     "directory '%s' cannot be given to user %u: %s", directory,
		                     user->uid, strerror(errno));
	if (stat(directory, &now))
		return gn_status_set(status, gn_code_from_errno(errno),
		                     "directory '%s' cannot be used: %s", directory,
		                     strerror(errno));
	if (now.st_uid == user->uid)
		return 0;
	gn_status_set(status, GN_PERMISSION_DENIED,
	              "directory '%s' belongs to user %u, but this process becomes user %u and "
	              "writes there: 'chown -R %u:%u %s'",
	              directory, now.st_uid, user->uid, user->uid, user->gid, directory);
	return -EACCES;
}

int gn_confine_become(const struct gn_confine_user *user, struct gn_status *status)
{
	int at_parents_end = 0;

	prctl(PR_GET_PDEATHSIG, &at_parents_end);
	/* Leaving user 0 takes the capabilities of every thread: glibc changes them all. */
	if (geteuid() == user->uid ||
	    (!setgroups(0, NULL) && !setresgid(user->gid, user->gid, user->gid) &&
	     !setresuid(user->uid, user->uid, user->uid))) {
		/* Another user forgets it, and would outlive who started it. */
		prctl(PR_SET_PDEATHSIG, at_parents_end);
		return 0;
	}
	gn_status_set(status, GN_PERMISSION_DENIED,
	              "this process cannot become user %u: %s; start it as root, or as that user",
	              user->uid, strerror(errno));
	return -EPERM;
}

/* ---- files --------------------------------------------------------------------------------- */

#define FILE_READ  LANDLOCK_ACCESS_FS_READ_FILE
#define FILE_WRITE (FILE_READ | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define DIR_READ   (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define DIR_WRITE                                                                                  \
	(DIR_READ | FILE_WRITE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* The first version's, which every kernel with Landlock knows. */
#define HANDLED ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int add_path(int ruleset, const struct gn_confine_path *path)
{
	struct landlock_path_beneath_attr rule;
	struct stat now;
	int fd = open(path->path, O_PATH | O_CLOEXEC), error;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &now)) {
		error = -errno;
	} else {
		rule.parent_fd = fd;
		if (S_ISDIR(now.st_mode))
			rule.allowed_access = path->writable ? DIR_WRITE : DIR_READ;
		else
			rule.allowed_access = path->writable ? FILE_WRITE : FILE_READ;
		error = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
		                0)
		                ? -errno
		                : 0;
	}
	close(fd);
	return error;
}

static int fail_files(struct gn_status *status, const char *what, int error)
{
	gn_status_set(status, GN_INTERNAL, "files cannot be taken from this process: %s: %s", what,
	              strerror(error));
	return -error;
}

int gn_confine_files(const struct gn_confine_path *paths, size_t n, struct gn_status *status)
{
	const struct landlock_ruleset_attr handled = {.handled_access_fs = HANDLED};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	int error = 0;

	if (ruleset < 0) {
		gn_status_set(
		        status, GN_UNIMPLEMENTED,
		        "this kernel has no Landlock (%s): Linux 5.13 or later with 'landlock' "
		        "in CONFIG_LSM has",
		        strerror(errno));
		return -EOPNOTSUPP;
	}
	for (size_t i = 0; i < n && !error; i++) {
		error = add_path(ruleset, &paths[i]);
		if (error)
			fail_files(status, paths[i].path, -error);
	}
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		error = fail_files(status, "no_new_privs", errno);
	if (!error && syscall(SYS_landlock_restrict_self, ruleset, 0))
		error = fail_files(status, "landlock_restrict_self", errno);
	close(ruleset);
	return error;
}

/* ---- system calls -------------------------------------------------------------------------- */

static const int allowed[] = {
        SCMP_SYS(accept),
        SCMP_SYS(accept4),
        SCMP_SYS(access),
        SCMP_SYS(brk),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(close),
        SCMP_SYS(connect),
        SCMP_SYS(dup),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(eventfd2),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(fcntl),
        SCMP_SYS(flock),
        SCMP_SYS(fstat),
        SCMP_SYS(fsync),
        SCMP_SYS(ftruncate),
        SCMP_SYS(futex),
        SCMP_SYS(getegid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getpeername),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrandom),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getsockname),
        SCMP_SYS(getsockopt),
        SCMP_SYS(gettid),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(getuid),
        SCMP_SYS(lseek),
        SCMP_SYS(madvise),
        SCMP_SYS(membarrier),
        SCMP_SYS(mremap),
        SCMP_SYS(munmap),
        SCMP_SYS(newfstatat),
        SCMP_SYS(open),
        SCMP_SYS(openat),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(pread64),
        SCMP_SYS(read),
        SCMP_SYS(readv),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recvmsg),
        SCMP_SYS(rename),
        SCMP_SYS(renameat),
        SCMP_SYS(renameat2),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rseq),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(setsockopt),
        SCMP_SYS(shutdown),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(signalfd4),
        SCMP_SYS(stat),
        SCMP_SYS(statx),
        SCMP_SYS(timerfd_create),
        SCMP_SYS(timerfd_settime),
        SCMP_SYS(unlink),
        SCMP_SYS(unlinkat),
        SCMP_SYS(write),
        SCMP_SYS(writev),
};

/* Memory that is never code. */
static int allow_memory(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return error ? error
	             : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	                                SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Threads, not processes. clone3's flags are in memory, where a filter cannot look; glibc takes
 * clone when it is told that there is no clone3. */
static int allow_threads(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

	return error ? error
	             : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int allow_local_sockets(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
	                             SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

	return error ? error
	             : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
	                                SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

/* abort() signals its own process. */
static int allow_own_end(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

int gn_confine_calls(struct gn_status *status)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int error = filter ? 0 : -ENOMEM;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; i < N(allowed) && !error; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!error)
		error = allow_memory(filter);
	if (!error)
		error = allow_threads(filter);
	if (!error)
		error = allow_local_sockets(filter);
	if (!error)
		error = allow_own_end(filter);
	if (!error)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!error) /* sets no_new_privs too */
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error)
		gn_status_set(status, GN_INTERNAL,
		              "system calls cannot be taken from this process: %s; a kernel with "
		              "CONFIG_SECCOMP_FILTER is needed",
		              strerror(-error));
	return error;
}
