/* sign_test.c - signed requests: forged, expired, meant for others, by strangers, revoked,
 * repeated; with the certificates that gnomon-ca makes. What the channel does with them:
 * tools/ca/trust_test.c. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/sign/counters.h"
#include "proto/sign/sign.h"
#include "tools/ca/ca.h"

static char dir[32];

static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof path[n], "%s/%s", dir, name);
	return path[n];
}

static char *text_of(const char *name)
{
	char *text = calloc(1, 1 << 16);
	FILE *file = fopen(in_dir(name), "r");

	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	return text;
}

static void write_text(const char *name, const char *text)
{
	FILE *file = fopen(in_dir(name), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void issue(const char *root, const char *name, const char *role)
{
	const struct gn_ca_request request = {.root = root,
	                                      .name = name,
	                                      .days = 10,
	                                      .role = role,
	                                      .sans = {"*.example"},
	                                      .n_sans = 1};
	struct gn_status status;
	bool made;

	if (gn_ca_issue(dir, &request, &made, &status))
		fail_msg("%s", status.message);
}

static int set_up(void **state)
{
	struct gn_status status;
	int n;

	(void)state;
	strcpy(dir, "/tmp/gnsg.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(gn_ca_init(dir, 100, false, &n, &status), 0);
	issue("cards", "card-1", NULL);
	issue("hosts", "host-1", NULL);
	issue("operators", "alice", "operator");
	issue("operators", "bob", "viewer");
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- one request ------------------------------------------------------------------------------
 */

struct fixture {
	struct gn_signer *signer;
	struct gn_verifier *verifier;
	struct gn_sign_identity who;
	struct gn_status status;
	uint8_t body[16];
};

static struct gn_signer *signer_of(const char *name)
{
	char cert[64], key[64], *cert_text, *key_text;
	struct gn_signer *signer;
	struct gn_status status;

	snprintf(cert, sizeof cert, "%s.pem", name);
	snprintf(key, sizeof key, "%s.key", name);
	cert_text = text_of(cert);
	key_text = text_of(key);
	if (gn_signer_create(cert_text, key_text, &signer, &status))
		fail_msg("%s", status.message);
	free(cert_text);
	free(key_text);
	return signer;
}

static struct gn_verifier *verifier_of(const char *root, struct gn_status *status)
{
	struct gn_verifier *verifier = NULL;
	char *root_text = text_of(root), *own = text_of("cards/card-1.pem");

	gn_verifier_create(root_text, own, in_dir("operators.revoked"), &verifier, status);
	free(root_text);
	free(own);
	return verifier;
}

static struct gn_envelope request_of(struct fixture *f)
{
	struct gn_envelope request = {.id = "1",
	                              .method = "Control/UpdatePolicy",
	                              .deadline_us = 1000,
	                              .caller = "somebody",
	                              .target = "card-1",
	                              .counter = 7,
	                              .body = f->body,
	                              .body_size = sizeof f->body};

	memset(f->body, 'x', sizeof f->body);
	assert_int_equal(gn_signer_sign(f->signer, &request), 0);
	return request;
}

/* Over the wire and checked. */
static int check(struct fixture *f, const struct gn_envelope *request)
{
	uint8_t *wire = malloc(gn_envelope_size(GN_ENVELOPE_REQUEST, request, NULL));
	size_t size = gn_envelope_encode(GN_ENVELOPE_REQUEST, request, NULL, wire);
	uint8_t digest[GN_SIGN_DIGEST];
	struct gn_envelope decoded;
	int error;

	if (gn_envelope_decode(GN_ENVELOPE_REQUEST, wire, size, &decoded, &f->status))
		fail_msg("%s", f->status.message);
	gn_sign_digest(&decoded, digest);
	error = gn_verifier_check(f->verifier, &decoded, digest, &f->who, &f->status);
	gn_envelope_fini(&decoded);
	free(wire);
	return error;
}

static void refuse(struct fixture *f, const struct gn_envelope *request, const char *kind)
{
	if (!check(f, request))
		fail_msg("what is '%s' was taken", kind);
	if (f->status.code != GN_UNAUTHENTICATED || strncmp(f->status.message, kind, strlen(kind)))
		fail_msg("expected '%s', got %d '%s'", kind, f->status.code, f->status.message);
}

static void open_fixture(struct fixture *f, const char *signer, const char *root)
{
	f->signer = signer_of(signer);
	f->verifier = verifier_of(root, &f->status);
	assert_non_null(f->verifier);
}

static void close_fixture(struct fixture *f)
{
	gn_signer_destroy(f->signer);
	gn_verifier_destroy(f->verifier);
}

/* ---- cases ------------------------------------------------------------------------------------
 */

static void test_who_signed_is_known(void **state)
{
	struct fixture f;
	struct gn_envelope request;

	(void)state;
	open_fixture(&f, "operators/alice", "operators.pem");
	request = request_of(&f);
	for (int i = 0; i < 3; i++) /* from the cache too */
		assert_int_equal(check(&f, &request), 0);
	assert_string_equal(f.who.name, "alice");
	assert_string_equal(f.who.role, "operator");
	close_fixture(&f);
}

static void test_every_altered_field_is_found(void **state)
{
	struct fixture f;
	struct gn_envelope good, bad;
	uint8_t signature[GN_ENVELOPE_SIGNATURE_MAX];

	(void)state;
	open_fixture(&f, "operators/alice", "operators.pem");
	good = request_of(&f);
#define ALTERED(change)                                                                            \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		refuse(&f, &bad, "forged");                                                        \
	} while (0)
	ALTERED(strcpy(bad.id, "2"));
	ALTERED(strcpy(bad.method, "Control/DeleteVm"));
	ALTERED(bad.deadline_us++);
	ALTERED(bad.counter++);
	ALTERED(strcpy(bad.caller, "somebody else"));
	ALTERED(strcpy(bad.target, "CARD-1"));
	ALTERED(bad.body_size--);
	ALTERED(f.body[3] ^= 1);
	f.body[3] ^= 1;
	/* Bytes moved from one field to the next make another request. */
	ALTERED((strcpy(bad.id, "1C"), strcpy(bad.method, "ontrol/UpdatePolicy")));
	for (size_t i = 0; i < good.signature.size; i++) {
		memcpy(signature, good.signature.data, good.signature.size);
		signature[i] ^= 0x10;
		ALTERED(bad.signature.data = signature);
	}
	assert_int_equal(check(&f, &good), 0);
	close_fixture(&f);
}

static void test_strangers_are_refused(void **state)
{
	struct fixture f;
	struct gn_signer *mallory;
	struct gn_envelope request, other;

	(void)state;
	open_fixture(&f, "operators/alice", "operators.pem");
	request = request_of(&f);
	other = request;
	other.n_certificates = 0;
	refuse(&f, &other, "not signed");
	other = request;
	other.signature.size = 0;
	refuse(&f, &other, "not signed");
	other = request;
	other.certificates[0].size /= 2;
	refuse(&f, &other, "unknown signer");
	/* bob's certificate with alice's signature, and the other way round */
	mallory = signer_of("operators/bob");
	assert_int_equal(gn_signer_sign(mallory, &other), 0);
	other.signature = request.signature;
	refuse(&f, &other, "forged");
	gn_signer_destroy(mallory);
	/* a host's key commands nobody, not even with the hosts' root trusted */
	mallory = signer_of("hosts/host-1");
	assert_int_equal(gn_signer_sign(mallory, &other), 0);
	refuse(&f, &other, "unknown signer");
	gn_verifier_destroy(f.verifier);
	f.verifier = verifier_of("hosts.pem", &f.status);
	refuse(&f, &other, "unknown signer");
	gn_signer_destroy(mallory);
	close_fixture(&f);
}

static void test_only_our_names_are_meant(void **state)
{
	static const struct {
		const char *target;
		bool ours;
	} cases[] = {{"card-1", true},         {"Card-1", true},   {"a.example", true},
	             {"a.b.example", false},   {"example", false}, {"card-2", false},
	             {"card-1.example", true}, {"", false},        {"card-11", false}};
	struct fixture f;
	struct gn_envelope request;

	(void)state;
	open_fixture(&f, "operators/alice", "operators.pem");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		request = request_of(&f);
		strcpy(request.target, cases[i].target);
		assert_int_equal(gn_signer_sign(f.signer, &request), 0);
		if (cases[i].ours)
			assert_int_equal(check(&f, &request), 0);
		else
			refuse(&f, &request, "wrong target");
	}
	close_fixture(&f);
}

static void test_revoked_at_once_and_only_by_the_root(void **state)
{
	struct fixture alice, bob;
	struct gn_envelope hers, his;
	struct gn_status status;
	char *list;

	(void)state;
	open_fixture(&alice, "operators/alice", "operators.pem");
	open_fixture(&bob, "operators/bob", "operators.pem");
	hers = request_of(&alice);
	his = request_of(&bob);
	assert_int_equal(check(&alice, &hers), 0);
	assert_int_equal(gn_ca_revoke(dir, "operators", "alice", &status), 0);
	refuse(&alice, &hers, "revoked signer: the certificate of 'alice'");
	assert_int_equal(check(&bob, &his), 0);
	assert_int_equal(gn_ca_revoke(dir, "operators", "alice", &status), 0); /* twice is once */
	list = text_of("operators.revoked");
	assert_null(strstr(strstr(list, " alice\n") + 1, " alice\n"));
	/* Somebody takes her off the list, or the list away: nobody is let in. */
	write_text("operators.revoked", "gnomon revoked 1\nsignature 00\n");
	refuse(&alice, &hers, "revoked signer");
	refuse(&bob, &his, "revoked signer");
	assert_int_equal(unlink(in_dir("operators.revoked")), 0);
	refuse(&bob, &his, "revoked signer");
	write_text("operators.revoked", list);
	assert_int_equal(check(&bob, &his), 0);
	refuse(&alice, &hers, "revoked signer");
	/* A server does not start with a list that is not its root's. */
	list[strlen(list) - 3] ^= 1;
	write_text("operators.revoked", list);
	assert_null(verifier_of("operators.pem", &status));
	assert_non_null(strstr(status.message, "operators.revoked"));
	assert_int_equal(unlink(in_dir("operators.revoked")), 0);
	free(list);
	close_fixture(&alice);
	close_fixture(&bob);
}

/* ---- replay -----------------------------------------------------------------------------------
 */

static const uint8_t key_a[GN_REPLAY_KEY] = {1}, key_b[GN_REPLAY_KEY] = {2};

static int take(struct gn_counters *counters, const uint8_t *key, uint64_t counter, uint64_t digest)
{
	const struct gn_replay_request request = {counter, digest};
	struct gn_status status;
	uint64_t floor;
	int error = gn_counters_take(counters, key, &request, &floor, &status);

	if (error)
		assert_int_equal(strncmp(status.message, "replayed", 8), 0);
	if (error == -ESTALE) /* one that is sent as the answer says is taken */
		assert_true(floor >= counter);
	return error;
}

static void test_nothing_is_taken_twice(void **state)
{
	struct gn_counters *counters;
	struct gn_status status;

	(void)state;
	assert_int_equal(gn_counters_open(NULL, &counters, &status), 0);
	/* In any order; two with one counter are told apart; each sender's are its own. */
	assert_int_equal(take(counters, key_a, 5, 50), 0);
	assert_int_equal(take(counters, key_a, 3, 30), 0);
	assert_int_equal(take(counters, key_a, 5, 51), 0);
	assert_int_equal(take(counters, key_b, 5, 50), 0);
	assert_int_equal(take(counters, key_a, 5, 50), -EEXIST);
	assert_int_equal(take(counters, key_a, 3, 30), -EEXIST);
	assert_int_equal(take(counters, key_a, 5, 51), -EEXIST);
	/* Long after, when single ones are forgotten: still not. */
	for (uint64_t i = 0; i < 3 * GN_REPLAY_WINDOW; i++)
		assert_int_equal(take(counters, key_a, 10 + i, i), 0);
	for (uint64_t i = 0; i < 3 * GN_REPLAY_WINDOW; i++)
		assert_int_not_equal(take(counters, key_a, 10 + i, i), 0);
	assert_int_equal(take(counters, key_a, 4, 40), -ESTALE);
	gn_counters_close(counters);
}

/* One that comes late, below all that is remembered of a full window, does not let the floor sink.
 */
static void test_late_one_lets_nothing_in_again(void **state)
{
	struct gn_counters *counters;
	struct gn_status status;

	(void)state;
	assert_int_equal(gn_counters_open(NULL, &counters, &status), 0);
	for (uint64_t i = 1; i <= GN_REPLAY_WINDOW; i++)
		assert_int_equal(take(counters, key_a, 10 * i, i), 0);
	assert_int_equal(take(counters, key_a, 5, 5), 0);
	assert_int_equal(take(counters, key_a, 20 * GN_REPLAY_WINDOW, 7), 0);
	assert_int_not_equal(take(counters, key_a, 5, 5), 0);
	assert_int_not_equal(take(counters, key_a, 10, 1), 0);
	assert_int_not_equal(take(counters, key_a, 20, 2), 0);
	gn_counters_close(counters);
}

static void test_forgotten_senders_cannot_repeat(void **state)
{
	struct gn_counters *counters;
	struct gn_status status;
	uint8_t key[GN_REPLAY_KEY] = {9};

	(void)state;
	assert_int_equal(gn_counters_open(NULL, &counters, &status), 0);
	for (unsigned i = 0; i < 3 * GN_REPLAY_SENDERS; i++) {
		key[1] = (uint8_t)i;
		assert_int_equal(take(counters, key, 100 + i, i), 0);
	}
	for (unsigned i = 0; i < 3 * GN_REPLAY_SENDERS; i++) {
		key[1] = (uint8_t)i;
		assert_int_not_equal(take(counters, key, 100 + i, i), 0);
	}
	gn_counters_close(counters);
}

/* Stops after request 1, 2 ... without closing, as a power cut does. */
static void test_nothing_is_taken_again_after_a_power_cut(void **state)
{
	const char *path = in_dir("counters");
	const uint64_t begin = 1000000000;

	(void)state;
	for (unsigned n = 1; n <= 12; n++) {
		struct gn_counters *before, *after;
		struct gn_status status;

		unlink(path);
		assert_int_equal(gn_counters_open(path, &before, &status), 0);
		for (unsigned i = 0; i < n; i++) /* some within one mark, some beyond */
			assert_int_equal(take(before, i % 3 ? key_a : key_b, begin + i * 400000, i),
			                 0);
		assert_int_equal(gn_counters_open(path, &after, &status), 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(take(after, i % 3 ? key_a : key_b, begin + i * 400000, i),
			                 -ESTALE);
		assert_int_equal(take(after, key_a, begin + 100 * 400000, 1), 0);
		gn_counters_close(after);
		gn_counters_close(before);
	}
}

static void test_restart_in_order_refuses_nothing_new(void **state)
{
	const char *path = in_dir("counters");
	struct gn_counters *counters;
	struct gn_status status;

	(void)state;
	unlink(path);
	for (uint64_t i = 1; i < 6; i++) {
		assert_int_equal(gn_counters_open(path, &counters, &status), 0);
		assert_int_equal(take(counters, key_a, i, i), 0);
		assert_int_not_equal(take(counters, key_a, i, i), 0);
		gn_counters_close(counters);
	}
}

static void test_damaged_counters_are_told(void **state)
{
	static const char *const damages[] = {
	        "", "gnomon counters 1\n", "gnomon counters 2\nfloor 0\n",
	        "gnomon counters 1\nfloor 0\nabc 5\n", "gnomon counters 1\nfloor 0\n\n"};
	struct gn_counters *counters;
	struct gn_status status;

	(void)state;
	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		write_text("counters", damages[i]);
		assert_int_not_equal(gn_counters_open(in_dir("counters"), &counters, &status), 0);
		assert_non_null(strstr(status.message, "counters"));
		assert_non_null(strstr(status.message, "damaged"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_who_signed_is_known),
	        cmocka_unit_test(test_every_altered_field_is_found),
	        cmocka_unit_test(test_strangers_are_refused),
	        cmocka_unit_test(test_only_our_names_are_meant),
	        cmocka_unit_test(test_revoked_at_once_and_only_by_the_root),
	        cmocka_unit_test(test_nothing_is_taken_twice),
	        cmocka_unit_test(test_late_one_lets_nothing_in_again),
	        cmocka_unit_test(test_forgotten_senders_cannot_repeat),
	        cmocka_unit_test(test_nothing_is_taken_again_after_a_power_cut),
	        cmocka_unit_test(test_restart_in_order_refuses_nothing_new),
	        cmocka_unit_test(test_damaged_counters_are_told),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
