/* chain.c - see chain.h. */
#include "firmware/audit/chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

void gn_audit_hex(const uint8_t *bytes, size_t size, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * size] = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* -EINVAL: not hexadecimal, or too long. */
static int unhex(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > room)
		return -EINVAL;
	for (size_t i = 0; i < n / 2; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	*size = n / 2;
	return 0;
}

static void move(struct gn_audit_head *head, const char *line, size_t size)
{
	head->number++;
	gn_seal_hash(line, size, head->hash);
}

char *gn_audit_line(Gnomon__V1__AuditEntry *entry, struct gn_audit_head *head, size_t *size)
{
	char previous[GN_AUDIT_HEX];
	char *line = NULL;
	FILE *out = open_memstream(&line, size);
	int error;

	if (!out)
		return NULL;
	gn_audit_hex(head->hash, sizeof head->hash, previous);
	entry->number = head->number + 1;
	entry->previous = previous;
	error = gn_json_print(&entry->base, 1, out);
	entry->previous = (char *)protobuf_c_empty_string;
	if (fclose(out) || error || !*size) {
		free(line);
		return NULL;
	}
	line[--*size] = '\0'; /* the printer's line feed */
	move(head, line, *size);
	return line;
}

int gn_audit_parse(const char *line, size_t size, Gnomon__V1__AuditEntry **out,
                   struct gn_status *status)
{
	return gn_json_parse(line, size, &gnomon__v1__audit_entry__descriptor,
	                     (ProtobufCMessage **)out, status);
}

/* ---- checking ------------------------------------------------------------------------------ */

static int check_signature(struct gn_audit_check *check, const Gnomon__V1__AuditEntry *entry,
                           struct gn_status *status)
{
	uint8_t signature[GN_SEAL_MAX];
	size_t size;

	if (!check->verifier)
		return 0;
	if (unhex(entry->signature, signature, sizeof signature, &size) ||
	    gn_seal_verify(check->verifier, check->head.hash, signature, size)) {
		gn_status_set(status, GN_DATA_LOSS,
		              "the signature in entry %" PRIu64
		              " is not this card's: entries %" PRIu64 " to %" PRIu64
		              " may have been made by somebody else",
		              entry->number, check->signed_number + 1, entry->number);
		return -EBADMSG;
	}
	check->n_signatures++;
	check->signed_number = entry->number;
	return 0;
}

static int check_place(const struct gn_audit_check *check, const Gnomon__V1__AuditEntry *entry,
                       struct gn_status *status)
{
	char expected[GN_AUDIT_HEX];
	uint64_t wanted = check->head.number + 1;

	if (entry->number != wanted) {
		gn_status_set(status, GN_DATA_LOSS,
		              "after entry %" PRIu64 " comes %" PRIu64 " instead of %" PRIu64
		              ": entries were removed, repeated or put elsewhere",
		              check->head.number, entry->number, wanted);
		return -EBADMSG;
	}
	gn_audit_hex(check->head.hash, sizeof check->head.hash, expected);
	if (strcmp(entry->previous, expected)) {
		gn_status_set(status, GN_DATA_LOSS,
		              "entry %" PRIu64 " was altered: entry %" PRIu64
		              " was made when it had the hash %.16s..., and it has %.16s...",
		              check->head.number, entry->number, entry->previous, expected);
		return -EBADMSG;
	}
	return 0;
}

int gn_audit_check_line(struct gn_audit_check *check, const char *line, size_t size,
                        struct gn_status *status)
{
	Gnomon__V1__AuditEntry *entry;
	struct gn_status why = {GN_OK, ""};
	int error = gn_audit_parse(line, size, &entry, &why);

	if (error) {
		gn_status_set(status, GN_DATA_LOSS,
		              "what follows entry %" PRIu64 " is no entry: %.200s",
		              check->head.number, why.message);
		return -EBADMSG;
	}
	error = check_place(check, entry, status);
	if (!error && !strcmp(entry->kind, "signature"))
		error = check_signature(check, entry, status);
	protobuf_c_message_free_unpacked(&entry->base, NULL);
	if (!error)
		move(&check->head, line, size);
	return error;
}
