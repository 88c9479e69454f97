/* session.c - see session.h. */
#include "tools/ctl/session.h"

#include <string.h>

#include "tools/ctl/parse.h"

static bool take_direction(struct gn_ctl_arguments *arguments, Gnomon__V1__Mirror *mirror)
{
	const char *value;

	if (!gn_ctl_option(arguments, "--direction", &value))
		return false;
	if (!strcmp(value, "both"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__BOTH;
	else if (!strcmp(value, "rx"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__RX;
	else if (!strcmp(value, "tx"))
		mirror->direction = GNOMON__V1__MIRROR__DIRECTION__TX;
	else
		gn_ctl_usage("--direction %s: give both, rx or tx", value);
	return true;
}

static bool take_number(struct gn_ctl_arguments *arguments, const char *option, uint32_t *out)
{
	const char *value;
	uint64_t number;

	if (!gn_ctl_option(arguments, option, &value))
		return false;
	if (gn_parse_number(value, UINT32_MAX, &number))
		gn_ctl_usage("%s %s: give a number", option, value);
	*out = (uint32_t)number;
	return true;
}

bool gn_ctl_session_options(struct gn_ctl_arguments *arguments, struct gn_ctl_session *s)
{
	const char *value;
	bool any;

	gnomon__v1__mirror__init(&s->mirror);
	s->mirror.filters = s->filter_of;
	any = take_direction(arguments, &s->mirror);
	any |= take_number(arguments, "--truncate", &s->mirror.truncate_bytes);
	any |= take_number(arguments, "--sample", &s->mirror.sample_one_in);
	while (gn_ctl_option(arguments, "--filter", &value)) {
		size_t n = s->mirror.n_filters;

		if (n == GN_SESSION_FILTERS)
			gn_ctl_usage("at most %d --filter", GN_SESSION_FILTERS);
		if (gn_parse_filter((char *)value, &s->filters[n]))
			gn_ctl_usage(
			        "--filter: give pairs such as 'proto tcp dst 10.0.0.0/8 dport 80'");
		s->filter_of[n] = &s->filters[n];
		s->mirror.n_filters++;
		any = true;
	}
	return any;
}

/* "ports/uplink0,ip=10.0.0.9,mac=...,local-ip=...,local-mac=...,id=7" */
static void parse_tunnel(char *text, Gnomon__V1__TunnelSink *tunnel)
{
	char *state, *word;
	uint64_t id;

	gnomon__v1__tunnel_sink__init(tunnel);
	tunnel->via_port = strtok_r(text, ",", &state);
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
	if (!tunnel->via_port)
		gn_ctl_usage("--sink: name the port that leads to the collector first");
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
