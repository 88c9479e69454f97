/* login.c - see login.h. A login is hashed on the hasher's thread and judged when the hash comes
 * back; the exchange waits meanwhile. */
#include "firmware/console/login.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/console/api.h"
#include "firmware/console/crypto.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "firmware/message/message.h"
#include "proto/json.h"

#define COOKIE "__Host-gnomon"

struct
try {
	struct gn_login_desk *desk;
	struct gn_http_exchange *exchange;
	Gnomon__V1__LoginRequest *request;
};

static struct gn_log_limit failures_log = {.burst = 5};

/* ---- whose request ----------------------------------------------------------------------------
 */

/* Finds the cookie's value in a Cookie header; false: none. */
static bool take_cookie(const char *header, char token[GN_SESSION_TOKEN])
{
	const char *at = header;

	while ((at = strstr(at, COOKIE "="))) {
		bool starts = at == header || at[-1] == ' ' || at[-1] == ';';
		size_t length;

		at += strlen(COOKIE "=");
		length = strcspn(at, "; ");
		if (!starts || length != GN_SESSION_TOKEN - 1)
			continue;
		memcpy(token, at, length);
		token[length] = '\0';
		return true;
	}
	return false;
}

static bool changes_something(const struct gn_http_exchange *exchange)
{
	const char *method = gn_http_method(exchange);

	return strcmp(method, "GET") && strcmp(method, "HEAD");
}

static const struct gn_session *session_of(struct gn_login_desk *desk,
                                           const struct gn_http_exchange *exchange)
{
	const char *bearer = gn_http_header(exchange, "Authorization");
	const char *cookies = gn_http_header(exchange, "Cookie");
	const char *csrf = gn_http_header(exchange, "X-CSRF-Token");
	const struct gn_session *session;
	char token[GN_SESSION_TOKEN];

	if (bearer)
		return strncmp(bearer, "Bearer ", 7) ? NULL
		                                     : gn_session_find(desk->sessions, bearer + 7,
		                                                       gn_clock_monotonic_us());
	if (!cookies || !take_cookie(cookies, token))
		return NULL;
	session = gn_session_find(desk->sessions, token, gn_clock_monotonic_us());
	if (!session || !changes_something(exchange))
		return session;
	return csrf && strlen(csrf) == strlen(session->csrf) &&
	                       gn_crypto_equal(csrf, session->csrf, strlen(csrf))
	               ? session
	               : NULL;
}

/* An account that was removed, or got another role or password, has no sessions. */
static bool is_good(const struct gn_login_desk *desk, const struct gn_session *session)
{
	const Gnomon__V1__Account *account = gn_accounts_find(desk->accounts, session->account);

	return account && (enum gn_role)account->role == session->role &&
	       account->changed_us == session->password_us;
}

void gn_login_check(struct gn_login_desk *desk)
{
	gn_accounts_refresh(desk->accounts);
	for (size_t i = desk->sessions->n; i-- > 0;)
		if (!is_good(desk, &desk->sessions->all[i]))
			gn_session_end(desk->sessions, &desk->sessions->all[i]);
}

const struct gn_session *gn_login_session(struct gn_login_desk *desk,
                                          const struct gn_http_exchange *exchange)
{
	gn_login_check(desk);
	return session_of(desk, exchange);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static void refuse(struct gn_http_exchange *exchange, enum gn_code code, const char *text)
{
	struct gn_status status;

	gn_status_set(&status, code, "%s", text);
	gn_api_fail(exchange, gn_route_http_status(code), &status);
}

static void refuse_login(struct gn_http_exchange *exchange)
{
	refuse(exchange, GN_UNAUTHENTICATED,
	       "name, password or code is wrong, or the account is locked for a while");
}

static void answer_session(struct gn_http_exchange *exchange, const struct gn_session *session,
                           const char *token)
{
	Gnomon__V1__Session message = GNOMON__V1__SESSION__INIT;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	message.account = (char *)session->account;
	message.role = (Gnomon__V1__Account__Role)session->role;
	message.csrf = (char *)session->csrf;
	if (token)
		message.token = (char *)token;
	if (!out || gn_json_print(&message.base, 1, out) || fclose(out))
		abort(); /* no memory */
	gn_http_set_header(exchange, "Cache-Control", "no-store");
	gn_http_answer(exchange, 200, "application/json", text, size);
	gn_crypto_wipe(text, size);
	free(text);
}

static void set_cookie(struct gn_http_exchange *exchange, const char *token, bool forget)
{
	char text[192];

	snprintf(text, sizeof text, COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict%s",
	         token, forget ? "; Max-Age=0" : "");
	gn_http_set_header(exchange, "Set-Cookie", text);
	gn_crypto_wipe(text, sizeof text);
}

/* ---- logging in ---------------------------------------------------------------------------------
 */

static void try_free(struct try *try)
{
	gn_crypto_wipe(try->request->password, strlen(try->request->password));
	gn_crypto_wipe(try->request->new_password, strlen(try->request->new_password));
	GN_MESSAGE_FREE(try->request);
	free(try);
}

static void begin_session(struct try *try)
{
	const Gnomon__V1__Account *account =
	        gn_accounts_find(try->desk->accounts, try->request->name);
	const struct gn_session *session;
	char token[GN_SESSION_TOKEN];
	uint8_t random[64];

	gn_crypto_random(random, sizeof random);
	session = gn_session_begin(try->desk->sessions, account->name, (enum gn_role)account->role,
	                           account->changed_us, random, gn_clock_monotonic_us(), token);
	set_cookie(try->exchange, token, false);
	answer_session(try->exchange, session, token);
	gn_crypto_wipe(token, sizeof token);
	gn_crypto_wipe(random, sizeof random);
}

/* Sets the password that came with the login; ends the sessions made with the old one. */
static int change_password(struct try *try, struct gn_status *status)
{
	const Gnomon__V1__Account *account =
	        gn_accounts_find(try->desk->accounts, try->request->name);
	int error;

	if (!strcmp(try->request->new_password, try->request->password))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the new password must differ from the old one");
	error = gn_accounts_set(try->desk->accounts, try->request->name, account->role,
	                        try->request->new_password, false, gn_clock_wall_us(), status);
	if (!error)
		gn_session_end_all(try->desk->sessions, try->request->name);
	return error;
}

static void decide(struct try *try, const uint8_t hash[32])
{
	enum gn_login outcome = gn_accounts_judge(
	        try->desk->accounts, try->request->name, hash,
	        try->request->code[0] ? atoi(try->request->code) : -1, gn_clock_wall_us());
	bool changes = try->request->new_password[0];
	struct gn_status status;

	if (outcome == GN_LOGIN_WRONG || outcome == GN_LOGIN_LOCKED) {
		gn_log_limited(&failures_log, GN_LOG_WARNING, "a login as '%.32s' failed",
		               try->request->name);
		refuse_login(try->exchange);
	} else if (outcome == GN_LOGIN_MUST_CHANGE && !changes) {
		refuse(try->exchange, GN_FAILED_PRECONDITION,
		       "the password must be changed: log in again with 'new_password' set");
	} else if (changes && change_password(try, &status)) {
		gn_api_fail(try->exchange, gn_route_http_status(status.code), &status);
	} else {
		begin_session(try);
	}
}

static void on_hash(void *context, const uint8_t hash[32])
{
	struct try *try = context;

	if (hash)
		decide(try, hash);
	else
		refuse(try->exchange, GN_UNAVAILABLE, "the console is going down");
	try_free(try);
}

/* An unknown name is hashed too, so that the time does not tell it. */
static void log_in(struct gn_login_desk *desk, struct gn_http_exchange *exchange)
{
	static const uint8_t no_salt[16];
	struct try *try = gn_message_alloc(sizeof *try);
	const Gnomon__V1__Account *account;
	struct gn_status status;
	ProtobufCMessage *message;
	size_t size;
	const char *body = gn_http_body(exchange, &size);

	if (gn_json_parse(body, size, &gnomon__v1__login_request__descriptor, &message, &status)) {
		gn_api_fail(exchange, 400, &status);
		free(try);
		return;
	}
	*try = (struct try){desk, exchange, (Gnomon__V1__LoginRequest *)message};
	gn_accounts_refresh(desk->accounts);
	account = gn_accounts_find(desk->accounts, try->request->name);
	if (gn_hasher_hash(desk->hasher, try->request->password,
	                   account ? account->salt.data : no_salt,
	                   account ? account->salt.len : sizeof no_salt,
	                   account ? account->iterations : GN_ACCOUNTS_ITERATIONS, on_hash, try)) {
		gn_http_set_header(exchange, "Retry-After", "5");
		refuse(exchange, GN_UNAVAILABLE,
		       "too many logins at once: try again in a few seconds");
		try_free(try);
	}
}

static void log_out(struct gn_login_desk *desk, struct gn_http_exchange *exchange,
                    const struct gn_session *session)
{
	gn_session_end(desk->sessions, session);
	set_cookie(exchange, "", true);
	gn_http_answer(exchange, 204, NULL, NULL, 0);
}

void gn_login_handle(struct gn_login_desk *desk, struct gn_http_exchange *exchange)
{
	const struct gn_session *session;

	if (!strcmp(gn_http_method(exchange), "POST")) {
		log_in(desk, exchange);
		return;
	}
	session = gn_login_session(desk, exchange);
	if (!session)
		refuse(exchange, GN_UNAUTHENTICATED, "you are not logged in");
	else if (!strcmp(gn_http_method(exchange), "GET"))
		answer_session(exchange, session, NULL);
	else if (!strcmp(gn_http_method(exchange), "DELETE"))
		log_out(desk, exchange, session);
	else
		refuse(exchange, GN_UNIMPLEMENTED, "this resource knows GET, POST and DELETE");
}
