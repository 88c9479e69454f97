/* mirrors.c - CreateMirror, UpdateMirror and DeleteMirror. A change makes a new session and
 * a new set of the VM's sessions, and the lcore swaps sets between two bursts; so every
 * packet meets either the old settings or the new ones, and counters go on. */
#include "dataplane/control/dataplane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_ether.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"

/* A checked request. */
struct wanted {
	char vm[GN_NAME_MAX_ID + 8];
	Gnomon__V1__Mirror spec; /* borrows from the request and from here */
	struct gn_mirror_config config;
};

/* ---- check --------------------------------------------------------------------------- */

static int check_filters(const Gnomon__V1__Mirror *spec, struct gn_mirror_config *config,
                         struct gn_status *status)
{
	size_t i;
	int err = 0;

	if (spec->n_filters > GN_FILTER_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "mirror '%s' has %zu filters; %d are the most", spec->name,
		                     spec->n_filters, GN_FILTER_MAX);
	for (i = 0; i < spec->n_filters && !err; i++) {
		const Gnomon__V1__MirrorFilter *f = spec->filters[i];
		struct gn_filter_config filter = {
		        .ethertype = f->ethertype,
		        .vlan = f->vlan,
		        .ip_protocol = f->ip_protocol,
		        .source = f->source,
		        .destination = f->destination,
		        .source_port = f->source_port,
		        .destination_port = f->destination_port,
		};

		err = gn_filter_compile(&filter, &config->filters[i], status);
	}
	config->n_filters = (unsigned)spec->n_filters;
	return err;
}

static int check_mac(const char *what, const char *text, uint8_t mac[6], struct gn_status *status)
{
	struct rte_ether_addr address;

	if (rte_ether_unformat_addr(text, &address) != 0 || (address.addr_bytes[0] & 1))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the tunnel's %s is '%.40s'; give a unicast address like "
		                     "02:00:00:00:00:01",
		                     what, text);
	memcpy(mac, address.addr_bytes, 6);
	return 0;
}

static int check_ip(const char *what, const char *text, uint32_t *ip, struct gn_status *status)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the tunnel's %s is '%.40s'; give an IPv4 address", what,
		                     text);
	*ip = address.s_addr;
	return 0;
}

static int check_tunnel(const Gnomon__V1__TunnelSink *sink, enum gn_encap_kind kind,
                        struct gn_mirror_config *config, struct gn_status *status)
{
	struct gn_encap_config *tunnel = &config->tunnel;
	int err = gn_name_check(sink->via_port, "ports/", status);

	config->sink = GN_MIRROR_TO_TUNNEL;
	tunnel->kind = kind;
	tunnel->session_id = sink->session_id;
	if (!err)
		err = check_mac("local_mac", sink->local_mac, tunnel->local_mac, status);
	if (!err)
		err = check_mac("collector_mac", sink->collector_mac, tunnel->collector_mac,
		                status);
	if (!err)
		err = check_ip("local_ip", sink->local_ip, &tunnel->local_ip, status);
	if (!err)
		err = check_ip("collector_ip", sink->collector_ip, &tunnel->collector_ip, status);
	return err;
}

/* The port that copies leave by; empty for a file. */
static const char *port_name(const Gnomon__V1__Mirror *spec)
{
	switch (spec->sink_case) {
	case GNOMON__V1__MIRROR__SINK_PORT:
		return spec->port;
	case GNOMON__V1__MIRROR__SINK_ERSPAN:
		return spec->erspan->via_port;
	case GNOMON__V1__MIRROR__SINK_VXLAN:
		return spec->vxlan->via_port;
	default:
		return "";
	}
}

static int check_sink(struct gn_dataplane *dp, const struct wanted *wanted,
                      struct gn_mirror_config *config, struct gn_status *status)
{
	const Gnomon__V1__Mirror *spec = &wanted->spec;
	const struct gn_dp_port *port;

	switch (spec->sink_case) {
	case GNOMON__V1__MIRROR__SINK_PORT:
		config->sink = GN_MIRROR_TO_PORT;
		port = gn_dp_port_find(dp, spec->port);
		if (port && port->vm && strcmp(port->vm->name, wanted->vm) == 0)
			return gn_status_set(
			        status, GN_INVALID_ARGUMENT,
			        "mirror '%s' would copy the VM's packets to its own port "
			        "'%s'; give another VM's or a shadow's",
			        spec->name, spec->port);
		return gn_name_check(spec->port, "ports/", status);
	case GNOMON__V1__MIRROR__SINK_ERSPAN:
		return check_tunnel(spec->erspan, GN_ENCAP_ERSPAN, config, status);
	case GNOMON__V1__MIRROR__SINK_VXLAN:
		return check_tunnel(spec->vxlan, GN_ENCAP_VXLAN, config, status);
	case GNOMON__V1__MIRROR__SINK_PCAPNG_PATH:
		config->sink = GN_MIRROR_TO_FILE;
		return 0;
	default:
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "mirror '%s' has no sink; give port, erspan, vxlan or pcapng_path",
		        spec->name);
	}
}

static int check(struct gn_dataplane *dp, const Gnomon__V1__Mirror *request, struct wanted *wanted,
                 struct gn_status *status)
{
	struct gn_mirror_config *config = &wanted->config;
	int err;

	memset(wanted, 0, sizeof *wanted);
	wanted->spec = *request;
	wanted->spec.counters = NULL;
	wanted->spec.vm = wanted->vm;
	config->pool = dp->pool;
	config->clones = dp->clones;
	config->views = dp->views;
	config->directions[GN_RX] = request->direction != GNOMON__V1__MIRROR__DIRECTION__TX;
	config->directions[GN_TX] = request->direction != GNOMON__V1__MIRROR__DIRECTION__RX;
	config->truncate_bytes = request->truncate_bytes;
	config->sample_one_in = request->sample_one_in;
	err = gn_name_check_mirror(request->name, wanted->vm, status);
	if (err)
		return err;
	if (request->direction > GNOMON__V1__MIRROR__DIRECTION__TX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "mirror '%s': direction %d is unknown; give BOTH, RX or TX",
		                     request->name, (int)request->direction);
	if (request->truncate_bytes && request->truncate_bytes < GN_MIRROR_MIN_TRUNCATE)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "mirror '%s': truncate_bytes is %u; give at least %d, or 0 for whole "
		        "packets",
		        request->name, request->truncate_bytes, GN_MIRROR_MIN_TRUNCATE);
	err = check_filters(request, config, status);
	return err ? err : check_sink(dp, wanted, config, status);
}

/* Files that wait for a disk hold back at most half of the packet buffers. 'old' is to be
 * replaced; NULL: nothing. */
static int check_room(struct gn_dataplane *dp, const struct wanted *wanted,
                      const struct gn_dp_mirror *old, struct gn_status *status)
{
	unsigned max_files = RTE_MAX(dp->board->mbufs / (2 * GN_WRITER_RING), 1u);
	unsigned n = 0, n_files = 0;
	const struct gn_dp_mirror *mirror;

	LIST_FOREACH(mirror, &dp->mirrors, link)
	{
		n += mirror != old && strcmp(mirror->vm->name, wanted->vm) == 0;
		n_files += mirror != old && mirror->writer;
	}
	if (n >= GN_MIRROR_MAX_SESSIONS)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED,
		                     "'%s' has %u mirror sessions, which is the most; delete one",
		                     wanted->vm, n);
	if (wanted->config.sink == GN_MIRROR_TO_FILE && n_files >= max_files)
		return gn_status_set(
		        status, GN_RESOURCE_EXHAUSTED,
		        "%u capture files are open, the most for this board's %u packet "
		        "buffers; delete one",
		        n_files, dp->board->mbufs);
	return 0;
}

/* ---- apply ---------------------------------------------------------------------------- */

static struct gn_dp_mirror *find(struct gn_dataplane *dp, const char *name)
{
	struct gn_dp_mirror *mirror;

	LIST_FOREACH(mirror, &dp->mirrors, link)
	if (strcmp(mirror->spec->name, name) == 0)
		break;
	return mirror;
}

/* What the lcore does in one go. */
struct swap {
	struct gn_vm *vm;
	const struct gn_mirror_set *set;
	struct gn_mirror_session *fresh; /* NULL: none */
	const struct gn_mirror_session *old;
	struct gn_port *port;
};

static void swap_on_lcore(void *arg)
{
	struct swap *swap = arg;

	if (swap->fresh && swap->old)
		gn_mirror_session_inherit(swap->fresh, swap->old);
	if (swap->fresh)
		gn_mirror_session_set_port(swap->fresh, swap->port);
	swap->vm->mirrors = swap->set->n ? swap->set : NULL;
}

/* Puts 'fresh' in 'old's place on the lcore; either may be NULL. The former set is free when
 * this returns. */
static void swap_session(struct gn_dataplane *dp, struct gn_dp_vm *vm,
                         const struct gn_mirror_session *old, struct gn_mirror_session *fresh,
                         const char *port_needed)
{
	struct gn_dp_port *port = gn_dp_port_find(dp, port_needed);
	struct gn_mirror_set *set = &vm->sets[vm->vm.mirrors == &vm->sets[0]];
	struct swap swap = {.vm = &vm->vm,
	                    .set = set,
	                    .fresh = fresh,
	                    .old = old,
	                    .port = port ? port->port : NULL};
	const struct gn_dp_mirror *mirror;

	set->n = 0;
	LIST_FOREACH(mirror, &dp->mirrors, link)
	if (mirror->vm == vm && mirror->session != old)
		set->sessions[set->n++] = mirror->session;
	if (fresh)
		set->sessions[set->n++] = fresh;
	gn_worker_call(dp->network, swap_on_lcore, &swap);
}

static int open_writer(const struct wanted *wanted, const struct gn_dp_mirror *old,
                       struct gn_writer **out, struct gn_status *status)
{
	if (wanted->config.sink != GN_MIRROR_TO_FILE)
		return 0;
	if (old && old->writer &&
	    strcmp(gn_writer_path(old->writer), wanted->spec.pcapng_path) == 0) {
		*out = old->writer; /* the file goes on */
		return 0;
	}
	return gn_writer_create(wanted->spec.pcapng_path, wanted->vm, out, status);
}

static void free_parts(struct gn_dataplane *dp, struct gn_dp_mirror *mirror)
{
	gn_mirror_session_destroy(mirror->session);
	gn_writer_destroy(mirror->writer);
	gn_dp_vm_put(dp, mirror->vm);
	gn_message_free(mirror->spec);
	free(mirror);
}

static int fill(struct gn_dataplane *dp, struct gn_dp_mirror *mirror, struct wanted *wanted,
                const struct gn_dp_mirror *old, struct gn_status *status)
{
	int err;

	mirror->spec = (Gnomon__V1__Mirror *)gn_message_copy(&wanted->spec.base);
	mirror->vm = gn_dp_vm_get(dp, wanted->vm);
	if (!mirror->spec || !mirror->vm)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory for mirror '%s'",
		                     wanted->spec.name);
	err = open_writer(wanted, old, &mirror->writer, status);
	wanted->config.writer = mirror->writer;
	if (!err)
		err = gn_mirror_session_create(&wanted->config, &mirror->session, status);
	if (!err)
		swap_session(dp, mirror->vm, old ? old->session : NULL, mirror->session,
		             port_name(&wanted->spec));
	return err;
}
/* 'old' NULL: a new one. */
static int apply(struct gn_dataplane *dp, struct wanted *wanted, struct gn_dp_mirror *old,
                 struct gn_dp_mirror **out, struct gn_status *status)
{
	struct gn_dp_mirror *mirror = calloc(1, sizeof *mirror);
	int err = mirror ? fill(dp, mirror, wanted, old, status)
	                 : gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	bool shares_writer = old && mirror && mirror->writer == old->writer;

	if (err) {
		if (mirror && shares_writer)
			mirror->writer = NULL;
		if (mirror)
			free_parts(dp, mirror);
		return err;
	}
	if (old) {
		if (shares_writer)
			old->writer = NULL;
		LIST_REMOVE(old, link);
		free_parts(dp, old);
	}
	LIST_INSERT_HEAD(&dp->mirrors, mirror, link);
	*out = mirror;
	return 0;
}

int gn_dp_mirror_set(struct gn_dataplane *dp, const Gnomon__V1__Mirror *request, bool replace,
                     struct gn_dp_mirror **out, struct gn_status *status)
{
	struct gn_dp_mirror *old = find(dp, request->name);
	struct wanted wanted;
	int err = check(dp, request, &wanted, status);

	if (err)
		return err;
	if (replace && !old)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "there is no mirror '%s'; create it first", request->name);
	if (old && gn_message_equal(&old->spec->base, &wanted.spec.base)) {
		*out = old;
		return 0;
	}
	if (old && !replace)
		return gn_status_set(status, GN_ALREADY_EXISTS,
		                     "mirror '%s' exists with other settings; update it",
		                     request->name);
	err = check_room(dp, &wanted, old, status);
	if (!err)
		err = apply(dp, &wanted, old, out, status);
	if (err)
		return err;
	gn_dp_forget(dp, GN_DP_MIRROR, request->name);
	err = gn_dataplane_save(dp, status);
	if (err && !replace)
		gn_dp_mirror_free(dp, *out);
	return err;
}

void gn_dp_mirror_free(struct gn_dataplane *dp, struct gn_dp_mirror *mirror)
{
	swap_session(dp, mirror->vm, mirror->session, NULL, "");
	LIST_REMOVE(mirror, link);
	free_parts(dp, mirror);
}

int gn_dp_mirror_delete(struct gn_dataplane *dp, const char *name, struct gn_status *status)
{
	struct gn_dp_mirror *mirror = find(dp, name);

	if (!mirror && gn_dp_forget(dp, GN_DP_MIRROR, name))
		return gn_dataplane_save(dp, status);
	if (!mirror)
		return gn_status_set(status, GN_NOT_FOUND, "there is no mirror '%.150s'", name);
	gn_dp_mirror_free(dp, mirror);
	return gn_dataplane_save(dp, status);
}

void gn_dp_mirror_port_came(struct gn_dataplane *dp, struct gn_dp_port *port)
{
	struct gn_dp_mirror *mirror;

	LIST_FOREACH(mirror, &dp->mirrors, link)
	if (strcmp(port_name(mirror->spec), port->spec->name) == 0)
		gn_mirror_session_set_port(mirror->session, port->port);
}

void gn_dp_mirror_port_goes(struct gn_dataplane *dp, struct gn_dp_port *port)
{
	struct gn_dp_mirror *mirror;

	LIST_FOREACH(mirror, &dp->mirrors, link)
	if (gn_mirror_session_port(mirror->session) == port->port)
		gn_mirror_session_set_port(mirror->session, NULL);
}
