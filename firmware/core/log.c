/* log.c - see log.h. The prefix and the text go out in one write so that lines of
 * several threads never mix. */
#include "firmware/core/log.h"
#include "firmware/core/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *process_name = "gnomon";
static enum gn_log_level max_level = GN_LOG_INFO;

void gn_log_init(const char *process, enum gn_log_level level)
{
	process_name = process;
	max_level = level;
}

static void write_line(enum gn_log_level level, uint64_t n_suppressed, const char *format,
                       va_list args)
{
	char line[2048];
	int n = snprintf(line, sizeof line, "<%d>%s: ", level, process_name);
	int m = vsnprintf(line + n, sizeof line - (size_t)n - 64, format, args);

	if (m < 0)
		return;
	n += m < (int)sizeof line - n - 64 ? m : (int)sizeof line - n - 65;
	if (n_suppressed)
		n += snprintf(line + n, sizeof line - (size_t)n, " (%llu like it not shown)",
		              (unsigned long long)n_suppressed);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say so */
}

void gn_log(enum gn_log_level level, const char *format, ...)
{
	va_list args;

	if (level > max_level)
		return;
	va_start(args, format);
	write_line(level, 0, format, args);
	va_end(args);
}

void gn_log_limited(struct gn_log_limit *limit, enum gn_log_level level, const char *format, ...)
{
	uint64_t second = gn_clock_monotonic_us() / 1000000;
	va_list args;

	if (level > max_level)
		return;
	if (second != limit->second) {
		limit->second = second;
		limit->n_in_second = 0;
	}
	if (limit->n_in_second >= limit->burst) {
		limit->n_suppressed++;
		return;
	}
	limit->n_in_second++;
	va_start(args, format);
	write_line(level, limit->n_suppressed, format, args);
	va_end(args);
	limit->n_suppressed = 0;
}
