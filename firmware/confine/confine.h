/* confine.h - takes from a process that parses what the network sends all that it will not need:
 * the user it was started as, files (Landlock), and system calls (seccomp).
 *
 * Called in the order below, at the places that each names, since Landlock binds a thread and those
 * that it makes later, while the user and the system calls are the whole process's. What the
 * process opened before, it keeps. Not for a process with children. The only user of libseccomp in
 * its processes. */
#ifndef GN_CONFINE_CONFINE_H
#define GN_CONFINE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "firmware/core/status.h"

struct gn_confine_user {
	uid_t uid;
	gid_t gid;
};

/* 'name' is a user's name, or a number that is both user and group. -ENOENT with a sentence. */
int gn_confine_find_user(const char *name, struct gn_confine_user *out, struct gn_status *status);

/* Makes the directory that 'file' is in where it is missing, for 'user' alone. -EACCES with a
 * sentence when it is there and another's; other errors likewise. */
int gn_confine_prepare(const char *file, const struct gn_confine_user *user,
                       struct gn_status *status);

struct gn_confine_path {
	const char *path; /* a file, or a directory and what is below */
	bool writable;    /* and files may be made, removed and renamed in it */
};

/* Before other threads exist: all files but these are out of reach of open(2). Paths that do not
 * exist are passed over. Starts no_new_privs. -EOPNOTSUPP with a sentence: the kernel has no
 * Landlock (5.13 or later, "landlock" in CONFIG_LSM). */
int gn_confine_files(const struct gn_confine_path *paths, size_t n, struct gn_status *status);

/* Becomes the user, with all threads, and loses every capability. -EPERM with a sentence. */
int gn_confine_become(const struct gn_confine_user *user, struct gn_status *status);

/* Once all is open: no new programs and processes, no sockets but of this machine, no other
 * process's memory or signals, no code that was not there; such calls fail with EPERM. */
int gn_confine_calls(struct gn_status *status);

#endif
