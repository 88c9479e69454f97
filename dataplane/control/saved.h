/* saved.h - the state file's messages, kind by kind, for who writes it, forgets a part of it
 * or makes everything again from it. */
#ifndef GN_DATAPLANE_SAVED_H
#define GN_DATAPLANE_SAVED_H

#include "dataplane/control/dataplane.h"

/* Ports, volumes, mirrors, meters and exports alike begin with their name. */
struct gn_saved {
	ProtobufCMessage base;
	const char *name;
};

/* One kind's array in a DataplaneState, which owns it. */
struct gn_saved_array {
	struct gn_saved **items;
	size_t *n;
};

struct gn_saved_array gn_saved_array_of(Gnomon__V1__DataplaneState *state, enum gn_dp_kind kind);

#endif
