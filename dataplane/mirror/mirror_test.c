/* Mirror sessions: what is copied, that its buffer is shared, and that the counters add up on
 * every path, whatever the sink does. */
#include "dataplane/mirror/mirror.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <rte_cycles.h>
#include "dataplane/feature/testframe.h"
#include "dataplane/graph/fakeport.h"
#include "dataplane/mirror/pcapng.h"
#include "dataplane/mirror/writer.h"
#include "dataplane/worker/eal_test.h"

#define N_MBUFS 8192

static struct rte_mempool *pool, *clones;
static struct gn_views *views;
static struct gn_fakeport shadow; /* copies, like a VM's port */
static struct gn_fakeport device; /* owns what it is sent */
static char directory[64];

struct burst {
	unsigned n;
	struct rte_mbuf *mbufs[GN_PORT_BURST];
	struct gn_packet storage[GN_PORT_BURST];
	struct gn_packet *packets[GN_PORT_BURST];
};

/* 'n' UDP packets of different lengths; every third goes to port 53. */
static void fill(struct burst *burst, unsigned n)
{
	static const uint8_t payload[600];
	uint8_t frame[GN_TESTFRAME_MAX];
	unsigned i;

	burst->n = n;
	for (i = 0; i < n; i++) {
		const struct gn_testframe_spec spec = {.protocol = IPPROTO_UDP,
		                                       .source = 0x0a000001,
		                                       .destination = 0x0a000002,
		                                       .source_port = 4000,
		                                       .destination_port = i % 3 ? 80 : 53,
		                                       .payload = payload,
		                                       .n_payload = i * 17};
		uint32_t size = gn_testframe_build(&spec, frame);

		burst->mbufs[i] = rte_pktmbuf_alloc(pool);
		assert_non_null(burst->mbufs[i]);
		memcpy(rte_pktmbuf_append(burst->mbufs[i], (uint16_t)size), frame, size);
		burst->packets[i] = &burst->storage[i];
		burst->storage[i] =
		        gn_testframe_parse(rte_pktmbuf_mtod(burst->mbufs[i], uint8_t *), size);
	}
}

static void drain(struct burst *burst)
{
	rte_pktmbuf_free_bulk(burst->mbufs, burst->n);
}

static void run_n(struct gn_mirror_session *session, enum gn_direction direction, unsigned n)
{
	const struct gn_mirror_set set = {.n = 1, .sessions = {session}};
	struct burst burst;

	fill(&burst, n);
	gn_mirror_burst(&set, direction, burst.mbufs, burst.packets, n, rte_rdtsc());
	drain(&burst);
}

static struct gn_mirror_config plain(void)
{
	return (struct gn_mirror_config){
	        .directions = {true, true}, .pool = pool, .clones = clones, .views = views};
}

static struct gn_mirror_session *make(const struct gn_mirror_config *config, struct gn_port *port)
{
	struct gn_mirror_session *session;
	struct gn_status status;

	assert_int_equal(gn_mirror_session_create(config, &session, &status), 0);
	gn_mirror_session_set_port(session, port);
	return session;
}

static struct gn_mirror_counters read_checked(const struct gn_mirror_session *session)
{
	struct gn_mirror_counters c;
	unsigned i;

	gn_mirror_session_read(session, &c);
	for (i = 0; i < 2; i++)
		assert_int_equal(c.seen[i],
		                 c.copied[i] + c.filtered[i] + c.sampled_out[i] + c.dropped[i]);
	return c;
}

static int set_up(void **state)
{
	gn_fakeport_init(&shadow, "ports/s", true, NULL);
	gn_fakeport_init(&device, "ports/d", false, NULL);
	strcpy(directory, "/tmp/gnmi-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[96];

	gn_fakeport_fini(&shadow);
	gn_fakeport_fini(&device);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	assert_int_equal(rte_mempool_avail_count(clones), N_MBUFS);
	return system(command);
}

static void whole_copies_share_the_buffer(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session = make(&config, &device.port);
	const struct gn_mirror_set set = {.n = 1, .sessions = {session}};
	struct burst burst;
	unsigned i;

	fill(&burst, 32);
	gn_mirror_burst(&set, GN_RX, burst.mbufs, burst.packets, 32, 0);
	assert_int_equal(device.n, 32);
	for (i = 0; i < 32; i++) {
		assert_ptr_equal(device.mbufs[i], burst.mbufs[i]);
		assert_int_equal(rte_mbuf_refcnt_read(burst.mbufs[i]), 2);
	}
	drain(&burst);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS - 32); /* the device's */
	gn_mirror_session_destroy(session);
}

static void copying_port_takes_no_reference(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session = make(&config, &shadow.port);
	const struct gn_mirror_set set = {.n = 1, .sessions = {session}};
	struct burst burst;

	fill(&burst, 8);
	gn_mirror_burst(&set, GN_TX, burst.mbufs, burst.packets, 8, 0);
	assert_int_equal(shadow.n, 8);
	assert_int_equal(rte_mbuf_refcnt_read(burst.mbufs[3]), 1);
	assert_int_equal(shadow.lengths[3], burst.packets[3]->length);
	assert_int_equal(rte_mempool_avail_count(clones), N_MBUFS);
	drain(&burst);
	gn_mirror_session_destroy(session);
}

static void truncated_copies_share_too(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct burst burst;
	unsigned i;

	config.truncate_bytes = 100;
	session = make(&config, &device.port);
	{
		const struct gn_mirror_set set = {.n = 1, .sessions = {session}};

		fill(&burst, 32);
		gn_mirror_burst(&set, GN_RX, burst.mbufs, burst.packets, 32, 0);
	}
	for (i = 0; i < 32; i++) {
		uint32_t length = burst.packets[i]->length;

		assert_int_equal(device.lengths[i], length < 100 ? length : 100);
		assert_ptr_equal(rte_pktmbuf_mtod(device.mbufs[i], void *), burst.packets[i]->data);
		assert_int_equal(burst.mbufs[i]->pkt_len, length); /* the original is whole */
	}
	assert_int_equal(read_checked(session).copied[1], read_checked(session).seen[1]);
	drain(&burst);
	gn_mirror_session_destroy(session);
}

static void full_sink_drops_and_counts(void **state);

/* Whole or cut, to a VM's port or a software device, with room for all or not: the packet is lent.
 */
static void lent_copies_take_no_reference(void **state)
{
	struct gn_fakeport *const sinks[] = {&shadow, &device};
	unsigned s, truncate, room, i;

	for (s = 0; s < 2; s++)
		for (truncate = 0; truncate <= 100; truncate += 50)
			for (room = 0; room <= 32; room += 8) {
				struct gn_mirror_config config = plain();
				struct gn_mirror_session *session;
				struct burst burst;

				config.truncate_bytes = truncate;
				sinks[s]->port.done_when_sent = true;
				sinks[s]->room = room;
				session = make(&config, &sinks[s]->port);
				fill(&burst, 32);
				gn_mirror_burst(&(struct gn_mirror_set){1, {session}}, GN_RX,
				                burst.mbufs, burst.packets, 32, 0);
				for (i = 0; i < 32; i++)
					assert_int_equal(rte_mbuf_refcnt_read(burst.mbufs[i]), 1);
				for (i = 0; i < room; i++) {
					uint32_t n = burst.packets[i]->length;

					n = truncate && truncate < n ? truncate : n;
					assert_int_equal(sinks[s]->lengths[i], n);
					assert_memory_equal(sinks[s]->frames[i],
					                    burst.packets[i]->data,
					                    RTE_MIN(n, 160u));
				}
				assert_int_equal(read_checked(session).copied[0], room);
				drain(&burst);
				gn_fakeport_empty(sinks[s]);
				gn_mirror_session_destroy(session);
			}
	device.port.done_when_sent = false;
	full_sink_drops_and_counts(state);
}

/* A chained packet cannot be lent: it is shared, and its copy is whole. */
static void chained_packets_are_shared(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct burst burst;
	struct rte_mbuf *tail;

	device.port.done_when_sent = true;
	session = make(&config, &device.port);
	fill(&burst, 3);
	tail = rte_pktmbuf_alloc(pool);
	memset(rte_pktmbuf_append(tail, 40), 0x55, 40);
	burst.packets[1]->length += 40;
	assert_int_equal(rte_pktmbuf_chain(burst.mbufs[1], tail), 0);
	gn_mirror_burst(&(struct gn_mirror_set){1, {session}}, GN_RX, burst.mbufs, burst.packets, 3,
	                0);
	assert_int_equal(device.lengths[1], burst.packets[1]->length);
	assert_int_equal(read_checked(session).copied[1], read_checked(session).seen[1]);
	drain(&burst);
	gn_mirror_session_destroy(session);
}

static void directions_are_kept_apart(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;

	config.directions[GN_TX] = false;
	session = make(&config, &shadow.port);
	run_n(session, GN_TX, 10);
	assert_int_equal(read_checked(session).seen[0], 0);
	run_n(session, GN_RX, 10);
	assert_int_equal(read_checked(session).copied[0], 10);
	gn_mirror_session_destroy(session);
}

static void filters_and_samples(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct gn_mirror_counters c;
	unsigned i;

	config.n_filters = 1;
	config.filters[0] = (struct gn_filter){.flags = GN_PACKET_L4, .destination_port = 53};
	config.sample_one_in = 4;
	session = make(&config, &shadow.port);
	for (i = 0; i < 4; i++)
		run_n(session, GN_RX, 30); /* 10 of them to port 53 */
	c = read_checked(session);
	assert_int_equal(c.seen[0], 120);
	assert_int_equal(c.filtered[0], 80);
	assert_int_equal(c.copied[0], 10); /* every fourth of 40, across bursts */
	assert_int_equal(c.sampled_out[0], 30);
	gn_mirror_session_destroy(session);
}

static void full_sink_drops_and_counts(void **state)
{
	struct gn_fakeport *const sinks[] = {&shadow, &device};
	unsigned s, truncate, room;

	for (s = 0; s < 2; s++)
		for (truncate = 0; truncate <= 100; truncate += 100)
			for (room = 0; room <= 32; room++) {
				struct gn_mirror_config config = plain();
				struct gn_mirror_session *session;
				struct gn_mirror_counters c;

				config.truncate_bytes = truncate;
				session = make(&config, &sinks[s]->port);
				sinks[s]->room = room;
				run_n(session, GN_RX, 32);
				c = read_checked(session);
				assert_int_equal(c.copied[0], room);
				assert_int_equal(c.dropped[0], 32 - room);
				gn_fakeport_empty(sinks[s]);
				gn_mirror_session_destroy(session);
			}
}

static void absent_sink_drops(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session = make(&config, NULL);

	run_n(session, GN_RX, 32);
	assert_int_equal(read_checked(session).dropped[0], 32);
	gn_mirror_session_set_port(session, &shadow.port);
	run_n(session, GN_RX, 32);
	assert_int_equal(read_checked(session).copied[0], 32);
	gn_mirror_session_destroy(session);
}

static struct gn_mirror_config tunnel(enum gn_encap_kind kind)
{
	struct gn_mirror_config config = plain();

	config.sink = GN_MIRROR_TO_TUNNEL;
	config.tunnel = (struct gn_encap_config){.kind = kind,
	                                         .local_mac = {2, 1},
	                                         .collector_mac = {2, 2},
	                                         .local_ip = 1,
	                                         .collector_ip = 2,
	                                         .session_id = 77};
	return config;
}

static void tunnels_put_a_header_in_front(void **state)
{
	struct gn_mirror_config config = tunnel(GN_ENCAP_ERSPAN);
	struct gn_mirror_session *session = make(&config, &device.port);
	const struct gn_mirror_set set = {.n = 1, .sessions = {session}};
	struct burst burst;
	unsigned i;

	fill(&burst, 32);
	gn_mirror_burst(&set, GN_TX, burst.mbufs, burst.packets, 32, 0);
	for (i = 0; i < 32; i++) {
		assert_int_equal(device.lengths[i], burst.packets[i]->length + GN_ENCAP_BYTES);
		assert_ptr_equal(device.mbufs[i]->next, burst.mbufs[i]); /* shared, not copied */
		assert_memory_equal(device.frames[i] + GN_ENCAP_BYTES, burst.packets[i]->data, 14);
		rte_mbuf_sanity_check(device.mbufs[i], 1);
	}
	drain(&burst);
	assert_int_equal(read_checked(session).copied[0], 32);
	gn_mirror_session_destroy(session);
}

static void tunnels_truncate_and_drop(void **state)
{
	enum gn_encap_kind kind;

	for (kind = GN_ENCAP_ERSPAN; kind <= GN_ENCAP_VXLAN; kind++) {
		struct gn_mirror_config config = tunnel(kind);
		struct gn_mirror_session *session;
		struct gn_mirror_counters c;
		unsigned i;

		config.truncate_bytes = 64;
		session = make(&config, &device.port);
		device.room = 20;
		run_n(session, GN_RX, 32);
		c = read_checked(session);
		assert_int_equal(c.copied[0], 20);
		assert_int_equal(c.dropped[0], 12);
		for (i = 0; i < 20; i++)
			assert_true(device.lengths[i] <= 64 + GN_ENCAP_BYTES);
		gn_fakeport_empty(&device);
		gn_mirror_session_destroy(session);
	}
}

static void bad_tunnels_are_refused(void **state)
{
	struct gn_mirror_config config = tunnel(GN_ENCAP_ERSPAN);
	struct gn_mirror_session *session = NULL;
	struct gn_status status;

	config.tunnel.session_id = GN_ENCAP_MAX_SESSION + 1;
	assert_true(gn_mirror_session_create(&config, &session, &status) < 0);
	assert_null(session);
	gn_mirror_session_destroy(NULL);
}

/* Every kind of session with empty pools: nothing is copied, everything is counted. */
static void out_of_mbufs(void **state)
{
	struct gn_mirror_config configs[] = {plain(), tunnel(GN_ENCAP_VXLAN),
	                                     tunnel(GN_ENCAP_VXLAN)};
	static struct rte_mbuf *all[2][N_MBUFS + 1];
	struct burst burst;
	unsigned n[2] = {0, 0}, i;

	configs[0].truncate_bytes = configs[1].truncate_bytes = 20;
	fill(&burst, 16);
	while ((all[0][n[0]] = rte_pktmbuf_alloc(pool)))
		n[0]++;
	while ((all[1][n[1]] = rte_pktmbuf_alloc(clones)))
		n[1]++;
	for (i = 0; i < RTE_DIM(configs); i++) {
		struct gn_mirror_session *session = make(&configs[i], &device.port);
		const struct gn_mirror_set set = {.n = 1, .sessions = {session}};

		gn_mirror_burst(&set, GN_RX, burst.mbufs, burst.packets, 16, 0);
		assert_int_equal(read_checked(session).dropped[0], 16);
		gn_mirror_session_destroy(session);
	}
	assert_int_equal(device.n, 0);
	rte_pktmbuf_free_bulk(all[0], n[0]);
	rte_pktmbuf_free_bulk(all[1], n[1]);
	drain(&burst);
}

static void four_sessions_do_not_disturb_each_other(void **state)
{
	struct gn_mirror_config configs[] = {plain(), plain(), tunnel(GN_ENCAP_ERSPAN), plain()};
	struct gn_mirror_set set = {.n = 4};
	struct burst burst;
	unsigned i;

	configs[1].truncate_bytes = 60;
	configs[3].sample_one_in = 2;
	for (i = 0; i < 4; i++)
		set.sessions[i] = make(&configs[i], i == 3 ? &shadow.port : &device.port);
	fill(&burst, 32);
	gn_mirror_burst(&set, GN_RX, burst.mbufs, burst.packets, 32, 0);
	assert_int_equal(device.n, 96);
	assert_int_equal(shadow.n, 16);
	for (i = 0; i < 4; i++) {
		assert_int_equal(read_checked(set.sessions[i]).seen[0], 32);
		gn_mirror_session_destroy(set.sessions[i]);
	}
	drain(&burst);
}

static void replacement_goes_on_counting(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *old = make(&config, &shadow.port);
	struct gn_mirror_session *fresh;
	struct gn_mirror_counters c;

	shadow.room = 5;
	run_n(old, GN_RX, 32);
	config.n_filters = 1;
	config.filters[0] = (struct gn_filter){.destination_port = 53, .flags = GN_PACKET_L4};
	fresh = make(&config, &shadow.port);
	gn_mirror_session_inherit(fresh, old);
	gn_mirror_session_destroy(old);
	shadow.room = 100;
	run_n(fresh, GN_RX, 30);
	c = read_checked(fresh);
	assert_int_equal(c.seen[0], 62);
	assert_int_equal(c.dropped[0], 27);
	assert_int_equal(c.filtered[0], 20);
	assert_int_equal(c.copied[0], 15);
	gn_mirror_session_destroy(fresh);
}

/* ---- files ----------------------------------------------------------------------------- */

struct found {
	unsigned n_packets;
	uint64_t captured;
	uint64_t original;
};

static uint32_t word(const uint8_t *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof value);
	return value;
}

/* Walks the blocks; the file must end with a whole one. */
static struct found walk(const char *path)
{
	static uint8_t data[1 << 21];
	struct found found = {0, 0, 0};
	FILE *file = fopen(path, "rb");
	size_t n, at = 0;

	assert_non_null(file);
	n = fread(data, 1, sizeof data, file);
	fclose(file);
	while (at < n) {
		uint32_t size = word(data + at + 4);

		assert_true(size >= 12 && size % 4 == 0 && at + size <= n);
		assert_int_equal(word(data + at + size - 4), size);
		if (word(data + at) == 6) { /* enhanced packet */
			found.n_packets++;
			found.captured += word(data + at + 20);
			found.original += word(data + at + 24);
		}
		at += size;
	}
	return found;
}

static struct gn_writer *open_writer(const char *name, char path[128])
{
	struct gn_writer *writer;
	struct gn_status status;

	snprintf(path, 128, "%s/%s", directory, name);
	assert_int_equal(gn_writer_create(path, "vms/a", &writer, &status), 0);
	return writer;
}

static void file_holds_what_was_copied(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct gn_mirror_counters c;
	char path[128];
	struct found found;
	unsigned i;

	config.sink = GN_MIRROR_TO_FILE;
	config.truncate_bytes = 90;
	config.writer = open_writer("x.pcapng", path);
	session = make(&config, NULL);
	for (i = 0; i < 40; i++)
		run_n(session, i % 2 ? GN_RX : GN_TX, 32);
	c = read_checked(session);
	gn_mirror_session_destroy(session);
	gn_writer_destroy(config.writer); /* writes what waits */
	found = walk(path);
	assert_int_equal(c.seen[0], 1280);
	assert_int_equal(found.n_packets, c.copied[0]);
	assert_int_equal(found.original, c.copied[1]);
	assert_true(found.captured < found.original);
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void full_disk_is_counted_and_survived(void **state)
{
	struct rlimit old, small = {.rlim_cur = 2000, .rlim_max = RLIM_INFINITY};
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct gn_mirror_counters c;
	uint64_t lost[2];
	off_t before;
	char path[128];
	struct found found;
	unsigned i;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	config.sink = GN_MIRROR_TO_FILE;
	config.writer = open_writer("x.pcapng", path);
	session = make(&config, NULL);
	setrlimit(RLIMIT_FSIZE, &small);
	run_n(session, GN_RX, 32);
	for (i = 0, lost[0] = 0; i < 20000 && lost[0] < 32; i++) {
		usleep(1000);
		gn_writer_lost(config.writer, lost);
	}
	assert_int_equal(lost[0], 32);
	c = read_checked(session);
	assert_int_equal(c.dropped[0], 32);
	assert_int_equal(c.copied[0], 0);
	setrlimit(RLIMIT_FSIZE, &old);
	before = size_of(path);
	for (i = 0; i < 5000 && size_of(path) == before; i++) { /* until it is tried again */
		run_n(session, GN_RX, 1);
		usleep(2000);
	}
	gn_mirror_session_destroy(session);
	gn_writer_destroy(config.writer);
	found = walk(path); /* and no half block is left of the failure */
	assert_true(found.n_packets > 0);
}

/* Far more at once than the ring holds, while the writer sleeps. */
static void writer_that_lags_makes_drops(void **state)
{
	struct gn_mirror_config config = plain();
	struct gn_mirror_session *session;
	struct burst burst;
	char path[128];
	unsigned i;

	config.sink = GN_MIRROR_TO_FILE;
	config.writer = open_writer("x.pcapng", path);
	session = make(&config, NULL);
	fill(&burst, 32);
	for (i = 0; i < 1000000 && !read_checked(session).dropped[0]; i++) {
		const struct gn_mirror_set set = {.n = 1, .sessions = {session}};

		gn_mirror_burst(&set, GN_RX, burst.mbufs, burst.packets, 32, rte_rdtsc());
	}
	assert_true(read_checked(session).dropped[0] > 0);
	gn_mirror_session_destroy(session);
	gn_writer_destroy(config.writer);
	drain(&burst);
}

static void old_files_are_kept(void **state)
{
	char path[128], kept[160];
	unsigned i;

	for (i = 0; i < 3; i++)
		gn_writer_destroy(open_writer("x.pcapng", path));
	for (i = 1; i <= 2; i++) {
		snprintf(kept, sizeof kept, "%s.%u", path, i);
		walk(kept);
	}
}

static void bad_paths_are_refused(void **state)
{
	struct gn_writer *writer = NULL;
	struct gn_status status;
	char path[128];

	assert_true(gn_writer_create("x.pcapng", "a", &writer, &status) < 0);
	assert_true(gn_writer_create("/nowhere/x.pcapng", "a", &writer, &status) < 0);
	assert_non_null(strstr(status.message, "/nowhere/x.pcapng"));
	snprintf(path, sizeof path, "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(gn_writer_create(path, "a", &writer, &status) < 0);
	assert_null(writer);
	gn_writer_destroy(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        T(whole_copies_share_the_buffer),
	        T(copying_port_takes_no_reference),
	        T(truncated_copies_share_too),
	        T(lent_copies_take_no_reference),
	        T(chained_packets_are_shared),
	        T(directions_are_kept_apart),
	        T(filters_and_samples),
	        T(full_sink_drops_and_counts),
	        T(absent_sink_drops),
	        T(tunnels_put_a_header_in_front),
	        T(tunnels_truncate_and_drop),
	        T(bad_tunnels_are_refused),
	        T(out_of_mbufs),
	        T(four_sessions_do_not_disturb_each_other),
	        T(replacement_goes_on_counting),
	        T(file_holds_what_was_copied),
	        T(full_disk_is_counted_and_survived),
	        T(writer_that_lags_makes_drops),
	        T(old_files_are_kept),
	        T(bad_paths_are_refused),
	};

	int failed;

	if (gn_eal_test_init() < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("p", N_MBUFS, 0, GN_MIRROR_PRIV_SIZE,
	                               RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	clones = rte_pktmbuf_pool_create("c", N_MBUFS, 0, GN_MIRROR_PRIV_SIZE, 0, SOCKET_ID_ANY);
	if (!pool || !clones || gn_views_create(&views) != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	gn_views_destroy(views);
	return failed;
}
