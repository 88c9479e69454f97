/* mirror_verify.c - primary and shadow compared, and the shadow repaired, while the disk is
 * written; verify.h has the book and why it is exact.
 *
 * A repair is a record of the journal like any other: the primary is read into it in its turn among
 * the writes, so the shadow stays a prefix, whenever this ends. */
#include "dataplane/volume/mirror_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 8u      /* with a hold for the last of them */
#define HOLD_US   100000u /* longest that writes to what never settles wait, once a window */

struct gn_vmirror_verify *gn_vmirror_verify_create(const struct gn_vmirror *m, bool repairs,
                                                   uint64_t bytes_per_s)
{
	struct gn_vmirror_verify *v = calloc(1, sizeof *v);
	void *memory;

	if (!v)
		return NULL;
	v->look_bytes = m->primary->size_bytes < LOOK_BYTES ? m->primary->size_bytes : LOOK_BYTES;
	if (posix_memalign(&memory, 4096, (size_t)(N_LOOKS * 2 * v->look_bytes)) != 0) {
		free(v);
		return NULL;
	}
	v->memory = memory;
	v->bytes_per_s = bytes_per_s;
	gn_verify_init(&v->book, m->primary->size_bytes, m->primary->block_bytes, repairs);
	for (unsigned i = 0; i < N_LOOKS; i++) {
		v->looks[i].primary = v->memory + i * 2 * v->look_bytes;
		v->looks[i].shadow = v->looks[i].primary + v->look_bytes;
	}
	return v;
}

void gn_vmirror_verify_destroy(struct gn_vmirror_verify *v)
{
	if (!v)
		return;
	free(v->memory);
	free(v);
}

int gn_vmirror_verify_start(struct gn_vmirror *m, struct gn_vmirror_verify **verify)
{
	struct gn_vmirror_verify *former = m->verify, *v = *verify;

	if (former && former->state == GN_VMIRROR_VERIFY_RUNNING)
		return -EBUSY;
	for (unsigned i = 0; i < N_LOOKS; i++)
		v->looks[i].mirror = m;
	v->rewrite.mirror = m;
	v->rewrite.rewrites = true;
	v->state = GN_VMIRROR_VERIFY_RUNNING;
	v->number = former ? former->number + 1 : 1;
	gn_verify_next_window(&v->book);
	m->verify = v;
	*verify = former;
	return 0;
}

void gn_vmirror_verify_cancel(struct gn_vmirror *m)
{
	if (m->verify)
		m->verify->is_cancelled = true;
}

bool gn_vmirror_verify_is_busy(const struct gn_vmirror *m)
{
	return m->verify && (m->verify->n_looks || m->verify->is_rewriting);
}

void gn_vmirror_verify_touch(struct gn_vmirror *m, const struct gn_volume_request *io)
{
	if (m->verify && m->verify->state == GN_VMIRROR_VERIFY_RUNNING)
		gn_verify_touch(&m->verify->book, io->offset_bytes, io->length_bytes);
}

bool gn_vmirror_verify_hurries(const struct gn_vmirror *m)
{
	return m->verify && m->verify->holds;
}

bool gn_vmirror_verify_holds(const struct gn_vmirror *m, const struct op *op)
{
	return gn_vmirror_verify_hurries(m) && !op->rewrites &&
	       gn_verify_is_open(&m->verify->book, op->io.offset_bytes, op->io.length_bytes);
}

void gn_vmirror_get_verify(const struct gn_vmirror *m, struct gn_vmirror_verify_status *out)
{
	const struct gn_vmirror_verify *v = m->verify;

	*out = (struct gn_vmirror_verify_status){.state = GN_VMIRROR_VERIFY_NONE};
	if (v)
		*out = (struct gn_vmirror_verify_status){.state = v->state,
		                                         .number = v->number,
		                                         .repairs = v->book.repairs,
		                                         .size_bytes = v->book.volume_bytes,
		                                         .result = v->book.result};
}

/* ---- looking ------------------------------------------------------------------- */

static void end_look(struct look *look, const void *primary, const void *shadow)
{
	struct gn_vmirror_verify *v = look->mirror->verify;

	look->busy = false;
	v->n_looks--;
	/* What was read in a try that was given up proves nothing. */
	if (look->try == v->try)
		gn_verify_judge(&v->book, look->offset, look->length, primary, shadow);
}

static void on_shadow_read(struct gn_volume_request *io, int error)
{
	struct look *look = (struct look *)io;

	look->mirror->shadow_us = look->mirror->now_us;
	end_look(look, look->primary, error ? NULL : look->shadow);
}

static void on_primary_read(struct gn_volume_request *io, int error)
{
	struct look *look = (struct look *)io;
	struct gn_vmirror *m = look->mirror;

	m->verify->n_reading--;
	if (error) {
		end_look(look, NULL, NULL);
		return;
	}
	look->iov.iov_base = look->shadow;
	io->done = on_shadow_read;
	if (!m->shadow->n_in_flight)
		m->shadow_us = m->now_us;
	if (gn_volume_submit(m->shadow, &io, 1) == 1)
		return;
	look->try = 0; /* its queue is full: again in the next try */
	end_look(look, NULL, NULL);
}

static void start_look(struct gn_vmirror *m, struct look *look, uint64_t offset, uint64_t length)
{
	struct gn_vmirror_verify *v = m->verify;
	struct gn_volume_request *io = &look->io;

	look->offset = offset;
	look->length = length;
	look->try = v->try;
	look->iov = (struct iovec){look->primary, length};
	*io = (struct gn_volume_request){.op = GN_VOLUME_READ,
	                                 .offset_bytes = offset,
	                                 .length_bytes = length,
	                                 .iov = &look->iov,
	                                 .n_iov = 1,
	                                 .done = on_primary_read};
	look->busy = true;
	v->n_looks++;
	v->n_reading++;
	if (gn_volume_submit(m->primary, &io, 1) == 1)
		return;
	v->n_reading--;
	look->try = 0;
	end_look(look, NULL, NULL);
}

static struct look *free_look(struct gn_vmirror_verify *v)
{
	for (unsigned i = 0; i < N_LOOKS; i++)
		if (!v->looks[i].busy)
			return &v->looks[i];
	return NULL;
}

/* The VM's own requests come first. */
static bool may_look(const struct gn_vmirror *m)
{
	const struct gn_vmirror_verify *v = m->verify;
	bool vm_works = m->primary->n_in_flight > v->n_reading;

	return v->n_looks < (vm_works && !v->holds ? 1 : N_LOOKS) && m->now_us >= v->next_us &&
	       m->primary->n_in_flight < m->primary->depth;
}

static void spend(struct gn_vmirror *m, uint64_t bytes)
{
	struct gn_vmirror_verify *v = m->verify;

	if (!v->bytes_per_s || v->holds)
		return;
	if (v->next_us < m->now_us)
		v->next_us = m->now_us;
	v->next_us += bytes * 1000000 / v->bytes_per_s;
}

static void look_on(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;

	while (v->cursor < v->book.end && may_look(m)) {
		uint64_t length = v->book.end - v->cursor;

		if (length > v->look_bytes)
			length = v->look_bytes;
		if (gn_verify_is_open(&v->book, v->cursor, length)) {
			start_look(m, free_look(v), v->cursor, length);
			spend(m, length);
		}
		v->cursor += length;
	}
}

/* ---- repairing ------------------------------------------------------------------- */

static void on_rewritten(struct gn_volume_request *io, int error)
{
	(void)io;
	(void)error; /* one that did not come about is seen to differ again */
}

/* One range after the other. False: all have had their turn. */
static bool repair(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;
	struct gn_verify_range range;

	if (v->is_rewriting)
		return true;
	if (v->repaired >= v->book.end ||
	    !gn_verify_next_repair(&v->book, v->repaired, v->look_bytes, &range))
		return false;
	v->repaired = range.offset_bytes + range.length_bytes;
	v->is_rewriting = true;
	v->rewrite_guest = (struct gn_volume_request){.op = GN_VOLUME_READ,
	                                              .offset_bytes = range.offset_bytes,
	                                              .length_bytes = range.length_bytes,
	                                              .done = on_rewritten};
	gn_vmirror_rewrite(m, &v->rewrite, &v->rewrite_guest);
	return true;
}

/* ---- tries ----------------------------------------------------------------------- */

static void begin_try(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;

	gn_verify_begin_try(&v->book);
	v->try++;
	v->is_armed = true;
	v->epoch = m->journal.epoch;
	v->barrier = m->journal.head;
	v->cursor = v->repaired = v->book.begin;
	v->holds = v->book.tries == MAX_TRIES;
	v->hold_until_us = m->now_us + HOLD_US;
}

/* False: the try goes on. */
static bool try_is_over(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;

	if (m->journal.applied < v->barrier)
		return false;
	look_on(m);
	if (v->cursor < v->book.end || v->n_looks)
		return false;
	v->holds = false;
	return !repair(m);
}

static void end_try(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;

	v->is_armed = false;
	if (!gn_verify_window_is_done(&v->book) && v->book.tries <= MAX_TRIES)
		return;
	gn_verify_give_up_window(&v->book);
	if (!gn_verify_next_window(&v->book))
		v->state = GN_VMIRROR_VERIFY_DONE;
}

static void break_off(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;

	v->is_armed = v->holds = false;
	v->epoch = m->journal.epoch;
	v->try++;
}

void gn_vmirror_verify(struct gn_vmirror *m)
{
	struct gn_vmirror_verify *v = m->verify;
	bool may_run = m->phase == GN_REPLICA_LIVE && !m->n_loose;

	if (!v || v->state != GN_VMIRROR_VERIFY_RUNNING)
		return;
	if (!may_run || v->epoch != m->journal.epoch)
		break_off(m); /* once it is in step, this window again */
	if (m->now_us >= v->hold_until_us)
		v->holds = false;
	if (v->is_cancelled || m->stops) {
		v->holds = false;
		if (!gn_vmirror_verify_is_busy(m))
			v->state = GN_VMIRROR_VERIFY_ENDED;
		return;
	}
	if (!v->is_armed && may_run && !gn_vmirror_verify_is_busy(m))
		begin_try(m);
	if (v->is_armed && try_is_over(m))
		end_try(m);
}
