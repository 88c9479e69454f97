/* yaml.c - see yaml.h. The text is parsed twice: by libyaml into nodes, which know their lines,
 * and by libcyaml into the struct. libcyaml names the place of an error by the keys around it
 * (its lines are those of what it read before), so the keys are looked up in the nodes. */
#include "firmware/yaml/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "firmware/core/text.h"

#define KEY_SIZE     160
#define MESSAGE_SIZE 256

const cyaml_strval_t gn_yaml_bools[GN_YAML_N_BOOLS] = {
        {"false", 0}, {"no", 0}, {"off", 0}, {"true", 1}, {"yes", 1}, {"on", 1},
};

/* ---- the text ---------------------------------------------------------------------- */

struct source {
	const char *path;
	char *text;
	size_t size_bytes;
	yaml_document_t document;
	bool has_document;
};

static int read_text(struct source *source, const char *name, struct gn_status *status)
{
	FILE *file = fopen(source->path, "re");

	if (!file)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "%s: cannot be opened: %s; give the path of a %s",
		                     source->path, strerror(errno), name);
	source->text = malloc(GN_YAML_MAX_BYTES + 1);
	if (source->text)
		source->size_bytes = fread(source->text, 1, GN_YAML_MAX_BYTES + 1, file);
	if (!source->text)
		gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	else if (ferror(file))
		gn_status_set(status, GN_INVALID_ARGUMENT,
		              "%s: cannot be read: %s; give the path of a %s", source->path,
		              strerror(errno), name);
	else if (source->size_bytes > GN_YAML_MAX_BYTES)
		gn_status_set(status, GN_INVALID_ARGUMENT, "%s: is longer than %u bytes; no %s is",
		              source->path, GN_YAML_MAX_BYTES, name);
	else
		source->text[source->size_bytes] = '\0';
	if (!source->text || ferror(file) || source->size_bytes > GN_YAML_MAX_BYTES) {
		fclose(file);
		return -EINVAL;
	}
	fclose(file);
	return 0;
}

static int refuse_syntax(const struct source *source, const yaml_parser_t *parser,
                         struct gn_status *status)
{
	return gn_status_set(status, GN_INVALID_ARGUMENT, "%s:%zu: is not YAML: %s", source->path,
	                     parser->problem_mark.line + 1,
	                     parser->problem ? parser->problem : "out of memory");
}

/* Whether nothing but the end follows the first document. */
static int check_end(const struct source *source, yaml_parser_t *parser, struct gn_status *status)
{
	yaml_document_t next;
	bool is_end;
	size_t line;

	if (!yaml_parser_load(parser, &next))
		return refuse_syntax(source, parser, status);
	is_end = yaml_document_get_root_node(&next) == NULL;
	line = next.start_mark.line + 1;
	yaml_document_delete(&next);
	if (is_end)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "%s:%zu: a second document begins here; put everything into one",
	                     source->path, line);
}

static int parse(struct source *source, const char *name, struct gn_status *status)
{
	yaml_parser_t parser;
	int err = 0;

	if (!yaml_parser_initialize(&parser))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)source->text,
	                             source->size_bytes);
	source->has_document = yaml_parser_load(&parser, &source->document);
	if (!source->has_document)
		err = refuse_syntax(source, &parser, status);
	else if (!yaml_document_get_root_node(&source->document))
		err = gn_status_set(status, GN_INVALID_ARGUMENT,
		                    "%s: is empty; give the path of a %s", source->path, name);
	else
		err = check_end(source, &parser, status);
	yaml_parser_delete(&parser);
	return err;
}

static void close_source(struct source *source)
{
	if (source->has_document)
		yaml_document_delete(&source->document);
	free(source->text);
}

/* ---- lines ------------------------------------------------------------------------- */

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The last of that name: the one that is too many, when it was given twice. */
static yaml_node_t *find_member(yaml_document_t *document, const yaml_node_t *mapping,
                                const char *name, size_t length, size_t *line)
{
	yaml_node_pair_t *pair;

	if (mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (pair = mapping->data.mapping.pairs.top; pair-- > mapping->data.mapping.pairs.start;) {
		const yaml_node_t *key = yaml_document_get_node(document, pair->key);

		if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == length &&
		    memcmp(key->data.scalar.value, name, length) == 0) {
			*line = key->start_mark.line + 1;
			return yaml_document_get_node(document, pair->value);
		}
	}
	return NULL;
}

static yaml_node_t *find_item(yaml_document_t *document, const yaml_node_t *sequence,
                              unsigned long index, size_t *line)
{
	yaml_node_t *item;

	if (sequence->type != YAML_SEQUENCE_NODE ||
	    index >= (unsigned long)(sequence->data.sequence.items.top -
	                             sequence->data.sequence.items.start))
		return NULL;
	item = yaml_document_get_node(document, sequence->data.sequence.items.start[index]);
	*line = item->start_mark.line + 1;
	return item;
}

/* Of "a.b[2].c", or of as much of it as there is; 0: not even of "a". */
static size_t line_of(struct source *source, const char *key)
{
	yaml_node_t *node = yaml_document_get_root_node(&source->document);
	size_t line = 0;

	while (node && *key) {
		if (*key == '[') {
			char *end;
			unsigned long index = strtoul(key + 1, &end, 10);

			node = *end == ']' ? find_item(&source->document, node, index, &line)
			                   : NULL;
			key = *end == ']' ? end + 1 : "";
		} else {
			size_t length = 0;

			key += *key == '.';
			while (is_key_char(key[length]))
				length++;
			node = find_member(&source->document, node, key, length, &line);
			key += length;
			if (*key != '.' && *key != '[')
				break;
		}
	}
	return line;
}

/* Puts the file, and the line of the key that the message begins with, in front of it. */
static int place(struct source *source, const struct gn_status *why, struct gn_status *status)
{
	size_t line = line_of(source, why->message);

	if (line)
		return gn_status_set(status, why->code, "%s:%zu: %.400s", source->path, line,
		                     why->message);
	return gn_status_set(status, why->code, "%s: %.400s", source->path, why->message);
}

/* ---- what libcyaml says -------------------------------------------------------------- */

/* Its first message, and the keys around the error, which follow from the inside out. */
struct complaint {
	char text[MESSAGE_SIZE];
	char key[KEY_SIZE];
	bool skips; /* the next place: it is the field read before, not one around the error */
};

static void put_around(struct complaint *complaint, const char *outer, bool is_index)
{
	char inner[KEY_SIZE];
	const char *dot = is_index || !complaint->key[0] || complaint->key[0] == '[' ? "" : ".";

	memcpy(inner, complaint->key, sizeof inner);
	if (is_index)
		snprintf(complaint->key, KEY_SIZE, "[%lu]%s%.*s", strtoul(outer, NULL, 10) - 1,
		         inner[0] && inner[0] != '[' ? "." : "", KEY_SIZE - 32, inner);
	else
		snprintf(complaint->key, KEY_SIZE, "%.60s%s%.*s", outer, dot, KEY_SIZE - 64, inner);
}

/* "  in mapping field 'vlan' (line: ...", "  in sequence entry '2' (line: ..." */
static void add_place(struct complaint *complaint, char *line)
{
	bool is_index = strncmp(line, "  in sequence entry", 19) == 0;
	char *name = strchr(line, '\'');
	char *end = name ? strchr(name + 1, '\'') : NULL;

	if (complaint->skips || !end) {
		complaint->skips = false;
		return;
	}
	*end = '\0';
	put_around(complaint, name + 1, is_index);
}

/* In the words of this project's messages. */
static void say(struct complaint *complaint, const char *message)
{
	const char *text = strncmp(message, "Load: ", 6) ? message : message + 6;
	const char *detail = strchr(text, ':');

	detail = detail && detail[1] == ' ' ? detail + 2 : "";
	if (strncmp(text, "Unexpected key", 14) == 0) {
		snprintf(complaint->text, MESSAGE_SIZE, "is no known key");
		put_around(complaint, detail, false);
		complaint->skips = true;
	} else if (strncmp(text, "Missing required", 16) == 0) {
		snprintf(complaint->text, MESSAGE_SIZE, "is missing; it must be given");
		put_around(complaint, detail, false);
		complaint->skips = true;
	} else if (strncmp(text, "Mapping field already", 21) == 0) {
		snprintf(complaint->text, MESSAGE_SIZE, "is given twice; remove one");
	} else if (strncmp(text, "Invalid", 7) == 0) {
		snprintf(complaint->text, MESSAGE_SIZE, "is %s%.200s%s, which it cannot be",
		         detail[0] == '\'' ? "" : "'", detail, detail[0] == '\'' ? "" : "'");
	} else {
		snprintf(complaint->text, MESSAGE_SIZE, "%.200s", text);
	}
}

static void hear(cyaml_log_t level, void *context, const char *format, va_list args)
{
	struct complaint *complaint = context;
	char line[MESSAGE_SIZE];

	if (level < CYAML_LOG_ERROR)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(line, sizeof line, format, args);
#pragma GCC diagnostic pop
	line[strcspn(line, "\n")] = '\0';
	if (!complaint->text[0])
		say(complaint, line);
	else if (!strstr(line, "Backtrace"))
		add_place(complaint, line);
}

static cyaml_config_t loader(struct complaint *complaint)
{
	*complaint = (struct complaint){.skips = false};
	return (cyaml_config_t){
	        .log_fn = hear,
	        .log_ctx = complaint,
	        .mem_fn = cyaml_mem,
	        .log_level = CYAML_LOG_ERROR,
	};
}

/* The schema of the value at 'key', which is that of "a.b[2].c"; NULL: there is none. */
static const cyaml_schema_value_t *schema_of(const cyaml_schema_value_t *schema, const char *key)
{
	const cyaml_schema_field_t *field;
	size_t length = 0;

	if (!*key)
		return schema;
	if (*key == '[') {
		key += strcspn(key, "]");
		return *key && (schema->type == CYAML_SEQUENCE)
		               ? schema_of(schema->sequence.entry, key + 1)
		               : NULL;
	}
	key += *key == '.';
	while (is_key_char(key[length]))
		length++;
	if (schema->type != CYAML_MAPPING || !length)
		return NULL;
	for (field = schema->mapping.fields; field->key; field++)
		if (strlen(field->key) == length && memcmp(field->key, key, length) == 0)
			return schema_of(&field->value, key + length);
	return NULL;
}

static const cyaml_schema_value_t *mapping_around(const cyaml_schema_value_t *schema,
                                                  const char *key)
{
	char parent[KEY_SIZE];
	char *dot;

	memcpy(parent, key, sizeof parent);
	dot = strrchr(parent, '.');
	parent[dot ? dot - parent : 0] = '\0';
	schema = schema_of(schema, parent);
	return schema && schema->type == CYAML_MAPPING ? schema : NULL;
}

/* What could be there instead: a mapping's keys, an enumeration's words, the largest number. */
static void list_choices(const cyaml_schema_value_t *schema, struct complaint *complaint)
{
	const cyaml_schema_value_t *value = schema_of(schema, complaint->key);
	const cyaml_schema_value_t *around = value ? NULL : mapping_around(schema, complaint->key);
	size_t used = strlen(complaint->text);
	struct gn_text text;
	uint32_t i;

	gn_text_init(&text, complaint->text + used, sizeof complaint->text - used);
	for (i = 0; value && value->type == CYAML_ENUM && i < value->enumeration.count; i++) {
		gn_text_add(&text, i ? ", " : "; give one of ");
		gn_text_add(&text, value->enumeration.strings[i].str);
	}
	if (value && value->type == CYAML_UINT) {
		gn_text_add(&text, "; give a whole number up to ");
		gn_text_add_int(&text,
		                (int64_t)(UINT64_MAX >> (64 - 8 * value->data_size) & INT64_MAX));
	}
	for (i = 0; around && around->mapping.fields[i].key; i++) {
		gn_text_add(&text, i ? ", " : "; here are known: ");
		gn_text_add(&text, around->mapping.fields[i].key);
	}
}

static int refuse_content(const struct gn_yaml_format *format, struct source *source,
                          cyaml_err_t error, struct complaint *complaint, struct gn_status *status)
{
	struct gn_status why;

	if (!complaint->text[0])
		return gn_status_set(status, GN_INVALID_ARGUMENT, "%s: %s", source->path,
		                     cyaml_strerror(error));
	list_choices(format->schema, complaint);
	gn_status_set(&why, GN_INVALID_ARGUMENT, "%s%s%s", complaint->key,
	              complaint->key[0] ? " " : "", complaint->text);
	return place(source, &why, status);
}

/* ---- the door ------------------------------------------------------------------------ */

static int load(const struct gn_yaml_format *format, struct source *source, void **out,
                struct gn_status *status)
{
	struct complaint complaint;
	cyaml_config_t config = loader(&complaint);
	struct gn_status why = {.code = GN_INVALID_ARGUMENT};
	void *loaded = NULL;
	cyaml_err_t error;
	int err = read_text(source, format->name, status);

	if (!err)
		err = parse(source, format->name, status);
	if (err)
		return err;
	error = cyaml_load_data((const uint8_t *)source->text, source->size_bytes, &config,
	                        format->schema, &loaded, NULL);
	if (error != CYAML_OK)
		return refuse_content(format, source, error, &complaint, status);
	err = format->check ? format->check(loaded, &why) : 0;
	if (err) {
		gn_yaml_free(format, loaded);
		return place(source, &why, status);
	}
	*out = loaded;
	return 0;
}

int gn_yaml_load(const struct gn_yaml_format *format, const char *path, void **out,
                 struct gn_status *status)
{
	struct source source = {.path = path};
	int err = load(format, &source, out, status);

	close_source(&source);
	return err;
}

void gn_yaml_free(const struct gn_yaml_format *format, void *loaded)
{
	struct complaint complaint;
	cyaml_config_t config = loader(&complaint);

	if (loaded)
		cyaml_free(&config, format->schema, loaded, 0);
}

int gn_yaml_check_ranges(const struct gn_yaml_range *ranges, unsigned n, struct gn_status *status)
{
	for (unsigned i = 0; i < n; i++)
		if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
			return gn_status_set(status, GN_OUT_OF_RANGE,
			                     "%s is %llu; give %llu to %llu", ranges[i].key,
			                     (unsigned long long)ranges[i].value,
			                     (unsigned long long)ranges[i].least,
			                     (unsigned long long)ranges[i].most);
	return 0;
}
