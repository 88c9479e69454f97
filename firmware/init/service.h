/* service.h - the services of the card: a line each in /etc/gnomon/services, started and started
 * again as supervise.h says, their last words kept.
 *
 *   # name      user    command
 *   dataplane   root    /usr/bin/gnomon-dataplane --config /etc/gnomon/dataplane.yaml
 *
 * Output goes to the console and into a ring of GN_SERVICE_LOG bytes; when a service ends by a
 * signal or with an error, the ring goes into a crash report, of which the newest
 * GN_SERVICE_REPORTS are kept. One thread: init's. */
#ifndef GN_INIT_SERVICE_H
#define GN_INIT_SERVICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "firmware/core/status.h"
#include "firmware/init/supervise.h"

#define GN_SERVICES        16
#define GN_SERVICE_WORDS   16
#define GN_SERVICE_LOG     (16u << 10)
#define GN_SERVICE_REPORTS 32

struct gn_service {
	char name[32];
	uid_t uid;
	gid_t gid;
	char *words[GN_SERVICE_WORDS + 1]; /* the command */
	struct gn_supervise supervise;
	pid_t pid;  /* 0: does not run */
	int output; /* our end of its pipe, non-blocking; -1: none */
	char log[GN_SERVICE_LOG];
	uint64_t n_logged; /* bytes ever; the newest are in the ring */
};

struct gn_services {
	struct gn_service all[GN_SERVICES];
	size_t n;
};

/* Reads the file. Users are looked up in /etc/passwd. -EINVAL with the line that is wrong. */
int gn_services_load(const char *path, struct gn_services *services, uint64_t now_us,
                     struct gn_status *status);

/* Starts one that is due. 0, or a negative errno: then it counts as ended. */
int gn_service_start(struct gn_service *service, uint64_t now_us);
/* Takes what it printed: into the ring, and to 'console' with its name before each line. False
 * at the end of its output. */
bool gn_service_read(struct gn_service *service, int console);
/* Its process has ended with 'status' of wait(2). Writes the report into 'directory' when it
 * did not end well and 'directory' is not NULL. 'wall_us' names the report. */
void gn_service_ended(struct gn_service *service, int status, const char *directory,
                      uint64_t wall_us, uint64_t now_us);
/* The service of that process; NULL: none. */
struct gn_service *gn_services_by_pid(struct gn_services *services, pid_t pid);

#endif
