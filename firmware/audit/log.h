/* log.h - the audit log's file: appended to, never written again.
 *
 * <directory>/audit.log, a line an entry. A line is complete when its line feed is there: what a
 * power cut left of a last one is cut off at the next start, and nothing but that. Calls are on the
 * disk before they are answered, all else within a second. While the disk refuses, entries are
 * counted and the next one that can be written says how many are missing; gnomond goes on. The
 * card's key signs after at most GN_AUDIT_SIGN_ENTRIES entries or GN_AUDIT_SIGN_US. The file grows
 * without bound, by some 400 bytes an entry. One thread. */
#ifndef GN_AUDIT_LOG_H
#define GN_AUDIT_LOG_H

#include "firmware/audit/chain.h"

#define GN_AUDIT_SIGN_ENTRIES 64
#define GN_AUDIT_SIGN_US      60000000u
#define GN_AUDIT_TEXT         4096 /* bytes of a request or an outcome that are kept */

struct gn_audit_log;

/* 'key_path' may be NULL: nothing is signed. 'note' says what an operator should know, or has code
 * GN_OK. Negative errno with a sentence in 'note': the directory or the key is unusable. */
int gn_audit_log_open(const char *directory, const char *key_path, struct gn_audit_log **out,
                      struct gn_status *note);
void gn_audit_log_close(struct gn_audit_log *log); /* signs; NULL is fine */

/* Appends; the texts are borrowed. 'durable': on the disk when this returns. */
void gn_audit_log_put(struct gn_audit_log *log, const Gnomon__V1__AuditEntry *entry, bool durable);
/* About every second: syncs, and signs when it is time. */
void gn_audit_log_tick(struct gn_audit_log *log, uint64_t wall_us);

/* "" while all is written. */
const char *gn_audit_log_trouble(const struct gn_audit_log *log);
uint64_t gn_audit_log_count(const struct gn_audit_log *log);
/* Lines 'from' (1 is the first) and on, at most 'limit' and 'max_bytes'; the callback's text ends
 * with a NUL. 0, or -EIO. */
typedef void gn_audit_log_line(void *context, const char *line, size_t size);
int gn_audit_log_read(struct gn_audit_log *log, uint64_t from, uint32_t limit, size_t max_bytes,
                      gn_audit_log_line *line, void *context);

#endif
