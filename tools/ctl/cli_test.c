/* cli_test.c - whole command lines against a fake card: which methods are called with which
 * requests, what is printed, and the exit code.
 *
 * This program is both sides: the test serves the Control service over ipc and starts itself
 * under the name "gnomonctl" for each command line. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/channel.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/ctl.h"
#include "proto/json.h"

const char *__lsan_default_suppressions(void);

/* nng 1.5 keeps a few objects of its own when a socket closes. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libnng.so";
}

#define SERVICE   (&gnomon__v1__control__descriptor)
#define N_METHODS 64 /* at most */
#define WORDS_MAX 40
#define COUNT(a)  (sizeof(a) / sizeof(a)[0])

/* ---- the fake card ---------------------------------------------------------------------- */

static struct {
	char directory[32], url[64];
	struct gn_channel_server *server;
	char calls[8192];                           /* "Method {request as JSON}\n", each */
	struct gn_status failure;                   /* of every call, unless GN_OK */
	const ProtobufCMessage *replies[N_METHODS]; /* NULL: an empty message of its type */
	bool is_silent;
} card;

static void record(const char *method, const ProtobufCMessage *request)
{
	char *text = NULL;
	size_t size, used = strlen(card.calls);
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(gn_json_print(request, 1, out), 0);
	fclose(out);
	snprintf(card.calls + used, sizeof card.calls - used, "%s %s", method, text);
	free(text);
}

static void answer(unsigned index, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	const ProtobufCMethodDescriptor *method = &SERVICE->methods[index];
	ProtobufCMessage *empty;

	record(method->name, request);
	if (card.is_silent)
		return; /* the server's end answers it */
	if (card.failure.code) {
		gn_channel_fail(call, &card.failure);
		return;
	}
	if (card.replies[index]) {
		gn_channel_reply(call, card.replies[index]);
		return;
	}
	empty = calloc(1, method->output->sizeof_message);
	protobuf_c_message_init(method->output, empty);
	gn_channel_reply(call, empty);
	free(empty);
}

#define HANDLER(n)                                                                                 \
	static void handle_##n(void *context, struct gn_channel_call *call,                        \
	                       const ProtobufCMessage *request)                                    \
	{                                                                                          \
		answer(n, call, request);                                                          \
	}
#define EIGHT(X, d) X(d##0) X(d##1) X(d##2) X(d##3) X(d##4) X(d##5) X(d##6) X(d##7)
/* octal: 00 to 077 */
#define ALL(X)                                                                                     \
	EIGHT(X, 00)                                                                               \
	EIGHT(X, 01) EIGHT(X, 02) EIGHT(X, 03) EIGHT(X, 04) EIGHT(X, 05) EIGHT(X, 06) EIGHT(X, 07)
ALL(HANDLER)
#define NAME(n) handle_##n,
static gn_channel_handler *const handlers[N_METHODS] = {ALL(NAME)};
static const struct gn_channel_service service = {.descriptor = &gnomon__v1__control__descriptor,
                                                  .handlers = handlers};

static unsigned index_of(const char *method)
{
	for (unsigned i = 0; i < SERVICE->n_methods; i++)
		if (!strcmp(SERVICE->methods[i].name, method))
			return i;
	fail_msg("no method %s", method);
	return 0;
}

static int start_card(void **state)
{
	struct gn_status status;

	assert_true(SERVICE->n_methods <= N_METHODS);
	strcpy(card.directory, "/tmp/gnctl-XXXXXX");
	assert_non_null(mkdtemp(card.directory));
	snprintf(card.url, sizeof card.url, "ipc://%s/s", card.directory);
	if (gn_channel_server_create(card.url, NULL, &service, 1, &card.server, &status))
		fail_msg("%s", status.message);
	return 0;
}

static int stop_card(void **state)
{
	char path[64];

	gn_channel_server_destroy(card.server);
	snprintf(path, sizeof path, "%s/s", card.directory);
	unlink(path);
	return rmdir(card.directory);
}

/* ---- one command line --------------------------------------------------------------------- */

static struct {
	int code; /* exit code; 1000 and the signal when it was killed */
	char out[65536], err[8192];
} result;

static bool take(int fd, char *text, size_t size)
{
	size_t used = strlen(text);
	ssize_t n = read(fd, text + used, size - 1 - used);

	if (n > 0)
		text[used + (size_t)n] = '\0';
	return n > 0;
}

/* Serves until the command's outputs are closed. */
static void serve(int out, int err)
{
	struct pollfd fds[] = {
	        {out, POLLIN, 0}, {err, POLLIN, 0}, {gn_channel_server_fd(card.server), POLLIN, 0}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		assert_true(poll(fds, 3, 60000) > 0);
		if (fds[2].revents)
			gn_channel_server_process(card.server);
		if (fds[0].revents && !take(out, result.out, sizeof result.out))
			fds[0].fd = -1;
		if (fds[1].revents && !take(err, result.err, sizeof result.err))
			fds[1].fd = -1;
	}
}

static void spawn(char **words)
{
	static char *environment[] = {(char *)"HOME=/nonexistent", (char *)"TZ=UTC",
	                              (char *)"ASAN_OPTIONS=detect_leaks=1", NULL};
	posix_spawn_file_actions_t actions;
	int out[2], err[2], status;
	pid_t pid;

	memset(&result, 0, sizeof result);
	card.calls[0] = '\0';
	assert_int_equal(pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, err[1], 2);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, words, environment),
	                 0);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	close(err[1]);
	serve(out[0], err[0]);
	close(out[0]);
	close(err[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* The line is cut at blanks outside '...'; --server is added unless the line has one. */
static void run(const char *line)
{
	char text[4096], *words[WORDS_MAX], *at = text;
	int n = 0;

	snprintf(text, sizeof text, "%s", line);
	words[n++] = (char *)"gnomonctl";
	if (!strstr(line, "--server")) {
		words[n++] = (char *)"--server";
		words[n++] = card.url;
	}
	while (*at) {
		char end = *at == '\'' ? '\'' : ' ';

		at += *at == '\'';
		words[n++] = at;
		assert_true(n < WORDS_MAX);
		at = strchrnul(at, end);
		if (*at)
			*at++ = '\0';
		at += strspn(at, " ");
	}
	words[n] = NULL;
	spawn(words);
}

static void expect(const char *line, const char *what, const char *text, const char *part)
{
	if (part && !strstr(text, part))
		fail_msg("'%s': %s lacks '%s':\n%s\nexit %d, stderr: %s", line, what, part, text,
		         result.code, result.err);
}

/* ---- requests ----------------------------------------------------------------------------- */

static const struct {
	const char *line;
	const char *calls[3]; /* each must be part of what was called */
} requests[] = {
        {"status", {"GetStatus {}\n"}},
        {"top --count 1", {"GetStatus {}\nListVms {}\n"}},
        {"vm list", {"ListVms {}\n"}},
        {"vm list --names", {"ListVms {}\n"}},
        {"vm show web-1", {"GetVm {\"name\":\"vms/web-1\"}\n"}},
        {"vm show vms/web-1", {"GetVm {\"name\":\"vms/web-1\"}\n"}},
        {"vm create web-1 --nic net0,vlan=10,queues=2 --nic net1 --disk "
         "vda,path=/vm/a.raw,ro,queues=4",
         {"CreateVm {\"name\":\"vms/web-1\",\"nics\":[{\"name\":\"net0\",\"vlan\":10,"
          "\"queues\":2,\"device\":\"\"},{\"name\":\"net1\",\"vlan\":0,\"queues\":0,"
          "\"device\":\"\"}],",
          "\"disks\":[{\"name\":\"vda\",\"path\":\"/vm/a.raw\",\"read_only\":true,"
          "\"queues\":4,\"nbd_listen\":\"\"}]}\n"}},
        {"vm delete web-1", {"DeleteVm {\"name\":\"vms/web-1\"}\n"}},
        {"forecast web-1", {"GetForecast {\"name\":\"vms/web-1\"}\n"}},
        {"history web-1 network-rx --last 10min --points 7",
         {"GetHistory {\"vm\":\"vms/web-1\",\"resource\":\"NETWORK_RX\",\"from_us\":1",
          "\"to_us\":0,\"max_points\":7}\n"}},
        {"shadow create web-1 --start --pool /pool --vcpus 2 --vcpus-step 1 "
         "--vcpus-ceiling 4 "
         "--memory 256MiB --memory-step 64MiB --memory-ceiling 1GiB --when 'cpu 3.5 for "
         "5min' --when 'memory 512MiB for 30s' --direction rx --sample 10",
         {"CreateShadow {\"name\":\"vms/web-1/shadow\"",
          "\"pool_path\":\"/pool\",\"start\":true,\"scaling\":{\"start_vcpus\":2,"
          "\"step_vcpus\":1,\"ceiling_vcpus\":4,\"start_memory_bytes\":268435456,"
          "\"step_memory_bytes\":67108864,\"ceiling_memory_bytes\":1073741824},"
          "\"triggers\":[{\"resource\":\"CPU\",\"threshold\":3500,\"for_us\":300000000},"
          "{\"resource\":\"MEMORY\",\"threshold\":536870912,\"for_us\":30000000}]",
          "\"direction\":\"RX\",\"filters\":[],\"truncate_bytes\":0,\"sample_one_in\":10"}},
        {"shadow create web-1 --after 10min --every 1d",
         {"\"schedule\":{\"first_us\":1", "\"every_us\":86400000000}"}},
        {"shadow create web-1 --replication in-step --resync-rate 100MiB --journal 1GiB",
         {"\"replication\":{\"mode\":\"IN_STEP\",\"resync_bytes_per_s\":104857600,"
          "\"journal_bytes\":1073741824}"}},
        {"vm top web-1 --once --sort rss", {"GetGuest {\"name\":\"vms/web-1\"}\n"}},
        {"vm top web-1 --json", {"GetGuest {\"name\":\"vms/web-1\"}\n"}},
        {"shadow update web-1 --snapshots 1h:24 --snapshots 1d:7",
         {"\"snapshots\":[{\"every_us\":3600000000,\"keep\":24},{\"every_us\":86400000000,"
          "\"keep\":7}]",
          "\"update_mask\":[\"snapshots\"]}\n"}},
        {"snapshot list web-1", {"ListSnapshots {\"name\":\"vms/web-1/shadow\"}\n"}},
        {"snapshot create web-1 x", {"CreateSnapshot {\"name\":\"vms/web-1/shadow/snapshots/x\""}},
        {"snapshot delete web-1 x",
         {"DeleteSnapshot {\"name\":\"vms/web-1/shadow/snapshots/x\"}\n"}},
        {"snapshot revert web-1 x", {"RevertShadow {\"name\":\"vms/web-1/shadow/snapshots/x\"}\n"}},
        {"snapshot export web-1 x /tmp/d",
         {"ExportSnapshot {\"name\":\"vms/web-1/shadow/snapshots/x\",\"directory\":"
          "\"/tmp/d\"}\n"}},
        {"clone web-1 /tmp/d",
         {"ExportSnapshot {\"name\":\"vms/web-1/shadow\",\"directory\":\"/tmp/d\"}\n"}},
        {"volume list", {"ListVolumes {}\n"}},
        {"volume create a --vm b --size 1GiB --queues 2",
         {"CreateVolume {\"name\":\"volumes/a\",\"vm\":\"vms/b\"", "\"size_bytes\":1073741824"}},
        {"volume create a --vm b --url nbd://c/d --read-only",
         {"CreateVolume {\"name\":\"volumes/a\"", "\"store_url\":\"nbd://c/d\""}},
        {"volume resize a 2GiB",
         {"ResizeVolume {\"name\":\"volumes/a\",\"size_bytes\":2147483648}\n"}},
        {"volume delete volumes/a --erase",
         {"DeleteVolume {\"name\":\"volumes/a\",\"erase\":true}\n"}},
        {"volume verify a --repair --rate 1MiB --no-wait",
         {"VerifyVolume {\"name\":\"volumes/a\",\"repair\":true,\"bytes_per_s\":1048576"}},
        {"volume verify volumes/a --cancel",
         {"VerifyVolume {\"name\":\"volumes/a\"", "\"cancel\":true}\n"}},
        {"export list", {"ListNbdExports {}\n"}},
        {"update status", {"GetUpdateStatus {}\n"}},
        {"update history", {"ListUpdateHistory {}\n"}},
        {"update rollback --restart --force",
         {"RollbackUpdate {}\n", "RestartCard {\"force\":true}\n"}},
        {"export create web-1-vda",
         {"CreateNbdExport {\"name\":\"exports/web-1-vda\",\"volume\":\"volumes/web-1-vda\"",
          "\"read_only\":false"}},
        {"export create volumes/web-1-vda --name b --as c --read-only --listen tcp://[::]:1 --tls "
         "--client d --client e --connections 4",
         {"{\"name\":\"exports/b\",\"volume\":\"volumes/web-1-vda\",\"export_name\":\"c\","
          "\"listen\":\"tcp://[::]:1\",\"read_only\":true,\"tls\":true,\"clients\":[\"d\",\"e\"],"
          "\"allow_plain_tcp\":false,\"max_connections\":4"}},
        {"export delete b", {"DeleteNbdExport {\"name\":\"exports/b\"}\n"}},
        {"shadow list", {"ListShadows {}\n"}},
        {"shadow show web-1", {"GetShadow {\"name\":\"vms/web-1/shadow\"}\n"}},
        {"shadow update web-1 --stop",
         {"UpdateShadow {\"shadow\":{\"name\":\"vms/web-1/shadow\"", "\"start\":false",
          "\"update_mask\":[\"start\"]}\n"}},
        {"shadow update web-1 --start --vcpus 2 --when 'cpu 1 for 1s' --every 2d --filter "
         "'proto udp'",
         {"\"update_mask\":[\"start\",\"scaling\",\"triggers\",\"schedule\",\"mirror\"]}"
          "\n"}},
        {"shadow update web-1 --when never --every never",
         {"\"triggers\":[],\"created_us\"", "\"update_mask\":[\"triggers\",\"schedule\"]}\n"}},
        {"shadow delete web-1", {"DeleteShadow {\"name\":\"vms/web-1/shadow\"}\n"}},
        {"mirror show", {"ListMirrors {}\n"}},
        {"mirror set web-1 cap --sink pcapng=/tmp/a --filter 'proto tcp dst 10.0.0.0/8' "
         "--truncate 60",
         {"UpdateMirror {\"name\":\"vms/web-1/mirrors/cap\"",
          "\"ip_protocol\":6,\"source\":\"\",\"destination\":\"10.0.0.0/8\"",
          "\"truncate_bytes\":60,\"sample_one_in\":0,\"pcapng_path\":\"/tmp/a\"}\n"}},
        {"mirror delete web-1 cap", {"DeleteMirror {\"name\":\"vms/web-1/mirrors/cap\"}\n"}},
        {"policy get web-1", {"GetPolicy {\"name\":\"vms/web-1/policy\"}\n"}},
        {"policy set web-1 --mode enforce",
         {"\"mode\":\"ENFORCE\",\"resources\":[]}", "\"update_mask\":[\"mode\"]}\n"}},
        {"policy set web-1 --cpu-quantile 0.95 --cpu-horizon 30s --cpu-min 1 --cpu-max 4 "
         "--cpu-step 1 --cpu-headroom 0.2 --cpu-dead-band 0.05 --cpu-cooldown 1min "
         "--cpu-shrink-after 10min --cpu-max-change 2",
         {"{\"resource\":\"CPU\",\"quantile_milli\":950,\"horizon_us\":30000000,"
          "\"minimum\":1000,\"maximum\":4000,\"step\":1000,\"headroom_milli\":200,"
          "\"dead_band_milli\":50,\"cooldown_us\":60000000,\"shrink_after_us\":600000000,"
          "\"max_change\":2000}",
          "\"update_mask\":[\"resources.cpu.quantile_milli\",\"resources.cpu.horizon_us\","
          "\"resources.cpu.minimum\",\"resources.cpu.maximum\",\"resources.cpu.step\","
          "\"resources.cpu.headroom_milli\",\"resources.cpu.dead_band_milli\","
          "\"resources.cpu.cooldown_us\",\"resources.cpu.shrink_after_us\","
          "\"resources.cpu.max_change\"]}\n"}},
        {"policy set web-1 --network-rx-max=10Mbit --disk-operations-min 5 --mode off",
         {"\"resource\":\"NETWORK_RX\"", "\"maximum\":10000000",
          "\"update_mask\":[\"mode\",\"resources.network_rx.maximum\","
          "\"resources.disk_operations.minimum\"]}\n"}},
        {"plan list", {"ListPlans {\"vm\":\"\",\"pending_only\":false,\"limit\":20}\n"}},
        {"plan list web-1 --pending --limit 5",
         {"ListPlans {\"vm\":\"vms/web-1\",\"pending_only\":true,\"limit\":5}\n"}},
        {"plan show 17", {"GetPlan {\"name\":\"plans/17\"}\n"}},
        {"plan approve plans/17", {"ApprovePlan {\"name\":\"plans/17\"}\n"}},
        {"plan reject 17", {"RejectPlan {\"name\":\"plans/17\"}\n"}},
        {"hazard web-1", {"GetHazard {\"name\":\"vms/web-1\"}\n"}},
        {"hazard drives/EX-1", {"GetHazard {\"name\":\"drives/EX-1\"}\n"}},
        {"alert list", {"ListAlerts {\"resource\":\"\",\"include_cleared\":false}\n"}},
        {"alert list web-1 --all",
         {"ListAlerts {\"resource\":\"vms/web-1\",\"include_cleared\":true}\n"}},
        {"alert ack 17", {"AcknowledgeAlert {\"name\":\"alerts/17\"}\n"}},
        {"model list", {"ListModels {}\n"}},
        {"model rollback", {"RollbackModel {\"trial\":false}\n"}},
        {"model rollback --trial", {"RollbackModel {\"trial\":true}\n"}},
        {"report", {"GetReport {}\n"}},
        {"host probes", {"ListProbes {}\n"}},
        {"vm threads web-1", {"ListThreads {\"name\":\"vms/web-1\"}\n"}},
        {"vm observe web-1 --kind runq --for 2s",
         {"ObserveVm {\"id\":\"ctl-", "\"vm\":\"vms/web-1\",\"kind\":\"RUNQ\","
                                      "\"duration_us\":2000000"}},
};

static void test_requests(void **state)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		run(requests[i].line);
		for (size_t j = 0; j < COUNT(requests[i].calls); j++)
			expect(requests[i].line, "the calls", card.calls, requests[i].calls[j]);
		if (result.code)
			fail_msg("'%s': exit %d: %s", requests[i].line, result.code, result.err);
		assert_string_equal(result.err, "");
	}
}

/* An update names whole messages in its mask; what the options leave out must survive. */
static void test_shadow_update_keeps_the_rest(void **state)
{
	Gnomon__V1__Shadow shadow = GNOMON__V1__SHADOW__INIT;
	Gnomon__V1__ShadowScaling scaling = GNOMON__V1__SHADOW_SCALING__INIT;
	Gnomon__V1__ShadowSchedule schedule = GNOMON__V1__SHADOW_SCHEDULE__INIT;
	Gnomon__V1__Mirror mirror = GNOMON__V1__MIRROR__INIT;
	Gnomon__V1__MirrorFilter filter = GNOMON__V1__MIRROR_FILTER__INIT, *filters[] = {&filter};

	scaling.start_vcpus = 3;
	scaling.step_memory_bytes = 64 << 20;
	schedule.first_us = 1234;
	filter.vlan = 7;
	mirror.filters = filters;
	mirror.n_filters = 1;
	mirror.truncate_bytes = 60;
	shadow.scaling = &scaling;
	shadow.schedule = &schedule;
	shadow.mirror = &mirror;
	card.replies[index_of("GetShadow")] = &shadow.base;
	run("shadow update web-1 --vcpus-ceiling 4 --every 1d --sample 5");
	card.replies[index_of("GetShadow")] = NULL;
	assert_int_equal(result.code, 0);
	expect("update", "the calls", card.calls,
	       "\"scaling\":{\"start_vcpus\":3,\"step_vcpus\":0,\"ceiling_vcpus\":4,"
	       "\"start_memory_bytes\":0,\"step_memory_bytes\":67108864,"
	       "\"ceiling_memory_bytes\":0}");
	expect("update", "the calls", card.calls,
	       "\"schedule\":{\"first_us\":1234,\"every_us\":86400000000}");
	expect("update", "the calls", card.calls, "\"vlan\":7");
	expect("update", "the calls", card.calls, "\"truncate_bytes\":60,\"sample_one_in\":5");
}

/* ---- wrong usage ---------------------------------------------------------------------------- */

static void test_usage(void **state)
{
	static const struct {
		const char *line, *sentence;
	} cases[] = {
	        {"", "a command is missing"},
	        {"frobnicate", "there is no command 'frobnicate'"},
	        {"vm", "'vm' needs a verb: list, show, top, calls, create, delete, export-state, "
	               "import-state, "
	               "threads or observe"},
	        {"vm frobnicate", "'frobnicate' cannot be done with 'vm'"},
	        {"vm show", "the name of a VM is missing"},
	        {"vm show a b", "'b' is one word too many"},
	        {"vm show a --wide", "'--wide' is no option here"},
	        {"vm show --wide", "'--wide' is no option here"},
	        {"vm show "
	         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	         "is too long: names have at most 128 bytes"},
	        {"vm create a --nic vlan=5", "--nic needs a name first"},
	        {"vm create a --nic net0,vlan=4095", "a number of at most 4094"},
	        {"vm create a --nic net0,speed=5", "'speed=5' is none of"},
	        {"vm create a --disk vda", "--disk needs a name and a file"},
	        {"vm create a --disk path=/x", "--disk needs a name and a file"},
	        {"vm create a --nic", "--nic needs a value"},
	        {"vm create a --nic --disk", "--nic needs a value"},
	        {"history web-1", "a resource (cpu, memory, network-rx, ...) is missing"},
	        {"history web-1 disk", "'disk' is no resource"},
	        {"history web-1 cpu --last 5", "give a duration such as 1h"},
	        {"history web-1 cpu --points 0", "give 1 to 10000"},
	        {"forecast", "the name of a VM is missing"},
	        {"shadow create web-1 --vcpus two", "give a number of vCPUs"},
	        {"shadow create web-1 --memory 5q", "give a size such as 512MiB"},
	        {"shadow create web-1 --when cpu", "give RESOURCE VALUE for DURATION"},
	        {"shadow create web-1 --stop", "'--stop' is no option here"},
	        {"shadow create web-1 --every often", "give a duration such as 1d"},
	        {"shadow create web-1 --vcpus 1 --vcpus 2",
	         "or is given more often than it may be"},
	        {"shadow create web-1 --when never --when 'cpu 1 for 1s'", "leaves no room"},
	        {"shadow update web-1", "nothing to change"},
	        {"shadow update web-1 --start --stop", "exclude each other"},
	        {"shadow update web-1 --pool /x", "'--pool' is no option here"},
	        {"mirror set web-1 cap", "--sink is missing"},
	        {"mirror set web-1 cap --sink tape", "give port=PORT, pcapng=FILE"},
	        {"mirror set web-1 cap --sink erspan=ip=1.2.3.4", "name the port that leads"},
	        {"mirror set web-1 cap --sink vxlan=ports/a,ip", "'ip' has no value"},
	        {"mirror set web-1 cap --sink vxlan=ports/a,id=x", "is none of"},
	        {"mirror set web-1 --sink pcapng=/x", "the name of a mirror session is missing"},
	        {"mirror set web-1 cap --sink pcapng=/x --filter 'port 80'", "--filter: give"},
	        {"mirror set web-1 cap --sink pcapng=/x --direction up", "give both, rx or tx"},
	        {"policy set web-1", "nothing to change"},
	        {"policy set web-1 --mode on", "give off, forecast-only or enforce"},
	        {"policy set web-1 --cpu-max 512MiB", "give a value such as 1.5"},
	        {"policy set web-1 --memory-min 1.5", "give a value such as 512MiB"},
	        {"policy set web-1 --cpu-quantile P95", "give a share such as 0.95"},
	        {"policy set web-1 --cpu-horizon 30", "give a duration such as 30s"},
	        {"policy set web-1 --gpu-max 1", "'--gpu-max' is no option here"},
	        {"plan show", "the name of a plan is missing"},
	        {"plan list --limit 0", "give 1 to 1000"},
	        {"top --interval 1ms", "give 100ms to 1d"},
	        {"top --count 0", "give how many times"},
	        {"top --json", "top has no --json"},
	        {"vm top", "the name of a VM is missing"},
	        {"vm top a --sort colour", "--sort colour: give cpu, rss, io, calls or pid"},
	        {"vm top a --interval 1ms", "give 100ms to 1d"},
	        {"watch now", "'now' is one word too many"},
	        {"watch", "the address of the events is not known"},
	        {"status --timeout 0s", "--timeout 0s: give a duration"},
	        {"status --timeout 2d", "--timeout 2d: give a duration"},
	        {"status --server", "--server needs a value"},
	        {"status --server tls+tcp://127.0.0.1:1", "'ca' is not known: give --ca"},
	        {"status --server http://x", "'http://x' is not an address here"},
	        {"status --config /nonexistent.yaml", "/nonexistent.yaml: cannot be opened"},
	        {"completion fish", "no completion for 'fish': bash or zsh"},
	        {"completion", "the shell (bash or zsh) is missing"},
	        {"help frobnicate", "there is no command 'frobnicate'"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		run(cases[i].line);
		expect(cases[i].line, "standard error", result.err, cases[i].sentence);
		if (result.code != GN_CTL_USAGE || result.out[0] || card.calls[0])
			fail_msg("'%s': exit %d, printed '%s', called '%s'", cases[i].line,
			         result.code, result.out, card.calls);
		expect(cases[i].line, "standard error", result.err, "gnomonctl: ");
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
	static const enum gn_code codes[] = {GN_NOT_FOUND, GN_INVALID_ARGUMENT,
	                                     GN_FAILED_PRECONDITION, GN_UNAVAILABLE, GN_INTERNAL};

	for (size_t i = 0; i < COUNT(codes); i++) {
		gn_status_set(&card.failure, codes[i], "no such thing \033[31mas 'x'");
		run("vm show x");
		assert_int_equal(result.code, GN_CTL_REFUSED);
		assert_string_equal(result.out, "");
		expect("vm show x", "standard error", result.err,
		       "gnomonctl: no such thing ?[31mas 'x' (");
		expect("vm show x", "standard error", result.err, gn_code_name(codes[i]));
	}
	run("top --count 1");
	assert_int_equal(result.code, GN_CTL_REFUSED);
	card.failure.code = GN_OK;
}

static void test_no_answer(void **state)
{
	card.is_silent = true;
	run("status --timeout 300ms");
	card.is_silent = false;
	assert_int_equal(result.code, GN_CTL_UNREACHABLE);
	expect("status", "standard error", result.err, "did not answer Control/GetStatus");
}

static void test_nobody_there(void **state)
{
	run("status --timeout 500ms --server ipc:///tmp/gnctl-nobody-there");
	assert_int_equal(result.code, GN_CTL_UNREACHABLE);
	expect("status", "standard error", result.err, "there is no such socket");
	run("watch --timeout 500ms --events ipc:///tmp/gnctl-nobody-there");
	assert_int_equal(result.code, GN_CTL_UNREACHABLE);
	expect("watch", "standard error", result.err, "there is no such socket");
	run("top --count 1 --timeout 500ms --server ipc:///tmp/gnctl-nobody-there");
	assert_int_equal(result.code, GN_CTL_UNREACHABLE);
	expect("top", "standard output", result.out, "there is no such socket");
}

static void test_plan_in_words(void **state)
{
	Gnomon__V1__Plan plan = GNOMON__V1__PLAN__INIT;
	Gnomon__V1__PlanInputs inputs = GNOMON__V1__PLAN_INPUTS__INIT;
	Gnomon__V1__Action a[3] = {GNOMON__V1__ACTION__INIT, GNOMON__V1__ACTION__INIT,
	                           GNOMON__V1__ACTION__INIT};
	Gnomon__V1__Action *actions[] = {&a[0], &a[1], &a[2]};
	Gnomon__V1__Allocation after = GNOMON__V1__ALLOCATION__INIT;
	Gnomon__V1__Status done = GNOMON__V1__STATUS__INIT, failed = GNOMON__V1__STATUS__INIT;

	inputs.resource = GNOMON__V1__RESOURCE__NETWORK_RX;
	inputs.quantile_milli = 990;
	a[0].kind = GNOMON__V1__ACTION__KIND__SET_METER;
	a[0].to = 20000000;
	a[1].kind = GNOMON__V1__ACTION__KIND__SET_MEMORY;
	a[1].from = 192 << 20;
	a[1].to = 256 << 20;
	a[1].at_us = 5;
	a[1].result = &done;
	a[1].after = &after;
	after.vcpus = 1;
	after.vcpus_maximum = 4;
	after.memory_bytes = 256 << 20;
	a[2].kind = GNOMON__V1__ACTION__KIND__SET_CPU_LIMIT;
	a[2].from = -1;
	a[2].to = 50000;
	a[2].at_us = 5;
	a[2].result = &failed;
	failed.code = GNOMON__V1__CODE__ABORTED;
	failed.message = (char *)"it has another value";
	for (size_t i = 0; i < COUNT(a); i++)
		a[i].vm = (char *)"vms/web-1";
	plan.name = (char *)"plans/17";
	plan.reason = (char *)"because";
	plan.inputs = &inputs;
	plan.actions = actions;
	plan.n_actions = COUNT(a);
	card.replies[index_of("GetPlan")] = &plan.base;
	run("plan show 17");
	card.replies[index_of("GetPlan")] = NULL;
	expect("plan", "output", result.out, "why         because\n");
	expect("plan", "output", result.out, "network-rx, P99 within");
	expect("plan", "output", result.out,
	       "set the limit of network-rx of vms/web-1 from no limit to 20 Mbit/s\n"
	       "            not sent\n");
	expect("plan", "output", result.out,
	       "set the memory of vms/web-1 from 192 MiB to 256 MiB\n");
	expect("plan", "output", result.out,
	       "            done\n            libvirt then reported 1 of 4 vCPUs, 256 MiB\n");
	expect("plan", "output", result.out,
	       "set the CPU limit of vms/web-1 from no limit to 50 ms\n");
	expect("plan", "output", result.out, "ABORTED: it has another value\n");
}

static void test_lists(void **state)
{
	Gnomon__V1__VmList list = GNOMON__V1__VM_LIST__INIT;
	Gnomon__V1__Vm vm = GNOMON__V1__VM__INIT, *vms[] = {&vm};
	Gnomon__V1__MirrorList mirrors = GNOMON__V1__MIRROR_LIST__INIT;
	Gnomon__V1__Mirror m[3] = {GNOMON__V1__MIRROR__INIT, GNOMON__V1__MIRROR__INIT,
	                           GNOMON__V1__MIRROR__INIT};
	Gnomon__V1__Mirror *all[] = {&m[0], &m[1], &m[2]};

	vm.name = (char *)"vms/web-1";
	vm.note = (char *)"mind \033this";
	list.vms = vms;
	list.n_vms = 1;
	m[0].name = (char *)"vms/web-10/mirrors/a";
	m[1].name = (char *)"vms/web-1/mirrors/b";
	m[2].name = (char *)"vms/web-2/mirrors/c";
	mirrors.mirrors = all;
	mirrors.n_mirrors = COUNT(all);
	run("vm list");
	assert_string_equal(result.out,
	                    "no VMs: put one behind the card with 'gnomonctl vm create'\n");
	run("mirror show");
	assert_string_equal(result.out, "no mirror sessions\n");
	card.replies[index_of("ListVms")] = &list.base;
	card.replies[index_of("ListMirrors")] = &mirrors.base;
	run("vm list --names");
	assert_string_equal(result.out, "web-1\n");
	run("vm list");
	expect("vm list", "output", result.out, "mind ?this\n");
	run("mirror show web-1");
	expect("mirror show", "output", result.out, "vms/web-1/mirrors/b");
	assert_null(strstr(result.out, "web-10"));
	run("mirror show web-1 --json");
	assert_null(strstr(result.out, "web-2"));
	expect("mirror show", "output", result.out, "\"name\": \"vms/web-1/mirrors/b\"");
	card.replies[index_of("ListVms")] = card.replies[index_of("ListMirrors")] = NULL;
}

/* A guest chooses its processes' names and its log's lines. */
static void test_guest_in_words(void **state)
{
	Gnomon__V1__Guest guest = GNOMON__V1__GUEST__INIT;
	Gnomon__V1__GuestSample sample = GNOMON__V1__GUEST_SAMPLE__INIT;
	Gnomon__V1__GuestCpu cpu = GNOMON__V1__GUEST_CPU__INIT;
	Gnomon__V1__GuestSigns signs = GNOMON__V1__GUEST_SIGNS__INIT;
	Gnomon__V1__GuestCapability log = GNOMON__V1__GUEST_CAPABILITY__INIT, *can[] = {&log};
	Gnomon__V1__GuestProcess small = GNOMON__V1__GUEST_PROCESS__INIT, large = small,
	                         *top[] = {&small, &large};
	uint64_t busy[] = {980, 40};

	small.pid = 7;
	small.name = (char *)"evil\033[2J";
	small.state = (char *)"R";
	small.cpu_milli = 985;
	small.read_bytes = 4 << 20;
	large.pid = 8;
	large.name = (char *)"kworker";
	large.kernel = true;
	large.state = (char *)"I";
	large.rss_bytes = 30 << 20;
	cpu.demand_milli = 2980;
	cpu.busy_milli = 980;
	cpu.wait_milli = 2000;
	cpu.online = 2;
	cpu.cpu_busy_milli = busy;
	cpu.n_cpu_busy_milli = 2;
	cpu.load1_milli = 2050;
	signs.oops = true;
	signs.log_errors = 3;
	signs.log_text = (char *)"BUG: \007";
	log.name = (char *)"log";
	log.reason = (char *)"the symbol prb is not found";
	sample.state = GNOMON__V1__GUEST_STATE__GUEST_STATE_READY;
	sample.kernel_release = (char *)"6.1.0";
	sample.capabilities = can;
	sample.n_capabilities = 1;
	sample.cpu = &cpu;
	sample.signs = &signs;
	sample.top = top;
	sample.n_top = 2;
	guest.vm = (char *)"vms/web-1";
	guest.period_us = 2000000;
	guest.sample = &sample;
	card.replies[index_of("GetGuest")] = &guest.base;
	run("vm top web-1 --once");
	expect("vm top", "output", result.out, "vms/web-1  READY  Linux 6.1.0");
	expect("vm top", "output", result.out,
	       "2.98 vCPU wanted: 0.98 vCPU used, 2.00 vCPU waiting; 2 online: 98% 4%\n");
	expect("vm top", "output", result.out, "load    2.05 0.00 0.00\n");
	expect("vm top", "output", result.out, "KERNEL  OOPS\n");
	expect("vm top", "output", result.out, "3 errors, the last: BUG: ?\n");
	expect("vm top", "output", result.out, "no log  the symbol prb is not found\n");
	expect("vm top", "output", result.out, "evil?[2J\n");
	expect("vm top", "output", result.out, "98.5");
	expect("vm top", "output", result.out, "2 MiB"); /* a second, of 4 in two */
	assert_true(strstr(result.out, "evil") < strstr(result.out, "[kworker]"));
	run("vm top web-1 --once --sort rss");
	assert_true(strstr(result.out, "evil") > strstr(result.out, "[kworker]"));
	guest.sample = NULL;
	guest.note = (char *)"nothing yet";
	run("vm top web-1 --count 2 --interval 100ms");
	expect("vm top", "output", result.out, "vms/web-1  UNKNOWN\nnote    nothing yet\n");
	card.replies[index_of("GetGuest")] = NULL;
}

static void test_sources_in_words(void **state)
{
	Gnomon__V1__Vm vm = GNOMON__V1__VM__INIT;
	Gnomon__V1__Demand d[3] = {GNOMON__V1__DEMAND__INIT, GNOMON__V1__DEMAND__INIT,
	                           GNOMON__V1__DEMAND__INIT};
	Gnomon__V1__Demand *demands[] = {&d[0], &d[1], &d[2]};

	d[0].resource = GNOMON__V1__RESOURCE__CPU;
	d[0].value = 2980;
	d[0].source = GNOMON__V1__DEMAND_SOURCE__SOURCE_GUEST;
	d[0].has_other = true;
	d[0].other_value = 1000;
	d[0].correction = -20;
	d[1].resource = GNOMON__V1__RESOURCE__MEMORY;
	d[1].source = GNOMON__V1__DEMAND_SOURCE__SOURCE_HOST;
	d[1].source_reason = (char *)"its clock stands still";
	d[2].resource = GNOMON__V1__RESOURCE__DISK_READ;
	d[2].source = GNOMON__V1__DEMAND_SOURCE__SOURCE_DATAPLANE;
	vm.name = (char *)"vms/web-1";
	vm.demands = demands;
	vm.n_demands = COUNT(d);
	card.replies[index_of("GetVm")] = &vm.base;
	run("vm show web-1");
	card.replies[index_of("GetVm")] = NULL;
	expect("vm show", "output", result.out,
	       "the guest's kernel (libvirt: 1.00 vCPU), -0.02 vCPU of it from the change\n");
	expect("vm show", "output", result.out, "libvirt; not the guest: its clock stands still\n");
	expect("vm show", "output", result.out, "the card\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_requests),
	        cmocka_unit_test(test_shadow_update_keeps_the_rest),
	        cmocka_unit_test(test_usage),
	        cmocka_unit_test(test_refusals),
	        cmocka_unit_test(test_no_answer),
	        cmocka_unit_test(test_nobody_there),
	        cmocka_unit_test(test_plan_in_words),
	        cmocka_unit_test(test_guest_in_words),
	        cmocka_unit_test(test_sources_in_words),
	        cmocka_unit_test(test_lists),
	};

	if (!strcmp(argv[0], "gnomonctl"))
		return gn_ctl_main(argc, argv);
	return cmocka_run_group_tests_name("ctl_cli", tests, start_card, stop_card);
}
