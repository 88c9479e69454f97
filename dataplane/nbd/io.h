/* io.h - whole messages over a blocking socket, until a deadline; for threads that negotiate. */
#ifndef GN_DATAPLANE_NBD_IO_H
#define GN_DATAPLANE_NBD_IO_H

#include <stddef.h>
#include <stdint.h>

/* 'until_us' is monotonic. 0, -ECONNRESET (the peer closed), -ETIMEDOUT, another negative errno. */
int gn_nbd_read_all(int fd, uint8_t *data, size_t size, uint64_t until_us);
int gn_nbd_write_all(int fd, const uint8_t *data, size_t size, uint64_t until_us);

/* Waits for 'events' of poll(2). 0, -ETIMEDOUT, another negative errno. */
int gn_nbd_wait(int fd, short events, uint64_t until_us);

#endif
