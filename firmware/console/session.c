/* session.c - see session.h. */
#include "firmware/console/session.h"

#include <stdio.h>
#include <string.h>

#include "firmware/console/crypto.h"

static void to_hex(const uint8_t bytes[32], char out[GN_SESSION_TOKEN])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 32; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[64] = '\0';
}

static void remove_at(struct gn_sessions *sessions, size_t i)
{
	sessions->all[i] = sessions->all[--sessions->n];
	gn_crypto_wipe(&sessions->all[sessions->n], sizeof sessions->all[0]);
}

static bool has_ended(const struct gn_session *session, uint64_t now_us)
{
	return now_us - session->used_us >= GN_SESSION_IDLE_US ||
	       now_us - session->made_us >= GN_SESSION_LIFE_US;
}

static void drop_ended(struct gn_sessions *sessions, uint64_t now_us)
{
	for (size_t i = sessions->n; i-- > 0;)
		if (has_ended(&sessions->all[i], now_us))
			remove_at(sessions, i);
}

/* Makes room: among those of 'account' when it has too many, else among all. */
static void make_room(struct gn_sessions *sessions, const char *account)
{
	size_t n_own = 0, victim = GN_SESSIONS;
	bool own;

	for (size_t i = 0; i < sessions->n; i++)
		n_own += !strcmp(sessions->all[i].account, account);
	own = n_own >= GN_SESSIONS_EACH;
	if (!own && sessions->n < GN_SESSIONS)
		return;
	for (size_t i = 0; i < sessions->n; i++) {
		if (own && strcmp(sessions->all[i].account, account))
			continue;
		if (victim == GN_SESSIONS ||
		    sessions->all[i].used_us < sessions->all[victim].used_us)
			victim = i;
	}
	remove_at(sessions, victim);
}

const struct gn_session *gn_session_begin(struct gn_sessions *sessions, const char *account,
                                          enum gn_role role, uint64_t password_us,
                                          const uint8_t random[64], uint64_t now_us,
                                          char token[GN_SESSION_TOKEN])
{
	struct gn_session *session;

	drop_ended(sessions, now_us);
	make_room(sessions, account);
	session = &sessions->all[sessions->n++];
	*session = (struct gn_session){
	        .role = role, .password_us = password_us, .made_us = now_us, .used_us = now_us};
	snprintf(session->account, sizeof session->account, "%s", account);
	to_hex(random, token);
	to_hex(random + 32, session->csrf);
	gn_crypto_sha256(token, 64, session->digest);
	return session;
}

static struct gn_session *find(struct gn_sessions *sessions, const uint8_t digest[32],
                               uint64_t now_us)
{
	drop_ended(sessions, now_us);
	for (size_t i = 0; i < sessions->n; i++) {
		if (memcmp(sessions->all[i].digest, digest, 32))
			continue;
		sessions->all[i].used_us = now_us;
		return &sessions->all[i];
	}
	return NULL;
}

bool gn_session_is_live(struct gn_sessions *sessions, const uint8_t digest[32], uint64_t now_us)
{
	return find(sessions, digest, now_us);
}

/* Compared by digest, so that the time taken tells nothing of a token. */
const struct gn_session *gn_session_find(struct gn_sessions *sessions, const char *token,
                                         uint64_t now_us)
{
	uint8_t digest[32];

	if (strlen(token) != GN_SESSION_TOKEN - 1)
		return NULL;
	gn_crypto_sha256(token, GN_SESSION_TOKEN - 1, digest);
	return find(sessions, digest, now_us);
}

void gn_session_end(struct gn_sessions *sessions, const struct gn_session *session)
{
	remove_at(sessions, (size_t)(session - sessions->all));
}

void gn_session_end_all(struct gn_sessions *sessions, const char *account)
{
	for (size_t i = sessions->n; i-- > 0;)
		if (!strcmp(sessions->all[i].account, account))
			remove_at(sessions, i);
}
