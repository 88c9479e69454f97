/* profile.c - offsets from BTF (profile.h). The only user of libbpf in this process. */
#include "firmware/introspect/profile.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define MAX_DEPTH   8          /* of nested anonymous members, and of qualifiers */
#define MAX_MEMBERS (1u << 20) /* looked at for one kernel; a real one needs some 20,000 */

/* Anonymous members of anonymous members can be few bytes and more places than there are atoms, so
 * what may be looked at is counted. */
struct types {
	const struct btf *btf;
	uint32_t n_left;
};

struct place {
	uint32_t type;
	uint32_t bits;
	bool is_bitfield;
};

struct rule {
	const char *container;
	const char *name;
	size_t at; /* of the uint32_t in struct gn_profile */
};

#define FIELD(field, container, path) {container, path, offsetof(struct gn_profile, at.field)},
#define SIZE(field, container)        {container, NULL, offsetof(struct gn_profile, size.field)},
#define VALUE(field, container, name) {container, name, offsetof(struct gn_profile, value.field)},
#define PERCPU(field)                 {NULL, #field, offsetof(struct gn_profile, percpu.field)},
static const struct rule field_rules[] = {GN_PROFILE_FIELDS(FIELD)};
static const struct rule size_rules[] = {GN_PROFILE_SIZES(SIZE)};
static const struct rule value_rules[] = {GN_PROFILE_VALUES(VALUE)};
static const struct rule percpu_rules[] = {GN_PROFILE_PERCPU(PERCPU)};
#define COUNT(rules) (sizeof(rules) / sizeof(rules)[0])

static void set(struct gn_profile *profile, const struct rule *rule, uint32_t value)
{
	memcpy((uint8_t *)profile + rule->at, &value, sizeof value);
}

/* ---- members ------------------------------------------------------------------------------ */

static const struct btf_type *strip(const struct btf *btf, uint32_t *id)
{
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		const struct btf_type *t = btf__type_by_id(btf, *id);

		if (!t || !(btf_is_mod(t) || btf_is_typedef(t)))
			return t;
		*id = t->type;
	}
	return NULL;
}

static bool find_member(struct types *types, uint32_t id, const char *name, size_t length,
                        int depth, struct place *out)
{
	const struct btf *btf = types->btf;
	const struct btf_type *t = strip(btf, &id);
	const struct btf_member *m;

	if (!t || !btf_is_composite(t) || depth == MAX_DEPTH)
		return false;
	m = btf_members(t);
	for (uint16_t i = 0; i < btf_vlen(t) && types->n_left; i++) {
		const char *text = btf__name_by_offset(btf, m[i].name_off);
		uint32_t bits = btf_member_bit_offset(t, i);

		types->n_left--;
		if (text && *text) {
			if (strlen(text) != length || memcmp(text, name, length) != 0)
				continue;
			*out = (struct place){m[i].type, bits, btf_member_bitfield_size(t, i) != 0};
			return true;
		}
		if (find_member(types, m[i].type, name, length, depth + 1, out)) {
			out->bits += bits;
			return true;
		}
	}
	return false;
}

static bool resolve(struct types *types, const char *container, const char *path, struct place *out)
{
	int32_t id = btf__find_by_name_kind(types->btf, container, BTF_KIND_STRUCT);
	struct place place = {.type = (uint32_t)id};

	while (id > 0 && *path) {
		size_t length = strcspn(path, ".");
		struct place next;

		if (!find_member(types, place.type, path, length, 0, &next))
			return false;
		next.bits += place.bits;
		place = next;
		path += length + (path[length] == '.');
	}
	*out = place;
	return id > 0;
}

static void load_fields(struct types *types, struct gn_profile *out)
{
	const struct btf *btf = types->btf;

	for (size_t i = 0; i < COUNT(field_rules); i++) {
		const struct rule *rule = &field_rules[i];
		struct place place;

		if (!resolve(types, rule->container, rule->name, &place) ||
		    place.bits / 8 > GN_PROFILE_MAX_OFFSET)
			continue;
		if (place.is_bitfield)
			set(out, rule, place.bits);
		else if (place.bits % 8 == 0)
			set(out, rule, place.bits / 8);
	}
	for (size_t i = 0; i < COUNT(size_rules); i++) {
		int32_t id = btf__find_by_name_kind(btf, size_rules[i].container, BTF_KIND_STRUCT);
		const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

		if (t && t->size && t->size <= GN_PROFILE_MAX_OFFSET)
			set(out, &size_rules[i], t->size);
	}
}

/* ---- enumerations, per-CPU variables -------------------------------------------------------- */

static void load_values(const struct btf *btf, struct gn_profile *out)
{
	for (size_t i = 0; i < COUNT(value_rules); i++) {
		int32_t id = btf__find_by_name_kind(btf, value_rules[i].container, BTF_KIND_ENUM);
		const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

		for (uint16_t k = 0; t && k < btf_vlen(t); k++) {
			const struct btf_enum *e = &btf_enum(t)[k];
			const char *text = btf__name_by_offset(btf, e->name_off);

			if (text && !strcmp(text, value_rules[i].name) && e->val >= 0 &&
			    e->val < 4096)
				set(out, &value_rules[i], (uint32_t)e->val);
		}
	}
}

static void load_percpu(const struct btf *btf, struct gn_profile *out)
{
	int32_t id = btf__find_by_name_kind(btf, ".data..percpu", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (uint16_t i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *info = &btf_var_secinfos(section)[i];
		const struct btf_type *var = btf__type_by_id(btf, info->type);
		const char *text = var ? btf__name_by_offset(btf, var->name_off) : NULL;

		for (size_t k = 0; text && k < COUNT(percpu_rules); k++)
			if (!strcmp(text, percpu_rules[k].name) &&
			    info->offset < GN_PROFILE_MAX_OFFSET)
				set(out, &percpu_rules[k], info->offset);
	}
}

/* libbpf would print what it finds wrong in a guest's bytes. */
static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int gn_profile_load(const void *btf_bytes, size_t size, struct gn_profile *out)
{
	struct gn_profile profile;
	struct types types = {.n_left = MAX_MEMBERS};
	struct place place;
	struct btf *btf;

	if (size > GN_PROFILE_MAX_BTF)
		return -EBADMSG;
	libbpf_set_print(say_nothing);
	btf = btf__new(btf_bytes, (uint32_t)size);
	if (!btf)
		return -EBADMSG;
	memset(&profile, 0xff, sizeof profile);
	types.btf = btf;
	load_fields(&types, &profile);
	load_values(btf, &profile);
	load_percpu(btf, &profile);
	profile.is_arm64 = resolve(&types, "pt_regs", "pstate", &place);
	btf__free(btf);
	if (profile.at.task_tasks == GN_PROFILE_ABSENT ||
	    profile.at.task_pid == GN_PROFILE_ABSENT || profile.at.task_comm == GN_PROFILE_ABSENT ||
	    profile.at.task_signal == GN_PROFILE_ABSENT)
		return -ENOENT;
	*out = profile;
	return 0;
}
