/* setups.c - memory, rings and events that are well-formed but wrong, before a device runs
 * and while it does. */
#include "tests/hostile/attack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static struct gn_wire_message memory_of(const struct gn_attack *a)
{
	const struct gn_ram *ram = &a->fe->ram;
	struct gn_wire_message m = gn_attack_message(GN_WIRE_SET_MEM_TABLE, 8 + 32);

	m.payload.memory.n_regions = 1;
	m.payload.memory.regions[0] =
	        (struct gn_wire_region){0, ram->size_bytes, (uint64_t)ram->base, 0};
	return m;
}

static int refuse_memory(struct gn_attack *a, const char *what, struct gn_wire_message *m,
                         unsigned n_fds)
{
	int fds[GN_WIRE_MAX_REGIONS + 1] = {0};

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = a->fe->ram.fd;
	return gn_attack_must_refuse(a, what, m, fds, n_fds);
}

static int bad_memory_region(struct gn_attack *a)
{
	static const struct {
		const char *what;
		uint64_t gpa, size, user, offset; /* size, user: added to the right ones */
	} cases[] = {
	        {"larger than its file", 0, 4096, 0, 0},
	        {"far larger than its file", 0, 1ull << 40, 0, 0},
	        {"beyond its file", 0, 0, 0, 1ull << 32},
	        {"offset that wraps around", 0, 0, 0, UINT64_MAX - 4095},
	        {"guest address that wraps around", UINT64_MAX - 4095, 0, 0, 0},
	        {"user address that wraps around", 0, 0, UINT64_MAX / 2, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gn_wire_message m = memory_of(a);
		struct gn_wire_region r = m.payload.memory.regions[0];

		r.gpa += cases[i].gpa;
		r.size_bytes += cases[i].size;
		r.user_addr = cases[i].user ? UINT64_MAX - 4095 : r.user_addr;
		r.mmap_offset += cases[i].offset;
		m.payload.memory.regions[0] = r;
		if (refuse_memory(a, cases[i].what, &m, 1))
			return -1;
	}
	return 0;
}

static int bad_memory_table(struct gn_attack *a)
{
	struct gn_wire_message m = memory_of(a);
	int ends[2];
	int result;

	if (refuse_memory(a, "no descriptor", &m, 0) || refuse_memory(a, "two for one", &m, 2))
		return -1;
	m.payload.memory.regions[0].size_bytes = 0;
	if (refuse_memory(a, "empty region", &m, 1))
		return -1;
	m = memory_of(a);
	m.payload.memory.n_regions = 9;
	m.size = 8 + 8 * 32;
	if (refuse_memory(a, "nine regions", &m, 8))
		return -1;
	m.payload.memory.n_regions = 0xffffffff;
	if (refuse_memory(a, "4 milliard regions", &m, 8))
		return -1;
	m = memory_of(a);
	m.payload.memory.n_regions = 2;
	m.payload.memory.regions[1] = m.payload.memory.regions[0];
	m.size = 8 + 2 * 32;
	if (refuse_memory(a, "overlapping regions", &m, 2))
		return -1;
	m = memory_of(a);
	if (pipe(ends))
		return gn_attack_complain(a, "no pipe: %s", strerror(errno));
	result = gn_attack_must_refuse(a, "memory that is a pipe", &m, &ends[0], 1);
	close(ends[0]);
	close(ends[1]);
	return result;
}

static int bad_ring_numbers(struct gn_attack *a)
{
	static const struct {
		const char *what;
		uint32_t request, index, num;
	} cases[] = {
	        {"empty ring", GN_WIRE_SET_VRING_NUM, 0, 0},
	        {"ring of 3", GN_WIRE_SET_VRING_NUM, 0, 3},
	        {"ring of 65536", GN_WIRE_SET_VRING_NUM, 0, 65536},
	        {"ring of 2^31", GN_WIRE_SET_VRING_NUM, 0, 1u << 31},
	        {"ring 200", GN_WIRE_SET_VRING_NUM, 200, 256},
	        {"ring 256", GN_WIRE_SET_VRING_NUM, 256, 256},
	        {"ring -1", GN_WIRE_SET_VRING_NUM, 0xffffffff, 256},
	        {"base of ring -1", GN_WIRE_SET_VRING_BASE, 0xffffffff, 0},
	        {"base out of range", GN_WIRE_SET_VRING_BASE, 0, 65536},
	        {"enabling ring 2^31", GN_WIRE_SET_VRING_ENABLE, 1u << 31, 1},
	        {"stopping ring 255", GN_WIRE_GET_VRING_BASE, 255, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gn_wire_message m =
		        gn_attack_vring(cases[i].request, cases[i].index, cases[i].num);

		if (gn_attack_must_refuse(a, cases[i].what, &m, NULL, 0))
			return -1;
	}
	return 0;
}

static struct gn_wire_message addresses_of(struct gn_attack *a, int64_t desc, int64_t avail,
                                           int64_t used)
{
	struct gn_wire_message m =
	        gn_attack_message(GN_WIRE_SET_VRING_ADDR, sizeof(m.payload.addr));
	const struct gn_vring *v = &a->fe->vrings[0];

	m.payload.addr.desc_user_addr = (uint64_t)v->desc + (uint64_t)desc;
	m.payload.addr.avail_user_addr = (uint64_t)v->avail + (uint64_t)avail;
	m.payload.addr.used_user_addr = (uint64_t)v->used + (uint64_t)used;
	return m;
}

static int bad_ring_addresses(struct gn_attack *a)
{
	int64_t out = (int64_t)a->fe->ram.size_bytes * 2;
	int64_t edge = (int64_t)(a->fe->ram.base + a->fe->ram.size_bytes -
	                         (uint8_t *)a->fe->vrings[0].desc) -
	               16;
	const int64_t cases[][3] = {{out, 0, 0},  {0, out, 0},  {0, 0, out},
	                            {edge, 0, 0}, {-out, 0, 0}, {8, 0, 0},
	                            {0, 1, 0},    {0, 0, 2},    {INT64_MAX, INT64_MAX, INT64_MAX}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gn_wire_message m;

		gn_frontend_set_features(a->fe, NULL);
		gn_frontend_share_memory(a->fe, NULL);
		m = gn_attack_vring(GN_WIRE_SET_VRING_NUM, 0, a->fe->vrings[0].size);
		gn_frontend_call(a->fe, &m, NULL, 0, NULL);
		m = addresses_of(a, cases[i][0], cases[i][1], cases[i][2]);
		if (gn_attack_must_refuse(a, "ring outside memory or not aligned", &m, NULL, 0))
			return -1;
	}
	return 0;
}

static int start_without_setup(struct gn_attack *a)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct gn_wire_message m = gn_attack_u64(GN_WIRE_SET_VRING_KICK, 0);
	int result = gn_attack_must_refuse(a, "kick of a ring without size", &m, &fd, 1);

	if (!result) {
		gn_frontend_share_memory(a->fe, NULL);
		m = gn_attack_vring(GN_WIRE_SET_VRING_NUM, 0, 256);
		gn_frontend_call(a->fe, &m, NULL, 0, NULL);
		m = gn_attack_u64(GN_WIRE_SET_VRING_KICK, 0);
		result = gn_attack_must_refuse(a, "kick of a ring without addresses", &m, &fd, 1);
	}
	close(fd);
	return result;
}

static int bad_events(struct gn_attack *a)
{
	static const uint32_t requests[] = {GN_WIRE_SET_VRING_CALL, GN_WIRE_SET_VRING_KICK};
	int ends[2];
	int result = 0;

	if (pipe(ends))
		return gn_attack_complain(a, "no pipe: %s", strerror(errno));
	for (unsigned i = 0; i < 2 && !result; i++) {
		struct gn_wire_message m = gn_attack_u64(requests[i], 0);

		result = gn_attack_must_refuse(a, "event without descriptor", &m, NULL, 0);
		if (!result)
			result = gn_attack_must_refuse(a, "event that is a pipe", &m, &ends[1], 1);
		if (!result)
			result = gn_attack_must_refuse(a, "event that is memory", &m,
			                               &a->fe->ram.fd, 1);
	}
	close(ends[0]);
	close(ends[1]);
	return result;
}

/* ---- while it runs --------------------------------------------------------------- */

static int resize_running_ring(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_vring(GN_WIRE_SET_VRING_NUM, 0, 32768);

	if (gn_attack_must_refuse(a, "running ring grown", &m, NULL, 0))
		return -1;
	m = gn_attack_vring(GN_WIRE_SET_VRING_NUM, 0, 1000);
	if (gn_attack_must_refuse(a, "running ring of odd size", &m, NULL, 0))
		return -1;
	m = gn_attack_vring(GN_WIRE_SET_VRING_BASE, 0, 12345);
	return gn_attack_must_refuse(a, "running ring moved", &m, NULL, 0);
}

static int move_running_ring(struct gn_attack *a)
{
	struct gn_wire_message m = addresses_of(a, 1 << 16, 0, 0);

	if (gn_attack_must_refuse(a, "descriptors of a running ring moved", &m, NULL, 0))
		return -1;
	m = addresses_of(a, (int64_t)a->fe->ram.size_bytes, 0, 0);
	return gn_attack_must_refuse(a, "running ring moved out of memory", &m, NULL, 0);
}

static int swap_running_memory(struct gn_attack *a)
{
	struct gn_wire_message m = memory_of(a);

	m.payload.memory.regions[0].mmap_offset = UINT64_MAX - 4095;
	if (refuse_memory(a, "bad memory under a running ring", &m, 1))
		return -1;
	m = memory_of(a);
	m.payload.memory.regions[0].user_addr += a->fe->ram.size_bytes;
	if (refuse_memory(a, "memory without the running ring", &m, 1))
		return -1;
	m = memory_of(a);
	m.payload.memory.regions[0].size_bytes = 4096;
	return refuse_memory(a, "memory cut short of the running ring", &m, 1);
}

static int change_running_features(struct gn_attack *a)
{
	struct gn_wire_message m = gn_attack_u64(GN_WIRE_SET_FEATURES, 0);

	if (gn_attack_must_refuse(a, "features changed under a running ring", &m, NULL, 0))
		return -1;
	m = gn_attack_u64(GN_WIRE_SET_FEATURES, UINT64_MAX);
	return gn_attack_must_refuse(a, "features that nobody offered", &m, NULL, 0);
}

/* The back end frees a stopped ring's helpers; it must not start it again without a size. */
static int restart_without_size(struct gn_attack *a)
{
	struct gn_frontend *fe = a->fe;
	struct gn_wire_message m = gn_attack_vring(GN_WIRE_GET_VRING_BASE, 0, 0);
	int fd = fe->vrings[0].kick_fd;
	int result;

	gn_frontend_ask(fe, &m, NULL, NULL);
	m = addresses_of(a, 0, 0, 0);
	result = gn_attack_must_refuse(a, "ring addresses without its size", &m, NULL, 0);
	if (!result) {
		m = gn_attack_u64(GN_WIRE_SET_VRING_KICK, 0);
		result = gn_attack_must_refuse(a, "stopped ring started without its size", &m, &fd,
		                               1);
	}
	return result;
}

/* Resets, as a guest's reboot does, in a tight loop with the ring busy. */
static int reset_storm(struct gn_attack *a)
{
	for (unsigned i = 0; i < 100; i++) {
		if (gn_frontend_stop(a->fe, NULL) || gn_frontend_start(a->fe, NULL))
			return gn_attack_complain(a, "reset %u was refused", i);
		for (unsigned v = 0; v < a->fe->n_ready; v++)
			gn_vring_kick_always(&a->fe->vrings[v]);
	}
	return 0;
}

static int kick_storm(struct gn_attack *a)
{
	for (unsigned i = 0; i < 200000; i++)
		gn_vring_kick_always(&a->fe->vrings[i % a->fe->n_ready]);
	return 0;
}

/* The eventfd that the back end writes to is full; a blocking write would never end. */
static int full_call(struct gn_attack *a)
{
	for (unsigned v = 0; v < a->fe->n_ready; v++) {
		int fd = eventfd(0, EFD_CLOEXEC);
		uint64_t full = UINT64_MAX - 1;
		struct gn_wire_message m = gn_attack_u64(GN_WIRE_SET_VRING_CALL, v);

		if (write(fd, &full, sizeof(full)) < 0)
			return gn_attack_complain(a, "cannot fill an eventfd");
		gn_frontend_call(a->fe, &m, &fd, 1, NULL);
		close(fd);
	}
	for (unsigned v = 0; v < a->fe->n_ready; v++) {
		struct gn_vring *vring = &a->fe->vrings[v];
		uint64_t gpa = gn_ram_alloc(&a->fe->ram, 4096, 4096);
		struct gn_vring_segment s[2] = {{gpa, 16, false}, {gpa + 64, 600, true}};

		vring->avail->flags = 0;
		gn_vring_add(vring, s, 2, NULL);
		gn_vring_kick(vring);
		gn_vring_kick_always(vring);
	}
	gn_attack_pause_ms(100);
	return 0;
}

static void use_rings(struct gn_attack *a)
{
	for (unsigned v = 0; v < a->fe->n_ready; v++) {
		gn_frontend_set_features(a->fe, NULL);
		gn_vring_kick_always(&a->fe->vrings[v]);
	}
	gn_attack_pause_ms(100);
}

/* The file is shortened under the back end's feet, if it lets us. */
static int vanishing_memory(struct gn_attack *a)
{
	int allowed = ftruncate(a->fe->ram.fd, 4096);

	if (allowed != 0 && errno != EPERM)
		return gn_attack_complain(a, "cannot shorten the memory: %s", strerror(errno));
	use_rings(a);
	gn_frontend_disconnect(a->fe);
	gn_attack_pause_ms(50);
	if (ftruncate(a->fe->ram.fd, (off_t)a->fe->ram.size_bytes))
		return gn_attack_complain(a, "cannot restore the memory");
	return 0;
}

static int vanishing_inflight(struct gn_attack *a)
{
	if (a->fe->inflight_fd < 0)
		return gn_attack_complain(a, "the back end made no in-flight buffer");
	if (ftruncate(a->fe->inflight_fd, 0) != 0)
		return 0; /* sealed by its maker */
	use_rings(a);
	gn_frontend_connect(a->fe, 5000, NULL);
	gn_frontend_start(a->fe, NULL); /* with the empty file */
	gn_attack_pause_ms(100);
	return 0;
}

/* What the back end wrote there itself, changed before it reads it again. */
static int forged_inflight(struct gn_attack *a)
{
	uint64_t size = a->fe->inflight.mmap_size;
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fe->inflight_fd, 0);

	if (p == MAP_FAILED)
		return gn_attack_complain(a, "cannot map the in-flight buffer");
	for (unsigned round = 0; round < 50; round++) {
		gn_frontend_connect(a->fe, 5000, NULL);
		for (uint64_t i = 0; i < size; i++)
			p[i] = (uint8_t)(round % 2 ? 0xff : gn_attack_random(a) >> 56);
		if (round % 3 == 0) /* every request in flight, a sane version */
			for (uint64_t i = 16; i < size; i += 16)
				p[i] = 1;
		p[8] = 1;
		p[9] = 0;
		gn_frontend_start(a->fe, NULL);
		for (unsigned i = 0; i < 100; i++)
			p[8 + gn_attack_random(a) % 8] = (uint8_t)gn_attack_random(a);
		gn_vring_kick_always(&a->fe->vrings[0]);
	}
	munmap(p, size);
	close(a->fe->inflight_fd); /* the honest come back with a new one */
	a->fe->inflight_fd = -1;
	return 0;
}

const struct gn_attack_case gn_attack_setups[] = {
        {"bad-memory-region", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_memory_region},
        {"bad-memory-table", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_memory_table},
        {"bad-ring-numbers", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_ring_numbers},
        {"bad-ring-addresses", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_ring_addresses},
        {"start-without-setup", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, start_without_setup},
        {"bad-events", GN_ATTACK_BOTH, GN_ATTACK_CONNECTED, bad_events},
        {"resize-running-ring", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, resize_running_ring},
        {"move-running-ring", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, move_running_ring},
        {"swap-running-memory", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, swap_running_memory},
        {"change-running-features", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, change_running_features},
        {"restart-without-size", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, restart_without_size},
        {"reset-storm", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, reset_storm},
        {"kick-storm", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, kick_storm},
        {"full-call", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, full_call},
        {"vanishing-memory", GN_ATTACK_BOTH, GN_ATTACK_RUNNING, vanishing_memory},
        {"vanishing-memory-unsealed", GN_ATTACK_BOTH, GN_ATTACK_UNSEALABLE, vanishing_memory},
        {"vanishing-inflight", GN_ATTACK_BLK, GN_ATTACK_RUNNING, vanishing_inflight},
        {"forged-inflight", GN_ATTACK_BLK, GN_ATTACK_RUNNING, forged_inflight},
        {NULL, 0, 0, NULL},
};
