/* cmd_support.c - support: all that the card tells of itself, in one file, without secrets.
 *
 * One JSON object: a member for every question of the table, with the card's answer or why there is
 * none. A card that is half broken still has much to tell, so no failure ends it. */
#include "tools/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "proto/json.h"
#include "tools/ctl/connection.h"
#include "tools/ctl/file.h"
#include "tools/ctl/output.h"
#include "tools/ctl/redact.h"

/* Questions whose empty request asks for all that there is. */
static const char *const questions[] = {
        "GetStatus",      "GetReport",       "ListVms",           "ListShadows",
        "ListPlans",      "ListMirrors",     "ListVolumes",       "ListSnapshots",
        "ListNbdExports", "ListAlerts",      "ListModels",        "ListProbes",
        "ListAudit",      "GetUpdateStatus", "ListUpdateHistory", "ListCrashReports",
};
#define N_QUESTIONS (sizeof questions / sizeof questions[0])

/* The answer as JSON text, or the sentence why there is none; for free(). */
static char *answer_of(struct gn_ctl *ctl, const char *method)
{
	const ProtobufCServiceDescriptor *service = &gnomon__v1__control__descriptor;
	const ProtobufCMessageDescriptor *input =
	        protobuf_c_service_descriptor_get_method_by_name(service, method)->input;
	ProtobufCMessage *request = gn_output_checked(calloc(1, input->sizeof_message));
	ProtobufCMessage *reply = NULL;
	struct gn_status status = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = gn_output_checked(open_memstream(&text, &size));

	protobuf_c_message_init(input, request);
	if (!gn_ctl_connection_call(ctl->connection, method, request, ctl->timeout_us, &reply,
	                            &status)) {
		gn_json_print(reply, 0, out);
	} else {
		char *quoted = gn_output_checked(gn_json_quote(status.message));

		fprintf(out, "{\"error\": %s, \"code\": \"%s\"}\n", quoted,
		        gn_code_name(status.code));
		free(quoted);
	}
	fclose(out);
	gn_ctl_free(reply);
	free(request);
	return text;
}

/* Returns how many questions were answered. */
static unsigned write_answers(struct gn_ctl *ctl, FILE *out, unsigned *n_redacted)
{
	unsigned n_answered = 0;

	fprintf(out, "{\"gnomonctl\": \"%s\",\n\"made_s\": %lld", GN_VERSION,
	        (long long)time(NULL));
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		char *text = answer_of(ctl, questions[i]);

		n_answered += strncmp(text, "{\"error\"", 8) != 0;
		*n_redacted += gn_redact(text);
		fprintf(out, ",\n\"%s\": %s", questions[i], text);
		free(text);
	}
	fputs("}\n", out);
	return n_answered;
}

int gn_ctl_support(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	const char *path =
	        arguments->n_words ? gn_ctl_word(arguments, "a file") : "gnomon-support.json";
	unsigned n_redacted = 0, n_answered;
	struct gn_ctl_file file;

	gn_ctl_end(arguments);
	umask(0077);
	gn_ctl_file_begin(&file, path);
	n_answered = write_answers(ctl, file.out, &n_redacted);
	gn_ctl_file_end(&file);
	gn_output_line(
	        "%s has %u of %zu answers of the card; %u secrets were blotted out. It tells VMs' "
	        "names, addresses and loads: look through it before you send it",
	        path, n_answered, N_QUESTIONS, n_redacted);
	return n_answered ? GN_CTL_OK : GN_CTL_UNREACHABLE;
}
