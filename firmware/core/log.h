/* log.h - one line to standard error per call, in the form that systemd's journal
 * reads: "<6>gnomond: text". Only main.c files and request handlers log (style.md);
 * modules return errors. What the network or a guest can cause goes through
 * gn_log_limited(). Thread-safe: a line is one write(2). */
#ifndef GN_CORE_LOG_H
#define GN_CORE_LOG_H

#include <stdint.h>

enum gn_log_level { GN_LOG_ERROR = 3, GN_LOG_WARNING = 4, GN_LOG_INFO = 6, GN_LOG_DEBUG = 7 };

/* Names the process ("gnomond", borrowed for the process's life) and the most
 * talkative level that is printed. Call once, before other threads exist. */
void gn_log_init(const char *process, enum gn_log_level level);

void gn_log(enum gn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A place that hostile input can reach: at most 'burst' lines a second; what was
 * held back is counted and told with the next line that passes. Owner: one thread. */
struct gn_log_limit {
	uint32_t burst;
	uint64_t second;
	uint32_t n_in_second;
	uint64_t n_suppressed;
};
void gn_log_limited(struct gn_log_limit *limit, enum gn_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#endif
