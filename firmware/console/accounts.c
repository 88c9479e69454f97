/* accounts.c - see accounts.h. */
#include "firmware/console/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/console/crypto.h"
#include "firmware/core/durable.h"
#include "firmware/message/message.h"
#include "proto/json.h"

#define FILE_MAX       (256u << 10)
#define FREE_FAILURES  5
#define LOCK_US        60000000ull
#define LOCK_DOUBLINGS 6 /* to about an hour */
#define TOTP_STEP_US   30000000ull

struct gn_accounts {
	char *path;
	int lock; /* of '<path>.lock', for flock(2); -1: none could be made */
	Gnomon__V1__AccountList *list;
	struct stat seen; /* of the file that 'list' is */
};

/* ---- the file ----------------------------------------------------------------------------- */

static int fail_file(struct gn_status *status, const char *verb, const char *path)
{
	return gn_status_set(status, gn_code_from_errno(errno),
	                     "accounts file '%s' cannot be %s: %s", path, verb, strerror(errno));
}

static char *read_file(const char *path, size_t *size, struct gn_status *status)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_MAX + 1);

	*size = 0;
	if (file && text)
		*size = fread(text, 1, FILE_MAX + 1, file);
	if (!text || (!file && errno != ENOENT) || (file && ferror(file))) {
		fail_file(status, "read", path);
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
	return text;
}

static int load_list(const char *path, Gnomon__V1__AccountList **out, struct gn_status *status)
{
	struct gn_status why;
	ProtobufCMessage *list;
	size_t size;
	char *text = read_file(path, &size, status);
	int error;

	if (!text)
		return -EIO;
	error = size > FILE_MAX ? gn_status_set(&why, GN_INVALID_ARGUMENT, "it is too large")
	                        : gn_json_parse(text, size, &gnomon__v1__account_list__descriptor,
	                                        &list, &why);
	free(text);
	if (error)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "accounts file '%s' is damaged (%s): restore it, or move it away and "
		        "make the accounts anew with 'gnomon-console account add'",
		        path, why.message);
	*out = (Gnomon__V1__AccountList *)list;
	return 0;
}

static int open_lock(const char *path)
{
	char *name = NULL;
	int fd;

	if (asprintf(&name, "%s.lock", path) < 0)
		abort(); /* no memory */
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(name);
	return fd;
}

int gn_accounts_load(const char *path, struct gn_accounts **out, struct gn_status *status)
{
	struct gn_accounts *accounts = gn_message_alloc(sizeof *accounts);
	int error;

	accounts->path = gn_message_string(path);
	accounts->lock = open_lock(path);
	/* Before reading: a file that is replaced meanwhile is read again. */
	if (stat(path, &accounts->seen))
		memset(&accounts->seen, 0, sizeof accounts->seen);
	error = load_list(path, &accounts->list, status);
	if (error)
		gn_accounts_free(accounts);
	else
		*out = accounts;
	return error;
}

void gn_accounts_free(struct gn_accounts *accounts)
{
	if (!accounts)
		return;
	if (accounts->lock >= 0)
		close(accounts->lock);
	GN_MESSAGE_FREE(accounts->list);
	free(accounts->path);
	free(accounts);
}

void gn_accounts_refresh(struct gn_accounts *accounts)
{
	Gnomon__V1__AccountList *list;
	struct gn_status status;
	struct stat now;

	if (stat(accounts->path, &now) ||
	    (now.st_ino == accounts->seen.st_ino && now.st_size == accounts->seen.st_size &&
	     !memcmp(&now.st_mtim, &accounts->seen.st_mtim, sizeof now.st_mtim)))
		return;
	if (load_list(accounts->path, &list, &status))
		return;
	GN_MESSAGE_FREE(accounts->list);
	accounts->list = list;
	accounts->seen = now;
}

/* Before a change: nobody else writes until end(), and what is changed is the newest. */
static void begin(struct gn_accounts *accounts)
{
	while (accounts->lock >= 0 && flock(accounts->lock, LOCK_EX) && errno == EINTR)
		;
	gn_accounts_refresh(accounts);
}

static void end(const struct gn_accounts *accounts)
{
	if (accounts->lock >= 0)
		flock(accounts->lock, LOCK_UN);
}

static int write_whole(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool failed = fd < 0 || write(fd, text, size) != (ssize_t)size || fsync(fd);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return failed ? -1 : 0;
}

static int store(struct gn_accounts *accounts, struct gn_status *status)
{
	char *text = NULL, *temporary = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int error = 0;

	if (!out || gn_json_print(&accounts->list->base, 0, out) || fclose(out) ||
	    asprintf(&temporary, "%s.new", accounts->path) < 0)
		abort(); /* no memory */
	if (write_whole(temporary, text, size) || rename(temporary, accounts->path)) {
		error = fail_file(status, "written", accounts->path);
		unlink(temporary);
	} else {
		gn_sync_directory_of(accounts->path);
		if (stat(accounts->path, &accounts->seen))
			memset(&accounts->seen, 0, sizeof accounts->seen);
	}
	free(temporary);
	free(text);
	return error;
}

/* Stores, or takes back what was changed: 'before' is the list as it was; owned. */
static int store_or_restore(struct gn_accounts *accounts, Gnomon__V1__AccountList *before,
                            struct gn_status *status)
{
	int error = store(accounts, status);

	if (error) {
		GN_MESSAGE_FREE(accounts->list);
		accounts->list = before;
	} else {
		GN_MESSAGE_FREE(before);
	}
	return error;
}

/* ---- looking up ----------------------------------------------------------------------------- */

size_t gn_accounts_count(const struct gn_accounts *accounts)
{
	return accounts->list->n_accounts;
}

const Gnomon__V1__Account *gn_accounts_at(const struct gn_accounts *accounts, size_t i)
{
	return i < accounts->list->n_accounts ? accounts->list->accounts[i] : NULL;
}

static Gnomon__V1__Account *find(const struct gn_accounts *accounts, const char *name)
{
	for (size_t i = 0; i < accounts->list->n_accounts; i++)
		if (!strcmp(accounts->list->accounts[i]->name, name))
			return accounts->list->accounts[i];
	return NULL;
}

const Gnomon__V1__Account *gn_accounts_find(const struct gn_accounts *accounts, const char *name)
{
	return find(accounts, name);
}

/* ---- logging in -------------------------------------------------------------------------------
 */

static bool code_is_right(const Gnomon__V1__Account *account, int32_t code, uint64_t wall_us,
                          uint64_t *step)
{
	uint64_t now = wall_us / TOTP_STEP_US;

	if (!account->totp_secret.len)
		return true;
	for (uint64_t s = now - 1; code >= 0 && s <= now + 1; s++) {
		if (s > account->totp_step &&
		    gn_crypto_totp(account->totp_secret.data, account->totp_secret.len, s) ==
		            (uint32_t)code) {
			*step = s;
			return true;
		}
	}
	return false;
}

static void count_failure(Gnomon__V1__Account *account, uint64_t wall_us)
{
	uint32_t beyond;

	if (account->failures < UINT32_MAX)
		account->failures++;
	if (account->failures < FREE_FAILURES)
		return;
	beyond = account->failures - FREE_FAILURES;
	account->locked_until_us =
	        wall_us + (LOCK_US << (beyond < LOCK_DOUBLINGS ? beyond : LOCK_DOUBLINGS));
}

static enum gn_login judge(struct gn_accounts *accounts, const char *name, const uint8_t hash[32],
                           int32_t code, uint64_t wall_us)
{
	Gnomon__V1__Account *account = find(accounts, name);
	uint64_t step;

	if (!account || account->hash.len != 32)
		return GN_LOGIN_WRONG;
	if (wall_us < account->locked_until_us)
		return GN_LOGIN_LOCKED;
	step = account->totp_step;
	if (!gn_crypto_equal(account->hash.data, hash, 32) ||
	    !code_is_right(account, code, wall_us, &step)) {
		count_failure(account, wall_us);
		/* Not stored on a full disk: the lock then lasts as long as the process. */
		store(accounts, NULL);
		return GN_LOGIN_WRONG;
	}
	account->failures = 0;
	account->totp_step = step;
	/* A code that could not be noted as used must not count: it could come again. */
	if (store(accounts, NULL) && account->totp_secret.len)
		return GN_LOGIN_LOCKED;
	return account->must_change || (account->expires_us && wall_us >= account->expires_us)
	               ? GN_LOGIN_MUST_CHANGE
	               : GN_LOGIN_OK;
}

enum gn_login gn_accounts_judge(struct gn_accounts *accounts, const char *name,
                                const uint8_t hash[32], int32_t code, uint64_t wall_us)
{
	enum gn_login outcome;

	begin(accounts);
	outcome = judge(accounts, name, hash, code, wall_us);
	end(accounts);
	return outcome;
}

/* ---- changes -----------------------------------------------------------------------------------
 */

static int check_name(const char *name, struct gn_status *status)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	if (length && length <= 32 && !name[length])
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "account name '%.40s' must be 1 to 32 of a-z, 0-9, '.', '_', '-'",
	                     name);
}

int gn_accounts_check_password(const char *name, const char *password, struct gn_status *status)
{
	size_t length = strlen(password);

	if (length < 12 || length > 128)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the password has %zu bytes, but must have 12 to 128", length);
	if (strcasestr(password, name))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the password must not hold the account's name");
	return 0;
}

static void set_bytes(ProtobufCBinaryData *field, const void *data, size_t size)
{
	free(field->data);
	field->data = size ? gn_message_alloc(size) : NULL;
	field->len = size;
	if (size)
		memcpy(field->data, data, size);
}

struct hashed {
	uint8_t salt[16], hash[32];
};

static void hash_password(const char *password, struct hashed *out)
{
	gn_crypto_random(out->salt, sizeof out->salt);
	if (gn_crypto_password_hash(password, out->salt, sizeof out->salt, GN_ACCOUNTS_ITERATIONS,
	                            out->hash))
		abort(); /* no memory */
}

static void set_password(Gnomon__V1__Account *account, const struct hashed *hashed)
{
	set_bytes(&account->salt, hashed->salt, sizeof hashed->salt);
	set_bytes(&account->hash, hashed->hash, sizeof hashed->hash);
	account->iterations = GN_ACCOUNTS_ITERATIONS;
	account->failures = 0;
	account->locked_until_us = 0;
}

/* The account of that name, or a new one at the end of the list. */
static Gnomon__V1__Account *find_or_add(struct gn_accounts *accounts, const char *name)
{
	Gnomon__V1__Account *account = find(accounts, name);

	if (account)
		return account;
	account = GN_MESSAGE_NEW(Gnomon__V1__Account, gnomon__v1__account__init);
	gn_message_set(&account->name, "%s", name);
	GN_MESSAGE_APPEND(accounts->list->accounts, accounts->list->n_accounts, account);
	return account;
}

static int set_account(struct gn_accounts *accounts, const char *name,
                       Gnomon__V1__Account__Role role, const struct hashed *hashed,
                       bool must_change, uint64_t wall_us, struct gn_status *status)
{
	Gnomon__V1__AccountList *before = accounts->list;
	Gnomon__V1__Account *account;

	if (!find(accounts, name) && before->n_accounts >= GN_ACCOUNTS_MAX)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "there are %zu accounts already: remove one",
		                     before->n_accounts);
	accounts->list = GN_MESSAGE_COPY(Gnomon__V1__AccountList, before);
	account = find_or_add(accounts, name);
	account->role = role;
	account->must_change = must_change;
	account->changed_us = wall_us;
	set_password(account, hashed);
	return store_or_restore(accounts, before, status);
}

/* Hashed before anybody has to wait for the lock. */
int gn_accounts_set(struct gn_accounts *accounts, const char *name, Gnomon__V1__Account__Role role,
                    const char *password, bool must_change, uint64_t wall_us,
                    struct gn_status *status)
{
	struct hashed hashed;
	int error;

	if (check_name(name, status) || gn_accounts_check_password(name, password, status))
		return -EINVAL;
	hash_password(password, &hashed);
	begin(accounts);
	error = set_account(accounts, name, role, &hashed, must_change, wall_us, status);
	end(accounts);
	return error;
}

static int fail_unknown(const char *name, struct gn_status *status)
{
	return gn_status_set(status, GN_NOT_FOUND, "there is no account '%.40s'", name);
}

static int set_totp(struct gn_accounts *accounts, const char *name, const uint8_t *secret,
                    size_t size, struct gn_status *status)
{
	Gnomon__V1__AccountList *before = accounts->list;
	Gnomon__V1__Account *account;

	if (!find(accounts, name))
		return fail_unknown(name, status);
	accounts->list = GN_MESSAGE_COPY(Gnomon__V1__AccountList, before);
	account = find(accounts, name);
	set_bytes(&account->totp_secret, secret, size);
	account->totp_step = 0;
	return store_or_restore(accounts, before, status);
}

int gn_accounts_set_totp(struct gn_accounts *accounts, const char *name, const uint8_t *secret,
                         size_t size, struct gn_status *status)
{
	int error;

	begin(accounts);
	error = set_totp(accounts, name, secret, size, status);
	end(accounts);
	return error;
}

static int remove_account(struct gn_accounts *accounts, const char *name, struct gn_status *status)
{
	Gnomon__V1__AccountList *before = accounts->list, *list;

	if (!find(accounts, name))
		return fail_unknown(name, status);
	list = GN_MESSAGE_COPY(Gnomon__V1__AccountList, before);
	for (size_t i = 0; i < list->n_accounts; i++) {
		if (strcmp(list->accounts[i]->name, name))
			continue;
		GN_MESSAGE_FREE(list->accounts[i]);
		list->accounts[i] = list->accounts[--list->n_accounts];
		break;
	}
	accounts->list = list;
	return store_or_restore(accounts, before, status);
}

int gn_accounts_remove(struct gn_accounts *accounts, const char *name, struct gn_status *status)
{
	int error;

	begin(accounts);
	error = remove_account(accounts, name, status);
	end(accounts);
	return error;
}
