/* format.h - figures and times as people read them. Pure but for the time zone; each writes at most
 * 'size' bytes with the NUL and returns 'text'. Resources are numbered as gnomon.v1.Resource. */
#ifndef GN_CTL_FORMAT_H
#define GN_CTL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define GN_FORMAT_SIZE      48
#define GN_FORMAT_RESOURCES 7

char *gn_format_bytes(uint64_t bytes, char *text, size_t size);     /* "1.50 GiB" */
char *gn_format_count(uint64_t count, char *text, size_t size);     /* "12,345,678" */
char *gn_format_milli_vcpu(int64_t milli, char *text, size_t size); /* "1.50 vCPU" */
char *gn_format_duration(uint64_t us, char *text,
                         size_t size); /* "2 d 3 h", "850 ms", "1 s 500 ms" */
/* "3 min ago", "in 5 s", "never" for 0. Both wall times, microseconds. */
char *gn_format_when(uint64_t then_us, uint64_t now_us, char *text, size_t size);
/* Local time: "09:05:59", "2026-11-24 09:05:59". */
char *gn_format_clock(uint64_t wall_us, char *text, size_t size);
char *gn_format_date(uint64_t wall_us, char *text, size_t size);
/* A value of the resource in its unit: "1.20 vCPU", "80 MiB", "1.50 Mbit/s", "2 MB/s". */
char *gn_format_demand(int resource, int64_t value, char *text, size_t size);
/* "0.73"; ">99" for what is 100 and more (to an error of nearly nothing). */
char *gn_format_ratio_q16(int64_t ratio, char *text, size_t size);
/* "cpu", "network-rx", ...; "?" for what is none. */
const char *gn_format_resource(int resource);

#endif
