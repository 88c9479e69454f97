/* policy_file.c - reads the rules of a replayed policy: libcyaml with a schema, so unknown or
 * mistyped keys fail. */
#include "tools/replay/policy_file.h"

#include <stdio.h>
#include "firmware/yaml/yaml.h"

static const cyaml_strval_t resources[] = {
        {"cpu", GN_RESOURCE_CPU},
        {"memory", GN_RESOURCE_MEMORY},
        {"network_rx", GN_RESOURCE_NETWORK_RX},
        {"network_tx", GN_RESOURCE_NETWORK_TX},
        {"disk_read", GN_RESOURCE_DISK_READ},
        {"disk_write", GN_RESOURCE_DISK_WRITE},
        {"disk_operations", GN_RESOURCE_DISK_OPERATIONS},
};

#define NUMBER(key, field) CYAML_FIELD_FLOAT(key, CYAML_FLAG_OPTIONAL, struct gn_policy_file, field)
#define WHOLE(key, field)  CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, struct gn_policy_file, field)

static const cyaml_schema_field_t fields[] = {
        CYAML_FIELD_ENUM("resource", CYAML_FLAG_STRICT, struct gn_policy_file, resource, resources,
                         CYAML_ARRAY_LEN(resources)),
        WHOLE("quantile_milli", quantile_milli),
        WHOLE("horizon_us", horizon_us),
        NUMBER("minimum", minimum),
        NUMBER("maximum", maximum),
        NUMBER("step", step),
        NUMBER("max_change", max_change),
        NUMBER("initial", initial),
        WHOLE("headroom_milli", headroom_milli),
        WHOLE("dead_band_milli", dead_band_milli),
        WHOLE("cooldown_us", cooldown_us),
        WHOLE("shrink_after_us", shrink_after_us),
        CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_policy_file, fields)};

static const struct gn_yaml_format format = {.name = "policy file", .schema = &schema};

int gn_policy_file_read(const char *path, struct gn_policy_file *out)
{
	struct gn_policy_file *read = NULL;
	struct gn_status status;
	int err = gn_yaml_load(&format, path, (void **)&read, &status);

	if (err) {
		fprintf(stderr, "gnomon-replay: %s\n", status.message);
		return err;
	}
	*out = *read;
	gn_yaml_free(&format, read);
	return 0;
}

static void set_whole(uint64_t given, uint64_t *rule)
{
	if (given)
		*rule = given;
}

static void set_share(uint64_t given, uint32_t *rule)
{
	if (given)
		*rule = (uint32_t)given;
}

/* In the trace's integers; a number that was not given is 'otherwise'. */
static int64_t scaled(double number, int64_t scale, int64_t otherwise)
{
	return number > 0 ? (int64_t)(number * (double)scale + 0.5) : otherwise;
}

void gn_policy_file_rules(const struct gn_policy_file *file, int64_t scale,
                          struct gn_policy_rules *rules)
{
	*rules = gn_policy_defaults[file->resource];
	set_share(file->quantile_milli, &rules->quantile_milli);
	set_whole(file->horizon_us, &rules->horizon_us);
	set_share(file->headroom_milli, &rules->headroom_milli);
	set_share(file->dead_band_milli, &rules->dead_band_milli);
	set_whole(file->cooldown_us, &rules->cooldown_us);
	set_whole(file->shrink_after_us, &rules->shrink_after_us);
	/* The defaults' amounts are in the card's units, which the file's columns need not have. */
	rules->step = scaled(file->step, scale, scale / 100 ? scale / 100 : 1);
	rules->minimum = scaled(file->minimum, scale, 0);
	rules->maximum = scaled(file->maximum, scale, 0);
	rules->max_change = scaled(file->max_change, scale, 0);
}
