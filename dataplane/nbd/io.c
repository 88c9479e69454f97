/* io.c - see io.h. */
#include "dataplane/nbd/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include "firmware/core/clock.h"

int gn_nbd_wait(int fd, short events, uint64_t until_us)
{
	struct pollfd pollfd = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = gn_clock_monotonic_us();
		int n;

		if (now >= until_us)
			return -ETIMEDOUT;
		n = poll(&pollfd, 1, (int)((until_us - now + 999) / 1000));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* What to do after a call that gave 'n' bytes: 0: go on; 1: try again; else the error. */
static int after(int fd, ssize_t n, short events, uint64_t until_us)
{
	int err;

	if (n > 0)
		return 0;
	if (n == 0)
		return -ECONNRESET;
	if (errno == EINTR)
		return 1;
	if (errno != EAGAIN)
		return -errno;
	err = gn_nbd_wait(fd, events, until_us);
	return err ? err : 1;
}

int gn_nbd_read_all(int fd, uint8_t *data, size_t size, uint64_t until_us)
{
	while (size) {
		ssize_t n = recv(fd, data, size, MSG_DONTWAIT);
		int err = after(fd, n, POLLIN, until_us);

		if (err < 0)
			return err;
		if (err)
			continue;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int gn_nbd_write_all(int fd, const uint8_t *data, size_t size, uint64_t until_us)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		int err = after(fd, n, POLLOUT, until_us);

		if (err < 0)
			return err;
		if (err)
			continue;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
