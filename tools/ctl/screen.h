/* screen.h - a picture that is drawn again and again: on a terminal's other screen until 'q',
 * elsewhere one below the other. A card that is away for a while is shown as such; it goes on.
 * One at a time, one thread. */
#ifndef GN_CTL_SCREEN_H
#define GN_CTL_SCREEN_H

#include <stdio.h>
#include "tools/ctl/ctl.h"

struct gn_screen {
	uint64_t interval_us;
	uint64_t count; /* pictures; UINT64_MAX: until the end */
	void *context;
	/* Writes the whole picture; 0, or the exit code of a card that does not answer. */
	int (*compose)(void *context, FILE *out);
	/* A key other than 'q'; the picture is drawn anew afterwards. NULL is fine. */
	void (*key)(void *context, char key);
};

/* --interval and --count, or their defaults. */
void gn_screen_take_options(struct gn_ctl_arguments *arguments, struct gn_screen *screen);

/* Asks the card, briefly; NULL with the reason in '*status'. */
ProtobufCMessage *gn_screen_ask(struct gn_ctl *ctl, const char *method,
                                const ProtobufCMessage *request, struct gn_status *status);

/* Returns the exit code of the last picture. */
int gn_screen_run(const struct gn_screen *screen);

#endif
