/* fake_brain.c - see fake_brain.h. */
#include "firmware/brain/fake_brain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/peer/fake_peer.h"

#define S ((uint64_t)1000000)

int gn_fake_brain_begin(struct gn_fake_brain *fake)
{
	memset(fake, 0, sizeof *fake);
	strcpy(fake->directory, "/tmp/gnbrXXXXXX");
	gn_fake_now_us = 1700000000 * S;
	return mkdtemp(fake->directory) ? 0 : -1;
}

void gn_fake_brain_open(struct gn_fake_brain *fake, const char *settings)
{
	const struct gn_store_bounds bounds = {3600 * S, 7200 * S, 86400 * S, 100, 100};
	struct gn_status status;
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "%s/g.yaml", fake->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
	        "board: devbox\nstate_dir: /s\nrun_dir: /r\n"
	        "control_local: {url: 'ipc:///r/g.ipc'}\ndataplane: {url: 'ipc:///r/d.ipc'}\n"
	        "samples: {url: 'ipc:///r/s.ipc'}\nshim: {url: 'ipc:///r/h.ipc'}\n%s",
	        settings);
	fclose(file);
	assert_int_equal(gn_config_load(path, &fake->config, &status), 0);
	assert_int_equal(
	        gn_store_open(fake->directory, &bounds, gn_fake_now_us, &fake->store, &status), 0);
	assert_int_equal(gn_brain_create(fake->config, fake->store, gn_time_now(), &fake->brain),
	                 0);
}

void gn_fake_brain_close(struct gn_fake_brain *fake)
{
	gn_brain_destroy(fake->brain);
	fake->brain = NULL;
	gn_store_close(fake->store);
	gn_config_free(fake->config);
}

int gn_fake_brain_end(struct gn_fake_brain *fake)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", fake->directory);
	return system(command);
}
