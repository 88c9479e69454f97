/* install.c - see install.h. */
#include "firmware/update/install.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gn_install_slot_name(unsigned slot)
{
	return slot ? "b" : "a";
}

/* "TIME SLOT VERSION TEXT". What cannot be written down is lost: an update must not fail for it. */
static void tell(struct gn_install *install, unsigned slot, const char *version, uint64_t now_us,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
static void tell(struct gn_install *install, unsigned slot, const char *version, uint64_t now_us,
                 const char *format, ...)
{
	char line[GN_DISK_LINE], text[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	snprintf(line, sizeof line, "%llu %s %s %s", (unsigned long long)now_us,
	         gn_install_slot_name(slot), version[0] ? version : "-", text);
	gn_disk_add_history(install->disk, line);
}

static unsigned target_of(const struct gn_install *install)
{
	return gn_slots_other(install->card.running);
}

/* Puts 'slots' on the disk, and only then into memory. */
static int save(struct gn_install *install, const struct gn_slots *slots, struct gn_status *status)
{
	char block[GN_SLOTS_BLOCK];
	int error;

	gn_slots_encode(slots, block);
	error = gn_disk_write_environment(install->disk, block);
	if (error)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "the boot environment cannot be written: %s; look at the "
		                     "card's esp",
		                     strerror(-error));
	install->slots = *slots;
	return 0;
}

/* ---- start --------------------------------------------------------------------------------------
 */

/* The running slot is as good as none other when nobody knows better. */
static int recover(struct gn_install *install, uint64_t now_us, struct gn_status *status)
{
	struct gn_slots slots;
	const struct gn_install_card *card = &install->card;

	gn_slots_init(&slots, card->running, card->version, card->security);
	tell(install, card->running, card->version, now_us,
	     "the boot environment was lost and is made anew; the other slot counts as empty");
	return save(install, &slots, status);
}

int gn_install_open(struct gn_install *install, const struct gn_install_card *card,
                    struct gn_disk *disk, uint64_t now_us, struct gn_status *status)
{
	char block[GN_SLOTS_BLOCK];
	struct gn_slots slots;
	unsigned other;
	int error;

	*install = (struct gn_install){.card = *card, .disk = disk};
	error = gn_disk_read_environment(disk, block);
	if (error)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "the boot environment cannot be read: %s; is the card's esp "
		                     "mounted?",
		                     strerror(-error));
	if (!gn_slots_decode(block, &slots))
		return recover(install, now_us, status);
	install->slots = slots;
	other = target_of(install);
	if (!gn_slots_settle(&slots, card->running))
		return 0;
	tell(install, other, slots.slots[other].version, now_us,
	     "did not become good in %u boots; slot %s runs again", GN_SLOT_TRIES,
	     gn_install_slot_name(card->running));
	return save(install, &slots, status);
}

static void stop(struct gn_install *install)
{
	gn_digest_destroy(install->digest);
	install->digest = NULL;
	install->phase = GN_INSTALL_IDLE;
}

void gn_install_close(struct gn_install *install)
{
	stop(install);
}

/* ---- begin --------------------------------------------------------------------------------------
 */

static int judge(const struct gn_install *install, const struct gn_manifest *m, uint64_t now_us,
                 struct gn_status *status)
{
	const struct gn_update_card card = {
	        .board = install->card.board,
	        .security = install->slots.security,
	        .slot_bytes = gn_disk_slot_size(install->disk, target_of(install)),
	        .now_s = now_us / 1000000,
	};
	enum gn_update_verdict verdict = gn_update_judge(m, &card);

	if (verdict == GN_UPDATE_TAKE)
		return 0;
	return gn_status_set(status, GN_FAILED_PRECONDITION,
	                     "%s (for %s, security version %u, %llu bytes) is refused: %s; this "
	                     "card is %s, security version %u, with room for %llu bytes",
	                     m->version, m->board, m->security, (unsigned long long)m->size,
	                     gn_update_verdict_text(verdict), card.board, card.security,
	                     (unsigned long long)card.slot_bytes);
}

static int check_offer(const struct gn_install *install, const struct gn_authentic *offer,
                       uint64_t now_us, struct gn_manifest *m, struct gn_status *status)
{
	unsigned line;
	int error = gn_authentic_check(offer, install->card.roots_file, status);

	if (error)
		return error;
	line = gn_manifest_parse(offer->text, offer->text_size, m);
	if (line)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "line %u of the update's manifest is not one that this card "
		                     "knows; it may need an older update first",
		                     line);
	return judge(install, m, now_us, status);
}

/* Where to go on: the other slot may hold a part of this very image. */
static uint64_t resume_at(struct gn_install *install, const struct gn_manifest *m)
{
	struct gn_disk_progress progress;

	gn_disk_load_progress(install->disk, &progress);
	if (install->slots.slots[target_of(install)].state != GN_SLOT_EMPTY ||
	    memcmp(progress.sha256, m->sha256, sizeof progress.sha256) != 0 ||
	    progress.offset > m->size)
		return 0;
	return progress.offset;
}

static int save_progress(struct gn_install *install, const uint8_t *sha256, uint64_t offset,
                         struct gn_status *status)
{
	struct gn_disk_progress progress = {.offset = offset};
	int error;

	memcpy(progress.sha256, sha256, sizeof progress.sha256);
	error = gn_disk_save_progress(install->disk, &progress);
	if (error)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "the progress cannot be kept: %s; is the card's data "
		                     "partition full?",
		                     strerror(-error));
	install->saved = offset;
	return 0;
}

int gn_install_begin(struct gn_install *install, const struct gn_authentic *offer, uint64_t now_us,
                     struct gn_status *status)
{
	struct gn_slots slots = install->slots;
	struct gn_manifest m;
	uint64_t offset;
	int error = check_offer(install, offer, now_us, &m, status);

	if (error)
		return error;
	if (gn_slots_begin(&slots, install->card.running))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "slot %s, which runs, is not good yet, and slot %s is the "
		                     "only way back: wait until 'gnomonctl update status' says "
		                     "that it is",
		                     gn_install_slot_name(install->card.running),
		                     gn_install_slot_name(target_of(install)));
	offset = resume_at(install, &m);
	if (!offset) {
		error = save(install, &slots, status);
		if (!error)
			error = save_progress(install, m.sha256, 0, status);
		if (error)
			return error;
		tell(install, target_of(install), m.version, now_us, "is being installed");
	}
	stop(install);
	install->manifest = m;
	install->offset = install->saved = offset;
	install->phase = GN_INSTALL_RECEIVING;
	install->trouble[0] = '\0';
	return 0;
}

/* ---- write --------------------------------------------------------------------------------------
 */

static int check_data(const struct gn_install *install, uint64_t offset, size_t size,
                      struct gn_status *status)
{
	if (install->phase != GN_INSTALL_RECEIVING)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "no update is under way; begin with BeginUpdate");
	if (offset != install->offset)
		return gn_status_set(
		        status, GN_OUT_OF_RANGE, "the image goes on at byte %llu, not at %llu",
		        (unsigned long long)install->offset, (unsigned long long)offset);
	if (!size || size > GN_INSTALL_DATA_MAX || size > install->manifest.size - offset)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "%zu bytes at byte %llu do not fit: at most %u at once, %llu "
		                     "in all",
		                     size, (unsigned long long)offset, GN_INSTALL_DATA_MAX,
		                     (unsigned long long)install->manifest.size);
	return 0;
}

static int sync_slot(struct gn_install *install, struct gn_status *status)
{
	int error = gn_disk_sync_slot(install->disk, target_of(install));

	if (error)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "slot %s cannot be written: %s; its medium may be worn out",
		                     gn_install_slot_name(target_of(install)), strerror(-error));
	return save_progress(install, install->manifest.sha256, install->offset, status);
}

int gn_install_write(struct gn_install *install, uint64_t offset, const void *data, size_t size,
                     struct gn_status *status)
{
	int error = check_data(install, offset, size, status);

	if (error)
		return error;
	error = gn_disk_write_slot(install->disk, target_of(install), offset, data, size);
	if (error)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "slot %s cannot be written at byte %llu: %s",
		                     gn_install_slot_name(target_of(install)),
		                     (unsigned long long)offset, strerror(-error));
	install->offset += size;
	if (install->offset - install->saved >= GN_INSTALL_SAVE_BYTES)
		return sync_slot(install, status);
	return 0;
}

/* ---- finish -------------------------------------------------------------------------------------
 */

int gn_install_finish(struct gn_install *install, struct gn_status *status)
{
	int error;

	if (install->phase == GN_INSTALL_CHECKING)
		return 0; /* asked twice */
	if (install->phase != GN_INSTALL_RECEIVING || install->offset != install->manifest.size)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the update is not whole: %llu of %llu bytes are there",
		                     (unsigned long long)install->offset,
		                     (unsigned long long)install->manifest.size);
	error = sync_slot(install, status);
	if (error)
		return error;
	install->digest = gn_digest_create();
	if (!install->digest)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	install->phase = GN_INSTALL_CHECKING;
	install->offset = 0;
	return 0;
}

/* What has been written is of no use: the next attempt begins at its first byte. */
static void give_up(struct gn_install *install, uint64_t now_us, const char *why)
{
	static const uint8_t none[GN_MANIFEST_DIGEST];
	struct gn_status ignored;

	save_progress(install, none, 0, &ignored);
	snprintf(install->trouble, sizeof install->trouble, "%s", why);
	tell(install, target_of(install), install->manifest.version, now_us,
	     "was not installed: %.150s", why);
	stop(install);
}

static void arm(struct gn_install *install, uint64_t now_us)
{
	const struct gn_manifest *m = &install->manifest;
	struct gn_slots slots = install->slots;
	struct gn_status status = {.message = "slots have changed meanwhile; install it again"};

	if (gn_slots_written(&slots, target_of(install), m->version, m->security) ||
	    save(install, &slots, &status)) {
		give_up(install, now_us, status.message);
		return;
	}
	tell(install, target_of(install), m->version, now_us,
	     "is installed and checked; the next restart tries it");
	stop(install);
}

void gn_install_step(struct gn_install *install, uint64_t now_us)
{
	static unsigned char data[GN_INSTALL_STEP_BYTES];
	uint64_t left = install->manifest.size - install->offset;
	size_t size = left < sizeof data ? (size_t)left : sizeof data;
	uint8_t found[GN_MANIFEST_DIGEST];

	if (install->phase != GN_INSTALL_CHECKING)
		return;
	if (gn_disk_read_slot(install->disk, target_of(install), install->offset, data, size)) {
		give_up(install, now_us,
		        "the slot cannot be read back; its medium may be worn out");
		return;
	}
	gn_digest_add(install->digest, data, size);
	install->offset += size;
	if (install->offset < install->manifest.size)
		return;
	gn_digest_end(install->digest, found);
	if (memcmp(found, install->manifest.sha256, sizeof found) == 0)
		arm(install, now_us);
	else
		give_up(install, now_us,
		        "what the slot holds is not what was signed (SHA-256): the file was "
		        "changed "
		        "or the medium is bad; get the file anew and install it again");
}

/* ---- which slot ---------------------------------------------------------------------------------
 */

int gn_install_rollback(struct gn_install *install, uint64_t now_us, struct gn_status *status)
{
	unsigned other = target_of(install);
	struct gn_slots slots = install->slots;
	const struct gn_slot *slot = &slots.slots[other];
	int error = gn_slots_rollback(&slots, install->card.running);

	if (error)
		return gn_status_set(
		        status, GN_FAILED_PRECONDITION, "slot %s cannot be booted: it is %s%s",
		        gn_install_slot_name(other), gn_slot_state_name(slot->state),
		        error == -EPERM ? ", older in security than what was good here" : "");
	error = save(install, &slots, status);
	if (!error)
		tell(install, other, slot->version, now_us, "is wanted back by an operator");
	return error;
}

int gn_install_good(struct gn_install *install, uint64_t now_us, struct gn_status *status)
{
	unsigned running = install->card.running;
	struct gn_slots slots = install->slots;
	bool was_good = slots.slots[running].state == GN_SLOT_GOOD;
	int error;

	if (gn_slots_good(&slots, running))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "slot %s runs, but is older in security than what was good "
		                     "here: install an update",
		                     gn_install_slot_name(running));
	error = save(install, &slots, status);
	if (!error && !was_good)
		tell(install, running, slots.slots[running].version, now_us, "is good");
	return error;
}

int gn_install_bad(struct gn_install *install, const char *why, uint64_t now_us,
                   struct gn_status *status)
{
	unsigned running = install->card.running;
	struct gn_slots slots = install->slots;
	int error;

	if (gn_slots_bad(&slots, running))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "there is no other good slot to go back to");
	error = save(install, &slots, status);
	if (!error)
		tell(install, running, slots.slots[running].version, now_us,
		     "is not good: %.120s; slot %s gets its turn back", why,
		     gn_install_slot_name(target_of(install)));
	return error;
}
