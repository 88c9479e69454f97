/* json_test.c - every kind of protobuf field as JSON. A made-up descriptor has the kinds that
 * the contract does not use; the contract's own messages show names, oneofs and absence. */
#include "tools/ctl/json.h"

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
	                    "\"command_id\":\"\",\"at_us\":0}\n");
	action.kind = GNOMON__V1__ACTION__KIND__SET_MEMORY;
	action.from = -1;
	action.to = INT64_MAX;
	action.at_us = UINT64_MAX;
	action.result = &result;
	check(&action.base, "{\"kind\":\"SET_MEMORY\",\"vm\":\"\",\"from\":-1,"
	                    "\"to\":9223372036854775807,\"command_id\":\"\","
	                    "\"result\":{\"code\":\"OK\",\"message\":\"\"},"
	                    "\"at_us\":1.8446744073709552e19}\n");
}

static void test_unknown_enum(void **state)
{
	Gnomon__V1__Demand demand = GNOMON__V1__DEMAND__INIT;

	demand.resource = (Gnomon__V1__Resource)4711;
	check(&demand.base, "{\"resource\":4711,\"value\":0,\"allocated\":0}\n");
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
	};

	return cmocka_run_group_tests_name("ctl_json", tests, NULL, NULL);
}
