/* board.c - see board.h. The schema below is the documentation of board.yaml. */
#include "board/board.h"

#include "firmware/yaml/yaml.h"

#define GN_BOARD_MAX_LCORE 127u

static const cyaml_strval_t idle_values[] = {
        {"poll", GN_BOARD_POLL},
        {"backoff", GN_BOARD_BACKOFF},
};

#define X(name, word) {word, 1u << GN_BOARD_CAN_##name},
static const cyaml_strval_t capability_words[] = {GN_BOARD_CAPABILITIES(X)};
#undef X
static const cyaml_strval_t flash_words[] = {
        {"none", GN_BOARD_FLASH_NONE},
        {"disk", GN_BOARD_FLASH_DISK},
        {"bfb", GN_BOARD_FLASH_BFB},
};

static const cyaml_schema_field_t uplink_fields[] = {
        CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct gn_board_uplink, name, 1, 48),
        CYAML_FIELD_STRING_PTR("devargs", CYAML_FLAG_POINTER, struct gn_board_uplink, devargs, 1,
                               255),
        CYAML_FIELD_UINT("vlan", CYAML_FLAG_OPTIONAL, struct gn_board_uplink, vlan),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t uplink_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct gn_board_uplink, uplink_fields),
};
static const cyaml_schema_value_t lcore_schema = {
        CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t),
};
static const cyaml_schema_value_t argument_schema = {
        CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 255),
};

static const cyaml_schema_field_t board_fields[] = {
        CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct gn_board, name, 1, 32),
        CYAML_FIELD_STRING_PTR("compatible", CYAML_FLAG_POINTER, struct gn_board, compatible, 1,
                               64),
        CYAML_FIELD_ENUM("idle", CYAML_FLAG_STRICT, struct gn_board, idle, idle_values,
                         CYAML_ARRAY_LEN(idle_values)),
        CYAML_FIELD_UINT("main_lcore", CYAML_FLAG_DEFAULT, struct gn_board, main_lcore),
        CYAML_FIELD_SEQUENCE("workers", CYAML_FLAG_POINTER, struct gn_board, workers, &lcore_schema,
                             0, 64),
        GN_YAML_BOOL("hugepages", CYAML_FLAG_DEFAULT, struct gn_board, hugepages),
        CYAML_FIELD_UINT("memory_mib", CYAML_FLAG_DEFAULT, struct gn_board, memory_mib),
        CYAML_FIELD_UINT("mbufs", CYAML_FLAG_DEFAULT, struct gn_board, mbufs),
        CYAML_FIELD_SEQUENCE("uplinks", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gn_board,
                             uplinks, &uplink_schema, 0, 16),
        CYAML_FIELD_SEQUENCE("eal_args", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gn_board,
                             eal_args, &argument_schema, 0, 32),
        CYAML_FIELD_FLAGS("capabilities", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct gn_board,
                          can, capability_words, CYAML_ARRAY_LEN(capability_words)),
        CYAML_FIELD_ENUM("flash", CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, struct gn_board, flash,
                         flash_words, CYAML_ARRAY_LEN(flash_words)),
        CYAML_FIELD_SEQUENCE("drivers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gn_board,
                             drivers, &argument_schema, 0, 16),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t board_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_board, board_fields),
};

static int check_lcores(const struct gn_board *b, struct gn_status *status)
{
	if (b->workers_count == 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "workers is empty; name at least one lcore");
	for (unsigned i = 0; i < b->workers_count; i++) {
		if (b->workers[i] > GN_BOARD_MAX_LCORE)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "workers[%u] is %u; give one from 0 to %u", i,
			                     b->workers[i], GN_BOARD_MAX_LCORE);
		if (b->workers[i] == b->main_lcore)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "workers[%u] is %u, which is main_lcore; that one "
			                     "serves control, give the worker another",
			                     i, b->workers[i]);
		for (unsigned j = 0; j < i; j++)
			if (b->workers[i] == b->workers[j])
				return gn_status_set(status, GN_INVALID_ARGUMENT,
				                     "workers[%u] is %u, which is listed before; "
				                     "give each lcore once",
				                     i, b->workers[i]);
	}
	return 0;
}

static int check(void *loaded, struct gn_status *status)
{
	const struct gn_board *b = loaded;
	const struct gn_yaml_range ranges[] = {
	        {"main_lcore", b->main_lcore, 0, GN_BOARD_MAX_LCORE},
	        {"memory_mib", b->memory_mib, 64, 1048576},
	        {"mbufs", b->mbufs, 1024, 16777216},
	};
	int err = gn_yaml_check_ranges(ranges, 3, status);

	for (unsigned i = 0; i < b->uplinks_count && !err; i++)
		if (b->uplinks[i].vlan > 4094)
			err = gn_status_set(
			        status, GN_OUT_OF_RANGE,
			        "uplinks[%u].vlan is %u; give 1 to 4094, or 0 for a trunk", i,
			        b->uplinks[i].vlan);
	return err ? err : check_lcores(b, status);
}

static const struct gn_yaml_format format = {
        .name = "board.yaml",
        .schema = &board_schema,
        .check = check,
};

int gn_board_load(const char *path, struct gn_board **out, struct gn_status *status)
{
	return gn_yaml_load(&format, path, (void **)out, status);
}

void gn_board_free(struct gn_board *board)
{
	gn_yaml_free(&format, board);
}
