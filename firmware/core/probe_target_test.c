/* probe_target_test.c - probes as operators write them. */
#include "firmware/core/probe_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *written(const struct gn_probe_target *t)
{
	static char text[400];

	snprintf(text, sizeof text, "%d %d.%d.%d.%d:%u %s from %d.%d.%d.%d", (int)t->kind,
	         t->address[0], t->address[1], t->address[2], t->address[3], t->port, t->path,
	         t->from[0], t->from[1], t->from[2], t->from[3]);
	return text;
}

static void what_is_understood(void **state)
{
	const struct {
		const char *text, *from, *target;
	} cases[] = {
	        {"arp://10.0.0.2", "", "0 10.0.0.2:0  from 10.0.0.3"},
	        {"arp://10.0.0.1", "", "0 10.0.0.1:0  from 10.0.0.3"},
	        {"arp://10.0.0.254", "", "0 10.0.0.254:0  from 10.0.0.252"},
	        {"tcp://192.168.7.20:22", "192.168.7.1", "1 192.168.7.20:22  from 192.168.7.1"},
	        {"http://10.0.0.2", "", "2 10.0.0.2:80 / from 10.0.0.3"},
	        {"http://10.0.0.2:8080/a?b=c", "", "2 10.0.0.2:8080 /a?b=c from 10.0.0.3"},
	};
	struct gn_probe_target target;
	struct gn_status status;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(
		        gn_probe_target_parse(cases[i].text, cases[i].from, &target, &status), 0);
		assert_string_equal(written(&target), cases[i].target);
	}
}

static void what_is_not(void **state)
{
	static const char *const texts[] = {
	        "",
	        "10.0.0.2",
	        "icmp://10.0.0.2",
	        "arp://",
	        "arp://10.0.0.2:1",
	        "arp://10.0.0.2/",
	        "arp://10.0.0",
	        "arp://fe80::1",
	        "arp://0.0.0.0",
	        "arp://224.0.0.1",
	        "arp://127.0.0.1",
	        "tcp://10.0.0.2",
	        "tcp://10.0.0.2:",
	        "tcp://10.0.0.2:0",
	        "tcp://10.0.0.2:65536",
	        "tcp://10.0.0.2:4294967297",
	        "tcp://10.0.0.2:22/x",
	        "http://web-1/",
	        "http://10.0.0.2/a b",
	        "http://10.0.0.2/a\r\nHost: b",
	        "http://10.0.0.2:8080x",
	};
	struct gn_probe_target target;
	struct gn_status status;
	char longest[400] = "http://10.0.0.2/";

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		assert_int_not_equal(gn_probe_target_parse(texts[i], "", &target, &status), 0);
		assert_non_null(strstr(status.message, "write arp://ADDRESS"));
	}
	memset(longest + strlen(longest), 'a', GN_PROBE_PATH_SIZE);
	assert_int_not_equal(gn_probe_target_parse(longest, "", &target, &status), 0);
	assert_int_not_equal(gn_probe_target_parse("arp://10.0.0.2", "10.0.0.2", &target, &status),
	                     0);
	assert_int_not_equal(gn_probe_target_parse("arp://10.0.0.2", "me", &target, &status), 0);
	assert_non_null(strstr(status.message, "without a gateway"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_understood),
	        cmocka_unit_test(what_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
