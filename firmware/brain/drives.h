/* drives.h - the drives of the host: their SMART attributes over time, and their hazards.
 *
 * The host tells what its owner lets it tell (HostInfo.drives). A drive's attributes are kept once
 * per 24 hours of its operation, 31 of them, so that growth over 720 hours is known, and over
 * restarts. Hazards are those of hazard/drive.h's documented rule. Part of the brain: one thread.
 */
#ifndef GN_BRAIN_DRIVES_H
#define GN_BRAIN_DRIVES_H

#include "firmware/hazard/drive.h"
#include "proto/gnomon/v1/alert.pb-c.h"
#include "proto/gnomon/v1/host.pb-c.h"

#define GN_DRIVES_MAX       64 /* what more a host tells is not taken */
#define GN_DRIVE_READINGS   32
#define GN_DRIVE_NAME_SIZE  72 /* "drives/<serial number>" */
#define GN_DRIVE_HORIZON_US (720 * 3600000000ull)

struct gn_brain;

struct gn_drive {
	char name[GN_DRIVE_NAME_SIZE];
	char device[64];
	int64_t size_gb;
	uint64_t told_us; /* wall */
	uint32_t n_readings;
	struct gn_drive_reading readings[GN_DRIVE_READINGS]; /* oldest first; the last is of now */
};

struct gn_drives {
	struct gn_drive *list; /* in the order in which they were first told */
	size_t n;
};

/* Takes over what the store holds. */
void gn_drives_open(struct gn_brain *brain);
void gn_drives_close(struct gn_brain *brain);
/* What is told now. A drive that others are told without for a week is forgotten. */
void gn_drives_take(struct gn_brain *brain, const Gnomon__V1__HostInfo *host, uint64_t wall_us);
void gn_drives_save_all(struct gn_brain *brain);

/* NULL: no such drive. */
const struct gn_drive *gn_drives_find(const struct gn_brain *brain, const char *name);
/* Log-odds (Q8) of failing within 720 h, and of what. */
int32_t gn_drive_hazard(const struct gn_drive *drive, int32_t features[GN_DRIVE_N_FEATURES]);
/* With the signs by name, for operators; gn_message_free(). */
Gnomon__V1__Hazard *gn_drive_message(const struct gn_drive *drive);

#endif
