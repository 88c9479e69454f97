/* json_test.c - every kind of protobuf field as JSON. A made-up descriptor has the kinds that
 * the contract does not use; the contract's own messages show names, oneofs and absence. */
#include "proto/json.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/gnomon/v1/envelope.pb-c.h"
#include "proto/gnomon/v1/sample.pb-c.h"

static char *json_of(const ProtobufCMessage *message, int compact)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(gn_json_print(message, compact, out), 0);
	fclose(out);
	return text;
}

static void check(const ProtobufCMessage *message, const char *expected)
{
	char *text = json_of(message, 1);

	assert_string_equal(text, expected);
	free(text);
}

/* ---- a message with the kinds that no contract message has ------------------------------ */

struct numbers {
	ProtobufCMessage base;
	float f32;
	double f64;
	uint32_t fixed32;
	int32_t sfixed32;
	uint64_t fixed64;
	int64_t sfixed64;
	size_t n_bools;
	protobuf_c_boolean *bools;
	size_t n_floats;
	float *floats;
	size_t n_blobs;
	ProtobufCBinaryData *blobs;
};

#define FIELD(id, label, type, member, count)                                                      \
	{                                                                                          \
#member, id, PROTOBUF_C_LABEL_##label, PROTOBUF_C_TYPE_##type, count,              \
		        offsetof(struct numbers, member), NULL, NULL, 0, 0, NULL, NULL             \
	}
static const ProtobufCFieldDescriptor fields[] = {
        FIELD(1, NONE, FLOAT, f32, 0),
        FIELD(2, NONE, DOUBLE, f64, 0),
        FIELD(3, NONE, FIXED32, fixed32, 0),
        FIELD(4, NONE, SFIXED32, sfixed32, 0),
        FIELD(5, NONE, FIXED64, fixed64, 0),
        FIELD(6, NONE, SFIXED64, sfixed64, 0),
        FIELD(7, REPEATED, BOOL, bools, offsetof(struct numbers, n_bools)),
        FIELD(8, REPEATED, FLOAT, floats, offsetof(struct numbers, n_floats)),
        FIELD(9, REPEATED, BYTES, blobs, offsetof(struct numbers, n_blobs)),
};
static const ProtobufCMessageDescriptor descriptor = {
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .sizeof_message = sizeof(struct numbers),
        .n_fields = sizeof fields / sizeof fields[0],
        .fields = fields,
};

static void test_made_up_kinds(void **state)
{
	protobuf_c_boolean bools[] = {1, 0};
	float floats[] = {0.5f, -2.0f};
	ProtobufCBinaryData blobs[] = {{2, (uint8_t *)"\x00\xff"}, {0, NULL}};
	struct numbers n = {
	        .base = {.descriptor = &descriptor},
	        .f32 = 0.25f,
	        .f64 = NAN,
	        .fixed32 = UINT32_MAX,
	        .sfixed32 = INT32_MIN,
	        .fixed64 = 5,
	        .sfixed64 = INT64_MIN,
	        .n_bools = 2,
	        .bools = bools,
	        .n_floats = 2,
	        .floats = floats,
	        .n_blobs = 2,
	        .blobs = blobs,
	};

	check(&n.base, "{\"f32\":0.25,\"f64\":null,\"fixed32\":4294967295,\"sfixed32\":-2147483648,"
	               "\"fixed64\":5,\"sfixed64\":-9223372036854775808,\"bools\":[true,false],"
	               "\"floats\":[0.5,-2.0],\"blobs\":[\"00ff\",\"\"]}\n");
}

/* ---- the contract's messages ------------------------------------------------------------- */

static void test_zeroes_are_present_and_messages_absent(void **state)
{
	Gnomon__V1__Action action = GNOMON__V1__ACTION__INIT;
	Gnomon__V1__Status result = GNOMON__V1__STATUS__INIT;

	check(&action.base, "{\"kind\":\"KIND_UNSPECIFIED\",\"vm\":\"\",\"from\":0,\"to\":0,"
	                    "\"command_id\":\"\",\"at_us\":0,\"done_us\":0}\n");
	action.kind = GNOMON__V1__ACTION__KIND__SET_MEMORY;
	action.from = -1;
	action.to = INT64_MAX;
	action.at_us = UINT64_MAX;
	action.result = &result;
	check(&action.base, "{\"kind\":\"SET_MEMORY\",\"vm\":\"\",\"from\":-1,"
	                    "\"to\":9223372036854775807,\"command_id\":\"\","
	                    "\"result\":{\"code\":\"OK\",\"message\":\"\"},"
	                    "\"at_us\":1.8446744073709552e19,\"done_us\":0}\n");
}

static void test_unknown_enum(void **state)
{
	Gnomon__V1__ShadowTrigger trigger = GNOMON__V1__SHADOW_TRIGGER__INIT;

	trigger.resource = (Gnomon__V1__Resource)4711;
	check(&trigger.base, "{\"resource\":4711,\"threshold\":0,\"for_us\":0}\n");
}

static void test_oneof(void **state)
{
	Gnomon__V1__Mirror mirror = GNOMON__V1__MIRROR__INIT;
	Gnomon__V1__TunnelSink tunnel = GNOMON__V1__TUNNEL_SINK__INIT;
	char *text = json_of(&mirror.base, 1);

	assert_null(strstr(text, "\"port\""));
	assert_null(strstr(text, "\"vxlan\""));
	free(text);
	mirror.sink_case = GNOMON__V1__MIRROR__SINK_PORT;
	mirror.port = (char *)"ports/x";
	text = json_of(&mirror.base, 1);
	assert_non_null(strstr(text, "\"port\":\"ports/x\""));
	assert_null(strstr(text, "\"pcapng_path\""));
	free(text);
	mirror.sink_case = GNOMON__V1__MIRROR__SINK_VXLAN;
	mirror.vxlan = &tunnel;
	tunnel.session_id = 7;
	text = json_of(&mirror.base, 1);
	assert_non_null(strstr(text, "\"session_id\":7"));
	assert_non_null(strstr(text, "\"vxlan\":{"));
	assert_null(strstr(text, "\"erspan\""));
	free(text);
}

static void test_repeated(void **state)
{
	Gnomon__V1__VmList list = GNOMON__V1__VM_LIST__INIT;
	Gnomon__V1__MirrorFilter filter = GNOMON__V1__MIRROR_FILTER__INIT;
	Gnomon__V1__MirrorFilter *filters[] = {&filter, &filter};
	Gnomon__V1__Mirror mirror = GNOMON__V1__MIRROR__INIT;
	Gnomon__V1__UpdatePolicyRequest request = GNOMON__V1__UPDATE_POLICY_REQUEST__INIT;
	char *mask[] = {(char *)"mode", (char *)"resources.cpu"};
	Gnomon__V1__LatencyHistogram histogram = GNOMON__V1__LATENCY_HISTOGRAM__INIT;
	uint64_t buckets[] = {1, 0, UINT32_MAX + 1ull};
	char *text;

	check(&list.base, "{\"vms\":[]}\n");
	request.update_mask = mask;
	request.n_update_mask = 2;
	check(&request.base, "{\"update_mask\":[\"mode\",\"resources.cpu\"]}\n");
	histogram.buckets = buckets;
	histogram.n_buckets = 3;
	check(&histogram.base, "{\"buckets\":[1,0,4294967296],\"sum_us\":0,\"count\":0}\n");
	mirror.filters = filters;
	mirror.n_filters = 2;
	text = json_of(&mirror.base, 1);
	assert_non_null(strstr(text, "\"filters\":[{\"ethertype\":0"));
	assert_non_null(strstr(text, "},{\"ethertype\":0"));
	free(text);
}

static void test_text_and_bytes(void **state)
{
	Gnomon__V1__Status status = GNOMON__V1__STATUS__INIT;
	Gnomon__V1__Envelope envelope = GNOMON__V1__ENVELOPE__INIT;
	char *text;

	status.message = (char *)"quote \" back \\ line\n \033 größer";
	check(&status.base, "{\"code\":\"OK\",\"message\":\"quote \\\" back \\\\ line\\n \\u001B "
	                    "größer\"}\n");
	status.message = (char *)"\xff\xfe";
	check(&status.base, "{\"code\":\"OK\",\"message\":\"(not UTF-8)\"}\n");
	status.message = NULL;
	check(&status.base, "{\"code\":\"OK\",\"message\":\"\"}\n");
	envelope.body = (ProtobufCBinaryData){3, (uint8_t *)"\x01\x00\xab"};
	text = json_of(&envelope.base, 1);
	assert_non_null(strstr(text, "\"body\":\"0100ab\""));
	free(text);
}

/* Scripts that grep rely on one field a line. */
static void test_indented(void **state)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;
	char *text;

	request.name = (char *)"vms/web-1";
	text = json_of(&request.base, 0);
	assert_string_equal(text, "{\n \"name\": \"vms/web-1\"\n}\n");
	free(text);
}

/* ---- parsing ---------------------------------------------------------------------------- */

static int parse(const char *text, const ProtobufCMessageDescriptor *type, ProtobufCMessage **out,
                 struct gn_status *status)
{
	return gn_json_parse(text, strlen(text), type, out, status);
}

/* What is printed parses to what prints the same. */
static void test_round_trip(void **state)
{
	static const char text[] =
	        "{\"name\":\"vms/web-1/policy\",\"mode\":\"ENFORCE\",\"resources\":[{\"resource\":"
	        "\"CPU\",\"quantile_milli\":950,\"horizon_us\":6000000,\"minimum\":-1,\"maximum\":"
	        "9223372036854775807,\"step\":1000,\"headroom_milli\":0,\"dead_band_milli\":"
	        "4294967295,"
	        "\"cooldown_us\":0,\"shrink_after_us\":0,\"max_change\":0}]}\n";
	struct gn_status status;
	ProtobufCMessage *message;

	assert_int_equal(parse(text, &gnomon__v1__policy__descriptor, &message, &status), 0);
	check(message, text);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void test_parses_oneofs_bytes_and_nothing(void **state)
{
	struct gn_status status;
	ProtobufCMessage *message;

	assert_int_equal(parse("{\"vxlan\":{\"session_id\":7},\"filters\":[]}",
	                       &gnomon__v1__mirror__descriptor, &message, &status),
	                 0);
	assert_int_equal(((Gnomon__V1__Mirror *)message)->sink_case,
	                 GNOMON__V1__MIRROR__SINK_VXLAN);
	assert_int_equal(((Gnomon__V1__Mirror *)message)->vxlan->session_id, 7);
	protobuf_c_message_free_unpacked(message, NULL);
	assert_int_equal(parse("{\"body\":\"00aBff\"}", &gnomon__v1__envelope__descriptor, &message,
	                       &status),
	                 0);
	assert_memory_equal(((Gnomon__V1__Envelope *)message)->body.data, "\x00\xab\xff", 3);
	protobuf_c_message_free_unpacked(message, NULL);
	assert_int_equal(parse("", &gnomon__v1__policy__descriptor, &message, &status), 0);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void test_refuses_with_the_place(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	        {"[]", "must be a JSON object"},
	        {"{\"mode\":", "no JSON object (line 1"},
	        {"{\"mode\":\"OFF\",\"mode\":\"OFF\"}", "no JSON object"},
	        {"{\"mood\":\"OFF\"}", "'mood' is not known"},
	        {"{\"mode\":\"ON\"}", "'mode' must be one of MODE_UNSPECIFIED OFF FORECAST_ONLY"},
	        {"{\"mode\":2}", "'mode' must be one of"},
	        {"{\"name\":7}", "'name' must be a text"},
	        {"{\"name\":\"a\\u0000b\"}", "not allowed without JSON_ALLOW_NUL"},
	        {"{\"resources\":{}}", "'resources' must be an array"},
	        {"{\"resources\":[{},{\"step\":\"1\"}]}", "'resources[1].step' must be a whole"},
	        {"{\"resources\":[{\"quantile_milli\":-1}]}",
	         "'resources[0].quantile_milli' is -1, but must be 0 to 4294967295"},
	        {"{\"resources\":[{\"quantile_milli\":4294967296}]}", "is 4294967296, but must be"},
	        {"{\"resources\":[{\"step\":1.5}]}", "must be a whole number"},
	        {"{\"resources\":[{\"step\":9223372036854775808}]}", "no JSON object"},
	        {"{\"resources\":[null]}", "'resources[0]' must be an object"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_status status;
		ProtobufCMessage *message = NULL;

		assert_int_equal(
		        parse(cases[i].text, &gnomon__v1__policy__descriptor, &message, &status),
		        -EINVAL);
		assert_null(message);
		if (!strstr(status.message, cases[i].says))
			fail_msg("%s: %s", cases[i].text, status.message);
	}
}

static void test_refuses_two_of_a_oneof_and_odd_bytes(void **state)
{
	struct gn_status status;
	ProtobufCMessage *message;

	assert_int_equal(parse("{\"port\":\"a\",\"vxlan\":{}}", &gnomon__v1__mirror__descriptor,
	                       &message, &status),
	                 -EINVAL);
	assert_non_null(strstr(status.message, "excludes another field"));
	assert_int_equal(parse("{\"vxlan\":{\"session_id\":-1}}", &gnomon__v1__mirror__descriptor,
	                       &message, &status),
	                 -EINVAL);
	for (const char *const *text =
	             (const char *const[]){"{\"body\":\"0\"}", "{\"body\":\"0g\"}", "{\"body\":7}",
	                                   NULL};
	     *text; text++)
		assert_int_equal(parse(*text, &gnomon__v1__envelope__descriptor, &message, &status),
		                 -EINVAL);
}

static void test_sets_single_fields(void **state)
{
	struct gn_status status;
	ProtobufCMessage *message;
	Gnomon__V1__HistoryRequest *history;
	Gnomon__V1__UpdatePolicyRequest *update;

	assert_int_equal(parse("", &gnomon__v1__history_request__descriptor, &message, &status), 0);
	history = (Gnomon__V1__HistoryRequest *)message;
	assert_int_equal(gn_json_set(message, "vm", "vms/a", &status), 0);
	assert_int_equal(gn_json_set(message, "vm", "vms/b", &status), 0);
	assert_int_equal(gn_json_set(message, "resource", "MEMORY", &status), 0);
	assert_int_equal(gn_json_set(message, "max_points", "17", &status), 0);
	assert_string_equal(history->vm, "vms/b");
	assert_int_equal(history->resource, GNOMON__V1__RESOURCE__MEMORY);
	assert_int_equal(history->max_points, 17);
	assert_int_equal(gn_json_set(message, "max_points", "many", &status), -EINVAL);
	assert_int_equal(gn_json_set(message, "resource", "GPU", &status), -EINVAL);
	assert_int_equal(gn_json_set(message, "none", "1", &status), -ENOENT);
	assert_int_equal(gn_json_set(message, "vm.name", "1", &status), -ENOENT);
	protobuf_c_message_free_unpacked(message, NULL);
	assert_int_equal(
	        parse("", &gnomon__v1__update_policy_request__descriptor, &message, &status), 0);
	update = (Gnomon__V1__UpdatePolicyRequest *)message;
	assert_int_equal(gn_json_set(message, "policy.name", "vms/a/policy", &status), 0);
	assert_string_equal(update->policy->name, "vms/a/policy");
	assert_int_equal(gn_json_set(message, "policy.resources", "1", &status), -ENOENT);
	protobuf_c_message_free_unpacked(message, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_made_up_kinds),
	        cmocka_unit_test(test_zeroes_are_present_and_messages_absent),
	        cmocka_unit_test(test_unknown_enum),
	        cmocka_unit_test(test_oneof),
	        cmocka_unit_test(test_repeated),
	        cmocka_unit_test(test_text_and_bytes),
	        cmocka_unit_test(test_indented),
	        cmocka_unit_test(test_round_trip),
	        cmocka_unit_test(test_parses_oneofs_bytes_and_nothing),
	        cmocka_unit_test(test_refuses_with_the_place),
	        cmocka_unit_test(test_refuses_two_of_a_oneof_and_odd_bytes),
	        cmocka_unit_test(test_sets_single_fields),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
