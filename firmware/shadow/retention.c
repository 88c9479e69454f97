/* retention.c - see retention.h. */
#include "firmware/shadow/retention.h"

static uint64_t slot_of(const struct gn_retention_rule *rule, uint64_t us)
{
	return us / rule->every_us;
}

bool gn_retention_is_due(const struct gn_retention_rule *rules, size_t n_rules,
                         const uint64_t *made_us, size_t n, uint64_t now_us)
{
	for (size_t i = 0; i < n_rules; i++)
		if (rules[i].keep &&
		    (!n || slot_of(&rules[i], made_us[n - 1]) < slot_of(&rules[i], now_us)))
			return true;
	return false;
}

static bool is_first_of_slot(const struct gn_retention_rule *rule, const uint64_t *made_us,
                             size_t i)
{
	return i == 0 || slot_of(rule, made_us[i - 1]) != slot_of(rule, made_us[i]);
}

void gn_retention_choose(const struct gn_retention_rule *rules, size_t n_rules,
                         const uint64_t *made_us, size_t n, bool *keep)
{
	for (size_t i = 0; i < n; i++)
		keep[i] = false;
	for (size_t r = 0; r < n_rules; r++) {
		uint32_t left = rules[r].keep;

		for (size_t i = n; i > 0 && left; i--) {
			if (!is_first_of_slot(&rules[r], made_us, i - 1))
				continue;
			keep[i - 1] = true;
			left--;
		}
	}
}
