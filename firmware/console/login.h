/* login.h - /api/v1/session: logging in and out, and who sends a request.
 *
 *   POST   {"name": "ann", "password": "...", "code": "123456", "new_password": "..."}
 *          -> {"token": "...", "csrf": "...", "account": "ann", "role": "OPERATOR"}, and the
 *             cookie __Host-gnomon; code and new_password only where they are needed
 *   GET    -> account, role and csrf of the caller
 *   DELETE -> logged out
 *
 * A browser sends the cookie, and with whatever changes something the header X-CSRF-Token; other
 * clients send "Authorization: Bearer TOKEN" instead. A failure never says whether name,
 * password or code was wrong, or the account locked, and takes as long for an unknown name.
 * One thread: the server's. */
#ifndef GN_CONSOLE_LOGIN_H
#define GN_CONSOLE_LOGIN_H

#include "firmware/console/accounts.h"
#include "firmware/console/hasher.h"
#include "firmware/console/http.h"
#include "firmware/console/session.h"

struct gn_login_desk {
	struct gn_accounts *accounts;
	struct gn_hasher *hasher;
	struct gn_sessions *sessions;
};

/* Answers a request for /api/v1/session, at once or later. */
void gn_login_handle(struct gn_login_desk *desk, struct gn_http_exchange *exchange);

/* The session that the request belongs to, or NULL. What changes something needs the CSRF
 * value beside a cookie; without it the request belongs to nobody. */
const struct gn_session *gn_login_session(struct gn_login_desk *desk,
                                          const struct gn_http_exchange *exchange);

/* Ends the sessions of accounts that were removed, or got another role or password, here or by
 * another process. A few times a second. */
void gn_login_check(struct gn_login_desk *desk);

#endif
