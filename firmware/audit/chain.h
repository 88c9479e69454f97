/* chain.h - the form of the audit log's lines, and the search for what was done to them.
 *
 * A line is one AuditEntry as compact JSON (proto/gnomon/v1/audit.proto). What the chain shows: an
 * entry that was altered (the next one holds another hash), removed or put elsewhere (the numbers
 * do not follow, or the hashes do not fit), and a tail made anew by somebody without the card's key
 * (its signatures are wrong). What follows the newest signature is protected by the chain alone,
 * which is why the card signs often. No I/O, no clock. One thread per object. */
#ifndef GN_AUDIT_CHAIN_H
#define GN_AUDIT_CHAIN_H

#include <stdbool.h>
#include "firmware/audit/seal.h"
#include "proto/gnomon/v1/audit.pb-c.h"

#define GN_AUDIT_HEX (2 * GN_SEAL_HASH + 1)

/* Where a chain ends: zeros before the first entry. */
struct gn_audit_head {
	uint64_t number;
	uint8_t hash[GN_SEAL_HASH];
};

/* The line for 'entry', whose number and previous are set from 'head', without a line feed;
 * malloc()ed. NULL: no memory. Moves 'head'. */
char *gn_audit_line(Gnomon__V1__AuditEntry *entry, struct gn_audit_head *head, size_t *size);

/* Reads a line. The caller frees '*out' with protobuf_c_message_free_unpacked(). -EINVAL. */
int gn_audit_parse(const char *line, size_t size, Gnomon__V1__AuditEntry **out,
                   struct gn_status *status);

struct gn_audit_check {
	struct gn_audit_head head;
	uint64_t n_signatures;
	uint64_t signed_number;            /* up to here a good signature covers all */
	struct gn_seal_verifier *verifier; /* NULL: signatures are not looked at */
};

/* Takes the next line. 0, or -EBADMSG with a sentence that names the entry; what comes after it
 * cannot be judged then. */
int gn_audit_check_line(struct gn_audit_check *check, const char *line, size_t size,
                        struct gn_status *status);

void gn_audit_hex(const uint8_t *bytes, size_t size, char *text);

#endif
