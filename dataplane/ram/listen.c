/* listen.c - accepts readers of the VMs' memory (ram.h). */
#include "dataplane/ram/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <systemd/sd-event.h>

#define BACKLOG 4

static struct {
	int fd;
	sd_event_source *source;
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
} listener = {.fd = -1};

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	int reader = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (reader >= 0)
		gn_ram_welcome(reader);
	return 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int err;

	if (fd < 0)
		return -errno;
	strcpy(address.sun_path, path);
	unlink(path);
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(mask);
	if (err == 0)
		err = listen(fd, BACKLOG);
	if (err == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int gn_ram_listen(struct sd_event *event, const char *path, struct gn_status *status)
{
	int err = strlen(path) < sizeof listener.path ? listen_at(path) : -ENAMETOOLONG;

	if (err >= 0) {
		listener.fd = err;
		strcpy(listener.path, path);
		err = sd_event_add_io(event, &listener.source, listener.fd, EPOLLIN, on_connection,
		                      NULL);
	}
	if (err < 0)
		return gn_status_set(status, gn_code_from_errno(err),
		                     "socket '%s' for gnomon-introspect: %s; is the directory "
		                     "there and writable?",
		                     path, strerror(-err));
	return 0;
}

void gn_ram_stop(void)
{
	listener.source = sd_event_source_disable_unref(listener.source);
	if (listener.fd >= 0) {
		close(listener.fd);
		unlink(listener.path);
	}
	listener.fd = -1;
	gn_ram_forget();
}
