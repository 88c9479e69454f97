/* socket.c - see socket.h. */
#include "dataplane/guard/socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Linux refuses a connection to what is no socket just as it refuses one to a dead socket, so the
 * kind of file has been looked at before. EAGAIN: its backlog is full. */
static bool is_live(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live;

	strcpy(address.sun_path, path);
	live = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
	       errno != ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return live;
}

static int fail(const char *path, int error, struct gn_status *status)
{
	gn_status_set(status, gn_code_from_errno(error), "socket '%s': %s", path, strerror(error));
	return -error;
}

int gn_guard_clear_socket(const char *path, struct gn_status *status)
{
	struct stat st;

	if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
		return fail(path, ENAMETOOLONG, status);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : fail(path, errno, status);
	if (!S_ISSOCK(st.st_mode)) {
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "'%s' is there and is no socket; it is left alone: choose another "
		              "path for the socket",
		              path);
		return -EEXIST;
	}
	if (is_live(path)) {
		gn_status_set(status, GN_ALREADY_EXISTS,
		              "another program listens on socket '%s'; stop it or choose another "
		              "path",
		              path);
		return -EADDRINUSE;
	}
	return unlink(path) && errno != ENOENT ? fail(path, errno, status) : 0;
}
