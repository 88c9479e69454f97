/* journal.c - format and arithmetic of a mirrored volume's journal; no I/O. mirror.c moves the
 * bytes and decides when. */
#include "dataplane/volume/journal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define RECORD_MAGIC 0x31636572726e6767ull /* "ggnrrec1" */
#define SUPER_MAGIC  0x3172706e6d6f6e67ull
#define VERSION      1u

_Static_assert(sizeof(struct gn_journal_record) == GN_JOURNAL_SECTOR, "one sector");
_Static_assert(sizeof(struct gn_journal_super) == GN_JOURNAL_SECTOR, "one sector");

/* ---- XXH64 ------------------------------------------------------------------- */

#define P1 0x9e3779b185ebca87ull
#define P2 0xc2b2ae3d27d4eb4full
#define P3 0x165667b19e3779f9ull
#define P4 0x85ebca77c2b2ae63ull
#define P5 0x27d4eb2f165667c5ull

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static uint64_t mix(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * P2, 31) * P1;
}

static uint64_t merge(uint64_t hash, uint64_t lane)
{
	return (hash ^ mix(0, lane)) * P1 + P4;
}

static uint64_t stripes(const uint8_t **p, const uint8_t *end, uint64_t seed)
{
	uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
	uint64_t hash;

	for (; end - *p >= 32; *p += 32) {
		a = mix(a, load64(*p));
		b = mix(b, load64(*p + 8));
		c = mix(c, load64(*p + 16));
		d = mix(d, load64(*p + 24));
	}
	hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	return merge(merge(merge(merge(hash, a), b), c), d);
}

uint64_t gn_journal_checksum(const void *data, size_t size, uint64_t seed)
{
	const uint8_t *p = data;
	const uint8_t *end = p + size;
	uint64_t hash = size >= 32 ? stripes(&p, end, seed) : seed + P5;

	hash += size;
	for (; end - p >= 8; p += 8)
		hash = rotate(hash ^ mix(0, load64(p)), 27) * P1 + P4;
	for (; end - p >= 4; p += 4)
		hash = rotate(hash ^ load32(p) * P1, 23) * P2 + P3;
	for (; p < end; p++)
		hash = rotate(hash ^ *p * P5, 11) * P1;
	hash = (hash ^ hash >> 33) * P2;
	hash = (hash ^ hash >> 29) * P3;
	return hash ^ hash >> 32;
}

/* ---- records ----------------------------------------------------------------- */

uint64_t gn_journal_payload_size(const struct gn_journal_record *record)
{
	bool has = record->op == GN_JOURNAL_WRITE || record->op == GN_JOURNAL_SKIP;

	return has ? record->length_bytes : 0;
}

uint64_t gn_journal_record_size(const struct gn_journal_record *record)
{
	if (record->op == GN_JOURNAL_PAD)
		return record->length_bytes;
	return sizeof *record + gn_journal_payload_size(record);
}

void gn_journal_seal(struct gn_journal_record *record, const void *payload)
{
	uint64_t size = gn_journal_payload_size(record);

	record->magic = RECORD_MAGIC;
	record->payload_checksum =
	        payload ? gn_journal_checksum(payload, size, record->position) : 0;
	record->checksum =
	        gn_journal_checksum(record, offsetof(struct gn_journal_record, checksum), 0);
}

int gn_journal_check(const struct gn_journal_record *record, uint64_t epoch, uint64_t position,
                     uint64_t sequence, uint64_t volume_bytes)
{
	uint64_t length = record->length_bytes;

	if (record->magic != RECORD_MAGIC || record->epoch != epoch ||
	    record->position != position || record->sequence != sequence ||
	    record->checksum !=
	            gn_journal_checksum(record, offsetof(struct gn_journal_record, checksum), 0))
		return -EILSEQ;
	if (record->op >= GN_JOURNAL_N_OPS || length % GN_JOURNAL_SECTOR)
		return -EINVAL;
	if (record->op == GN_JOURNAL_PAD)
		return length && length <= 2 * GN_JOURNAL_MAX_PAYLOAD ? 0 : -EINVAL;
	if (record->offset_bytes > volume_bytes || length > volume_bytes - record->offset_bytes ||
	    gn_journal_payload_size(record) > GN_JOURNAL_MAX_PAYLOAD)
		return -EINVAL;
	return 0;
}

bool gn_journal_check_payload(const struct gn_journal_record *record, const void *payload)
{
	return record->payload_checksum ==
	       gn_journal_checksum(payload, gn_journal_payload_size(record), record->position);
}

/* ---- superblock -------------------------------------------------------------- */

static uint64_t super_checksum(const struct gn_journal_super *super)
{
	return gn_journal_checksum(super, offsetof(struct gn_journal_super, checksum), 0);
}

void gn_journal_super_seal(struct gn_journal_super *super)
{
	super->magic = SUPER_MAGIC;
	super->version = VERSION;
	super->checksum = super_checksum(super);
}

static bool is_valid(const struct gn_journal_super *super)
{
	return super->magic == SUPER_MAGIC && super->version == VERSION &&
	       super->checksum == super_checksum(super) && super->ram_bytes && super->ring_bytes &&
	       super->ring_bytes % super->ram_bytes == 0 &&
	       super->point <= GN_JOURNAL_POINT_SNAPSHOT;
}

const struct gn_journal_super *gn_journal_super_choose(const struct gn_journal_super *a,
                                                       const struct gn_journal_super *b)
{
	if (!is_valid(a))
		return is_valid(b) ? b : NULL;
	if (!is_valid(b))
		return a;
	return a->generation > b->generation ? a : b;
}

/* ---- the book ---------------------------------------------------------------- */

void gn_journal_restart(struct gn_journal *journal, uint64_t epoch, uint64_t position)
{
	journal->epoch = epoch;
	journal->sequence = journal->tail_sequence = 0;
	journal->head = journal->ready = journal->written = position;
	journal->durable = journal->applied = journal->flushed = journal->tail = position;
}

uint64_t gn_journal_max_payload(const struct gn_journal *journal)
{
	uint64_t quarter = journal->ram_bytes / 4;

	return quarter < GN_JOURNAL_MAX_PAYLOAD ? quarter : GN_JOURNAL_MAX_PAYLOAD;
}

uint64_t gn_journal_cost(const struct gn_journal *journal, uint64_t length)
{
	uint64_t max = gn_journal_max_payload(journal);
	uint64_t at = journal->head;

	do {
		uint64_t piece = length < max ? length : max;
		uint64_t left = journal->ram_bytes - at % journal->ram_bytes;

		if (left < GN_JOURNAL_SECTOR + piece)
			at += left;
		at += GN_JOURNAL_SECTOR + piece;
		length -= piece;
	} while (length);
	return at - journal->head;
}

bool gn_journal_has_room(const struct gn_journal *journal, uint64_t length)
{
	return length <= journal->ram_bytes / 2 &&
	       journal->head + gn_journal_cost(journal, length) - journal->tail <=
	               journal->ring_bytes;
}

bool gn_journal_fits(const struct gn_journal *journal, uint64_t length, uint64_t ram_floor)
{
	uint64_t end;

	if (!gn_journal_has_room(journal, length))
		return false;
	end = journal->head + gn_journal_cost(journal, length);
	if (ram_floor > journal->written)
		ram_floor = journal->written;
	return end - ram_floor <= journal->ram_bytes;
}

bool gn_journal_in_ram(const struct gn_journal *journal, uint64_t position)
{
	return journal->head - position <= journal->ram_bytes;
}

/* ---- lag --------------------------------------------------------------------- */

void gn_lag_clear(struct gn_lag *lag)
{
	lag->n = 0;
	lag->applied_writes = lag->writes;
}

/* Every second mark goes; what it stood for counts as old as the one before. */
static void thin(struct gn_lag *lag)
{
	for (unsigned i = 0; i < lag->n / 2; i++)
		lag->marks[i] = lag->marks[2 * i];
	lag->n /= 2;
}

void gn_lag_add(struct gn_lag *lag, uint64_t position, uint64_t now_us)
{
	lag->writes++;
	if (lag->n && now_us - lag->marks[lag->n - 1].us < 1000)
		return;
	if (lag->n == GN_LAG_MARKS)
		thin(lag);
	lag->marks[lag->n].position = position;
	lag->marks[lag->n].writes = lag->writes - 1;
	lag->marks[lag->n++].us = now_us;
}

void gn_lag_applied(struct gn_lag *lag, uint64_t position)
{
	unsigned passed = 0;

	/* A mark is done with when the next one's writes are what is missing. */
	while (passed + 1 < lag->n && lag->marks[passed + 1].position <= position)
		passed++;
	if (!passed)
		return;
	lag->applied_writes = lag->marks[passed].writes;
	memmove(lag->marks, lag->marks + passed, (lag->n - passed) * sizeof *lag->marks);
	lag->n -= passed;
}

uint64_t gn_lag_age_us(const struct gn_lag *lag, uint64_t now_us)
{
	return lag->n && now_us > lag->marks[0].us ? now_us - lag->marks[0].us : 0;
}

uint64_t gn_lag_writes(const struct gn_lag *lag)
{
	return lag->writes - lag->applied_writes;
}
