/* wire.c - see wire.h. One sendmsg(2) a message, as QEMU does, so that descriptors arrive
 * with the header's first byte. */
#include "tests/frontend/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

int gn_wire_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int send_all(int socket, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = send(socket, bytes, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int gn_wire_send_raw(int socket, const struct gn_wire_message *message, size_t n_bytes,
                     const int *fds, unsigned n_fds)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int) * GN_WIRE_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {(void *)message, GN_WIRE_HEADER_SIZE + n_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (n_fds > GN_WIRE_MAX_FDS || n_bytes > sizeof(message->payload))
		return -EINVAL;
	if (n_fds > 0) {
		struct cmsghdr *header = &control.align;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buffer;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return send_all(socket, (const uint8_t *)message + n, iov.iov_len - (size_t)n);
}

int gn_wire_send(int socket, const struct gn_wire_message *message, const int *fds, unsigned n_fds)
{
	return gn_wire_send_raw(socket, message, message->size, fds, n_fds);
}

static int wait_readable(int socket, int timeout_ms)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

/* Keeps the first descriptor of a control message, closes the rest. */
static void keep_fd(struct msghdr *msg, int *fd)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int received;

			memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*fd < 0)
				*fd = received;
			else
				close(received);
		}
	}
}

static int receive_exactly(int socket, void *bytes, size_t size, int *fd, int timeout_ms)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int) * GN_WIRE_MAX_FDS)];
		struct cmsghdr align;
	} control;
	size_t done = 0;

	while (done < size) {
		struct iovec iov = {(uint8_t *)bytes + done, size - done};
		struct msghdr msg = {.msg_iov = &iov,
		                     .msg_iovlen = 1,
		                     .msg_control = control.buffer,
		                     .msg_controllen = sizeof(control.buffer)};
		int error = wait_readable(socket, timeout_ms);
		ssize_t n;

		if (error)
			return error;
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (n == 0)
			return -EPIPE;
		keep_fd(&msg, fd);
		done += (size_t)n;
	}
	return 0;
}

int gn_wire_receive(int socket, struct gn_wire_message *out, int *fd, int timeout_ms)
{
	int received = -1;
	int error = receive_exactly(socket, out, GN_WIRE_HEADER_SIZE, &received, timeout_ms);

	if (!error && out->size > sizeof(out->payload))
		error = -EBADMSG;
	if (!error)
		error = receive_exactly(socket, &out->payload, out->size, &received, timeout_ms);
	if (!error && fd)
		*fd = received;
	else if (received >= 0)
		close(received);
	return error;
}

int gn_wire_hung_up(int socket)
{
	struct pollfd p = {.fd = socket, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR));
}
