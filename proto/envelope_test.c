/* envelope_test.c - what is encoded decodes again; what is not an envelope of the kind
 * expected, or asks for too much memory, is refused in words. */
#include "proto/envelope.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/gnomon/v1/envelope.pb-c.h"

static struct gn_envelope sample(enum gn_envelope_kind kind)
{
	struct gn_envelope envelope = {.id = "1-1", .method = "Control/GetVm"};

	if (kind == GN_ENVELOPE_REQUEST)
		envelope.deadline_us = 1234567;
	if (kind == GN_ENVELOPE_REPLY)
		gn_status_set(&envelope.status, GN_NOT_FOUND, "there is no such VM");
	return envelope;
}

static size_t encode_sample(enum gn_envelope_kind kind, const ProtobufCMessage *body,
                            uint8_t **data)
{
	struct gn_envelope envelope = sample(kind);
	size_t size = gn_envelope_size(kind, &envelope, body);

	*data = malloc(size);
	assert_int_equal(gn_envelope_encode(kind, &envelope, body, *data), size);
	return size;
}

static void test_round_trip(void **state)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	char name[1000];

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	request.name = name;
	for (int kind = GN_ENVELOPE_REQUEST; kind <= GN_ENVELOPE_EVENT; kind++) {
		struct gn_envelope want = sample(kind), out;
		struct gn_status status = {0};
		ProtobufCMessage *body;
		uint8_t *data;
		size_t size = encode_sample(kind, &request.base, &data);

		assert_int_equal(gn_envelope_decode(kind, data, size, &out, &status), 0);
		assert_string_equal(out.id, want.id);
		assert_string_equal(out.method, want.method);
		assert_int_equal(out.deadline_us, want.deadline_us);
		assert_int_equal(out.status.code, want.status.code);
		assert_string_equal(out.status.message, want.status.message);
		assert_int_equal(gn_message_unpack(request.base.descriptor, out.body, out.body_size,
		                                   &body, NULL, &status),
		                 0);
		assert_string_equal(((Gnomon__V1__NameRequest *)body)->name, name);
		protobuf_c_message_free_unpacked(body, NULL);
		gn_envelope_fini(&out);
		free(data);
	}
}

static void test_empty_body(void **state)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_envelope out;
	uint8_t *data;
	size_t size = encode_sample(GN_ENVELOPE_REQUEST, &empty.base, &data);

	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REQUEST, data, size, &out, NULL), 0);
	assert_int_equal(out.body_size, 0);
	gn_envelope_fini(&out);
	free(data);
}

/* Every kind is refused as every other: a reply is no request, an event no reply. */
static void test_kinds_are_not_mixed(void **state)
{
	for (int made = GN_ENVELOPE_REQUEST; made <= GN_ENVELOPE_EVENT; made++) {
		uint8_t *data;
		size_t size = encode_sample(made, NULL, &data);

		for (int kind = GN_ENVELOPE_REQUEST; kind <= GN_ENVELOPE_EVENT; kind++) {
			struct gn_envelope out;
			struct gn_status status = {0};
			int rc = gn_envelope_decode(kind, data, size, &out, &status);
			/* An event is a request without a deadline, and may be one with. */
			bool fits = kind == made ||
			            (kind == GN_ENVELOPE_EVENT && made == GN_ENVELOPE_REQUEST);

			assert_int_equal(rc, fits ? 0 : -EINVAL);
			assert_string_equal(out.id, "1-1");
			gn_envelope_fini(&out);
		}
		free(data);
	}
}

/* Cut at every byte: an error or a valid shorter message, never a read past the end (ASan
 * watches an exact copy). */
static void test_truncated_everywhere(void **state)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	uint8_t *data;
	size_t size;

	request.name = (char *)"vms/web-1";
	size = encode_sample(GN_ENVELOPE_REQUEST, &request.base, &data);
	for (size_t n = 0; n < size; n++) {
		uint8_t *cut = malloc(n ? n : 1);
		struct gn_envelope out;
		struct gn_status status = {0};

		memcpy(cut, data, n);
		if (gn_envelope_decode(GN_ENVELOPE_REQUEST, cut, n, &out, &status))
			assert_true(status.message[0]);
		gn_envelope_fini(&out);
		free(cut);
	}
	free(data);
}

/* Two bytes on the wire become a struct: the budget ends it. */
static void test_memory_budget(void **state)
{
	size_t n = 400000;
	uint8_t *data = malloc(2 * n);
	ProtobufCMessage *message = NULL;
	struct gn_status status = {0};
	size_t used;

	for (size_t i = 0; i < n; i++) {
		data[2 * i] = (1 << 3) | 2; /* PlanList.plans, of length 0 */
		data[2 * i + 1] = 0;
	}
	assert_int_equal(gn_message_unpack(&gnomon__v1__plan_list__descriptor, data, 2 * n,
	                                   &message, &used, &status),
	                 -EINVAL);
	assert_null(message);
	assert_non_null(strstr(status.message, "memory"));
	assert_int_equal(gn_message_unpack(&gnomon__v1__plan_list__descriptor, data, 2000, &message,
	                                   &used, &status),
	                 0);
	assert_true(used > 2000 && used < GN_MESSAGE_BUDGET);
	protobuf_c_message_free_unpacked(message, NULL);
	free(data);
}

static void test_reply_to_the_unreadable_may_have_no_id(void **state)
{
	struct gn_envelope envelope = {.status = {GN_INVALID_ARGUMENT, "what?"}}, out;
	struct gn_status status = {0};
	uint8_t data[256];
	size_t size = gn_envelope_encode(GN_ENVELOPE_REPLY, &envelope, NULL, data);

	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REPLY, data, size, &out, &status), 0);
	gn_envelope_fini(&out);
	envelope.status.code = GN_OK;
	size = gn_envelope_encode(GN_ENVELOPE_REPLY, &envelope, NULL, data);
	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REPLY, data, size, &out, &status), -EINVAL);
}

/* A sentence longer than we keep is cut, a code from the future is UNKNOWN. */
static void test_strange_status(void **state)
{
	Gnomon__V1__Envelope wire = GNOMON__V1__ENVELOPE__INIT;
	Gnomon__V1__Status carried = GNOMON__V1__STATUS__INIT;
	char message[5000];
	struct gn_envelope out;
	uint8_t data[6000];
	size_t size;

	memset(message, 'm', sizeof message - 1);
	message[sizeof message - 1] = '\0';
	carried.code = (Gnomon__V1__Code)99;
	carried.message = message;
	wire.version = 1;
	wire.id = (char *)"1";
	wire.status = &carried;
	size = gnomon__v1__envelope__pack(&wire, data);
	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REPLY, data, size, &out, NULL), 0);
	assert_int_equal(out.status.code, GN_UNKNOWN);
	assert_int_equal(strlen(out.status.message), GN_STATUS_MESSAGE_SIZE - 1);
	gn_envelope_fini(&out);
	carried.message = (char *)"\xff\xfe";
	size = gnomon__v1__envelope__pack(&wire, data);
	assert_int_equal(gn_envelope_decode(GN_ENVELOPE_REPLY, data, size, &out, NULL), 0);
	assert_non_null(strstr(out.status.message, "UTF-8"));
	gn_envelope_fini(&out);
}

/* ---- content ---------------------------------------------------------------------------- */

static void test_enum_deep_inside(void **state)
{
	Gnomon__V1__UpdatePolicyRequest request = GNOMON__V1__UPDATE_POLICY_REQUEST__INIT;
	Gnomon__V1__Policy policy = GNOMON__V1__POLICY__INIT;
	Gnomon__V1__ResourcePolicy good = GNOMON__V1__RESOURCE_POLICY__INIT, bad = good;
	Gnomon__V1__ResourcePolicy *resources[] = {&good, &bad};
	struct gn_status status = {0};

	request.policy = &policy;
	policy.resources = resources;
	policy.n_resources = 2;
	assert_int_equal(gn_message_check(&request.base, &status), 0);
	bad.resource = (Gnomon__V1__Resource)-5;
	assert_int_equal(gn_message_check(&request.base, &status), -EINVAL);
	assert_non_null(strstr(status.message, "policy.resources[1].resource has the value -5"));
}

static void test_absent_oneof_member_is_not_looked_at(void **state)
{
	Gnomon__V1__Mirror mirror = GNOMON__V1__MIRROR__INIT;
	Gnomon__V1__TunnelSink sink = GNOMON__V1__TUNNEL_SINK__INIT;
	struct gn_status status = {0};

	mirror.sink_case = GNOMON__V1__MIRROR__SINK_VXLAN;
	mirror.vxlan = &sink;
	assert_int_equal(gn_message_check(&mirror.base, &status), 0);
	sink.collector_ip = (char *)"\xc0\x80";
	assert_int_equal(gn_message_check(&mirror.base, &status), -EINVAL);
	assert_non_null(strstr(status.message, "vxlan.collector_ip"));
	mirror.sink_case = GNOMON__V1__MIRROR__SINK__NOT_SET;
	assert_int_equal(gn_message_check(&mirror.base, &status), 0);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
	        {"", true},
	        {"vms/web-1", true},
	        {"\xc3\xa9", true},
	        {"\xe2\x82\xac", true},
	        {"\xf0\x9f\x98\x80", true},
	        {"\xf4\x8f\xbf\xbf", true},
	        {"\x80", false},
	        {"\xc3", false},
	        {"\xc0\x80", false},
	        {"\xe0\x80\x80", false},
	        {"\xe2\x82", false},
	        {"\xed\xa0\x80", false},
	        {"\xf0\x80\x80\x80", false},
	        {"\xf4\x90\x80\x80", false},
	        {"\xf5\x80\x80\x80", false},
	        {"\xff", false},
	        {"a\xe2\x28\xa1", false},
	        {"\xf0\x9f\x98", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
		struct gn_status status = {0};

		request.name = strdup(cases[i].text);
		if ((gn_message_check(&request.base, &status) == 0) != cases[i].valid)
			fail_msg("case %zu: %s", i, status.message);
		free(request.name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_round_trip),
	        cmocka_unit_test(test_empty_body),
	        cmocka_unit_test(test_kinds_are_not_mixed),
	        cmocka_unit_test(test_truncated_everywhere),
	        cmocka_unit_test(test_memory_budget),
	        cmocka_unit_test(test_reply_to_the_unreadable_may_have_no_id),
	        cmocka_unit_test(test_strange_status),
	        cmocka_unit_test(test_enum_deep_inside),
	        cmocka_unit_test(test_absent_oneof_member_is_not_looked_at),
	        cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
