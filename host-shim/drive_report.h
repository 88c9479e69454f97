/* drive_report.h - what smartctl says of a drive, as a plain struct. The adapter for jansson.
 * Strings only: no files, no drive is touched. Any thread. */
#ifndef GN_SHIM_DRIVE_REPORT_H
#define GN_SHIM_DRIVE_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include "firmware/core/status.h"

#define GN_DRIVE_ATTRIBUTES_MAX 64
#define GN_DRIVE_TEXT_SIZE      64

struct gn_drive_report {
	char name[GN_DRIVE_TEXT_SIZE];   /* the serial number, all but [A-Za-z0-9._-] as '_' */
	char device[GN_DRIVE_TEXT_SIZE]; /* "/dev/sda" */
	char model[GN_DRIVE_TEXT_SIZE];
	uint64_t size_bytes; /* 0: not told */
	uint64_t power_on_hours;
	unsigned n_attributes;
	struct {
		uint32_t id; /* of SMART; of an NVMe drive, those that mean the same */
		uint64_t raw;
	} attributes[GN_DRIVE_ATTRIBUTES_MAX];
};

/* 'text': the output of 'smartctl --json --all DEVICE', at most 1 MiB. GN_INVALID_ARGUMENT: it is
 * not, or the drive told neither a serial number nor how long it has run. */
int gn_drive_report_parse(const char *text, size_t size, struct gn_drive_report *out,
                          struct gn_status *status);

#endif
