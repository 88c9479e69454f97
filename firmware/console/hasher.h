/* hasher.h - hashes passwords on a thread of its own, since one takes half a second.
 *
 * At most GN_HASHER_QUEUE wait; more are refused, so that guessing cannot pile up work. The
 * answers come inside gn_hasher_process(), in order. One owner besides the thread. */
#ifndef GN_CONSOLE_HASHER_H
#define GN_CONSOLE_HASHER_H

#include <stddef.h>
#include <stdint.h>

#define GN_HASHER_QUEUE    8
#define GN_HASHER_PASSWORD 129 /* bytes, with the NUL; longer ones are cut, and so are wrong */

struct gn_hasher;

/* 'hash' lives during the call; NULL: the hasher is being destroyed. */
typedef void gn_hasher_done(void *context, const uint8_t hash[32]);

/* 0, or a negative errno. */
int gn_hasher_create(struct gn_hasher **out);
int gn_hasher_fd(const struct gn_hasher *hasher);
void gn_hasher_process(struct gn_hasher *hasher);
/* What still waits is answered with NULL, within this call. NULL is fine. */
void gn_hasher_destroy(struct gn_hasher *hasher);

/* Copies password and salt (at most 16 bytes). -EBUSY: too many wait. */
int gn_hasher_hash(struct gn_hasher *hasher, const char *password, const uint8_t *salt,
                   size_t salt_size, uint32_t iterations, gn_hasher_done *done, void *context);

#endif
