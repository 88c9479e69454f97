/* session.h - who is logged in. In memory only: a restart logs everybody out.
 *
 * A session has a token of 256 random bits, kept only as its SHA-256, and another value
 * against forged requests (CSRF) that a browser's script must send with whatever changes
 * something. It ends after half an hour without use, twelve hours after login, at logout, and
 * when its account is removed or changed. Time is an argument. One owner. */
#ifndef GN_CONSOLE_SESSION_H
#define GN_CONSOLE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "firmware/console/route.h"

#define GN_SESSIONS        256
#define GN_SESSIONS_EACH   16 /* of one account; the oldest goes */
#define GN_SESSION_TOKEN   65 /* hexadecimal, with the NUL */
#define GN_SESSION_IDLE_US 1800000000ull
#define GN_SESSION_LIFE_US 43200000000ull

struct gn_session {
	char account[33];
	enum gn_role role;
	char csrf[GN_SESSION_TOKEN];
	uint64_t password_us;      /* wall: when the account's password was set */
	uint64_t made_us, used_us; /* monotonic */
	uint8_t digest[32];        /* of the token */
};

struct gn_sessions {
	struct gn_session all[GN_SESSIONS];
	size_t n;
};

/* Makes a session; 'random' is 64 random bytes, which become the token and the CSRF value.
 * When there is no room the one that was used longest ago goes. */
const struct gn_session *gn_session_begin(struct gn_sessions *sessions, const char *account,
                                          enum gn_role role, uint64_t password_us,
                                          const uint8_t random[64], uint64_t now_us,
                                          char token[GN_SESSION_TOKEN]);

/* The session of that token, used now; NULL: none, or it has ended. */
const struct gn_session *gn_session_find(struct gn_sessions *sessions, const char *token,
                                         uint64_t now_us);

/* Whether the session of that digest still lives; used now: for streams that are open. */
bool gn_session_is_live(struct gn_sessions *sessions, const uint8_t digest[32], uint64_t now_us);

void gn_session_end(struct gn_sessions *sessions, const struct gn_session *session);
/* All of an account. */
void gn_session_end_all(struct gn_sessions *sessions, const char *account);

#endif
