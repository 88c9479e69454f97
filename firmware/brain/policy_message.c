/* policy_message.c - see policy_message.h. */
#include "firmware/brain/policy_message.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "firmware/message/message.h"

/* Every field once: in the message and in the rules. */
#define FIELDS(X)                                                                                  \
	X(quantile_milli)                                                                          \
	X(horizon_us)                                                                              \
	X(minimum)                                                                                 \
	X(maximum)                                                                                 \
	X(step)                                                                                    \
	X(headroom_milli)                                                                          \
	X(dead_band_milli)                                                                         \
	X(cooldown_us)                                                                             \
	X(shrink_after_us)                                                                         \
	X(max_change)

Gnomon__V1__Policy *gn_policy_message(const char *vm, enum gn_policy_mode mode,
                                      const struct gn_policy_rules rules[GN_RESOURCE_END])
{
	Gnomon__V1__Policy *policy = GN_MESSAGE_NEW(Gnomon__V1__Policy, gnomon__v1__policy__init);
	unsigned i;

	gn_message_set(&policy->name, "%s/policy", vm);
	policy->mode = (Gnomon__V1__Mode)mode;
	for (i = 1; i < GN_RESOURCE_END; i++) {
		Gnomon__V1__ResourcePolicy *r = GN_MESSAGE_NEW(Gnomon__V1__ResourcePolicy,
		                                               gnomon__v1__resource_policy__init);

		r->resource = (Gnomon__V1__Resource)i;
#define TO_MESSAGE(field) r->field = rules[i].field;
		FIELDS(TO_MESSAGE)
#undef TO_MESSAGE
		GN_MESSAGE_APPEND(policy->resources, policy->n_resources, r);
	}
	return policy;
}

static const Gnomon__V1__ResourcePolicy *find(const Gnomon__V1__Policy *policy,
                                              enum gn_resource resource)
{
	size_t i;

	for (i = 0; i < policy->n_resources; i++)
		if ((enum gn_resource)policy->resources[i]->resource == resource)
			return policy->resources[i];
	return NULL;
}

static void copy_all(const Gnomon__V1__ResourcePolicy *from, struct gn_policy_rules *to)
{
#define FROM_MESSAGE(field) to->field = from->field;
	FIELDS(FROM_MESSAGE)
#undef FROM_MESSAGE
}

static bool copy_one(const Gnomon__V1__ResourcePolicy *from, const char *name,
                     struct gn_policy_rules *to)
{
#define IF_NAMED(field)                                                                            \
	if (strcmp(name, #field) == 0) {                                                           \
		to->field = from->field;                                                           \
		return true;                                                                       \
	}
	FIELDS(IF_NAMED)
#undef IF_NAMED
	return false;
}

static int set_mode(const Gnomon__V1__Policy *policy, enum gn_policy_mode *mode,
                    struct gn_status *status)
{
	switch (policy->mode) {
	case GNOMON__V1__MODE__OFF:
	case GNOMON__V1__MODE__FORECAST_ONLY:
	case GNOMON__V1__MODE__ENFORCE:
		*mode = (enum gn_policy_mode)policy->mode;
		return 0;
	default:
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "mode is %d; give OFF, FORECAST_ONLY or ENFORCE",
		                     (int)policy->mode);
	}
}

/* "resources.<key>" or "resources.<key>.<field>" */
static int apply_path(const Gnomon__V1__Policy *policy, const char *path,
                      struct gn_policy_rules rules[GN_RESOURCE_END], struct gn_status *status)
{
	const char *key = path + strlen("resources."), *dot;
	const Gnomon__V1__ResourcePolicy *from;
	enum gn_resource resource = 0;

	if (strncmp(path, "resources.", strlen("resources.")) == 0) {
		dot = strchr(key, '.');
		resource =
		        gn_resource_from_key(key, (uint32_t)(dot ? dot - key : (int)strlen(key)));
	}
	if (!resource)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "update_mask '%.60s' names nothing; give mode, resources.cpu or "
		        "resources.cpu.horizon_us (cpu, memory, network_rx, network_tx, "
		        "disk_read, disk_write, disk_operations)",
		        path);
	from = find(policy, resource);
	if (!from)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "update_mask names %.60s, but the policy has no such resource; "
		        "add it",
		        path);
	if (!dot)
		copy_all(from, &rules[resource]);
	else if (!copy_one(from, dot + 1, &rules[resource]))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "update_mask '%.60s': no such field; see message ResourcePolicy", path);
	return 0;
}

static int apply_all(const Gnomon__V1__Policy *policy, enum gn_policy_mode *mode,
                     struct gn_policy_rules rules[GN_RESOURCE_END], struct gn_status *status)
{
	size_t i;

	if (set_mode(policy, mode, status))
		return -EINVAL;
	for (i = 0; i < policy->n_resources; i++) {
		int resource = (int)policy->resources[i]->resource;

		if (resource < 1 || resource >= GN_RESOURCE_END)
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "resources[%zu].resource is %d; give CPU to "
			                     "DISK_OPERATIONS",
			                     i, resource);
		copy_all(policy->resources[i], &rules[resource]);
	}
	return 0;
}

static int check(const struct gn_policy_rules rules[GN_RESOURCE_END], struct gn_status *status)
{
	char text[GN_STATUS_MESSAGE_SIZE];
	struct gn_text why;
	unsigned i;

	for (i = 1; i < GN_RESOURCE_END; i++) {
		gn_text_init(&why, text, sizeof text);
		if (gn_policy_check((enum gn_resource)i, &rules[i], &why))
			return gn_status_set(status, GN_INVALID_ARGUMENT, "%s", text);
	}
	return 0;
}

int gn_policy_message_apply(const Gnomon__V1__Policy *policy, char *const *mask, size_t n_mask,
                            enum gn_policy_mode *mode,
                            struct gn_policy_rules rules[GN_RESOURCE_END], struct gn_status *status)
{
	struct gn_policy_rules new_rules[GN_RESOURCE_END];
	enum gn_policy_mode new_mode = *mode;
	int error = 0;
	size_t i;

	memcpy(new_rules, rules, sizeof new_rules);
	if (n_mask == 0)
		error = apply_all(policy, &new_mode, new_rules, status);
	for (i = 0; i < n_mask && !error; i++)
		error = strcmp(mask[i], "mode") == 0
		                ? set_mode(policy, &new_mode, status)
		                : apply_path(policy, mask[i], new_rules, status);
	if (!error)
		error = check(new_rules, status);
	if (error)
		return error;
	memcpy(rules, new_rules, sizeof new_rules);
	*mode = new_mode;
	return 0;
}
