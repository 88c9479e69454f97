/* session.h - a mirror session's settings from options, for 'mirror set' and shadows. */
#ifndef GN_CTL_SESSION_H
#define GN_CTL_SESSION_H

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/ctl.h"

#define GN_SESSION_FILTERS 16

/* Which settings the options named. */
enum gn_ctl_session_part {
	GN_SESSION_DIRECTION = 1,
	GN_SESSION_TRUNCATE = 2,
	GN_SESSION_SAMPLE = 4,
	GN_SESSION_FILTER = 8,
};

struct gn_ctl_session {
	unsigned given; /* of enum gn_ctl_session_part */
	Gnomon__V1__Mirror mirror;
	Gnomon__V1__MirrorFilter filters[GN_SESSION_FILTERS];
	Gnomon__V1__MirrorFilter *filter_of[GN_SESSION_FILTERS];
	Gnomon__V1__TunnelSink tunnel;
};

/* Takes --direction, --filter, --truncate and --sample. Returns whether any was given. "--filter
 * all" takes the filters back. */
bool gn_ctl_session_options(struct gn_ctl_arguments *arguments, struct gn_ctl_session *session);
/* Fills what was not given from 'current' (NULL: none), whose filters are then borrowed. */
void gn_ctl_session_keep(struct gn_ctl_session *session, const Gnomon__V1__Mirror *current);
/* Takes --sink; ends the program when it is missing or none. */
void gn_ctl_session_sink(struct gn_ctl_arguments *arguments, struct gn_ctl_session *session);

#endif
