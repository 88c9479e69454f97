/* fake_brain.h - for tests: a real brain on a real store, in a directory and at a time of the
 * test's own (gn_fake_now_us, fake_peer.h), which can be closed and opened again. One at a time; a
 * step that fails fails the test. */
#ifndef GN_BRAIN_FAKE_BRAIN_H
#define GN_BRAIN_FAKE_BRAIN_H

#include "firmware/brain/brain.h"

struct gn_fake_brain {
	char directory[32];
	struct gn_config *config;
	struct gn_store *store;
	struct gn_brain *brain; /* NULL: closed */
};

/* Makes the directory and sets the clock. Returns 0, as cmocka's set-up functions do. */
int gn_fake_brain_begin(struct gn_fake_brain *fake);
/* 'settings': YAML lines beside the ones that every configuration needs. */
void gn_fake_brain_open(struct gn_fake_brain *fake, const char *settings);
void gn_fake_brain_close(struct gn_fake_brain *fake);
/* Removes the directory of a closed one. Returns 0. */
int gn_fake_brain_end(struct gn_fake_brain *fake);

#endif
