/* yaml.h - a configuration file into a struct: the one adapter to libcyaml and libyaml.
 *
 * A program declares its schema with libcyaml's macros, and a check for what a schema cannot
 * say. Whatever is wrong comes back as "FILE:LINE: KEY: what is wrong; what to do", whether
 * libyaml, libcyaml or the check found it. Unknown keys, keys given twice, a second document and
 * files over GN_YAML_MAX_BYTES fail.
 *
 * No state; any thread. What is loaded is the caller's until gn_yaml_free(). */
#ifndef GN_YAML_H
#define GN_YAML_H

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stdint.h>
#include "firmware/core/status.h"

#define GN_YAML_MAX_BYTES (1u << 20)

/* One kind of file. */
struct gn_yaml_format {
	const char *name;                   /* "gnomond.yaml" */
	const cyaml_schema_value_t *schema; /* CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, ...) */
	/* Fills in defaults (members that are pointers by malloc) and checks. A message that
	 * begins with a key's path ("store.raw_s is 5; ...", "vms[2].nics[0].vlan ...") gets
	 * that key's line. NULL allowed. */
	int (*check)(void *loaded, struct gn_status *status);
};

/* 0, or what gn_status_set() returned, with a sentence: GN_NOT_FOUND when 'path' cannot be
 * opened, GN_INVALID_ARGUMENT, or the check's code. */
int gn_yaml_load(const struct gn_yaml_format *format, const char *path, void **out,
                 struct gn_status *status);
void gn_yaml_free(const struct gn_yaml_format *format, void *loaded); /* NULL is fine */

/* For checks: numbers and their ranges. -ERANGE: the first that is out of its own. */
struct gn_yaml_range {
	const char *key;
	uint64_t value, least, most;
};
int gn_yaml_check_ranges(const struct gn_yaml_range *ranges, unsigned n, struct gn_status *status);

/* A bool that is true or false; libcyaml's own takes every word but "false", "no", "0" and
 * "disable" for true, "off" included. */
extern const cyaml_strval_t gn_yaml_bools[];
#define GN_YAML_N_BOOLS 6
#define GN_YAML_BOOL(key, flags, type, member)                                                     \
	CYAML_FIELD_ENUM(key, (flags) | CYAML_FLAG_STRICT, type, member, gn_yaml_bools,            \
	                 GN_YAML_N_BOOLS)

#endif
