/* fake_host.h - a host's shim as a model, for tests of gnomond: VMs with a periodic CPU
 * load, commands executed once per id and written down before they are answered.
 *
 * The journal (one line per Execute: id, VM, action, "new" or "again") is what tests check;
 * it is read back at start, so the model survives a kill as the real shim does. */
#ifndef GN_TESTS_GNOMOND_FAKE_HOST_H
#define GN_TESTS_GNOMOND_FAKE_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include "proto/channel.h"
#include "tests/gnomond/fake_mood.h"

struct gn_fake_host_options {
	const char *journal;
	unsigned n_vms; /* "vms/web-1", ... */
	uint32_t cpus;
	uint64_t period_us; /* of the load */
	uint64_t spike_us;  /* of each period */
	int64_t low_milli;
	int64_t high_milli;
	uint64_t chaos_us;   /* CPU and memory change in disorder, so often; 0: periodic CPU */
	const char *mood;    /* the file of fake_mood.h */
	unsigned n_silent;   /* so many first commands are executed and not answered */
	const char *run_dir; /* where the dataplane's sockets are said to be */
};

struct gn_fake_host;

struct gn_fake_host *gn_fake_host_create(const struct gn_fake_host_options *options);
/* A service of class Host; lives as long as the model. */
const struct gn_channel_service *gn_fake_host_service(struct gn_fake_host *host);
/* Load of the moment, milli-vCPU, before the allocation cuts it. */
int64_t gn_fake_host_load(const struct gn_fake_host *host, uint64_t now_us);

#endif
