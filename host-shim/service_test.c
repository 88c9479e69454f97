/* service_test.c - the whole shim behind its socket, with a fake libvirt: duplicates, hanging
 * calls, an absent libvirt, a shim that is killed and comes back. The shim is this program again,
 * as a child process (nng may not be used on both sides of a fork); the test is the card. */
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "host-shim/domain_xml.h"
#include "host-shim/fake_host.h"
#include "host-shim/service.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define MIB     (1024ull * 1024)
#define PATIENT 60000000u

enum method { GET_HOST, LIST_VMS, GET_STATS, EXECUTE };

static char directory[] = "/tmp/gnsXXXXXX";
static char url[64], journal[64];
static const char *const all_vms[] = {"*"};
static struct fake_world *fake;
static pid_t shim;
static struct gn_channel_client *client;

/* ---- the shim -----------------------------------------------------------------------------------
 */

static int serve(int fd)
{
	static char folder[sizeof journal];
	struct gn_service_config config = {
	        .url = url,
	        .libvirt_uri = "fake:///",
	        .journal_path = journal,
	        .limits = {.vms = all_vms,
	                   .n_vms = 1,
	                   .max_vcpus = 8,
	                   .min_memory_bytes = MIB,
	                   .max_memory_bytes = 1024 * MIB},
	        .verify_us = 100000,
	        .settle_us = 1000,
	        .stats_period_s = 1,
	        .drives = dirname(strcpy(folder, journal)),
	};
	struct gn_service *service;
	struct gn_status status;
	sd_event *event;
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	gn_log_init("shim-test", GN_LOG_ERROR);
	gn_domain_xml_init();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fake_use(fake_world_open(fd));
	if (sd_event_new(&event) < 0 || sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0 ||
	    gn_service_create(&config, event, &service, &status)) {
		fprintf(stderr, "shim: %s\n", status.message);
		return 1;
	}
	sd_event_loop(event);
	if (gn_service_destroy(service))
		_exit(3);
	sd_event_unref(event);
	return 0;
}

static void start(void)
{
	char fd[16];

	snprintf(fd, sizeof fd, "%d", fake->fd);
	shim = fork();
	if (shim == 0) {
		execl("/proc/self/exe", "shim", "serve", fd, url, journal, NULL);
		_exit(127);
	}
	assert_true(shim > 0);
}

static int stop(int number)
{
	int status;

	kill(shim, number);
	assert_int_equal(waitpid(shim, &status, 0), shim);
	shim = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the card -----------------------------------------------------------------------------------
 */

struct command {
	Gnomon__V1__Command command;
	Gnomon__V1__SetVcpus vcpus;
};

static void vcpus(struct command *c, const char *id, uint32_t expected, uint32_t wanted)
{
	gnomon__v1__command__init(&c->command);
	gnomon__v1__set_vcpus__init(&c->vcpus);
	c->command.id = (char *)id;
	c->command.vm = (char *)"vms/web-1";
	c->command.deadline_us = gn_clock_wall_us() + PATIENT;
	c->command.action_case = GNOMON__V1__COMMAND__ACTION_SET_VCPUS;
	c->command.set_vcpus = &c->vcpus;
	c->vcpus.expected = expected;
	c->vcpus.vcpus = wanted;
}

static void *call(enum method method, const void *request, uint64_t timeout_us,
                  struct gn_status *status)
{
	Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	ProtobufCMessage *reply = NULL;

	gn_channel_client_call_sync(client, &gnomon__v1__host__descriptor, method,
	                            request ? request : &empty, timeout_us, &reply, status);
	return reply;
}

/* As a card does it: a lost connection is no answer. */
static Gnomon__V1__CommandResult *execute(const struct command *c)
{
	uint64_t until_us = gn_clock_monotonic_us() + PATIENT;
	Gnomon__V1__CommandResult *r;
	struct gn_status status = {0};

	while (!(r = call(EXECUTE, &c->command, PATIENT, &status)))
		if (status.code != GN_UNAVAILABLE || gn_clock_monotonic_us() > until_us)
			fail_msg("%s: %s", gn_code_name(status.code), status.message);
	assert_string_equal(r->id, c->command.id);
	return r;
}

static void release(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

/* A card that starts afresh, and does not first write into a socket whose end has died. */
static void connect_anew(void)
{
	struct gn_status status = {0};

	gn_channel_client_destroy(client);
	client = NULL;
	if (gn_channel_client_create(url, NULL, &client, &status))
		fail_msg("%s", status.message);
}

/* Sends without waiting; the replies are counted. */
struct answers {
	unsigned n, ok, repeated;
};

static void on_answer(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	const Gnomon__V1__CommandResult *r = (const Gnomon__V1__CommandResult *)reply;
	struct answers *a = context;

	a->n++;
	a->ok += r && r->status && r->status->code == GNOMON__V1__CODE__OK;
	a->repeated += r && r->repeated;
}

static void send_command(const struct command *c, struct answers *a)
{
	assert_int_equal(gn_channel_client_call(client, &gnomon__v1__host__descriptor, EXECUTE,
	                                        &c->command.base, PATIENT, on_answer, a, NULL),
	                 0);
}

static void collect(struct answers *a, unsigned n)
{
	while (a->n < n) {
		struct pollfd p = {gn_channel_client_fd(client), POLLIN, 0};

		assert_int_equal(poll(&p, 1, 60000), 1);
		gn_channel_client_process(client);
	}
}

/* ---- tests
 * --------------------------------------------------------------------------------------- */

/* Drives are what smartctl's reports in the folder say, at the next question. */
static void tells_about_drives(void **state)
{
	static const char report[] =
	        "{\"device\": {\"name\": \"/dev/sda\"}, \"serial_number\": \"EX-1\",\n"
	        " \"power_on_time\": {\"hours\": 7}, \"ata_smart_attributes\": {\"table\":\n"
	        "  [{\"id\": 197, \"raw\": {\"value\": 8}}]}}\n";
	struct gn_status status = {0};
	Gnomon__V1__HostInfo *host;
	char path[80];
	FILE *file;

	start();
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_non_null(host);
	assert_int_equal(host->n_drives, 0);
	release(host);
	snprintf(path, sizeof path, "%s/sda.json", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(report, file);
	fclose(file);
	host = call(GET_HOST, NULL, PATIENT, &status);
	unlink(path);
	assert_non_null(host);
	assert_int_equal(host->n_drives, 1);
	assert_string_equal(host->drives[0]->name, "EX-1");
	assert_string_equal(host->drives[0]->device, "/dev/sda");
	assert_int_equal(host->drives[0]->power_on_hours, 7);
	assert_int_equal(host->drives[0]->n_attributes, 1);
	assert_int_equal(host->drives[0]->attributes[0]->id, 197);
	assert_int_equal(host->drives[0]->attributes[0]->raw, 8);
	release(host);
}

static void tells_about_the_host(void **state)
{
	struct gn_status status = {0};
	Gnomon__V1__HostInfo *host;
	Gnomon__V1__HostVmList *list;
	Gnomon__V1__HostStats *stats;

	start();
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_non_null(host);
	assert_true(host->connected);
	assert_string_equal(host->hostname, "fake");
	assert_string_equal(host->libvirt_uri, "fake:///");
	assert_string_equal(host->shim_version, GN_VERSION);
	assert_true(host->shim_started_us > 0);
	release(host);
	list = call(LIST_VMS, NULL, PATIENT, &status);
	assert_non_null(list);
	assert_int_equal(list->n_vms, 1);
	assert_string_equal(list->vms[0]->name, "vms/web-1");
	assert_int_equal(list->vms[0]->allocation->vcpus_maximum, 4);
	release(list);
	stats = call(GET_STATS, NULL, PATIENT, &status);
	assert_non_null(stats);
	assert_true(stats->n_vms == 1 && stats->wall_us && stats->monotonic_us);
	assert_int_equal(stats->host_memory_free_bytes, 2048 * MIB);
	assert_string_equal(stats->vms[0]->name, "vms/web-1");
	release(stats);
	/* The guest is asked to report, on the side. */
	while (fake_vm(fake, "web-1")->description.balloon_period_s != 1)
		usleep(1000);
	assert_int_equal(stop(SIGTERM), 0);
}

static void executes(void **state)
{
	Gnomon__V1__CommandResult *r;
	struct command c;

	start();
	vcpus(&c, "id-000001", 1, 2);
	r = execute(&c);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__OK);
	assert_true(r->before->vcpus == 1 && r->after->vcpus == 2 && !r->repeated);
	release(r);
	r = execute(&c);
	assert_true(r->repeated);
	release(r);
	c.vcpus.vcpus = 3;
	r = execute(&c);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__INVALID_ARGUMENT);
	release(r);
	assert_int_equal(fake->calls, 1);
	assert_int_equal(stop(SIGTERM), 0);
}

static void bad_commands(void **state)
{
	static char long_text[2000];
	Gnomon__V1__CommandResult *r;
	struct command c;
	int i;

	start();
	memset(long_text, 'x', sizeof long_text - 1);
	for (i = 0; i < 6; i++) {
		vcpus(&c, "id-000001", 1, 2);
		if (i == 0)
			c.command.action_case = GNOMON__V1__COMMAND__ACTION__NOT_SET;
		if (i == 1)
			c.command.vm = (char *)"web-1";
		if (i == 2)
			c.command.vm = (char *)"vms/../web-1";
		if (i == 3)
			c.command.id = (char *)"short";
		if (i == 4)
			c.command.reason = long_text;
		if (i == 5)
			c.command.deadline_us = gn_clock_wall_us() + 86400000000ull;
		r = execute(&c);
		assert_int_equal(r->status->code, GNOMON__V1__CODE__INVALID_ARGUMENT);
		assert_true(r->status->message[0] != '\0');
		release(r);
	}
	assert_int_equal(fake->calls, 0);
	assert_int_equal(stop(SIGTERM), 0);
}

static void duplicates_at_once(void **state)
{
	struct answers a = {0};
	struct command c;
	int i;

	start();
	fake->hang = 1;
	vcpus(&c, "id-000001", 1, 2);
	for (i = 0; i < 5; i++)
		send_command(&c, &a);
	while (!fake->hanging)
		usleep(1000);
	fake->hang = 0;
	collect(&a, 5);
	assert_int_equal(a.ok, 5);
	assert_int_equal(a.repeated, 4);
	assert_int_equal(fake->calls, 1);
	assert_int_equal(stop(SIGTERM), 0);
}

static void one_after_another_per_vm(void **state)
{
	struct answers a = {0};
	struct command first, second;

	start();
	fake->hang = 1;
	vcpus(&first, "id-000001", 1, 2);
	vcpus(&second, "id-000002", 2, 3); /* right only once the first is done */
	send_command(&first, &a);
	while (!fake->hanging)
		usleep(1000);
	send_command(&second, &a);
	usleep(100000); /* it has arrived, and waits although threads are free */
	assert_int_equal(fake->hanging, 1);
	fake->hang = 0;
	collect(&a, 2);
	assert_int_equal(a.ok, 2);
	assert_int_equal(fake_vm(fake, "web-1")->allocation.vcpus, 3);
	assert_int_equal(stop(SIGTERM), 0);
}

static void a_hanging_libvirt(void **state)
{
	struct gn_status status = {0};
	Gnomon__V1__HostInfo *host;
	struct answers a = {0};
	struct command c;

	start();
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_non_null(host);
	release(host);
	fake->hang = 1;
	vcpus(&c, "id-000001", 1, 2);
	send_command(&c, &a);
	/* Answered from what is known, and honest about it. */
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_non_null(host);
	assert_false(host->connected);
	assert_string_equal(host->hostname, "fake");
	release(host);
	/* Told before the deadline, in words. */
	assert_null(call(LIST_VMS, NULL, 1500000, &status));
	assert_int_equal(status.code, GN_DEADLINE_EXCEEDED);
	assert_non_null(strstr(status.message, "libvirt"));
	assert_null(call(EXECUTE, &c.command, 1500000, &status));
	assert_int_equal(status.code, GN_DEADLINE_EXCEEDED);
	assert_non_null(strstr(status.message, "set_vcpus"));
	/* It comes back, and so does everything. */
	fake->hang = 0;
	collect(&a, 1);
	assert_int_equal(a.ok, 1);
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_true(host && host->connected);
	release(host);
	assert_int_equal(stop(SIGTERM), 0);
}

static void ends_though_libvirt_hangs(void **state)
{
	struct answers a = {0};
	struct command c;

	start();
	fake->hang = 1;
	vcpus(&c, "id-000001", 1, 2);
	send_command(&c, &a);
	while (!fake->hanging)
		usleep(1000);
	assert_int_equal(stop(SIGTERM), 3);
	fake->hang = 0;
	collect(&a, 1);
	assert_int_equal(a.ok, 0);
}

static void an_absent_libvirt(void **state)
{
	struct gn_status status = {0};
	Gnomon__V1__CommandResult *r;
	Gnomon__V1__HostInfo *host;
	struct command c;

	fake->away = 1;
	start();
	host = call(GET_HOST, NULL, PATIENT, &status);
	assert_non_null(host);
	assert_false(host->connected);
	release(host);
	vcpus(&c, "id-000001", 1, 2);
	r = execute(&c);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__UNAVAILABLE);
	release(r);
	assert_null(call(GET_STATS, NULL, PATIENT, &status));
	assert_int_equal(status.code, GN_UNAVAILABLE);
	fake->away = 0;
	r = execute(&c);
	assert_int_equal(r->status->code, GNOMON__V1__CODE__OK);
	release(r);
	assert_int_equal(stop(SIGTERM), 0);
}

/* Killed before and after libvirt did it; the card sends again to the next shim. */
static void killed_and_back(void **state)
{
	static const int faults[] = {FAKE_DIE_BEFORE, FAKE_DIE_AFTER};
	int i, status;

	for (i = 0; i < 2; i++) {
		Gnomon__V1__CommandResult *r;
		struct answers a = {0};
		struct command c;
		char id[16];

		snprintf(id, sizeof id, "id-00000%d", i);
		vcpus(&c, id, 1 + (uint32_t)i, 2 + (uint32_t)i);
		start();
		fake->fault = faults[i];
		send_command(&c, &a);
		assert_int_equal(waitpid(shim, &status, 0), shim);
		assert_true(WIFSIGNALED(status));
		connect_anew();
		start();
		r = execute(&c);
		assert_int_equal(r->status->code, GNOMON__V1__CODE__OK);
		release(r);
		assert_int_equal(fake->changes, 1 + i);
		r = execute(&c);
		assert_true(r->repeated);
		release(r);
		assert_int_equal(stop(SIGTERM), 0);
	}
}

/* Nobody asks again: it is resolved all the same. */
static void resolves_by_itself(void **state)
{
	struct gn_status status = {0};
	struct answers a = {0};
	Gnomon__V1__CommandResult *r;
	struct command c;
	int exit_status;

	vcpus(&c, "id-000001", 1, 2);
	start();
	fake->fault = FAKE_DIE_AFTER;
	send_command(&c, &a);
	assert_int_equal(waitpid(shim, &exit_status, 0), shim);
	connect_anew();
	start();
	/* Changed again by the host's owner, some time after it was resolved. */
	release(call(GET_HOST, NULL, PATIENT, &status));
	usleep(500000);
	fake_vm(fake, "web-1")->allocation.vcpus = 1;
	r = execute(&c);
	assert_true(r->repeated && r->status->code == GNOMON__V1__CODE__OK && r->after->vcpus == 2);
	release(r);
	assert_int_equal(fake->changes, 1);
	assert_int_equal(stop(SIGTERM), 0);
}

static int reset(void **state)
{
	struct gn_status status = {0};

	unlink(journal);
	fake = fake_world_new();
	if (gn_channel_client_create(url, NULL, &client, &status)) {
		print_error("%s\n", status.message);
		return -1;
	}
	return 0;
}

static int clean(void **state)
{
	if (shim > 0)
		stop(SIGKILL);
	gn_channel_client_destroy(client);
	fake_world_free(fake);
	return 0;
}

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(url, sizeof url, "ipc://%s/shim.ipc", directory);
	snprintf(journal, sizeof journal, "%s/j", directory);
	return 0;
}

static int tear_down(void **state)
{
	char path[80];

	unlink(journal);
	snprintf(path, sizeof path, "%s.lock", journal);
	unlink(path);
	unlink(url + strlen("ipc://"));
	return rmdir(directory);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(tells_about_the_host, reset, clean),
	        cmocka_unit_test_setup_teardown(tells_about_drives, reset, clean),
	        cmocka_unit_test_setup_teardown(executes, reset, clean),
	        cmocka_unit_test_setup_teardown(bad_commands, reset, clean),
	        cmocka_unit_test_setup_teardown(duplicates_at_once, reset, clean),
	        cmocka_unit_test_setup_teardown(one_after_another_per_vm, reset, clean),
	        cmocka_unit_test_setup_teardown(a_hanging_libvirt, reset, clean),
	        cmocka_unit_test_setup_teardown(ends_though_libvirt_hangs, reset, clean),
	        cmocka_unit_test_setup_teardown(an_absent_libvirt, reset, clean),
	        cmocka_unit_test_setup_teardown(killed_and_back, reset, clean),
	        cmocka_unit_test_setup_teardown(resolves_by_itself, reset, clean),
	};

	if (argc == 5 && !strcmp(argv[1], "serve")) {
		snprintf(url, sizeof url, "%s", argv[3]);
		snprintf(journal, sizeof journal, "%s", argv[4]);
		return serve(atoi(argv[2]));
	}
	return cmocka_run_group_tests_name("shim service", tests, set_up, tear_down);
}
