/* print.h - a report for people, and everything of one pass for scripts. */
#ifndef GN_INTROSPECT_PRINT_H
#define GN_INTROSPECT_PRINT_H

#include <stdio.h>
#include "firmware/introspect/observer.h"

void gn_print_text(FILE *file, const struct gn_report *report);

/* One JSON object: the report, every process and the machine-wide counters as they are. */
void gn_print_json(FILE *file, const struct gn_observer *observer, const struct gn_report *report);

#endif
