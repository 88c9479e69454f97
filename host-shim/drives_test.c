/* drives_test.c - reports of smartctl, written by hand after its format. */
#include "host-shim/drives.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_US 86400000000ull

static const char ata[] =
        "{\"json_format_version\": [1, 0],\n"
        " \"device\": {\"name\": \"/dev/sda\", \"type\": \"sat\"},\n"
        " \"model_name\": \"Example 4000\", \"serial_number\": \"EX 12/34\",\n"
        " \"user_capacity\": {\"blocks\": 7814037168, \"bytes\": 4000787030016},\n"
        " \"power_on_time\": {\"hours\": 21034},\n"
        " \"ata_smart_attributes\": {\"revision\": 16, \"table\": [\n"
        "  {\"id\": 5, \"name\": \"Reallocated_Sector_Ct\", \"raw\": {\"value\": 24}},\n"
        "  {\"id\": 197, \"name\": \"Current_Pending_Sector\", \"raw\": {\"value\": 8}},\n"
        "  {\"id\": 999, \"raw\": {\"value\": 1}}, {\"id\": 9}, 7, {\"id\": 188, \"raw\": []}]}}\n";

static const char nvme[] =
        "{\"device\": {\"name\": \"/dev/nvme0\"}, \"serial_number\": \"S4EWNX0M\",\n"
        " \"power_on_time\": {\"hours\": 100},\n"
        " \"nvme_smart_health_information_log\": {\"power_cycles\": 12, \"media_errors\": 3}}";

static int parse(const char *text, struct gn_drive_report *out, struct gn_status *status)
{
	return gn_drive_report_parse(text, strlen(text), out, status);
}

static void reads_a_disk(void **state)
{
	struct gn_drive_report r;
	struct gn_status status;

	assert_int_equal(parse(ata, &r, &status), 0);
	assert_string_equal(r.name, "EX_12_34");
	assert_string_equal(r.device, "/dev/sda");
	assert_string_equal(r.model, "Example 4000");
	assert_int_equal(r.size_bytes, 4000787030016);
	assert_int_equal(r.power_on_hours, 21034);
	assert_int_equal(r.n_attributes, 2);
	assert_int_equal(r.attributes[0].id, 5);
	assert_int_equal(r.attributes[0].raw, 24);
	assert_int_equal(r.attributes[1].id, 197);
	assert_int_equal(r.attributes[1].raw, 8);
}

static void reads_an_nvme_drive(void **state)
{
	struct gn_drive_report r;
	struct gn_status status;

	assert_int_equal(parse(nvme, &r, &status), 0);
	assert_int_equal(r.n_attributes, 2);
	assert_int_equal(r.attributes[1].id, 187);
	assert_int_equal(r.attributes[1].raw, 3);
}

static void refuses_what_is_no_report(void **state)
{
	static const char *const wrong[] = {
	        "",
	        "[]",
	        "{",
	        "{\"serial_number\": 5}",
	        "{\"serial_number\": \"\", \"power_on_time\": {\"hours\": 1}}",
	        "{\"serial_number\": \"a\"}",
	        "{\"serial_number\": \"a\", \"power_on_time\": {\"hours\": -1}}",
	        "{\"serial_number\": \"a\", \"serial_number\": \"b\"}",
	};
	struct gn_drive_report r;
	struct gn_status status;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_not_equal(parse(wrong[i], &r, &status), 0);
		assert_true(status.message[0]);
	}
}

/* Every report cut short, and with every byte changed: no crash, nothing out of its bounds. */
static void survives_damage(void **state)
{
	struct gn_drive_report r;
	struct gn_status status;

	for (size_t n = 0; n < sizeof ata - 3; n++)
		assert_int_not_equal(gn_drive_report_parse(ata, n, &r, &status), 0);
	for (size_t i = 0; i < sizeof ata - 1; i++) {
		char text[sizeof ata];

		memcpy(text, ata, sizeof ata);
		text[i] ^= 1 << (i % 8);
		if (gn_drive_report_parse(text, sizeof ata - 1, &r, &status) == 0)
			assert_in_range(r.n_attributes, 0, 5);
	}
}

static char folder[] = "/tmp/gn-drives-XXXXXX";

static void put(const char *name, const char *text, uint64_t age_us, uint64_t now_us)
{
	struct timespec times[2] = {{0}};
	char path[100];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	times[0].tv_sec = times[1].tv_sec = (time_t)((now_us - age_us) / 1000000);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void take_away(const char *name)
{
	char path[100];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

static void reads_a_folder(void **state)
{
	struct gn_host_drives *drives = malloc(sizeof *drives);
	uint64_t now_us = 1700000000000000;

	assert_non_null(mkdtemp(folder));
	put("a.json", ata, 0, now_us);
	put("b.json", nvme, DAY_US, now_us);
	put("c.json", ata, 0, now_us); /* the same drive by another path */
	put("notes.txt", "no report", 0, now_us);
	gn_host_drives_read(folder, now_us, drives);
	assert_int_equal(drives->n, 2);
	assert_string_equal(drives->drives[1].name, "S4EWNX0M");
	assert_string_equal(drives->trouble, "");

	put("b.json", nvme, 3 * DAY_US, now_us);
	gn_host_drives_read(folder, now_us, drives);
	assert_int_equal(drives->n, 1);
	assert_non_null(strstr(drives->trouble, "/b.json cannot be used: it is more than two"));

	take_away("b.json");
	put("b.json", "{", 0, now_us);
	gn_host_drives_read(folder, now_us, drives);
	assert_int_equal(drives->n, 1);
	assert_non_null(strstr(drives->trouble, "is not JSON"));

	for (int i = 0; i < 3; i++)
		take_away((const char *[]){"a.json", "b.json", "c.json"}[i]);
	take_away("notes.txt");
	rmdir(folder);
	gn_host_drives_read(folder, now_us, drives);
	assert_int_equal(drives->n, 0);
	assert_non_null(strstr(drives->trouble, "No such file"));
	free(drives);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_a_disk),
	        cmocka_unit_test(reads_an_nvme_drive),
	        cmocka_unit_test(refuses_what_is_no_report),
	        cmocka_unit_test(survives_damage),
	        cmocka_unit_test(reads_a_folder),
	};

	return cmocka_run_group_tests_name("shim_drives", tests, NULL, NULL);
}
