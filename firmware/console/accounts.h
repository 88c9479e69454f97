/* accounts.h - the people who may log in, in one file of their own.
 *
 * The file (mode 0600) is message AccountList as JSON and is replaced whole, so that a kill or
 * a full disk leaves the old one or the new one. Passwords are kept as PBKDF2-HMAC-SHA512 with
 * GN_ACCOUNTS_ITERATIONS (OWASP's figure of 2023) and a salt each.
 *
 * Rules: a password has 12 to 128 bytes and does not hold the account's name. After five
 * failures in a row an account is locked for a minute, and twice as long for each further
 * one, up to an hour. An expired password, or one that somebody else has set, only lets its
 * owner set another one. A second factor's code (RFC 6238) works once, a step early or late.
 *
 * Processes take turns by a lock beside the file. One owner; hashing (half a second) is done by the
 * caller, off the loop: see login.h. */
#ifndef GN_CONSOLE_ACCOUNTS_H
#define GN_CONSOLE_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"
#include "proto/gnomon/v1/console.pb-c.h"

#define GN_ACCOUNTS_ITERATIONS 210000u
#define GN_ACCOUNTS_MAX        64

struct gn_accounts;

/* A missing file is an empty list. -EINVAL for a damaged one: it is left alone. */
int gn_accounts_load(const char *path, struct gn_accounts **out, struct gn_status *status);
void gn_accounts_free(struct gn_accounts *accounts);

size_t gn_accounts_count(const struct gn_accounts *accounts);
/* Takes over what another process ('gnomon-console account ...') has written since. Cheap when
 * nothing has; a damaged file is left alone and what was known stays. Pointers to accounts end. */
void gn_accounts_refresh(struct gn_accounts *accounts);

/* The i-th, in no order; NULL: there are not so many. */
const Gnomon__V1__Account *gn_accounts_at(const struct gn_accounts *accounts, size_t i);
/* NULL: no such account. Valid until the next change. */
const Gnomon__V1__Account *gn_accounts_find(const struct gn_accounts *accounts, const char *name);

/* What became of a try to log in. */
enum gn_login { GN_LOGIN_OK, GN_LOGIN_MUST_CHANGE, GN_LOGIN_WRONG, GN_LOGIN_LOCKED };

/* Judges a try whose password hashes to 'hash' (with the account's salt); 'code' is the
 * second factor, -1 when none was given. Counts failures, and stores. */
enum gn_login gn_accounts_judge(struct gn_accounts *accounts, const char *name,
                                const uint8_t hash[32], int32_t code, uint64_t wall_us);

/* Whether 'password' may be set for 'name'; a sentence says why not. */
int gn_accounts_check_password(const char *name, const char *password, struct gn_status *status);

/* Adds the account or replaces role and password of one that exists; a second factor stays.
 * Hashes here (half a second). 'must_change': the owner has to set another one. */
int gn_accounts_set(struct gn_accounts *accounts, const char *name, Gnomon__V1__Account__Role role,
                    const char *password, bool must_change, uint64_t wall_us,
                    struct gn_status *status);
/* Sets or (size 0) removes the second factor. */
int gn_accounts_set_totp(struct gn_accounts *accounts, const char *name, const uint8_t *secret,
                         size_t size, struct gn_status *status);
int gn_accounts_remove(struct gn_accounts *accounts, const char *name, struct gn_status *status);

#endif
