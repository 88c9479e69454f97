/* command.c - see command.h. Runs on the main thread for every Execute, before anything
 * is queued, journaled or asked of libvirt. */
#include "host-shim/command.h"

#include <string.h>

/* Mirrors GN_CHANNEL_SKEW_US: how far the card's clock may differ from this host's. */
#define SKEW_US 2000000u

static const char *const kind_names[] = {
#define KIND_NAME(name, text) [GN_COMMAND_##name] = text,
        GN_COMMAND_KINDS(KIND_NAME)
#undef KIND_NAME
};

const char *gn_command_kind_name(enum gn_command_kind kind)
{
	return kind_names[kind];
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name_char(char c)
{
	return is_alnum(c) || c == '.' || c == '_' || c == '+' || c == '-';
}

bool gn_command_name_valid(const char *name)
{
	size_t n;

	if (name[0] == '.' || name[0] == '-')
		return false;
	for (n = 0; name[n]; n++)
		if (!is_name_char(name[n]))
			return false;
	return n >= 1 && n < GN_VM_NAME_SIZE;
}

bool gn_command_path_valid(const char *path, size_t size)
{
	const char *part = path;

	if (path[0] != '/' || strlen(path) >= size)
		return false;
	while (*part == '/') {
		size_t n = 0;

		part++;
		while (is_name_char(part[n]))
			n++;
		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && !memcmp(part, "..", 2)))
			return false;
		part += n;
	}
	return *part == '\0';
}

bool gn_command_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			retry = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star + 1;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static int check_id(const struct gn_command *c, struct gn_status *status)
{
	size_t n;

	for (n = 0; c->id[n]; n++)
		if (!is_alnum(c->id[n]) && c->id[n] != '-')
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "command id has a byte 0x%02x; use [A-Za-z0-9-]",
			                     (unsigned char)c->id[n]);
	if (n < GN_COMMAND_ID_MIN)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "command id '%s' is too short; use 8..64 bytes that are "
		                     "unique for ever",
		                     c->id);
	return 0;
}

/* It goes into the host's log, where it shall be one line. */
static int check_reason(const struct gn_command *c, struct gn_status *status)
{
	const char *p;

	for (p = c->reason; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "the reason has a control character 0x%02x; use "
			                     "one line of text",
			                     (unsigned char)*p);
	return 0;
}

int gn_command_check_deadline(const struct gn_command *c, uint64_t now_us, struct gn_status *status)
{
	if (now_us > c->deadline_us)
		return gn_status_set(status, GN_DEADLINE_EXCEEDED,
		                     "the command's deadline passed %llu ms ago; nothing was done; "
		                     "send a new command",
		                     (unsigned long long)(now_us - c->deadline_us) / 1000);
	if (c->deadline_us - now_us > GN_COMMAND_MAX_AHEAD_US + SKEW_US)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the command's deadline is %llu s ahead; at most 3600 s are "
		                     "allowed (do the clocks of card and host agree?)",
		                     (unsigned long long)(c->deadline_us - now_us) / 1000000);
	return 0;
}

static int check_vm(const struct gn_command *c, struct gn_status *status)
{
	if (!gn_command_name_valid(c->vm))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "VM name '%s' is not usable; use 1..64 of [A-Za-z0-9._+-]",
		                     c->vm);
	return 0;
}

bool gn_command_vm_allowed(const struct gn_command_limits *limits, const char *name)
{
	size_t i;

	for (i = 0; i < limits->n_vms; i++)
		if (gn_command_matches(limits->vms[i], name))
			return true;
	return false;
}

static int check_vcpus(uint32_t vcpus, const struct gn_command_limits *limits,
                       struct gn_status *status)
{
	if (vcpus < 1)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "0 vCPUs; use at least 1");
	if (vcpus > limits->max_vcpus)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "%u vCPUs are above this host's limits.max_vcpus, %u", vcpus,
		                     limits->max_vcpus);
	return 0;
}

static int check_memory(uint64_t bytes, const struct gn_command_limits *limits,
                        struct gn_status *status)
{
	if (bytes < limits->min_memory_bytes || bytes > limits->max_memory_bytes)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "%llu bytes of memory are outside this host's limits, "
		                     "min_memory_mib %llu to max_memory_mib %llu",
		                     (unsigned long long)bytes,
		                     (unsigned long long)limits->min_memory_bytes >> 20,
		                     (unsigned long long)limits->max_memory_bytes >> 20);
	return 0;
}

static int check_cpu_limit(const struct gn_command *c, struct gn_status *status)
{
	uint64_t shares = c->set_cpu_limit.shares, period = c->set_cpu_limit.period_us;
	int64_t quota = c->set_cpu_limit.quota_us;

	if (!shares && !quota && !period)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "set_cpu_limit changes nothing; give shares, quota or period");
	if (shares && (shares < 2 || shares > 262144))
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%llu shares; use 2..262144",
		                     (unsigned long long)shares);
	if (quota < -1 || (quota > 0 && quota < 1000))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a quota of %lld us; use -1 (none) or at least 1000",
		                     (long long)quota);
	if (period && (period < 1000 || period > 1000000))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a period of %llu us; use 1000..1000000",
		                     (unsigned long long)period);
	return 0;
}

/* 'what' names the path in the sentence. */
static int check_path(const char *path, size_t size, const char *what,
                      const struct gn_command_limits *limits, struct gn_status *status)
{
	size_t i;

	if (!gn_command_path_valid(path, size))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s '%s' is not usable; use an absolute path of "
		                     "[A-Za-z0-9._+/-] without '..', at most %zu bytes",
		                     what, path, size - 1);
	for (i = 0; i < limits->n_shadow_paths; i++) {
		size_t n = strlen(limits->shadow_paths[i]);

		if (!strncmp(path, limits->shadow_paths[i], n) && (path[n] == '/' || !path[n]))
			return 0;
	}
	return gn_status_set(status, GN_PERMISSION_DENIED,
	                     "%s '%s' is not below a directory of limits.shadow_paths in "
	                     "gnomon-shim.yaml",
	                     what, path);
}

static bool mac_valid(const char *mac)
{
	int i;

	if (strlen(mac) != GN_VM_MAC_SIZE - 1)
		return false;
	for (i = 0; i < GN_VM_MAC_SIZE - 1; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdefABCDEF", mac[i]))
			return false;
	return true;
}

static int check_nics(const struct gn_shadow_spec *s, const struct gn_command_limits *limits,
                      struct gn_status *status)
{
	size_t i, k;
	int error;

	for (i = 0; i < s->n_nics; i++) {
		if (!mac_valid(s->nics[i].mac))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "'%s' is not a MAC address (52:54:00:aa:bb:cc)",
			                     s->nics[i].mac);
		error = check_path(s->nics[i].socket_path, GN_VM_SOCKET_SIZE, "the NIC's socket",
		                   limits, status);
		if (error)
			return error;
		for (k = 0; k < i; k++)
			if (!strcasecmp(s->nics[i].mac, s->nics[k].mac) ||
			    !strcmp(s->nics[i].socket_path, s->nics[k].socket_path))
				return gn_status_set(status, GN_INVALID_ARGUMENT,
				                     "NIC %s or its socket is named twice",
				                     s->nics[i].mac);
	}
	return 0;
}

static int check_disk(const struct gn_vm_disk *disk, const struct gn_command_limits *limits,
                      struct gn_status *status)
{
	if (!gn_command_name_valid(disk->target))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "disk target '%s' is not usable; use the production disk's, "
		                     "such as vda",
		                     disk->target);
	if (!disk->socket_path[0] == !disk->source[0])
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "disk %s needs either a socket_path or a source",
		                     disk->target);
	if (disk->socket_path[0])
		return check_path(disk->socket_path, GN_VM_SOCKET_SIZE, "the disk's socket", limits,
		                  status);
	return check_path(disk->source, GN_VM_PATH_SIZE, "the disk's file", limits, status);
}

static int check_disks(const struct gn_shadow_spec *s, const struct gn_command_limits *limits,
                       struct gn_status *status)
{
	size_t i, k;
	int error;

	for (i = 0; i < s->n_disks; i++) {
		const struct gn_vm_disk *a = &s->disks[i];

		error = check_disk(a, limits, status);
		if (error)
			return error;
		for (k = 0; k < i; k++) {
			const struct gn_vm_disk *b = &s->disks[k];

			if (!strcmp(a->target, b->target) ||
			    (a->source[0] && !strcmp(a->source, b->source)) ||
			    (a->socket_path[0] && !strcmp(a->socket_path, b->socket_path)))
				return gn_status_set(status, GN_INVALID_ARGUMENT,
				                     "disk %s, or what stands behind it, is named "
				                     "twice",
				                     a->target);
		}
	}
	return 0;
}

static int check_pool(const struct gn_shadow_spec *s, const struct gn_command_limits *limits,
                      struct gn_status *status)
{
	if (!s->pool[0] && !s->pool_path[0])
		return 0;
	if (!gn_command_name_valid(s->pool))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "pool name '%s' is not usable; use 1..64 of [A-Za-z0-9._+-]",
		                     s->pool);
	return check_path(s->pool_path, GN_VM_PATH_SIZE, "the pool's directory", limits, status);
}

static int check_shadow(const struct gn_command *c, const struct gn_command_limits *limits,
                        struct gn_status *status)
{
	const struct gn_shadow_spec *s = &c->define_shadow;
	int error;

	if (!gn_command_name_valid(s->name) || !strcmp(s->name, c->vm))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "shadow name '%s' is not usable; use 1..64 of "
		                     "[A-Za-z0-9._+-], another name than the VM's",
		                     s->name);
	error = check_vcpus(s->vcpus, limits, status);
	if (!error)
		error = check_memory(s->memory_bytes, limits, status);
	if (!error)
		error = check_nics(s, limits, status);
	if (!error)
		error = check_disks(s, limits, status);
	return error ? error : check_pool(s, limits, status);
}

static int check_action(const struct gn_command *c, const struct gn_command_limits *limits,
                        struct gn_status *status)
{
	switch (c->kind) {
	case GN_COMMAND_SET_VCPUS:
		return check_vcpus(c->set_vcpus.vcpus, limits, status);
	case GN_COMMAND_SET_MEMORY:
		return check_memory(c->set_memory.bytes, limits, status);
	case GN_COMMAND_SET_CPU_LIMIT:
		return check_cpu_limit(c, status);
	case GN_COMMAND_DEFINE_SHADOW:
		return check_shadow(c, limits, status);
	case GN_COMMAND_START_SHADOW:
	case GN_COMMAND_PAUSE_VM:
	case GN_COMMAND_RESUME_VM:
	case GN_COMMAND_DESTROY_SHADOW:
	case GN_COMMAND_UNDEFINE_SHADOW:
	case GN_COMMAND_FENCE_VM:
	case GN_COMMAND_START_VM:
		return 0;
	}
	return gn_status_set(status, GN_INVALID_ARGUMENT, "unknown action");
}

static bool is_about_shadows(enum gn_command_kind kind)
{
	return kind == GN_COMMAND_DEFINE_SHADOW || kind == GN_COMMAND_START_SHADOW ||
	       kind == GN_COMMAND_DESTROY_SHADOW || kind == GN_COMMAND_UNDEFINE_SHADOW;
}

int gn_command_check(const struct gn_command *c, const struct gn_command_limits *limits,
                     uint64_t now_us, struct gn_status *status)
{
	int error = check_id(c, status);

	if (!error)
		error = gn_command_check_deadline(c, now_us, status);
	if (!error)
		error = check_reason(c, status);
	if (!error)
		error = check_vm(c, status);
	if (error)
		return error;
	if (is_about_shadows(c->kind) && !limits->allow_shadow)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host does not allow shadows; set limits.allow_shadow: "
		                     "true in gnomon-shim.yaml if it may");
	if ((c->kind == GN_COMMAND_FENCE_VM || c->kind == GN_COMMAND_START_VM) &&
	    !limits->allow_failover)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "this host does not let a card fail VMs over; set "
		                     "limits.allow_failover: true in gnomon-shim.yaml if it may");
	return check_action(c, limits, status);
}
