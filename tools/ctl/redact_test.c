/* redact_test.c - what may not leave an operator's machine, and what must stay legible. */
#include "tools/ctl/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_redacts(void **state)
{
	static const struct {
		const char *text, *becomes;
		unsigned n;
	} cases[] = {
	        {"", "", 0},
	        {"a card at tls+tcp://192.0.2.1:7443 with 3 tokens left", NULL, 0},
	        {"nbd://ann:word@host/x", "nbd://********@host/x", 1},
	        {"nbd://host/a@b", NULL, 0},
	        {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", NULL, 0},
	        {"-----BEGIN EC PRIVATE KEY-----\nMHc\nAB\n-----END EC PRIVATE KEY-----",
	         "-----BEGIN EC PRIVATE KEY-----\n***\n**\n-----END EC PRIVATE KEY-----", 1},
	        {"x -----BEGIN PRIVATE KEY-----\\nMHc\\nAB",
	         "x -----BEGIN PRIVATE KEY-----\\n***\\n**", 1},
	        {"\"password\": \"pa55\", \"name\": \"b\"",
	         "\"password\": \"****\", \"name\": \"b\"", 1},
	        {"Token=abc; TOKEN: def", "Token=***; TOKEN: ***", 2},
	        {"\\\"api_key\\\":\\\"k1\\\"", "\\\"api_key\\\":\\\"**\\\"", 1},
	        {"the password file is missing", NULL, 0},
	        {"\"fencing_token\": 17, \"token\": \"\"", NULL, 0},
	};
	char text[256];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, "%s", cases[i].text);
		assert_int_equal(gn_redact(text), cases[i].n);
		assert_string_equal(text, cases[i].becomes ? cases[i].becomes : cases[i].text);
	}
}

static void test_two_keys(void **state)
{
	char text[] = "-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----\n"
	              "-----BEGIN RSA PRIVATE KEY-----\nB\n-----END RSA PRIVATE KEY-----\n";

	assert_int_equal(gn_redact(text), 2);
	assert_null(strstr(text, "\nA\n"));
	assert_null(strstr(text, "\nB\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_redacts),
	        cmocka_unit_test(test_two_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
