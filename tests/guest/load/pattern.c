/* pattern.c - see pattern.h. */
#include "tests/guest/load/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 1000000000u

static const struct {
	const char *name;
	uint32_t least, most; /* arguments */
} kinds[] = {
        [GN_CONST] = {"const", 1, 1}, [GN_PERIODIC] = {"periodic", 4, 5},
        [GN_DAILY] = {"daily", 3, 4}, [GN_RAMP] = {"ramp", 3, 3},
        [GN_SPIKE] = {"spike", 4, 4},
};

static int parse_arguments(const char *at, struct gn_pattern *p)
{
	while (*at == ':') {
		char *end;
		unsigned long long value;

		if (p->n_arguments == 5 || at[1] < '0' || at[1] > '9')
			return -EINVAL;
		value = strtoull(at + 1, &end, 10);
		if (value > VALUE_MAX)
			return -EINVAL;
		p->arguments[p->n_arguments++] = value;
		at = end;
	}
	return *at ? -EINVAL : 0;
}

int gn_pattern_parse(const char *text, struct gn_pattern *out)
{
	size_t length = strcspn(text, ":");
	struct gn_pattern p = {0};
	size_t i;

	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strlen(kinds[i].name) == length && !strncmp(text, kinds[i].name, length))
			break;
	if (i == sizeof kinds / sizeof kinds[0] || parse_arguments(text + length, &p))
		return -EINVAL;
	if (p.n_arguments < kinds[i].least || p.n_arguments > kinds[i].most)
		return -EINVAL;
	p.kind = (enum gn_pattern_kind)i;
	if ((p.kind == GN_PERIODIC || p.kind == GN_DAILY) && p.arguments[2] == 0)
		return -EINVAL;
	if (p.kind == GN_PERIODIC && p.arguments[3] > p.arguments[2])
		return -EINVAL;
	*out = p;
	return 0;
}

static uint64_t blend(uint64_t from, uint64_t to, uint64_t part, uint64_t whole)
{
	if (to >= from)
		return from + (to - from) * part / whole;
	return from - (from - to) * part / whole;
}

static uint64_t periodic(const struct gn_pattern *p, uint64_t ms)
{
	uint64_t period = p->arguments[2] * 1000, width = p->arguments[3] * 1000;
	uint64_t phase = p->n_arguments == 5 ? p->arguments[4] * 1000 % period : period - width;
	uint64_t at = (ms + period - phase) % period;

	return ms >= phase && at < width ? p->arguments[1] : p->arguments[0];
}

/* A raised cosine by its classic integer approximation, 3x^2 - 2x^3 up and down. */
static uint64_t daily(const struct gn_pattern *p, uint64_t ms)
{
	uint64_t period = p->arguments[2] * 1000;
	uint64_t phase = p->n_arguments == 4 ? p->arguments[3] * 1000 : 0;
	uint64_t x = (ms + phase) % period * 2000 / period; /* 0..1999 */
	uint64_t up = x < 1000 ? x : 2000 - x;

	return blend(p->arguments[0], p->arguments[1], 3 * up * up * 1000 - 2 * up * up * up,
	             1000000000);
}

uint64_t gn_pattern_value(const struct gn_pattern *p, uint64_t ms)
{
	const uint64_t *a = p->arguments;

	switch (p->kind) {
	case GN_CONST:
		return a[0];
	case GN_PERIODIC:
		return periodic(p, ms);
	case GN_DAILY:
		return daily(p, ms);
	case GN_RAMP:
		return ms >= a[2] * 1000 ? a[1] : blend(a[0], a[1], ms, a[2] * 1000);
	case GN_SPIKE:
		return ms >= a[2] * 1000 && ms < (a[2] + a[3]) * 1000 ? a[1] : a[0];
	}
	return 0;
}
