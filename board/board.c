/* board.c - see board.h. The schema below is the documentation of board.yaml. */
#include "board/board.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cyaml_strval_t idle_values[] = {
        {"poll", GN_BOARD_POLL},
        {"backoff", GN_BOARD_BACKOFF},
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
        CYAML_FIELD_ENUM("idle", CYAML_FLAG_DEFAULT, struct gn_board, idle, idle_values,
                         CYAML_ARRAY_LEN(idle_values)),
        CYAML_FIELD_UINT("main_lcore", CYAML_FLAG_DEFAULT, struct gn_board, main_lcore),
        CYAML_FIELD_SEQUENCE("workers", CYAML_FLAG_POINTER, struct gn_board, workers, &lcore_schema,
                             0, 64),
        CYAML_FIELD_BOOL("hugepages", CYAML_FLAG_DEFAULT, struct gn_board, hugepages),
        CYAML_FIELD_UINT("memory_mib", CYAML_FLAG_DEFAULT, struct gn_board, memory_mib),
        CYAML_FIELD_UINT("mbufs", CYAML_FLAG_DEFAULT, struct gn_board, mbufs),
        CYAML_FIELD_SEQUENCE("uplinks", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gn_board,
                             uplinks, &uplink_schema, 0, 16),
        CYAML_FIELD_SEQUENCE("eal_args", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gn_board,
                             eal_args, &argument_schema, 0, 32),
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t board_schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct gn_board, board_fields),
};

/* Keeps libcyaml's first error line and the innermost place of its backtrace. */
static void keep_message(cyaml_log_t level, void *context, const char *format, va_list args)
{
	char *text = context;
	size_t used = strlen(text);

	if (level < CYAML_LOG_ERROR || strstr(format, "Backtrace") || strchr(text, '('))
		return;
	vsnprintf(text + used, 256 - used, format, args);
	text[strcspn(text, "\n")] = '\0';
}

static const cyaml_config_t *loader(char *text, cyaml_config_t *config)
{
	text[0] = '\0';
	*config = (cyaml_config_t){
	        .log_fn = keep_message,
	        .log_ctx = text,
	        .mem_fn = cyaml_mem,
	        .log_level = CYAML_LOG_ERROR,
	};
	return config;
}

static int check_lcores(const struct gn_board *b, const char *path, struct gn_status *status)
{
	if (b->workers_count == 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s: workers is empty: name at least one lcore", path);
	for (unsigned i = 0; i < b->workers_count; i++) {
		if (b->workers[i] > 127)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "%s: worker lcore %u: give one from 0 to 127", path,
			                     b->workers[i]);
		if (b->workers[i] == b->main_lcore)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "%s: lcore %u is main_lcore and a worker: the main "
			                     "lcore serves control, give the worker another",
			                     path, b->workers[i]);
		for (unsigned j = 0; j < i; j++)
			if (b->workers[i] == b->workers[j])
				return gn_status_set(status, GN_INVALID_ARGUMENT,
				                     "%s: worker lcore %u is listed twice", path,
				                     b->workers[i]);
	}
	return 0;
}

static int check(const struct gn_board *b, const char *path, struct gn_status *status)
{
	if (b->main_lcore > 127)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "%s: main_lcore %u: give one from 0 to 127", path,
		                     b->main_lcore);
	if (b->memory_mib < 64 || b->memory_mib > 1048576)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "%s: memory_mib %u: give 64 to 1048576", path, b->memory_mib);
	if (b->mbufs < 1024 || b->mbufs > 16777216)
		return gn_status_set(status, GN_OUT_OF_RANGE, "%s: mbufs %u: give 1024 to 16777216",
		                     path, b->mbufs);
	for (unsigned i = 0; i < b->uplinks_count; i++)
		if (b->uplinks[i].vlan > 4094)
			return gn_status_set(
			        status, GN_OUT_OF_RANGE,
			        "%s: uplink %s: vlan %u: give 1 to 4094, or 0 for a trunk", path,
			        b->uplinks[i].name, b->uplinks[i].vlan);
	return check_lcores(b, path, status);
}

int gn_board_load(const char *path, struct gn_board **out, struct gn_status *status)
{
	char text[256];
	cyaml_config_t config;
	struct gn_board *board = NULL;
	cyaml_err_t error = cyaml_load_file(path, loader(text, &config), &board_schema,
	                                    (cyaml_data_t **)&board, NULL);
	int rc;

	if (error == CYAML_ERR_FILE_OPEN)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "%s: cannot be opened: give the path of a board.yaml", path);
	if (error != CYAML_OK || !board)
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%s: %s", path,
		                     text[0] ? text : cyaml_strerror(error));
	rc = check(board, path, status);
	if (rc) {
		gn_board_free(board);
		return rc;
	}
	*out = board;
	return 0;
}

void gn_board_free(struct gn_board *board)
{
	char text[256];
	cyaml_config_t config;

	if (board)
		cyaml_free(loader(text, &config), &board_schema, board, 0);
}
