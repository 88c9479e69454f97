/* cmd_update.c - update install, status, rollback and history: the image of the card itself.
 *
 * An update file is "GNUPDATE", the sizes of three parts as 32-bit little-endian numbers, those
 * parts (manifest, signature, chain of certificates), and the image up to the file's end. What is
 * in the parts is for the card to judge. */
#include "tools/ctl/ctl.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/table.h"

#define PART_MAX    65536u
#define PIECE_BYTES (256u << 10)
#define LOOK_NS     200000000L

struct update_file {
	const char *path;
	FILE *in;
	uint8_t *parts[3]; /* manifest, signature, chain */
	uint32_t sizes[3];
	uint64_t image_at, image_size;
};

static void is_no_update(const struct update_file *file)
{
	gn_output_error("'%s' is not an update file, or a part of one; 'make image' makes them",
	                file->path);
	exit(GN_CTL_USAGE);
}

static void open_file(const char *path, struct update_file *file)
{
	char magic[8];
	off_t end;

	*file = (struct update_file){.path = path, .in = fopen(path, "re")};
	if (!file->in) {
		gn_output_error("'%s' cannot be read: %s", path, strerror(errno));
		exit(GN_CTL_USAGE);
	}
	if (fread(magic, 1, sizeof magic, file->in) != sizeof magic ||
	    memcmp(magic, "GNUPDATE", sizeof magic) != 0 ||
	    fread(file->sizes, sizeof file->sizes[0], 3, file->in) != 3)
		is_no_update(file);
	for (int i = 0; i < 3; i++) {
		file->sizes[i] = le32toh(file->sizes[i]);
		if (!file->sizes[i] || file->sizes[i] > PART_MAX)
			is_no_update(file);
		file->parts[i] = gn_output_checked(malloc(file->sizes[i]));
		if (fread(file->parts[i], 1, file->sizes[i], file->in) != file->sizes[i])
			is_no_update(file);
	}
	file->image_at = (uint64_t)ftello(file->in);
	fseeko(file->in, 0, SEEK_END);
	end = ftello(file->in);
	file->image_size = (uint64_t)end - file->image_at;
}

static void close_file(struct update_file *file)
{
	for (int i = 0; i < 3; i++)
		free(file->parts[i]);
	fclose(file->in);
}

/* ---- install ------------------------------------------------------------------------------------
 */

static Gnomon__V1__UpdateStatus *begin(struct gn_ctl *ctl, const struct update_file *file)
{
	Gnomon__V1__UpdateOffer offer = GNOMON__V1__UPDATE_OFFER__INIT;

	offer.manifest = (ProtobufCBinaryData){file->sizes[0], file->parts[0]};
	offer.signature = (ProtobufCBinaryData){file->sizes[1], file->parts[1]};
	offer.chain = (ProtobufCBinaryData){file->sizes[2], file->parts[2]};
	return (Gnomon__V1__UpdateStatus *)gn_ctl_call(ctl, "BeginUpdate", &offer.base);
}

static void print_progress(const char *what, uint64_t done, uint64_t size)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%3u %% %s", (unsigned)(size ? done * 100 / size : 0), what);
}

/* Sends what the card does not have yet. */
static void send_image(struct gn_ctl *ctl, const struct update_file *file, uint64_t offset,
                       uint64_t size)
{
	Gnomon__V1__UpdateData data = GNOMON__V1__UPDATE_DATA__INIT;
	uint8_t *piece = gn_output_checked(malloc(PIECE_BYTES));

	while (offset < size) {
		size_t n = size - offset < PIECE_BYTES ? (size_t)(size - offset) : PIECE_BYTES;

		fseeko(file->in, (off_t)(file->image_at + offset), SEEK_SET);
		if (fread(piece, 1, n, file->in) != n) {
			gn_output_error("'%s' ends after %" PRIu64 " of %" PRIu64
			                " bytes of the image: get the rest and run this again; it "
			                "goes on from there",
			                file->path, offset, size);
			exit(GN_CTL_USAGE);
		}
		data.offset = offset;
		data.data = (ProtobufCBinaryData){n, piece};
		gn_ctl_free(gn_ctl_call(ctl, "WriteUpdate", &data.base));
		offset += n;
		print_progress("sent", offset, size);
	}
	free(piece);
}

/* Until the card has read it all back. */
static Gnomon__V1__UpdateStatus *wait_until_checked(struct gn_ctl *ctl)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	Gnomon__V1__UpdateStatus *s;

	gn_ctl_free(gn_ctl_call_empty(ctl, "FinishUpdate"));
	for (;;) {
		s = (Gnomon__V1__UpdateStatus *)gn_ctl_call_empty(ctl, "GetUpdateStatus");
		if (s->phase != GNOMON__V1__UPDATE_STATUS__PHASE__CHECKING)
			break;
		print_progress("checked", s->offset, s->size);
		gn_ctl_free(&s->base);
		nanosleep(&pause, NULL);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	return s;
}

static void restart(struct gn_ctl *ctl, bool force)
{
	Gnomon__V1__RestartCardRequest request = GNOMON__V1__RESTART_CARD_REQUEST__INIT;

	request.force = force;
	gn_ctl_free(gn_ctl_call(ctl, "RestartCard", &request.base));
	gn_output_line("the card restarts; 'gnomonctl update status' tells how the slot does");
}

/* That nothing went wrong says little: the checking may have been cut short, or begun anew by
 * somebody else. */
static bool is_armed(const Gnomon__V1__UpdateStatus *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (!strcmp(s->slots[i]->name, s->next))
			return strcmp(s->next, s->running) != 0 &&
			       !strcmp(s->slots[i]->state, "trial");
	return false;
}

static int end_of_install(struct gn_ctl *ctl, const Gnomon__V1__UpdateStatus *s, bool wants_restart,
                          bool force)
{
	if (s->trouble[0]) {
		gn_output_error("%s", s->trouble);
		return GN_CTL_REFUSED;
	}
	if (!is_armed(s)) {
		gn_output_error(
		        "the update is not armed: slot %s is booted next. The card may have "
		        "restarted, or another update begun; see 'gnomonctl update "
		        "status', and install it again",
		        s->next);
		return GN_CTL_REFUSED;
	}
	if (!gn_ctl_print_json(ctl, &s->base))
		gn_output_line("slot %s is written and checked%s", s->next,
		               wants_restart ? "" : "; the next restart of the card tries it");
	if (wants_restart)
		restart(ctl, force);
	return GN_CTL_OK;
}

int gn_ctl_update_install(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	bool wants_restart = gn_ctl_flag(arguments, "--restart");
	bool force = gn_ctl_flag(arguments, "--force");
	const char *path = gn_ctl_word(arguments, "the update's file");
	Gnomon__V1__UpdateStatus *s;
	struct update_file file;
	int code;

	gn_ctl_end(arguments);
	open_file(path, &file);
	s = begin(ctl, &file);
	if (s->offset && !ctl->json)
		gn_output_line("goes on at byte %" PRIu64 " of %" PRIu64, s->offset, s->size);
	send_image(ctl, &file, s->offset, s->size);
	gn_ctl_free(&s->base);
	close_file(&file);
	s = wait_until_checked(ctl);
	code = end_of_install(ctl, s, wants_restart, force);
	gn_ctl_free(&s->base);
	return code;
}

/* ---- status, rollback, history ------------------------------------------------------------------
 */

static void print_slots(const Gnomon__V1__UpdateStatus *s)
{
	static const char *const heads[] = {"SLOT",   "STATE", "VERSION", ">SECURITY",
	                                    ">TRIES", "",      NULL};
	struct gn_table *table = gn_table_create(heads);

	for (size_t i = 0; i < s->n_slots; i++) {
		const Gnomon__V1__UpdateSlot *slot = s->slots[i];
		bool runs = !strcmp(slot->name, s->running), next = !strcmp(slot->name, s->next);

		gn_table_add(table, "%s", slot->name);
		gn_table_add(table, "%s", slot->state);
		gn_table_add(table, "%s", slot->version[0] ? slot->version : "-");
		gn_table_add(table, "%u", slot->security);
		gn_table_add(table, "%u", slot->tries);
		gn_table_add(table, "%s",
		             runs && next ? "runs"
		             : runs       ? "runs, not booted next"
		             : next       ? "booted next"
		                          : "");
	}
	gn_table_print(table);
}

static void print_status(const Gnomon__V1__UpdateStatus *s)
{
	gn_output_field("board", "%s, takes security version %u and newer", s->board, s->security);
	gn_output_field("health", "slot %s: %s", s->running, s->health);
	if (s->phase != GNOMON__V1__UPDATE_STATUS__PHASE__IDLE)
		gn_output_field("update", "%s is %s: byte %" PRIu64 " of %" PRIu64, s->version,
		                s->phase == GNOMON__V1__UPDATE_STATUS__PHASE__CHECKING ? "checked"
		                                                                       : "received",
		                s->offset, s->size);
	if (s->trouble[0])
		gn_output_field("trouble", "%s", s->trouble);
	print_slots(s);
}

static int show(struct gn_ctl *ctl, const char *method)
{
	Gnomon__V1__UpdateStatus *s = (Gnomon__V1__UpdateStatus *)gn_ctl_call_empty(ctl, method);

	if (!gn_ctl_print_json(ctl, &s->base))
		print_status(s);
	gn_ctl_free(&s->base);
	return GN_CTL_OK;
}

int gn_ctl_update_status(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	gn_ctl_end(arguments);
	return show(ctl, "GetUpdateStatus");
}

int gn_ctl_update_rollback(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	bool wants_restart = gn_ctl_flag(arguments, "--restart");
	bool force = gn_ctl_flag(arguments, "--force");
	int code;

	gn_ctl_end(arguments);
	code = show(ctl, "RollbackUpdate");
	if (wants_restart)
		restart(ctl, force);
	return code;
}

int gn_ctl_update_history(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	static const char *const heads[] = {"AT", "SLOT", "VERSION", "WHAT", NULL};
	Gnomon__V1__UpdateHistory *history;
	struct gn_table *table;
	char text[GN_FORMAT_SIZE];

	gn_ctl_end(arguments);
	history = (Gnomon__V1__UpdateHistory *)gn_ctl_call_empty(ctl, "ListUpdateHistory");
	if (!gn_ctl_print_json(ctl, &history->base)) {
		table = gn_table_create(heads);
		for (size_t i = 0; i < history->n_events; i++) {
			const Gnomon__V1__UpdateEvent *e = history->events[i];

			gn_table_add(table, "%s", gn_format_date(e->at_us, text, sizeof text));
			gn_table_add(table, "%s", e->slot);
			gn_table_add(table, "%s", e->version);
			gn_table_add(table, "%s", e->text);
		}
		gn_table_print(table);
	}
	gn_ctl_free(&history->base);
	return GN_CTL_OK;
}
