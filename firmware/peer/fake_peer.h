/* fake_peer.h - peer.h for unit tests: keeps every call until the test answers it. Linked
 * instead of peer.c and brain/time.c; its clock moves only when the test moves it. */
#ifndef GN_PEER_FAKE_H
#define GN_PEER_FAKE_H

#include "firmware/peer/peer.h"

struct gn_fake_call {
	struct gn_fake_call *next;
	const char *method;
	ProtobufCMessage *request; /* a copy */
	gn_channel_done *done;
	void *context;
};

struct gn_peer *gn_fake_peer_create(void);
/* Takes the oldest call of that method (NULL: any) that is not answered yet. NULL: none. */
struct gn_fake_call *gn_fake_peer_take(struct gn_peer *peer, const char *method);
unsigned gn_fake_peer_waiting(const struct gn_peer *peer);
/* Answer and free the call. */
void gn_fake_peer_answer(struct gn_fake_call *call, const ProtobufCMessage *reply);
void gn_fake_peer_refuse(struct gn_fake_call *call, enum gn_code code, const char *message);

/* The time that gn_time_now() tells. */
extern uint64_t gn_fake_now_us;

#endif
