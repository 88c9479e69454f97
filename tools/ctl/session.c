/* session.c - see session.h. */
#include "tools/ctl/session.h"

#include <string.h>

#include "tools/ctl/parse.h"

static void take_direction(struct gn_ctl_arguments *arguments, struct gn_ctl_session *s)
{
	Gnomon__V1__Mirror *mirror = &s->mirror;
	const char *value;

	if (!gn_ctl_option(arguments, "--direction", &value))
		return;
	if (!strcmp(value, "both"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__BOTH;
	else if (!strcmp(value, "rx"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__RX;
	else if (!strcmp(value, "tx"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__TX;
	else
		gn_ctl_usage("--direction %s: give both, rx or tx", value);
	s->given |= GN_SESSION_DIRECTION;
}

static void take_number(struct gn_ctl_arguments *arguments, const char *option, uint32_t *out,
                        struct gn_ctl_session *s, enum gn_ctl_session_part part)
{
	const char *value;
	uint64_t number;

	if (!gn_ctl_option(arguments, option, &value))
		return;
	if (gn_parse_number(value, UINT32_MAX, &number))
		gn_ctl_usage("%s %s: give a number", option, value);
	*out = (uint32_t)number;
	s->given |= part;
}

static void take_filter(struct gn_ctl_session *s, const char *text)
{
	size_t n = s->mirror.n_filters;

	if (n == GN_SESSION_FILTERS)
		gn_ctl_usage("at most %d --filter", GN_SESSION_FILTERS);
	if (gn_parse_filter((char *)text, &s->filters[n]))
		gn_ctl_usage("--filter: give each of these at most once, in pairs: proto NAME, "
		             "src NET, dst NET, sport N, dport N, vlan N, ethertype N");
	s->filter_of[n] = &s->filters[n];
	s->mirror.n_filters++;
}

bool gn_ctl_session_options(struct gn_ctl_arguments *arguments, struct gn_ctl_session *s)
{
	bool is_all = false;
	const char *value;

	gnomon__v1__mirror__init(&s->mirror);
	s->mirror.filters = s->filter_of;
	s->given = 0;
	take_direction(arguments, s);
	take_number(arguments, "--truncate", &s->mirror.truncate_bytes, s, GN_SESSION_TRUNCATE);
	take_number(arguments, "--sample", &s->mirror.sample_one_in, s, GN_SESSION_SAMPLE);
	while (gn_ctl_option(arguments, "--filter", &value)) {
		s->given |= GN_SESSION_FILTER;
		if (!strcmp(value, "all"))
			is_all = true;
		else
			take_filter(s, value);
	}
	if (is_all && s->mirror.n_filters)
		gn_ctl_usage("--filter all leaves no room for another filter");
	return s->given != 0;
}

void gn_ctl_session_keep(struct gn_ctl_session *s, const Gnomon__V1__Mirror *current)
{
	if (!current)
		return;
	if (!(s->given & GN_SESSION_DIRECTION))
		s->mirror.direction = current->direction;
	if (!(s->given & GN_SESSION_TRUNCATE))
		s->mirror.truncate_bytes = current->truncate_bytes;
	if (!(s->given & GN_SESSION_SAMPLE))
		s->mirror.sample_one_in = current->sample_one_in;
	if (!(s->given & GN_SESSION_FILTER)) {
		s->mirror.filters = current->filters;
		s->mirror.n_filters = current->n_filters;
	}
}

/* "ports/uplink0,ip=10.0.0.9,mac=...,local-ip=...,local-mac=...,id=7" */
static void parse_tunnel(char *text, Gnomon__V1__TunnelSink *tunnel)
{
	char *state, *word, *via_port = strtok_r(text, ",", &state);
	uint64_t id;

	gnomon__v1__tunnel_sink__init(tunnel);
	if (!via_port || strchr(via_port, '='))
		gn_ctl_usage("--sink: name the port that leads to the collector first");
	tunnel->via_port = via_port;
	while ((word = strtok_r(NULL, ",", &state))) {
		char *value = strchr(word, '=');

		if (!value)
			gn_ctl_usage("--sink: '%s' has no value", word);
		*value++ = '\0';
		if (!strcmp(word, "ip"))
			tunnel->collector_ip = value;
		else if (!strcmp(word, "mac"))
			tunnel->collector_mac = value;
		else if (!strcmp(word, "local-ip"))
			tunnel->local_ip = value;
		else if (!strcmp(word, "local-mac"))
			tunnel->local_mac = value;
		else if (!strcmp(word, "id") && !gn_parse_number(value, UINT32_MAX, &id))
			tunnel->session_id = (uint32_t)id;
		else
			gn_ctl_usage(
			        "--sink: '%s=%s' is none of ip, mac, local-ip, local-mac, id=N",
			        word, value);
	}
}

void gn_ctl_session_sink(struct gn_ctl_arguments *arguments, struct gn_ctl_session *s)
{
	const char *value;

	if (!gn_ctl_option(arguments, "--sink", &value))
		gn_ctl_usage("--sink is missing: port=PORT, pcapng=FILE, erspan=... or vxlan=...");
	if (!strncmp(value, "port=", 5)) {
		s->mirror.sink_case = GNOMON__V1__MIRROR__SINK_PORT;
		s->mirror.port = (char *)value + 5;
	} else if (!strncmp(value, "pcapng=", 7)) {
		s->mirror.sink_case = GNOMON__V1__MIRROR__SINK_PCAPNG_PATH;
		s->mirror.pcapng_path = (char *)value + 7;
	} else if (!strncmp(value, "erspan=", 7)) {
		s->mirror.sink_case = GNOMON__V1__MIRROR__SINK_ERSPAN;
		s->mirror.erspan = &s->tunnel;
		parse_tunnel((char *)value + 7, &s->tunnel);
	} else if (!strncmp(value, "vxlan=", 6)) {
		s->mirror.sink_case = GNOMON__V1__MIRROR__SINK_VXLAN;
		s->mirror.vxlan = &s->tunnel;
		parse_tunnel((char *)value + 6, &s->tunnel);
	} else {
		gn_ctl_usage("--sink %s: give port=PORT, pcapng=FILE, erspan=... or vxlan=...",
		             value);
	}
}
