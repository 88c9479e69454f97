/* crashes.c - ListCrashReports: what gnomon-init kept of services that ended badly. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "firmware/control/control_internal.h"
#include "firmware/message/message.h"

#define REPORTS_MAX 16
#define TEXT_MAX    (24u << 10) /* bytes of one; all of them fit into an answer, also escaped */

static int is_report(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Bytes that are not printable ASCII become '?': a report is whatever a broken program printed. */
static void clean(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] != '\n' && text[i] != '\t' && (text[i] < ' ' || text[i] > '~'))
			text[i] = '?';
}

static void add_report(Gnomon__V1__CrashReportList *list, const char *directory, const char *name)
{
	Gnomon__V1__CrashReport *report;
	char path[600], text[TEXT_MAX + 1];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	n = read(fd, text, TEXT_MAX);
	close(fd);
	if (n < 0)
		return;
	text[n] = '\0';
	clean(text, (size_t)n);
	report = GN_MESSAGE_NEW(Gnomon__V1__CrashReport, gnomon__v1__crash_report__init);
	gn_message_set(&report->name, "%s", name);
	gn_message_set(&report->text, "%s", text);
	GN_MESSAGE_APPEND(list->reports, list->n_reports, report);
}

void gn_control_list_crash_reports(void *context, struct gn_channel_call *call,
                                   const ProtobufCMessage *message)
{
	const struct gn_control *control = context;
	const char *directory = control->config->crash_dir;
	Gnomon__V1__CrashReportList *list =
	        GN_MESSAGE_NEW(Gnomon__V1__CrashReportList, gnomon__v1__crash_report_list__init);
	struct dirent **entries = NULL;
	int n = directory ? scandir(directory, &entries, is_report, alphasort) : 0;

	for (int i = 0; i < n; i++) {
		if (i >= n - REPORTS_MAX) /* their names begin with the time */
			add_report(list, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	gn_control_reply(call, &list->base);
}
