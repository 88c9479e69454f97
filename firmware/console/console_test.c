/* console_test.c - what the console decides without sockets: routes, queries, sessions, accounts,
 * second factors, and the metrics' text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "firmware/console/accounts.h"
#include "firmware/console/api.h"
#include "firmware/console/crypto.h"
#include "firmware/console/metrics.h"
#include "firmware/console/route.h"
#include "firmware/console/session.h"

/* ---- routes ------------------------------------------------------------------------------- */

static void test_routes_are_found(void **state)
{
	static const struct {
		const char *verb, *uri, *method, *name;
	} cases[] = {
	        {"GET", "/api/v1/vms", "ListVms", ""},
	        {"GET", "/api/v1/vms?x=1", "ListVms", ""},
	        {"GET", "/api/v1/vms/web-1", "GetVm", "vms/web-1"},
	        {"GET", "/api/v1/vms/web%2D1", "GetVm", "vms/web-1"},
	        {"GET", "/api/v1/vms/a.b_c?x", "GetVm", "vms/a.b_c"},
	        {"PATCH", "/api/v1/vms/web-1/policy", "UpdatePolicy", "vms/web-1/policy"},
	        {"PUT", "/api/v1/vms/a/mirrors/b", "UpdateMirror", "vms/a/mirrors/b"},
	        {"POST", "/api/v1/plans/17:approve", "ApprovePlan", "plans/17"},
	};
	struct gn_status status;
	char name[GN_ROUTE_NAME], allowed[64];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct gn_route *route =
		        gn_route_find(cases[i].verb, cases[i].uri, name, allowed, &status);

		assert_non_null(route);
		assert_string_equal(route->method, cases[i].method);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_other_paths_are_not(void **state)
{
	static const char *const uris[] = {
	        "/",
	        "/api/v1",
	        "/api/v1/",
	        "/api/v2/vms",
	        "/api/v1/vms/",
	        "/api/v1/vms/a/",
	        "/api/v1/vms/..",
	        "/api/v1/vms/%2e%2e",
	        "/api/v1/vms/a%2fb",
	        "/api/v1/vms/a%00",
	        "/api/v1/vms/a%",
	        "/api/v1/vms/a b",
	        "/api/v1/vms//policy",
	        "/api/v1/plans/:approve",
	        "/api/v1/plans/1:approve:approve",
	        "/api/v1/vms/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct gn_status status;
	char name[GN_ROUTE_NAME], allowed[64];

	for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
		assert_null(gn_route_find("GET", uris[i], name, allowed, &status));
		assert_int_equal(status.code, GN_NOT_FOUND);
		assert_string_equal(allowed, "");
	}
	assert_null(gn_route_find("PUT", "/api/v1/vms/a", name, allowed, &status));
	assert_string_equal(allowed, "GET, DELETE");
}

/* Every route names a method, fields and a body that exist: else the first request would crash. */
static void test_routes_fit_the_contract(void **state)
{
	for (const struct gn_route *route = gn_routes; route->verb; route++) {
		const ProtobufCMethodDescriptor *method =
		        protobuf_c_service_descriptor_get_method_by_name(
		                &gnomon__v1__control__descriptor, route->method);
		const ProtobufCFieldDescriptor *mask;

		assert_non_null(method);
		assert_true(route->role > GN_ROLE_NONE);
		assert_true(!strcmp(route->verb, "GET") == (route->role == GN_ROLE_VIEWER));
		if (route->body && route->body[0])
			assert_non_null(protobuf_c_message_descriptor_get_field_by_name(
			        method->input, route->body));
		mask = protobuf_c_message_descriptor_get_field_by_name(method->input,
		                                                       "update_mask");
		assert_true(!route->mask || (mask && mask->label == PROTOBUF_C_LABEL_REPEATED));
	}
}

struct pairs {
	char text[256];
};

static int add_pair(void *context, const char *key, const char *value, struct gn_status *status)
{
	struct pairs *pairs = context;

	snprintf(pairs->text + strlen(pairs->text), sizeof pairs->text - strlen(pairs->text),
	         "%s=%s;", key, value);
	return strcmp(key, "stop") ? 0 : gn_status_set(status, GN_INVALID_ARGUMENT, "stopped");
}

static void test_queries(void **state)
{
	struct pairs pairs = {""};
	struct gn_status status;

	assert_int_equal(gn_route_query("/x?a=1&b=%41+c&&d&e==", add_pair, &pairs, &status), 0);
	assert_string_equal(pairs.text, "a=1;b=A c;d=;e==;");
	assert_int_equal(gn_route_query("/x", add_pair, &pairs, &status), 0);
	assert_int_equal(gn_route_query("/x?stop=1&b=2", add_pair, &pairs, &status), -EINVAL);
	assert_string_equal(status.message, "stopped");
	assert_int_equal(gn_route_query("/x?a=%0a", add_pair, &pairs, &status), -EINVAL);
	assert_int_equal(gn_route_query("/x?a=%4", add_pair, &pairs, &status), -EINVAL);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static const struct gn_session *begin(struct gn_sessions *sessions, const char *account,
                                      uint8_t seed, uint64_t now_us, char token[GN_SESSION_TOKEN])
{
	uint8_t random[64];

	memset(random, seed, sizeof random);
	return gn_session_begin(sessions, account, GN_ROLE_OPERATOR, 1, random, now_us, token);
}

static void test_sessions_end(void **state)
{
	struct gn_sessions *sessions = calloc(1, sizeof *sessions);
	char token[GN_SESSION_TOKEN];
	uint64_t now_us = 1;

	begin(sessions, "ann", 1, now_us, token);
	assert_non_null(gn_session_find(sessions, token, now_us + GN_SESSION_IDLE_US - 1));
	assert_non_null(gn_session_find(sessions, token, now_us + GN_SESSION_IDLE_US));
	assert_null(gn_session_find(sessions, token, now_us + 2 * GN_SESSION_IDLE_US));
	begin(sessions, "ann", 2, now_us, token);
	for (; now_us < GN_SESSION_LIFE_US; now_us += GN_SESSION_IDLE_US / 2)
		assert_non_null(gn_session_find(sessions, token, now_us));
	assert_null(gn_session_find(sessions, token, GN_SESSION_LIFE_US + 1));
	begin(sessions, "ann", 3, now_us, token);
	token[0] = token[0] == '0' ? '1' : '0';
	assert_null(gn_session_find(sessions, token, now_us));
	assert_null(gn_session_find(sessions, "", now_us));
	gn_session_end_all(sessions, "ann");
	assert_int_equal(sessions->n, 0);
	free(sessions);
}

static void test_sessions_have_room(void **state)
{
	struct gn_sessions *sessions = calloc(1, sizeof *sessions);
	char first[GN_SESSION_TOKEN], token[GN_SESSION_TOKEN], name[16];

	begin(sessions, "ann", 1, 1, first);
	for (uint8_t i = 2; i < 2 + GN_SESSIONS_EACH; i++)
		begin(sessions, "ann", i, i, token);
	assert_int_equal(sessions->n, GN_SESSIONS_EACH);
	assert_null(gn_session_find(sessions, first, 100));
	for (int i = 0; i < 2 * GN_SESSIONS; i++) {
		snprintf(name, sizeof name, "u%d", i);
		begin(sessions, name, (uint8_t)i, 200 + (uint64_t)i, token);
	}
	assert_int_equal(sessions->n, GN_SESSIONS);
	assert_non_null(gn_session_find(sessions, token, 1000));
	free(sessions);
}

/* ---- accounts -------------------------------------------------------------------------------- */

#define MINUTE_US 60000000ull

static const char password[] = "a good long one";

static struct gn_accounts *accounts_with_ann(const char *path)
{
	struct gn_accounts *accounts;
	struct gn_status status;

	unlink(path);
	assert_int_equal(gn_accounts_load(path, &accounts, &status), 0);
	assert_int_equal(gn_accounts_set(accounts, "ann", GNOMON__V1__ACCOUNT__ROLE__ADMIN,
	                                 password, false, 1, &status),
	                 0);
	return accounts;
}

static void hash_of(const struct gn_accounts *accounts, const char *text, uint8_t hash[32])
{
	const Gnomon__V1__Account *ann = gn_accounts_find(accounts, "ann");

	assert_int_equal(
	        gn_crypto_password_hash(text, ann->salt.data, ann->salt.len, ann->iterations, hash),
	        0);
}

static char *temporary(char path[64])
{
	snprintf(path, 64, "/tmp/gn-accounts-XXXXXX");
	close(mkstemp(path));
	return path;
}

static void remove_accounts(const char *path)
{
	char lock[80];

	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	unlink(path);
}

static void test_accounts_lock_and_are_kept(void **state)
{
	char path[64];
	struct gn_accounts *accounts = accounts_with_ann(temporary(path));
	struct gn_status status;
	uint8_t right[32], wrong[32];
	uint64_t now = 1000 * MINUTE_US;

	hash_of(accounts, password, right);
	hash_of(accounts, "another one", wrong);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now), GN_LOGIN_OK);
	for (int i = 0; i < 5; i++)
		assert_int_equal(gn_accounts_judge(accounts, "ann", wrong, -1, now),
		                 GN_LOGIN_WRONG);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now), GN_LOGIN_LOCKED);
	gn_accounts_free(accounts);
	assert_int_equal(gn_accounts_load(path, &accounts, &status), 0);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now + MINUTE_US - 1),
	                 GN_LOGIN_LOCKED);
	assert_int_equal(gn_accounts_judge(accounts, "ann", wrong, -1, now + MINUTE_US),
	                 GN_LOGIN_WRONG);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now + 3 * MINUTE_US - 1),
	                 GN_LOGIN_LOCKED);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now + 3 * MINUTE_US),
	                 GN_LOGIN_OK);
	assert_int_equal(gn_accounts_judge(accounts, "bob", right, -1, now), GN_LOGIN_WRONG);
	gn_accounts_free(accounts);
	remove_accounts(path);
}

/* What cannot be stored is not changed. */
static void test_accounts_without_a_place(void **state)
{
	struct gn_accounts *accounts;
	struct gn_status status;

	assert_int_equal(gn_accounts_load("/nowhere/accounts.json", &accounts, &status), 0);
	assert_int_equal(gn_accounts_set(accounts, "ann", GNOMON__V1__ACCOUNT__ROLE__ADMIN,
	                                 password, false, 1, &status),
	                 -ENOENT);
	assert_non_null(strstr(status.message, "/nowhere/accounts.json"));
	assert_int_equal(gn_accounts_count(accounts), 0);
	gn_accounts_free(accounts);
}

/* RFC 6238's vectors for SHA-1, last six digits. */
static void test_codes(void **state)
{
	static const uint8_t secret[] = "12345678901234567890";

	assert_int_equal(gn_crypto_totp(secret, 20, 59 / 30), 287082);
	assert_int_equal(gn_crypto_totp(secret, 20, 1111111109 / 30), 81804);
	assert_int_equal(gn_crypto_totp(secret, 20, 1234567890 / 30), 5924);
	assert_int_equal(gn_crypto_totp(secret, 20, 2000000000 / 30), 279037);
	assert_int_equal(gn_crypto_totp(secret, 20, 20000000000 / 30), 353130);
}

static void test_a_code_works_once(void **state)
{
	char path[64];
	struct gn_accounts *accounts = accounts_with_ann(temporary(path));
	static const uint8_t secret[] = "12345678901234567890";
	struct gn_status status;
	uint8_t right[32];
	uint64_t now = 1234567890ull * 1000000;

	hash_of(accounts, password, right);
	assert_int_equal(gn_accounts_set_totp(accounts, "ann", secret, 20, &status), 0);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, -1, now), GN_LOGIN_WRONG);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, 5924, now + 90000000),
	                 GN_LOGIN_WRONG);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, 5924, now + 30000000),
	                 GN_LOGIN_OK);
	assert_int_equal(gn_accounts_judge(accounts, "ann", right, 5924, now), GN_LOGIN_WRONG);
	gn_accounts_free(accounts);
	remove_accounts(path);
}

/* ---- metrics ----------------------------------------------------------------------------------
 */

static char *page_of(const struct gn_metrics *metrics)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	gn_metrics_print(metrics, out);
	fclose(out);
	return text;
}

static void test_metrics_tell_how_far_a_shadow_is_behind(void **state)
{
	Gnomon__V1__ShadowLag lag = GNOMON__V1__SHADOW_LAG__INIT;
	Gnomon__V1__Shadow shadow = GNOMON__V1__SHADOW__INIT, *shadows[] = {&shadow};
	Gnomon__V1__ShadowList list = GNOMON__V1__SHADOW_LIST__INIT;
	struct gn_metrics metrics = {.shadows = &list};
	char *page;

	list.shadows = shadows;
	list.n_shadows = 1;
	shadow.vm = (char *)"vms/a";
	shadow.disk_point_us = 1700000000500000;
	shadow.lag = &lag;
	lag.bytes = 4096;
	lag.us = 1500000;
	lag.cause = GNOMON__V1__VOLUME_MIRROR_STATUS__REASON__JOURNAL_FULL;
	page = page_of(&metrics);
	assert_non_null(strstr(page, "gnomon_shadow_lag_bytes{vm=\"a\"} 4096\n"));
	assert_non_null(strstr(page, "gnomon_shadow_lag_seconds{vm=\"a\"} 1.500000\n"));
	assert_non_null(strstr(page, "gnomon_shadow_point_timestamp_seconds{vm=\"a\"} "
	                             "1700000000.500000\n"));
	assert_non_null(strstr(page, "gnomon_shadow_cause{vm=\"a\",cause=\"journal_full\"} 1\n"));
	assert_non_null(strstr(page, "gnomon_shadow_cause{vm=\"a\",cause=\"fine\"} 0\n"));
	free(page);
}

static void test_metrics_tell_the_newest_rehearsal(void **state)
{
	Gnomon__V1__Rehearsal rehearsal = GNOMON__V1__REHEARSAL__INIT;
	Gnomon__V1__Shadow shadow = GNOMON__V1__SHADOW__INIT, *shadows[] = {&shadow};
	Gnomon__V1__ShadowList list = GNOMON__V1__SHADOW_LIST__INIT;
	struct gn_metrics metrics = {.shadows = &list};
	char *page;

	list.shadows = shadows;
	list.n_shadows = 1;
	shadow.vm = (char *)"vms/a";
	page = page_of(&metrics);
	assert_null(strstr(page, "gnomon_shadow_rehearsal_passed{"));
	free(page);
	shadow.rehearsal = &rehearsal;
	rehearsal.begun_us = 1700000000500000;
	rehearsal.rto_us = 9500000;
	page = page_of(&metrics);
	assert_non_null(strstr(page, "gnomon_shadow_rehearsal_passed{vm=\"a\"} 0\n"));
	assert_null(strstr(page, "gnomon_shadow_rehearsal_rto_seconds{"));
	free(page);
	rehearsal.passed = true;
	page = page_of(&metrics);
	assert_non_null(strstr(page, "gnomon_shadow_rehearsal_passed{vm=\"a\"} 1\n"));
	assert_non_null(strstr(page, "gnomon_shadow_rehearsal_rto_seconds{vm=\"a\"} 9.500000\n"));
	free(page);
}

static void test_metrics_are_in_base_units(void **state)
{
	Gnomon__V1__Demand cpu = GNOMON__V1__DEMAND__INIT, net = GNOMON__V1__DEMAND__INIT;
	Gnomon__V1__Demand *demands[] = {&cpu, &net};
	Gnomon__V1__Vm vm = GNOMON__V1__VM__INIT, *vms[] = {&vm};
	Gnomon__V1__VmList list = GNOMON__V1__VM_LIST__INIT;
	struct gn_metrics metrics = {.vms = &list};
	char *page;

	cpu.resource = GNOMON__V1__RESOURCE__CPU;
	cpu.value = 1050;
	cpu.allocated = 2000;
	net.resource = GNOMON__V1__RESOURCE__NETWORK_TX;
	net.value = 8000;
	vm.name = (char *)"vms/a\"b\\c";
	vm.demands = demands;
	vm.n_demands = 2;
	list.vms = vms;
	list.n_vms = 1;
	page = page_of(&metrics);
	assert_non_null(strstr(page, "\ngnomon_vm_cpu_demand_vcpus{vm=\"a\\\"b\\\\c\"} 1.050\n"));
	assert_non_null(strstr(page, "\ngnomon_vm_cpu_allocated_vcpus{vm=\"a\\\"b\\\\c\"} 2\n"));
	assert_non_null(strstr(page, "\"tx\"} 1000\n"));
	assert_null(strstr(page, "gnomon_vm_network_allocated_bytes_per_second{"));
	assert_non_null(strstr(page, "gnomon_up 0\n"));
	free(page);
}

static void test_the_description_is_whole(void **state)
{
	char *text = gn_api_describe();

	assert_non_null(text);
	assert_non_null(strstr(text, "\"/api/v1/vms/{id}/mirrors/{session}\""));
	assert_null(strstr(text, "(null)"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_routes_are_found),
	        cmocka_unit_test(test_other_paths_are_not),
	        cmocka_unit_test(test_routes_fit_the_contract),
	        cmocka_unit_test(test_queries),
	        cmocka_unit_test(test_sessions_end),
	        cmocka_unit_test(test_sessions_have_room),
	        cmocka_unit_test(test_accounts_lock_and_are_kept),
	        cmocka_unit_test(test_accounts_without_a_place),
	        cmocka_unit_test(test_codes),
	        cmocka_unit_test(test_a_code_works_once),
	        cmocka_unit_test(test_metrics_are_in_base_units),
	        cmocka_unit_test(test_metrics_tell_how_far_a_shadow_is_behind),
	        cmocka_unit_test(test_metrics_tell_the_newest_rehearsal),
	        cmocka_unit_test(test_the_description_is_whole),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
