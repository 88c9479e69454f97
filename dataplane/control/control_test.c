/* The control thread's verbs on a real worker (EAL without huge pages): what is refused
 * and how it is said, what is kept over a restart, and what reaches the lcore. */
#include "dataplane/control/dataplane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dataplane/control/names.h"
#include "dataplane/control/service.h"
#include "dataplane/state/state.h"
#include "dataplane/worker/eal_test.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/sample.pb-c.h"

static char root[32], run_dir[64], state_dir[64], disk[64], control_url[96], telemetry_url[96];
static uint32_t lcore = 1;
static struct gn_board board;
static struct gn_config config;
static sd_event *event;
static struct gn_dataplane *dp;
static struct gn_status status;

static void start(void)
{
	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(gn_dataplane_create(&config, &board, event, &dp, &status), 0);
	gn_dataplane_restore(dp);
}

static void stop(void)
{
	gn_dataplane_destroy(dp);
	event = sd_event_unref(event);
}

static int set_up(void **state)
{
	char path[96];
	int fd;

	strcpy(root, "/tmp/gnct-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(run_dir, sizeof run_dir, "%s/r", root);
	snprintf(state_dir, sizeof state_dir, "%s/s", root);
	snprintf(disk, sizeof disk, "%s/d.raw", root);
	snprintf(control_url, sizeof control_url, "ipc://%s/c.ipc", root);
	snprintf(telemetry_url, sizeof telemetry_url, "ipc://%s/t.ipc", root);
	snprintf(path, sizeof path, "%s/vhost", run_dir);
	if (mkdir(run_dir, 0700) || mkdir(state_dir, 0700) || mkdir(path, 0700))
		return -1;
	fd = open(disk, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 1 << 20))
		return -1;
	close(fd);
	board = (struct gn_board){.name = (char *)(uintptr_t) "test",
	                          .idle = GN_BOARD_BACKOFF,
	                          .workers = &lcore,
	                          .workers_count = 1,
	                          .mbufs = 4096};
	config = (struct gn_config){.run_dir = run_dir,
	                            .state_dir = state_dir,
	                            .control_url = control_url,
	                            .telemetry_url = telemetry_url,
	                            .period_ms = 100,
	                            .flows_per_vm = 64,
	                            .max_frame_bytes = 2048};
	start();
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	stop();
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static Gnomon__V1__Port nic(const char *name, const char *vm)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;

	port.name = TEXT(name);
	port.vm = TEXT(vm);
	port.kind = GNOMON__V1__PORT__KIND__VHOST_USER;
	return port;
}

static Gnomon__V1__Port device(const char *name, const char *devargs)
{
	Gnomon__V1__Port port = GNOMON__V1__PORT__INIT;

	port.name = TEXT(name);
	port.kind = GNOMON__V1__PORT__KIND__ETHDEV;
	port.devargs = TEXT(devargs);
	return port;
}

static Gnomon__V1__Volume volume_of(const char *name)
{
	Gnomon__V1__Volume volume = GNOMON__V1__VOLUME__INIT;

	volume.name = TEXT(name);
	volume.vm = TEXT("vms/a");
	volume.path = disk;
	return volume;
}

static Gnomon__V1__Mirror mirror_to(const char *name, const char *port)
{
	Gnomon__V1__Mirror mirror = GNOMON__V1__MIRROR__INIT;

	mirror.name = TEXT(name);
	mirror.sink_case = GNOMON__V1__MIRROR__SINK_PORT;
	mirror.port = TEXT(port);
	return mirror;
}

static int create_port(const Gnomon__V1__Port *port, struct gn_dp_port **out)
{
	return gn_dp_port_create(dp, port, false, out, &status);
}

static int create_volume(const Gnomon__V1__Volume *volume, struct gn_dp_volume **out)
{
	return gn_dp_volume_create(dp, volume, false, out, &status);
}

static int create_mirror(const Gnomon__V1__Mirror *mirror, struct gn_dp_mirror **out)
{
	return gn_dp_mirror_set(dp, mirror, false, out, &status);
}

/* ---- names --------------------------------------------------------------------------- */

static void names(void **state)
{
	static const char *const good[] = {"vms/a", "vms/web-1", "vms/Ubuntu_22.04", "vms/0"};
	static const char *const bad[] = {
	        "",
	        "vms/",
	        "vms",
	        "web-1",
	        "ports/a",
	        "vms/-a",
	        "vms/.a",
	        "vms/..",
	        "vms/a/b",
	        "vms/a b",
	        "vms/a\n",
	        "vms/\xc3\xa4",
	        "vms/a;rm",
	        "/vms/a",
	        "vms/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	static const char *const bad_mirrors[] = {
	        "vms/a",       "vms/a/mirrors/", "vms//mirrors/b",    "vms/a/mirrors/b/c",
	        "a/mirrors/b", "mirrors/a",      "vms/a/mirrors/../b"};
	char vm[GN_NAME_MAX_ID + 8];
	size_t i;

	for (i = 0; i < RTE_DIM(good); i++)
		assert_int_equal(gn_name_check(good[i], "vms/", &status), 0);
	for (i = 0; i < RTE_DIM(bad); i++)
		if (gn_name_check(bad[i], "vms/", &status) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(gn_name_check_mirror("vms/a/mirrors/b", vm, &status), 0);
	assert_string_equal(vm, "vms/a");
	for (i = 0; i < RTE_DIM(bad_mirrors); i++)
		if (gn_name_check_mirror(bad_mirrors[i], vm, &status) != -EINVAL)
			fail_msg("'%s' was taken", bad_mirrors[i]);
}

/* ---- ports ------------------------------------------------------------------------------ */

static void port_is_made_once(void **state)
{
	Gnomon__V1__Port request = nic("ports/a-net0", "vms/a");
	struct gn_dp_port *first, *again;
	char path[96];
	struct stat st;

	assert_int_equal(create_port(&request, &first), 0);
	snprintf(path, sizeof path, "%s/vhost/a-net0.sock", run_dir);
	assert_string_equal(first->spec->socket_path, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	assert_int_equal(create_port(&request, &again), 0);
	assert_ptr_equal(first, again);
	request.vlan = 5;
	assert_int_equal(create_port(&request, &again), -EEXIST);
	assert_int_equal(gn_dp_port_delete(dp, "ports/a-net0", &status), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(gn_dp_port_delete(dp, "ports/a-net0", &status), -ENOENT);
	assert_non_null(strstr(status.message, "ports/a-net0"));
	assert_null(gn_dp_vm_find(dp, "vms/a"));
}

static void bad_ports_are_refused(void **state)
{
	static uint32_t wrong_vlans[] = {1, 4095};
	Gnomon__V1__Port bad[] = {
	        nic("a", "vms/a"),           nic("ports/a", "a"),     nic("ports/a", "vms/a"),
	        nic("ports/a", "vms/a"),     nic("ports/a", "vms/a"), nic("ports/a", "vms/a"),
	        nic("ports/a", "vms/a"),     nic("ports/a", "vms/a"), device("ports/a", ""),
	        device("ports/a", "net_no"), nic("ports/a", ""),      nic("ports/a", "vms/a"),
	};
	struct gn_dp_port *port = NULL;
	char long_path[200];
	size_t i;

	memset(long_path, 'x', sizeof long_path);
	long_path[0] = '/';
	long_path[sizeof long_path - 1] = '\0';
	bad[2].vlan = 4095;
	bad[3].queues = GN_PORT_MAX_QUEUES + 1;
	bad[4].trunk_vlans = wrong_vlans;
	bad[4].n_trunk_vlans = 2;
	bad[5].vlan = 7;
	bad[5].trunk_vlans = wrong_vlans;
	bad[5].n_trunk_vlans = 1;
	bad[6].uplink = true;
	bad[7].devargs = TEXT("net_null0");
	bad[10].kind = GNOMON__V1__PORT__KIND__KIND_UNSPECIFIED;
	bad[11].socket_path = long_path;
	for (i = 0; i < RTE_DIM(bad); i++) {
		status.message[0] = '\0';
		if (create_port(&bad[i], &port) >= 0)
			fail_msg("port %zu was taken", i);
		if (strlen(status.message) < 20)
			fail_msg("port %zu: '%s'", i, status.message);
	}
	assert_null(port);
	assert_true(LIST_EMPTY(&dp->ports));
	assert_true(LIST_EMPTY(&dp->vms));
}

static void sockets_are_not_shared(void **state)
{
	Gnomon__V1__Port a = nic("ports/a", "vms/a"), b = nic("ports/b", "vms/b");
	Gnomon__V1__Volume v = volume_of("volumes/v");
	struct gn_dp_port *port;
	struct gn_dp_volume *volume;

	assert_int_equal(create_port(&a, &port), 0);
	b.socket_path = v.socket_path = port->spec->socket_path;
	assert_int_equal(create_port(&b, &port), -EEXIST);
	assert_int_equal(create_volume(&v, &volume), -EEXIST);
}

static void devices_come_and_go(void **state)
{
	Gnomon__V1__Port request = device("ports/up", "net_null0,no-rx=1");
	struct gn_dp_port *port;
	int i;

	request.uplink = true;
	for (i = 0; i < 3; i++) {
		assert_int_equal(create_port(&request, &port), 0);
		assert_true(port->port->connected);
		assert_int_equal(gn_dp_port_delete(dp, "ports/up", &status), 0);
	}
}

/* ---- mirrors and meters -------------------------------------------------------------------- */

static struct gn_mirror_session *only_session(void)
{
	struct gn_dp_vm *vm = gn_dp_vm_find(dp, "vms/a");

	assert_non_null(vm);
	assert_non_null(vm->vm.mirrors);
	assert_int_equal(vm->vm.mirrors->n, 1);
	return vm->vm.mirrors->sessions[0];
}

static void mirror_finds_its_port_before_and_after(void **state)
{
	Gnomon__V1__Mirror request = mirror_to("vms/a/mirrors/m", "ports/s");
	Gnomon__V1__Port sink = nic("ports/s", "vms/s");
	struct gn_dp_mirror *mirror;
	struct gn_dp_port *port;

	assert_int_equal(create_mirror(&request, &mirror), 0);
	assert_null(gn_mirror_session_port(only_session()));
	assert_int_equal(create_port(&sink, &port), 0);
	assert_ptr_equal(gn_mirror_session_port(only_session()), port->port);
	assert_int_equal(gn_dp_port_delete(dp, "ports/s", &status), 0);
	assert_null(gn_mirror_session_port(only_session()));
	assert_int_equal(create_port(&sink, &port), 0);
	assert_ptr_equal(gn_mirror_session_port(only_session()), port->port);
	request.truncate_bytes = 64;
	assert_int_equal(create_mirror(&request, &mirror), -EEXIST);
	assert_int_equal(gn_dp_mirror_set(dp, &request, true, &mirror, &status), 0);
	assert_ptr_equal(gn_mirror_session_port(only_session()), port->port);
	assert_int_equal(gn_dp_mirror_delete(dp, "vms/a/mirrors/m", &status), 0);
	assert_null(gn_dp_vm_find(dp, "vms/a"));
	assert_int_equal(gn_dp_mirror_delete(dp, "vms/a/mirrors/m", &status), -ENOENT);
	assert_int_equal(gn_dp_mirror_set(dp, &request, true, &mirror, &status), -ENOENT);
}

static void bad_mirrors_are_refused(void **state)
{
	Gnomon__V1__Port own = nic("ports/a", "vms/a");
	Gnomon__V1__MirrorFilter filter = GNOMON__V1__MIRROR_FILTER__INIT;
	Gnomon__V1__MirrorFilter *filters[GN_FILTER_MAX + 1];
	Gnomon__V1__TunnelSink tunnel = GNOMON__V1__TUNNEL_SINK__INIT;
	Gnomon__V1__Mirror bad[8];
	struct gn_dp_mirror *mirror;
	struct gn_dp_port *port;
	size_t i;

	assert_int_equal(create_port(&own, &port), 0);
	for (i = 0; i < RTE_DIM(filters); i++)
		filters[i] = &filter;
	for (i = 0; i < RTE_DIM(bad); i++)
		bad[i] = mirror_to("vms/a/mirrors/m", "ports/s");
	bad[0].name = TEXT("vms/a/m");
	bad[1].sink_case = GNOMON__V1__MIRROR__SINK__NOT_SET;
	bad[2].port = TEXT("ports/a"); /* its own */
	bad[3].truncate_bytes = 13;
	bad[4].filters = filters;
	bad[4].n_filters = RTE_DIM(filters);
	filter.source = TEXT("nowhere");
	bad[5].filters = filters;
	bad[5].n_filters = 1;
	tunnel.via_port = TEXT("ports/up");
	tunnel.collector_ip = TEXT("10.0.0.300");
	tunnel.local_ip = TEXT("10.0.0.1");
	tunnel.collector_mac = TEXT("02:00:00:00:00:01");
	tunnel.local_mac = TEXT("02:00:00:00:00:02");
	bad[6].sink_case = GNOMON__V1__MIRROR__SINK_VXLAN;
	bad[6].vxlan = &tunnel;
	bad[7].sink_case = GNOMON__V1__MIRROR__SINK_PCAPNG_PATH;
	bad[7].pcapng_path = TEXT("relative.pcapng");
	for (i = 0; i < RTE_DIM(bad); i++) {
		status.message[0] = '\0';
		if (create_mirror(&bad[i], &mirror) >= 0)
			fail_msg("mirror %zu was taken", i);
		if (strlen(status.message) < 20)
			fail_msg("mirror %zu: '%s'", i, status.message);
	}
	assert_true(LIST_EMPTY(&dp->mirrors));
}

static void a_vm_has_four_mirrors(void **state)
{
	struct gn_dp_mirror *mirror;
	char name[32];
	int i;

	for (i = 0; i <= GN_MIRROR_MAX_SESSIONS; i++) {
		Gnomon__V1__Mirror request;

		snprintf(name, sizeof name, "vms/a/mirrors/m%d", i);
		request = mirror_to(name, "ports/s");
		assert_int_equal(create_mirror(&request, &mirror),
		                 i < GN_MIRROR_MAX_SESSIONS ? 0 : -ENOSPC);
	}
}

static void capture_file_goes_on_when_updated(void **state)
{
	Gnomon__V1__Mirror request = mirror_to("vms/a/mirrors/m", "");
	struct gn_dp_mirror *mirror;
	struct gn_writer *writer;
	char path[64], kept[80];

	snprintf(path, sizeof path, "%s/x.pcapng", root);
	snprintf(kept, sizeof kept, "%s.1", path);
	request.sink_case = GNOMON__V1__MIRROR__SINK_PCAPNG_PATH;
	request.pcapng_path = path;
	assert_int_equal(create_mirror(&request, &mirror), 0);
	writer = mirror->writer;
	request.truncate_bytes = 128;
	assert_int_equal(gn_dp_mirror_set(dp, &request, true, &mirror, &status), 0);
	assert_ptr_equal(mirror->writer, writer);
	assert_int_equal(access(kept, F_OK), -1);
	snprintf(path, sizeof path, "%s/y.pcapng", root);
	assert_int_equal(gn_dp_mirror_set(dp, &request, true, &mirror, &status), 0);
	assert_string_equal(gn_writer_path(mirror->writer), path);
}

static void meter_reaches_the_vm(void **state)
{
	Gnomon__V1__Meter request = GNOMON__V1__METER__INIT;
	struct gn_dp_vm *vm;

	request.vm = TEXT("vms/a");
	request.tx_bps = 1000000;
	request.disk_operations = 100;
	assert_int_equal(gn_dp_meter_update(dp, &request, &status), 0);
	vm = gn_dp_vm_find(dp, "vms/a");
	assert_non_null(vm);
	assert_int_equal(vm->vm.meters[GN_TX].bps, 1000000);
	assert_int_equal(vm->vm.meters[GN_RX].bps, 0);
	assert_false(gn_disk_meter_unlimited(&vm->disk_meter));
	request.tx_bps = GN_METER_MAX_BPS + 1;
	assert_int_equal(gn_dp_meter_update(dp, &request, &status), -ERANGE);
	request.tx_bps = request.disk_operations = 0;
	assert_int_equal(gn_dp_meter_update(dp, &request, &status), 0);
	assert_null(gn_dp_vm_find(dp, "vms/a"));
	request.vm = TEXT("a");
	assert_int_equal(gn_dp_meter_update(dp, &request, &status), -EINVAL);
}

/* ---- state ------------------------------------------------------------------------------------
 */

static void make_one_of_each(void)
{
	Gnomon__V1__Port port = nic("ports/a", "vms/a");
	Gnomon__V1__Volume volume = volume_of("volumes/a-vda");
	Gnomon__V1__Mirror mirror = mirror_to("vms/a/mirrors/m", "ports/s");
	Gnomon__V1__Meter meter = GNOMON__V1__METER__INIT;
	struct gn_dp_port *made_port;
	struct gn_dp_volume *made_volume;
	struct gn_dp_mirror *made_mirror;

	meter.vm = TEXT("vms/a");
	meter.rx_bps = 5000000;
	assert_int_equal(create_port(&port, &made_port), 0);
	assert_int_equal(create_volume(&volume, &made_volume), 0);
	assert_int_equal(create_mirror(&mirror, &made_mirror), 0);
	assert_int_equal(gn_dp_meter_update(dp, &meter, &status), 0);
}

static void restart_restores_everything(void **state)
{
	struct gn_dp_vm *vm;

	make_one_of_each();
	stop(); /* without deleting anything: as after a kill, the file is all there is */
	start();
	assert_non_null(gn_dp_port_find(dp, "ports/a"));
	assert_non_null(gn_dp_volume_find(dp, "volumes/a-vda"));
	vm = gn_dp_vm_find(dp, "vms/a");
	assert_non_null(vm);
	assert_int_equal(vm->vm.meters[GN_RX].bps, 5000000);
	assert_int_equal(vm->vm.mirrors->n, 1);
	assert_int_equal(dp->left_out->n_ports + dp->left_out->n_volumes, 0);
}

static void what_cannot_be_restored_is_not_forgotten(void **state)
{
	Gnomon__V1__Volume request = volume_of("volumes/a-vda");
	struct gn_dp_volume *volume;
	char away[80];

	make_one_of_each();
	stop();
	snprintf(away, sizeof away, "%s.away", disk);
	assert_int_equal(rename(disk, away), 0);
	start();
	assert_null(gn_dp_volume_find(dp, "volumes/a-vda"));
	assert_non_null(gn_dp_port_find(dp, "ports/a"));
	assert_int_equal(gn_dp_port_delete(dp, "ports/a", &status), 0); /* saves */
	stop();
	assert_int_equal(rename(away, disk), 0);
	start();
	assert_non_null(gn_dp_volume_find(dp, "volumes/a-vda"));
	assert_null(gn_dp_port_find(dp, "ports/a"));
	/* Left out once more, then deleted or made again: either way it is told only once. */
	stop();
	assert_int_equal(rename(disk, away), 0);
	start();
	assert_int_equal(gn_dp_volume_delete(dp, "volumes/a-vda", &status), 0);
	assert_int_equal(gn_dp_volume_delete(dp, "volumes/a-vda", &status), -ENOENT);
	assert_int_equal(rename(away, disk), 0);
	assert_int_equal(create_volume(&request, &volume), 0);
	stop();
	start();
	assert_non_null(gn_dp_volume_find(dp, "volumes/a-vda"));
}

static void configuration_wins_and_is_not_stored(void **state)
{
	struct gn_config_port static_port = {
	        .name = TEXT("ports/a"), .vm = TEXT("vms/a"), .vlan = 9};
	struct gn_dp_port *port;

	make_one_of_each();
	stop();
	config.ports = &static_port;
	config.ports_count = 1;
	start();
	port = gn_dp_port_find(dp, "ports/a");
	assert_non_null(port);
	assert_int_equal(port->spec->vlan, 9);
	stop();
	config.ports_count = 0;
	start(); /* the stored one is still known */
	assert_int_equal(gn_dp_port_find(dp, "ports/a")->spec->vlan, 0);
}

static void damaged_state_starts_from_the_configuration(void **state)
{
	char path[96];
	FILE *file;

	make_one_of_each();
	stop();
	snprintf(path, sizeof path, "%s/" GN_STATE_FILE, state_dir);
	file = fopen(path, "r+");
	fputs("rubbish", file);
	fclose(file);
	start();
	assert_true(LIST_EMPTY(&dp->ports));
	snprintf(path, sizeof path, "%s/" GN_STATE_FILE ".damaged", state_dir);
	assert_int_equal(access(path, F_OK), 0);
	make_one_of_each(); /* and it works on */
}

static void unsaved_creation_is_undone(void **state)
{
	Gnomon__V1__Port request = nic("ports/a", "vms/a");
	struct gn_dp_port *port = NULL;
	char nowhere[] = "/nowhere/at/all";

	config.state_dir = nowhere;
	assert_true(create_port(&request, &port) < 0);
	assert_non_null(strstr(status.message, nowhere));
	assert_null(gn_dp_port_find(dp, "ports/a"));
	config.state_dir = state_dir;
	assert_int_equal(create_port(&request, &port), 0);
}

/* Told as failed, yet deleted: a restart before the disk has room again would undo it, one after
 * it must not. */
static void an_unsaved_deletion_is_written_later(void **state)
{
	char nowhere[] = "/nowhere/at/all";

	make_one_of_each();
	config.state_dir = nowhere;
	assert_true(gn_dp_mirror_delete(dp, "vms/a/mirrors/m", &status) < 0);
	assert_int_equal(gn_dp_mirror_delete(dp, "vms/a/mirrors/m", &status), -ENOENT);
	gn_dataplane_save_again(dp);
	assert_true(dp->unsaved);
	config.state_dir = state_dir;
	gn_dataplane_save_again(dp);
	assert_false(dp->unsaved);
	stop();
	start();
	assert_non_null(gn_dp_port_find(dp, "ports/a"));
	assert_true(LIST_EMPTY(&dp->mirrors));
}

/* ---- service and samples ------------------------------------------------------------------------
 */

struct answer {
	bool done;
	enum gn_code code;
	size_t n;
	uint64_t clone_bytes;
};

static void answered(void *context, const struct gn_status *result, const ProtobufCMessage *reply)
{
	struct answer *answer = context;

	answer->done = true;
	answer->code = result->code;
	if (reply && reply->descriptor == &gnomon__v1__port_list__descriptor)
		answer->n = ((const Gnomon__V1__PortList *)reply)->n_ports;
	if (reply && reply->descriptor == &gnomon__v1__clone_volume_reply__descriptor)
		answer->clone_bytes = ((const Gnomon__V1__CloneVolumeReply *)reply)->size_bytes;
}

/* Method numbers of dataplane.proto. */
enum { CREATE_PORT = 1, LIST_PORTS = 3, DELETE_VOLUME = 5, CLONE_VOLUME = 7, N_METHODS = 23 };

static struct answer ask(struct gn_channel_client *client, unsigned method,
                         const ProtobufCMessage *request)
{
	struct answer answer = {.done = false};
	int i;

	assert_int_equal(gn_channel_client_call(client, &gnomon__v1__dataplane__descriptor, method,
	                                        request, 10000000, answered, &answer, &status),
	                 0);
	for (i = 0; i < 10000 && !answer.done; i++) {
		sd_event_run(event, 1000);
		gn_channel_client_process(client);
	}
	assert_true(answer.done);
	return answer;
}

static int probe(const char *port, const char *what)
{
	Gnomon__V1__ProbePortRequest request = GNOMON__V1__PROBE_PORT_REQUEST__INIT;
	struct gn_dp_port *out;

	request.name = TEXT(port);
	request.probe = TEXT(what);
	return gn_dp_port_probe(dp, &request, &out, &status);
}

static void guests_are_asked_where_nobody_else_is(void **state)
{
	Gnomon__V1__Port open = nic("ports/a", "vms/a"), apart = nic("ports/b", "vms/a");
	struct gn_dp_port *port;

	apart.isolated = true;
	assert_int_equal(create_port(&open, &port), 0);
	assert_int_equal(create_port(&apart, &port), 0);
	assert_true(probe("ports/a", "arp://10.0.0.2") < 0);
	assert_non_null(strstr(status.message, "is no isolated port"));
	assert_true(probe("ports/c", "arp://10.0.0.2") < 0);
	assert_int_equal(status.code, GN_NOT_FOUND);
	assert_true(probe("ports/b", "ping") < 0);
	assert_null(port->prober);
	assert_int_equal(probe("ports/b", "arp://10.0.0.2"), 0);
	assert_int_equal(probe("ports/b", "tcp://10.0.0.2:22"), 0); /* instead */
	assert_string_equal(port->probe, "tcp://10.0.0.2:22");
	assert_true(probe("ports/b", "ping") < 0); /* and that goes on */
	assert_non_null(port->prober);
	assert_int_equal(gn_dp_port_delete(dp, "ports/b", &status), 0); /* while it is asked */
}

static void service_answers(void **state)
{
	Gnomon__V1__Port port = nic("ports/a", "vms/a");
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	struct gn_channel_client *client;
	struct gn_service *service;
	struct answer answer;

	assert_int_equal(gnomon__v1__dataplane__descriptor.n_methods, N_METHODS);
	assert_int_equal(gn_service_create(dp, &service, &status), 0);
	assert_int_equal(gn_channel_client_create(control_url, NULL, &client, &status), 0);
	assert_int_equal(ask(client, CREATE_PORT, &port.base).code, GN_OK);
	port.vlan = 4;
	assert_int_equal(ask(client, CREATE_PORT, &port.base).code, GN_ALREADY_EXISTS);
	answer = ask(client, LIST_PORTS, &empty.base);
	assert_int_equal(answer.code, GN_OK);
	assert_int_equal(answer.n, 1);
	gn_channel_client_destroy(client);
	gn_service_destroy(service);
}

/* What a copy must hold: the disk's bytes. */
static bool same_content(const char *a, const char *b)
{
	char command[160];

	snprintf(command, sizeof command, "cmp -s %s %s", a, b);
	return system(command) == 0;
}

/* A volume, and a client of the service. */
struct served {
	struct gn_dp_volume *volume;
	struct gn_service *service;
	struct gn_channel_client *client;
	Gnomon__V1__CloneVolumeRequest request;
	char copy[64];
};

static void serve_a_volume(struct served *served)
{
	Gnomon__V1__Volume volume = volume_of("volumes/a-vda");
	int fd = open(disk, O_WRONLY);

	assert_int_equal(pwrite(fd, "content", 7, 4096), 7);
	close(fd);
	assert_int_equal(create_volume(&volume, &served->volume), 0);
	assert_int_equal(gn_service_create(dp, &served->service, &status), 0);
	assert_int_equal(gn_channel_client_create(control_url, NULL, &served->client, &status), 0);
	snprintf(served->copy, sizeof served->copy, "%s/copy.raw", root);
	gnomon__v1__clone_volume_request__init(&served->request);
	served->request.name = TEXT("volumes/a-vda");
	served->request.target_path = served->copy;
}

static void service_clones_a_volume(void **state)
{
	Gnomon__V1__NameRequest name = GNOMON__V1__NAME_REQUEST__INIT;
	struct served s;
	struct answer answer;

	serve_a_volume(&s);
	s.request.name = TEXT("volumes/none");
	assert_int_equal(ask(s.client, CLONE_VOLUME, &s.request.base).code, GN_NOT_FOUND);
	s.request.name = name.name = TEXT("volumes/a-vda");
	s.request.target_path = TEXT("copy.raw");
	assert_int_equal(ask(s.client, CLONE_VOLUME, &s.request.base).code, GN_INVALID_ARGUMENT);
	s.request.target_path = s.copy;
	answer = ask(s.client, CLONE_VOLUME, &s.request.base);
	assert_int_equal(answer.code, GN_OK);
	assert_int_equal(answer.clone_bytes, 1 << 20);
	assert_true(same_content(disk, s.copy));
	assert_int_equal(ask(s.client, CLONE_VOLUME, &s.request.base).code, GN_ALREADY_EXISTS);
	assert_int_equal(ask(s.client, DELETE_VOLUME, &name.base).code, GN_OK); /* none runs */
	gn_channel_client_destroy(s.client);
	gn_service_destroy(s.service);
}

/* A copy that runs keeps its volume; when the dataplane ends under it, nothing half is left. */
static void service_ends_under_a_clone(void **state)
{
	struct answer answer = {.done = false};
	struct served s;
	int i;

	serve_a_volume(&s);
	assert_int_equal(gn_channel_client_call(s.client, &gnomon__v1__dataplane__descriptor,
	                                        CLONE_VOLUME, &s.request.base, 10000000, answered,
	                                        &answer, &status),
	                 0);
	for (i = 0; i < 10000 && !s.volume->cloning; i++)
		sd_event_run(event, 1000);
	assert_true(s.volume->cloning);
	assert_true(gn_dp_volume_delete(dp, "volumes/a-vda", &status) < 0);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	gn_service_destroy(s.service);
	assert_false(s.volume->cloning);
	assert_true(access(s.copy, F_OK) != 0 || same_content(disk, s.copy));
	gn_channel_client_destroy(s.client);
}

struct heard {
	unsigned n_batches;
	uint64_t first, last;
	uint64_t periods_us;
	bool network, disk;
};

static void hear(void *context, const char *topic, const ProtobufCMessage *message)
{
	const Gnomon__V1__SampleBatch *batch = (const Gnomon__V1__SampleBatch *)message;
	struct heard *heard = context;

	assert_string_equal(topic, "samples");
	assert_int_equal(batch->n_samples, 1);
	assert_string_equal(batch->samples[0]->vm, "vms/a");
	assert_int_equal(batch->samples[0]->source_epoch, dp->started_us);
	if (!heard->n_batches++)
		heard->first = batch->samples[0]->sequence;
	heard->last = batch->samples[0]->sequence;
	heard->periods_us += batch->samples[0]->period_us;
	heard->network = batch->samples[0]->network != NULL;
	heard->disk = batch->samples[0]->disk != NULL;
}

static void samples_are_published(void **state)
{
	struct gn_channel_subscriber *subscriber;
	struct gn_telemetry *telemetry;
	struct heard heard = {.n_batches = 0};
	int i;

	make_one_of_each();
	assert_int_equal(gn_telemetry_create(dp, &telemetry, &status), 0);
	assert_int_equal(gn_channel_subscriber_create(telemetry_url, NULL, "samples",
	                                              &gnomon__v1__sample_batch__descriptor, hear,
	                                              &heard, &subscriber, &status),
	                 0);
	for (i = 0; i < 10000 && heard.n_batches < 3; i++) {
		sd_event_run(event, 2000);
		gn_channel_subscriber_process(subscriber);
	}
	assert_true(heard.n_batches >= 3);
	assert_true(heard.last - heard.first >= 2);
	assert_true(heard.periods_us > 0);
	assert_true(heard.network && heard.disk);
	gn_channel_subscriber_destroy(subscriber);
	gn_telemetry_destroy(telemetry);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names),
	        T(port_is_made_once),
	        T(bad_ports_are_refused),
	        T(sockets_are_not_shared),
	        T(devices_come_and_go),
	        T(mirror_finds_its_port_before_and_after),
	        T(bad_mirrors_are_refused),
	        T(a_vm_has_four_mirrors),
	        T(capture_file_goes_on_when_updated),
	        T(meter_reaches_the_vm),
	        T(restart_restores_everything),
	        T(what_cannot_be_restored_is_not_forgotten),
	        T(configuration_wins_and_is_not_stored),
	        T(damaged_state_starts_from_the_configuration),
	        T(unsaved_creation_is_undone),
	        T(an_unsaved_deletion_is_written_later),
	        T(guests_are_asked_where_nobody_else_is),
	        T(service_answers),
	        T(service_clones_a_volume),
	        T(service_ends_under_a_clone),
	        T(samples_are_published),
	};

	if (gn_eal_test_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
