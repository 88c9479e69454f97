/* iov.h - pieces of scattered memory, for gathering sends and scattering receives. Pure. */
#ifndef GN_DATAPLANE_NBD_IOV_H
#define GN_DATAPLANE_NBD_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The first 'size' bytes of the message are done. */
static inline void gn_nbd_iov_advance(struct msghdr *message, size_t size)
{
	while (message->msg_iovlen && size >= message->msg_iov->iov_len) {
		size -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (!size)
		return;
	message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + size;
	message->msg_iov->iov_len -= size;
}

/* Puts up to 'size' bytes of 'iov', from 'skip' on, into at most 'max' elements of 'out'. Returns
 * how many elements; '*taken' becomes their bytes. */
static inline unsigned gn_nbd_iov_slice(const struct iovec *iov, unsigned n_iov, uint64_t skip,
                                        uint64_t size, struct iovec *out, unsigned max,
                                        uint64_t *taken)
{
	unsigned n = 0;

	*taken = 0;
	for (unsigned i = 0; i < n_iov && size && n < max; i++) {
		uint64_t left = iov[i].iov_len;

		if (skip >= left) {
			skip -= left;
			continue;
		}
		left -= skip;
		if (left > size)
			left = size;
		out[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, left};
		*taken += left;
		size -= left;
		skip = 0;
	}
	return n;
}

#endif
