/* call.c - calls of the Control service: a reply, or the end of the program with the card's
 * sentence and the exit code that fits. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/ctl.h"
#include "proto/json.h"
#include "tools/ctl/output.h"

/* The card, too, says UNAVAILABLE, of its host or its store: then it was reached. */
int gn_ctl_exit_code(const struct gn_ctl *ctl, enum gn_code code)
{
	switch (gn_ctl_connection_state(ctl->connection)) {
	case GN_CTL_CLOSED: /* our own files or urls are wrong */
		return GN_CTL_USAGE;
	case GN_CTL_UP:
		return code == GN_DEADLINE_EXCEEDED ? GN_CTL_UNREACHABLE : GN_CTL_REFUSED;
	case GN_CTL_AWAY:
		break;
	}
	return code == GN_UNAVAILABLE || code == GN_DEADLINE_EXCEEDED ? GN_CTL_UNREACHABLE
	                                                              : GN_CTL_REFUSED;
}

ProtobufCMessage *gn_ctl_call(struct gn_ctl *ctl, const char *method,
                              const ProtobufCMessage *request)
{
	ProtobufCMessage *reply = NULL;
	struct gn_status status = {0};

	if (!gn_ctl_connection_call(ctl->connection, method, request, ctl->timeout_us, &reply,
	                            &status))
		return reply;
	gn_output_error("%s (%s)", status.message, gn_code_name(status.code));
	exit(gn_ctl_exit_code(ctl, status.code));
}

void gn_ctl_free(ProtobufCMessage *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

ProtobufCMessage *gn_ctl_call_name(struct gn_ctl *ctl, const char *method, const char *name)
{
	Gnomon__V1__NameRequest request = GNOMON__V1__NAME_REQUEST__INIT;

	request.name = (char *)name;
	return gn_ctl_call(ctl, method, &request.base);
}

ProtobufCMessage *gn_ctl_call_empty(struct gn_ctl *ctl, const char *method)
{
	Gnomon__V1__Empty request = GNOMON__V1__EMPTY__INIT;

	return gn_ctl_call(ctl, method, &request.base);
}

bool gn_ctl_print_json(const struct gn_ctl *ctl, const ProtobufCMessage *message)
{
	if (ctl->json && gn_json_print(message, 0, stdout)) {
		gn_output_error("the answer cannot be written");
		exit(GN_CTL_REFUSED);
	}
	return ctl->json;
}
