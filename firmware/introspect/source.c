/* source.c - the reader's end of proto/ram.h (source.h). */
#include "firmware/introspect/source.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int gn_source_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static unsigned take_fds(struct msghdr *msg, int *fds)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < GN_RAM_MAX_REGIONS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

static bool is_good(const struct gn_ram_message *m, unsigned n_fds)
{
	return m->version == GN_RAM_VERSION && m->n_regions <= GN_RAM_MAX_REGIONS &&
	       m->n_regions == n_fds && memchr(m->vm, 0, sizeof m->vm) && m->vm[0] &&
	       ((m->kind == GN_RAM_TABLE && n_fds) || (m->kind == GN_RAM_GONE && !n_fds));
}

int gn_source_receive(int fd, struct gn_source_table *out)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(GN_RAM_MAX_REGIONS * sizeof(int))];
	} control;
	struct iovec iov = {&out->message, sizeof out->message};
	struct msghdr msg = {.msg_iov = &iov,
	                     .msg_iovlen = 1,
	                     .msg_control = control.bytes,
	                     .msg_controllen = sizeof control.bytes};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	unsigned n_fds;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	n_fds = take_fds(&msg, out->fds);
	if (n == (ssize_t)sizeof out->message && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    is_good(&out->message, n_fds))
		return 1;
	for (unsigned i = 0; i < n_fds; i++)
		close(out->fds[i]);
	return -EBADMSG;
}

void gn_source_close_fds(struct gn_source_table *table)
{
	for (uint32_t i = 0; i < table->message.n_regions; i++)
		close(table->fds[i]);
	table->message.n_regions = 0;
}
