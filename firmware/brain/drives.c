/* drives.c - see drives.h. */
#include "firmware/brain/drives.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/brain/brain.h"
#include "firmware/core/fixed.h"
#include "firmware/message/message.h"

#define KEPT_EVERY_H 24
#define LOOK_BACK_H  720
#define FORGET_US    (7 * 86400000000ull)
#define HOURS_MAX    1000000 /* 114 years */
#define FORMAT       1

/* SMART's numbers of hazard/drive.h's attributes. */
static const uint8_t ids[GN_DRIVE_N_ATTRIBUTES] = {
        [GN_DRIVE_REALLOCATED] = 5, [GN_DRIVE_POWER_CYCLES] = 12, [GN_DRIVE_UNCORRECTABLE] = 187,
        [GN_DRIVE_TIMEOUTS] = 188,  [GN_DRIVE_HIGH_FLY] = 189,    [GN_DRIVE_REALLOCATIONS] = 196,
        [GN_DRIVE_PENDING] = 197,   [GN_DRIVE_OFFLINE] = 198,
};

/* ---- the store ------------------------------------------------------------------------ */

struct document {
	uint32_t format, size;
	struct gn_drive drive;
};

static void save(struct gn_brain *brain, const struct gn_drive *drive)
{
	struct document document;

	memset(&document, 0, sizeof document);
	document.format = FORMAT;
	document.size = sizeof document;
	document.drive = *drive;
	gn_store_put(brain->store, "drive", drive->name, &document, sizeof document);
}

static struct gn_drive *add(struct gn_drives *drives)
{
	if (drives->n == GN_DRIVES_MAX)
		return NULL;
	if (!drives->list)
		drives->list = gn_message_alloc(GN_DRIVES_MAX * sizeof *drives->list);
	return memset(&drives->list[drives->n++], 0, sizeof *drives->list);
}

static void load(void *context, const char *name, const void *bytes, size_t size)
{
	struct gn_brain *brain = context;
	struct document document;
	struct gn_drive *drive;

	if (size != sizeof document)
		return;
	memcpy(&document, bytes, sizeof document);
	if (document.format != FORMAT || document.size != size || document.drive.n_readings < 1 ||
	    document.drive.n_readings > GN_DRIVE_READINGS ||
	    strncmp(document.drive.name, name, sizeof document.drive.name) != 0)
		return;
	drive = add(&brain->drives);
	if (drive)
		*drive = document.drive;
}

void gn_drives_open(struct gn_brain *brain)
{
	gn_store_each(brain->store, "drive", load, brain);
}

void gn_drives_close(struct gn_brain *brain)
{
	free(brain->drives.list);
	brain->drives = (struct gn_drives){0};
}

void gn_drives_save_all(struct gn_brain *brain)
{
	for (size_t i = 0; i < brain->drives.n; i++)
		save(brain, &brain->drives.list[i]);
}

/* ---- what the host tells -------------------------------------------------------------- */

static struct gn_drive_reading reading_of(const Gnomon__V1__HostDrive *told)
{
	struct gn_drive_reading reading = {.hours = (int64_t)(told->power_on_hours < HOURS_MAX
	                                                              ? told->power_on_hours
	                                                              : HOURS_MAX)};

	for (uint32_t a = 0; a < GN_DRIVE_N_ATTRIBUTES; a++) {
		reading.raw[a] = GN_DRIVE_UNKNOWN;
		for (size_t i = 0; i < told->n_attributes; i++)
			if (told->attributes[i]->id == ids[a])
				reading.raw[a] = (int64_t)(told->attributes[i]->raw & INT64_MAX);
	}
	/* Some makers count timeouts of three lengths in it, 16 bits each: all, in the lowest. */
	if (reading.raw[GN_DRIVE_TIMEOUTS] > UINT16_MAX)
		reading.raw[GN_DRIVE_TIMEOUTS] &= UINT16_MAX;
	return reading;
}

/* The newest replaces the one before it until that is 24 hours younger than its own elder. */
static void keep(struct gn_drive *drive, const struct gn_drive_reading *reading)
{
	struct gn_drive_reading *readings = drive->readings;
	uint32_t n = drive->n_readings;

	if (n && reading->hours < readings[n - 1].hours)
		n = 0; /* another drive, or its counter began anew */
	if (n > 1 && readings[n - 1].hours < readings[n - 2].hours + KEPT_EVERY_H)
		n--;
	if (n == GN_DRIVE_READINGS) {
		n--;
		memmove(readings, readings + 1, n * sizeof *readings);
	}
	readings[n] = *reading;
	drive->n_readings = n + 1;
}

static bool is_named(const Gnomon__V1__HostDrive *told)
{
	return told->name[0] && strlen(told->name) < GN_DRIVE_NAME_SIZE - sizeof "drives/" + 1 &&
	       strspn(told->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                          "0123456789._-") == strlen(told->name);
}

static void take(struct gn_brain *brain, const Gnomon__V1__HostDrive *told, uint64_t wall_us)
{
	struct gn_drive_reading reading = reading_of(told);
	char name[GN_DRIVE_NAME_SIZE];
	struct gn_drive *drive;
	uint32_t n;

	snprintf(name, sizeof name, "drives/%s", told->name);
	drive = (struct gn_drive *)gn_drives_find(brain, name);
	if (!drive && !(drive = add(&brain->drives)))
		return;
	strcpy(drive->name, name);
	snprintf(drive->device, sizeof drive->device, "%s", told->device);
	drive->size_gb = (int64_t)(told->size_bytes / 1000000000);
	drive->told_us = wall_us;
	n = drive->n_readings;
	if (n && !memcmp(&drive->readings[n - 1], &reading, sizeof reading))
		return;
	keep(drive, &reading);
	save(brain, drive);
}

/* Drives that answer no longer may be about to fail: their alert stays for a while. */
static void forget_others(struct gn_brain *brain, uint64_t wall_us)
{
	struct gn_drives *drives = &brain->drives;
	size_t n = 0;

	for (size_t i = 0; i < drives->n; i++) {
		if (drives->list[i].told_us + FORGET_US > wall_us)
			drives->list[n++] = drives->list[i];
		else
			gn_store_delete(brain->store, "drive", drives->list[i].name);
	}
	drives->n = n;
}

void gn_drives_take(struct gn_brain *brain, const Gnomon__V1__HostInfo *host, uint64_t wall_us)
{
	if (!host->n_drives)
		return; /* its shim may just have started */
	for (size_t i = 0; i < host->n_drives; i++)
		if (is_named(host->drives[i]))
			take(brain, host->drives[i], wall_us);
	forget_others(brain, wall_us);
}

/* ---- hazards -------------------------------------------------------------------------- */

const struct gn_drive *gn_drives_find(const struct gn_brain *brain, const char *name)
{
	for (size_t i = 0; i < brain->drives.n; i++)
		if (!strcmp(brain->drives.list[i].name, name))
			return &brain->drives.list[i];
	return NULL;
}

/* The newest that is 720 hours older than the last, or the oldest. */
static const struct gn_drive_reading *before(const struct gn_drive *drive)
{
	const struct gn_drive_reading *now = &drive->readings[drive->n_readings - 1], *old = now;

	while (old > drive->readings && old->hours > now->hours - LOOK_BACK_H)
		old--;
	return old;
}

int32_t gn_drive_hazard(const struct gn_drive *drive, int32_t features[GN_DRIVE_N_FEATURES])
{
	gn_drive_features(&drive->readings[drive->n_readings - 1], before(drive), drive->size_gb,
	                  features);
	return gn_drive_rule(features);
}

/* What a feature adds: the rule without it says less. */
static void add_sign(Gnomon__V1__Hazard *message, const struct gn_drive *drive,
                     const int32_t features[GN_DRIVE_N_FEATURES], uint32_t feature)
{
	int32_t without[GN_DRIVE_N_FEATURES], adds;
	Gnomon__V1__Hazard__Sign *sign;

	memcpy(without, features, sizeof without);
	without[feature] = 0;
	adds = gn_drive_rule(features) - gn_drive_rule(without);
	if (features[feature] <= 0 || adds <= 0)
		return;
	sign = GN_MESSAGE_NEW(Gnomon__V1__Hazard__Sign, gnomon__v1__hazard__sign__init);
	gn_message_set(&sign->name, "%s", gn_drive_feature_text(feature));
	if (feature < GN_DRIVE_N_ATTRIBUTES)
		gn_message_set(&sign->detail, "%" PRId32 " now", features[feature]);
	else
		gn_message_set(&sign->detail, "%" PRId32 " more within %" PRId64 " hours",
		               features[feature],
		               drive->readings[drive->n_readings - 1].hours - before(drive)->hours);
	sign->level_q8 = (uint32_t)adds;
	sign->log_odds_q8 = adds;
	GN_MESSAGE_APPEND(message->signs, message->n_signs, sign);
}

static int by_weight(const void *a, const void *b)
{
	const Gnomon__V1__Hazard__Sign *const *x = a, *const *y = b;

	return (*y)->log_odds_q8 - (*x)->log_odds_q8;
}

Gnomon__V1__Hazard *gn_drive_message(const struct gn_drive *drive)
{
	Gnomon__V1__Hazard *message = GN_MESSAGE_NEW(Gnomon__V1__Hazard, gnomon__v1__hazard__init);
	Gnomon__V1__Hazard__Horizon *horizon =
	        GN_MESSAGE_NEW(Gnomon__V1__Hazard__Horizon, gnomon__v1__hazard__horizon__init);
	int32_t features[GN_DRIVE_N_FEATURES], hazard = gn_drive_hazard(drive, features);

	gn_message_set(&message->vm, "%s", drive->name);
	message->made_us = drive->told_us;
	horizon->horizon_us = GN_DRIVE_HORIZON_US;
	horizon->probability_q16 = gn_drive_probability_q16(hazard);
	for (uint32_t f = 0; f < 2 * GN_DRIVE_N_ATTRIBUTES; f++)
		add_sign(message, drive, features, f);
	if (message->n_signs) {
		qsort(message->signs, message->n_signs, sizeof *message->signs, by_weight);
		gn_message_set(&horizon->strongest, "%s", message->signs[0]->name);
	}
	GN_MESSAGE_APPEND(message->horizons, message->n_horizons, horizon);
	return message;
}
