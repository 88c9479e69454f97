/* fake_dataplane.h - a dataplane's control service as a model, for tests of gnomond: lists
 * of ports, volumes, mirrors and meters in memory; clones are copies of files. */
#ifndef GN_TESTS_GNOMOND_FAKE_DATAPLANE_H
#define GN_TESTS_GNOMOND_FAKE_DATAPLANE_H

#include "proto/channel.h"

struct gn_fake_dataplane;

struct gn_fake_dataplane *gn_fake_dataplane_create(const char *run_dir);
const struct gn_channel_service *gn_fake_dataplane_service(struct gn_fake_dataplane *dataplane);

#endif
