/* cmd_audit.c - 'audit verify', 'audit show' and 'audit export': the log's lines come as they are
 * and are judged here, so that a card that was taken over cannot say that all is well. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "firmware/audit/chain.h"
#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

#define PAGE 500

/* Returns true to go on. */
typedef bool take_line(void *context, const char *line);

static Gnomon__V1__AuditPage *page_from(struct gn_ctl *ctl, uint64_t from, uint32_t limit)
{
	Gnomon__V1__ListAuditRequest request = GNOMON__V1__LIST_AUDIT_REQUEST__INIT;

	request.from = from;
	request.limit = limit;
	return (Gnomon__V1__AuditPage *)gn_ctl_call(ctl, "ListAudit", &request.base);
}

/* All lines from 'from' on; what is appended meanwhile comes too. */
static void each_line(struct gn_ctl *ctl, uint64_t from, take_line *take, void *context)
{
	bool go_on = true;

	while (go_on) {
		Gnomon__V1__AuditPage *page = page_from(ctl, from, PAGE);

		for (size_t i = 0; go_on && i < page->n_lines; i++)
			go_on = take(context, page->lines[i]);
		from += page->n_lines;
		go_on = go_on && page->n_lines;
		gn_ctl_free(&page->base);
	}
}

/* ---- verify ---------------------------------------------------------------------------- */

struct verification {
	struct gn_audit_check check;
	struct gn_status status;
	bool bad;
};

static bool verify_line(void *context, const char *line)
{
	struct verification *v = context;

	v->bad = gn_audit_check_line(&v->check, line, strlen(line), &v->status) != 0;
	return !v->bad;
}

static void take_certificate(struct gn_ctl *ctl, struct verification *v)
{
	Gnomon__V1__AuditPage *page = page_from(ctl, 1, 1);
	const char *root = gn_ctl_connection_root(ctl->connection);

	if (!page->certificate[0])
		gn_output_line("the card signs nothing: the chain alone is checked");
	else if (!root)
		gn_output_line("no root is configured (--ca): signatures are not checked");
	else if (gn_seal_verifier_create(page->certificate, root, &v->check.verifier, &v->status)) {
		fprintf(stderr, "gnomonctl: %s\n", v->status.message);
		exit(GN_CTL_REFUSED);
	}
	gn_ctl_free(&page->base);
}

int gn_ctl_audit_verify(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	struct verification v = {.bad = false};
	const struct gn_audit_check *check = &v.check;

	gn_ctl_end(arguments);
	take_certificate(ctl, &v);
	each_line(ctl, 1, verify_line, &v);
	if (v.bad)
		fprintf(stderr, "gnomonctl: the audit log was tampered with: %s\n",
		        v.status.message);
	else
		gn_output_line("the audit log is whole: %" PRIu64 " entries, %" PRIu64
		               " signatures; the newest covers entries 1 to %" PRIu64,
		               check->head.number, check->n_signatures, check->signed_number);
	gn_seal_verifier_destroy(v.check.verifier);
	return v.bad ? GN_CTL_REFUSED : GN_CTL_OK;
}

/* ---- show and export ------------------------------------------------------------------- */

static void format_time(uint64_t wall_us, char text[32])
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
}

static bool show_line(void *context, const char *line)
{
	Gnomon__V1__AuditEntry *entry;
	struct gn_status status;
	char when[32];

	(void)context;
	if (gn_audit_parse(line, strlen(line), &entry, &status)) {
		gn_output_line("? %s", status.message);
		return true;
	}
	format_time(entry->at_us, when);
	gn_output_line("%6" PRIu64 "  %sZ  %-16s %-16s %s %s%s%s", entry->number, when, entry->who,
	               entry->kind, entry->resource, entry->text, entry->outcome[0] ? ": " : "",
	               entry->outcome);
	gn_ctl_free(&entry->base);
	return true;
}

int gn_ctl_audit_show(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *value;
	uint64_t n = 40;
	Gnomon__V1__AuditPage *page;

	if (gn_ctl_option(arguments, "--last", &value) &&
	    (!(n = strtoull(value, NULL, 10)) || n > 1000))
		gn_ctl_usage("--last is '%s'; give 1 to 1000 entries", value);
	gn_ctl_end(arguments);
	page = page_from(ctl, 0, (uint32_t)n);
	if (!gn_ctl_print_json(ctl, &page->base))
		for (size_t i = 0; i < page->n_lines; i++)
			show_line(NULL, page->lines[i]);
	if (page->trouble[0])
		fprintf(stderr, "gnomonctl: %s\n", page->trouble);
	gn_ctl_free(&page->base);
	return GN_CTL_OK;
}

static bool print_line(void *context, const char *line)
{
	(void)context;
	puts(line);
	return true;
}

/* A value of RFC 5424's structured data (section 6.3.3). */
static void print_value(const char *name, const char *value)
{
	printf(" %s=\"", name);
	for (const char *c = value; *c; c++) {
		if (*c == '"' || *c == '\\' || *c == ']')
			putchar('\\');
		putchar((unsigned char)*c < ' ' ? ' ' : *c);
	}
	putchar('"');
}

/* A header's field: printable ASCII without spaces, at most 'most' bytes; "-" for none. */
static void print_field(const char *text, size_t most)
{
	size_t n = 0;

	putchar(' ');
	for (; text[n] && n < most; n++)
		putchar(text[n] > ' ' && text[n] < 127 ? text[n] : '_');
	if (!n)
		putchar('-');
}

/* Facility 13 (log audit); severity notice, or warning for what was refused. */
static bool print_syslog(void *context, const char *line)
{
	Gnomon__V1__AuditEntry *entry;
	struct gn_status status;
	bool refused;
	char when[32];

	(void)context;
	if (gn_audit_parse(line, strlen(line), &entry, &status))
		return true;
	refused = entry->outcome[0] && strcmp(entry->outcome, "OK");
	format_time(entry->at_us, when);
	printf("<%d>1 %s.%06uZ - gnomond -", 13 * 8 + (refused ? 4 : 5), when,
	       (unsigned)(entry->at_us % 1000000));
	print_field(entry->kind, 32);
	printf(" [gnomon@32473 number=\"%" PRIu64 "\"", entry->number);
	print_value("who", entry->who);
	print_value("resource", entry->resource);
	print_value("request", entry->request);
	print_value("outcome", entry->outcome);
	print_value("signature", entry->signature);
	print_value("previous", entry->previous);
	printf("] \xef\xbb\xbf%s\n", entry->text); /* a BOM says that it is UTF-8 */
	gn_ctl_free(&entry->base);
	return true;
}

int gn_ctl_audit_export(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *format = "jsonl";

	gn_ctl_option(arguments, "--format", &format);
	gn_ctl_end(arguments);
	if (!strcmp(format, "jsonl"))
		each_line(ctl, 1, print_line, NULL);
	else if (!strcmp(format, "syslog"))
		each_line(ctl, 1, print_syslog, NULL);
	else
		gn_ctl_usage("--format is '%s'; give jsonl or syslog", format);
	return GN_CTL_OK;
}
