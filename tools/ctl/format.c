/* format.c - see format.h. */
#include "tools/ctl/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* 'base' is 1000 or 1024; at least three significant places, cut rather than rounded, and no
 * fraction when it would be zero. */
static char *scaled(uint64_t value, unsigned base, const char *const *units, char *text,
                    size_t size)
{
	uint64_t whole = value, rest = 0;
	int i = 0;

	while (whole >= base && units[i + 1]) {
		rest = whole % base;
		whole /= base;
		i++;
	}
	rest = rest * 100 / base;
	if (whole >= 100 || rest == 0)
		snprintf(text, size, "%" PRIu64 " %s", whole, units[i]);
	else if (whole >= 10)
		snprintf(text, size, "%" PRIu64 ".%" PRIu64 " %s", whole, rest / 10, units[i]);
	else
		snprintf(text, size, "%" PRIu64 ".%02" PRIu64 " %s", whole, rest, units[i]);
	return text;
}

char *gn_format_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL};

	return scaled(bytes, 1024, units, text, size);
}

char *gn_format_count(uint64_t count, char *text, size_t size)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%" PRIu64, count);
	size_t used = 0;

	for (int i = 0; i < n && used + 2 < size; i++) {
		text[used++] = digits[i];
		if ((n - 1 - i) % 3 == 0 && i != n - 1)
			text[used++] = ',';
	}
	text[used] = '\0';
	return text;
}

char *gn_format_milli_vcpu(int64_t milli, char *text, size_t size)
{
	uint64_t absolute = milli < 0 ? -(uint64_t)milli : (uint64_t)milli;

	absolute = absolute / 10 + (absolute % 10 >= 5);
	snprintf(text, size, "%s%" PRIu64 ".%02" PRIu64 " vCPU", milli < 0 ? "-" : "",
	         absolute / 100, absolute % 100);
	return text;
}

char *gn_format_ratio_q16(int64_t ratio, char *text, size_t size)
{
	if (ratio >= 100 * 65536)
		snprintf(text, size, ">99");
	else
		snprintf(text, size, "%.2f", (double)ratio / 65536.0);
	return text;
}

char *gn_format_duration(uint64_t us, char *text, size_t size)
{
	static const struct {
		uint64_t us;
		const char *name;
	} units[] = {
	        {86400000000u, "d"}, {3600000000u, "h"}, {60000000u, "min"},
	        {1000000u, "s"},     {1000u, "ms"},      {1u, "us"},
	};
	size_t i = 0;

	while (i < 5 && us < units[i].us)
		i++;
	if (i < 5 && us % units[i].us / units[i + 1].us)
		snprintf(text, size, "%" PRIu64 " %s %" PRIu64 " %s", us / units[i].us,
		         units[i].name, us % units[i].us / units[i + 1].us, units[i + 1].name);
	else
		snprintf(text, size, "%" PRIu64 " %s", us / units[i].us, units[i].name);
	return text;
}

char *gn_format_when(uint64_t then_us, uint64_t now_us, char *text, size_t size)
{
	char duration[GN_FORMAT_SIZE];

	if (!then_us)
		snprintf(text, size, "never");
	else if (then_us > now_us)
		snprintf(text, size, "in %s",
		         gn_format_duration((then_us - now_us) / 1000000 * 1000000, duration,
		                            sizeof duration));
	else if (now_us - then_us < 1000000)
		snprintf(text, size, "just now");
	else
		snprintf(text, size, "%s ago",
		         gn_format_duration((now_us - then_us) / 1000000 * 1000000, duration,
		                            sizeof duration));
	return text;
}

static struct tm local_time(uint64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm local = {0};

	localtime_r(&seconds,
	            &local); /* fails only for years beyond an int, which uint64 us has not */
	return local;
}

char *gn_format_clock(uint64_t wall_us, char *text, size_t size)
{
	struct tm local = local_time(wall_us);

	strftime(text, size, "%T", &local);
	return text;
}

char *gn_format_date(uint64_t wall_us, char *text, size_t size)
{
	struct tm local = local_time(wall_us);

	strftime(text, size, "%F %T", &local);
	return text;
}

const char *gn_format_resource(int resource)
{
	static const char *const names[GN_FORMAT_RESOURCES + 1] = {
	        "?",          "cpu",       "memory",     "network-rx",
	        "network-tx", "disk-read", "disk-write", "disk-operations",
	};

	return names[resource > 0 && resource <= GN_FORMAT_RESOURCES ? resource : 0];
}

char *gn_format_demand(int resource, int64_t value, char *text, size_t size)
{
	static const char *const bytes[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s", NULL};
	static const char *const bits[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", NULL};
	uint64_t absolute = value < 0 ? 0 : (uint64_t)value;
	char count[GN_FORMAT_SIZE];

	switch (resource) {
	case 1:
		return gn_format_milli_vcpu(value, text, size);
	case 2:
		return gn_format_bytes(absolute, text, size);
	case 3:
	case 4:
		return scaled(absolute, 1000, bits, text, size);
	case 5:
	case 6:
		return scaled(absolute, 1000, bytes, text, size);
	case 7:
		gn_format_count(absolute, count, sizeof count);
		snprintf(text, size, "%s/s", count);
		return text;
	default:
		snprintf(text, size, "%" PRId64, value);
		return text;
	}
}
