/* parse.h - what people type. Pure: 0, or -EINVAL and '*out' untouched. Whatever format.h
 * prints of a demand or duration in one unit can be typed again, with or without its blank (but
 * counts without their commas). Units in any case; nothing is cut silently: more digits than the
 * unit has are refused. */
#ifndef GN_CTL_PARSE_H
#define GN_CTL_PARSE_H

#include <stdint.h>
#include "proto/gnomon/v1/control.pb-c.h"

/* Decimal, or hexadecimal after 0x; "010" is ten. */
int gn_parse_number(const char *text, uint64_t maximum, uint64_t *out);
/* "512", "64KiB" or "64K", "1.5GiB", "10MB" (decimal): bytes. */
int gn_parse_bytes(const char *text, uint64_t *out);
/* "500ms", "30s", "5min" or "5m", "2h", "1d": microseconds. */
int gn_parse_duration(const char *text, uint64_t *out_us);
/* "1.5", "2": thousandths. */
int gn_parse_milli(const char *text, uint64_t *out);
/* "10M", "1.5Gbit/s": bits a second, decimal. */
int gn_parse_bits(const char *text, uint64_t *out);
/* A value of gnomon.v1.Resource in its unit, as people write it: CPU in vCPUs. */
int gn_parse_demand(int resource, const char *text, int64_t *out);
/* "cpu", "memory", "network-rx", ... as gn_format_resource(): 0 when it is none. */
int gn_parse_resource(const char *text);

/* "proto tcp src 10.0.0.0/8 dst 10.1.0.0/16 sport 5 dport 80 vlan 7 ethertype 0x806": any
 * of them once, in any order. The strings of 'out' point into 'text', which is cut up. */
int gn_parse_filter(char *text, Gnomon__V1__MirrorFilter *out);
/* "cpu 3.5 for 5min" */
int gn_parse_trigger(const char *text, Gnomon__V1__ShadowTrigger *out);

#endif
