/* journal.h - what a mirrored volume keeps on the card's disk: the records of the ordered
 * journal, the superblock that says where they begin, and the book of how far each is.
 *
 * The journal is a redo log. Positions are bytes since the volume was first mirrored and
 * never go back; a position's place is 'position % size' in RAM and in the file, and no record
 * crosses a multiple of the RAM's size (a PAD fills up), so every record is in one piece in
 * both. One guest request may take several records; all but the last carry GN_JOURNAL_MORE, and
 * recovery ends only between requests.
 *
 *   tail <= flushed <= applied <= durable <= written <= ready <= head
 *
 * head     where the next record goes; its write is on the way to the primary
 * ready    every write before it has completed on the primary
 * written  handed to the journal store;   durable: flushed there, so it may be applied
 * applied  written to the shadow;         flushed: durable there
 * tail     what the durable superblock says: a restart begins here; room before it is free
 *
 * All integers on disk are little endian, as both supported machines are. Pure. Owner: one
 * lcore per journal. */
#ifndef GN_DATAPLANE_VOLUME_JOURNAL_H
#define GN_DATAPLANE_VOLUME_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_JOURNAL_SECTOR      512u
#define GN_JOURNAL_MAX_PAYLOAD (1u << 20) /* of one record, and at most a quarter of the RAM */

/* XXH64 (xxhash specification 0.1.1), which is fast without vector registers or tables. */
uint64_t gn_journal_checksum(const void *data, size_t size, uint64_t seed);

/* ---- records ----------------------------------------------------------------- */

enum gn_journal_op {
	GN_JOURNAL_PAD,     /* nothing; 'length_bytes' to the next record, this sector included */
	GN_JOURNAL_SKIP,    /* a write that failed on the primary; its payload follows */
	GN_JOURNAL_WRITE,   /* the payload follows */
	GN_JOURNAL_DISCARD, /* no payload */
	GN_JOURNAL_ZEROES,
	GN_JOURNAL_ZEROES_UNMAP,
	GN_JOURNAL_N_OPS,
};
#define GN_JOURNAL_MORE 1u /* flag: the request goes on in the next record */

/* One sector. */
struct gn_journal_record {
	uint64_t magic;
	uint64_t epoch;    /* of the superblock; older ones are of a former run */
	uint64_t position; /* of this sector */
	uint64_t sequence; /* counts records of this epoch from 0 */
	uint64_t offset_bytes;
	uint64_t length_bytes;
	uint64_t payload_checksum;
	uint32_t op;
	uint32_t flags;
	uint8_t zero[GN_JOURNAL_SECTOR - 72];
	uint64_t checksum; /* of all before it */
};

/* Bytes of payload that follow the record, and from one record to the next. */
uint64_t gn_journal_payload_size(const struct gn_journal_record *record);
uint64_t gn_journal_record_size(const struct gn_journal_record *record);

/* Fills magic and checksums. 'payload' is NULL where none follows. */
void gn_journal_seal(struct gn_journal_record *record, const void *payload);

/* What a record must be to count: 0, or -EILSEQ when it is not the one expected (the journal's end,
 * or damage), -EINVAL when it is but asks for what cannot be (corrupt; 'volume_bytes', limits). */
int gn_journal_check(const struct gn_journal_record *record, uint64_t epoch, uint64_t position,
                     uint64_t sequence, uint64_t volume_bytes);
bool gn_journal_check_payload(const struct gn_journal_record *record, const void *payload);

/* ---- superblock -------------------------------------------------------------- */

/* Where a promotable content is. */
enum gn_journal_point {
	GN_JOURNAL_POINT_NONE,     /* first synchronisation: nowhere yet */
	GN_JOURNAL_POINT_SHADOW,   /* the shadow, once the journal is replayed onto it */
	GN_JOURNAL_POINT_SNAPSHOT, /* the snapshot: the shadow is being resynchronised */
};

/* One sector, in two places that are written in turn, so one is always whole. */
struct gn_journal_super {
	uint64_t magic;
	uint64_t version;
	uint64_t generation; /* the higher one is the valid one */
	uint64_t volume_bytes;
	uint64_t granule_bytes;
	uint64_t ring_bytes; /* of the file */
	uint64_t ram_bytes;  /* what no record crosses */
	uint64_t epoch;
	uint64_t tail;
	uint64_t tail_sequence;
	uint64_t point;   /* enum gn_journal_point */
	uint64_t wall_us; /* when that point's content was the primary's; 0: unknown */
	uint8_t zero[GN_JOURNAL_SECTOR - 104];
	uint64_t checksum;
};

void gn_journal_super_seal(struct gn_journal_super *super);
/* The newer valid of two, or NULL. */
const struct gn_journal_super *gn_journal_super_choose(const struct gn_journal_super *a,
                                                       const struct gn_journal_super *b);

/* ---- the book ---------------------------------------------------------------- */

struct gn_journal {
	uint64_t ram_bytes;
	uint64_t ring_bytes; /* a multiple of 'ram_bytes' */
	uint64_t epoch;
	uint64_t sequence; /* of the next record */
	uint64_t head, ready, written, durable, applied, flushed, tail;
	uint64_t tail_sequence;
};

/* The longest payload of one record. */
uint64_t gn_journal_max_payload(const struct gn_journal *journal);

/* Empty, at 'position'. */
void gn_journal_restart(struct gn_journal *journal, uint64_t epoch, uint64_t position);

/* Bytes that a request of 'length' payload bytes (0: none) takes, pads included. */
uint64_t gn_journal_cost(const struct gn_journal *journal, uint64_t length);

/* Whether its file has room for the request. */
bool gn_journal_has_room(const struct gn_journal *journal, uint64_t length);

/* Whether the request fits: into the file before the tail, and into the RAM without what is not
 * written yet or still read from there ('ram_floor': the oldest such position). */
bool gn_journal_fits(const struct gn_journal *journal, uint64_t length, uint64_t ram_floor);

/* True when the record of 'size' bytes at 'position' is still in RAM. */
bool gn_journal_in_ram(const struct gn_journal *journal, uint64_t position);

/* ---- lag: how far the shadow is behind ---------------------------------------- */

#define GN_LAG_MARKS 64u

/* Some positions with the time they were reached; between two marks the older time counts, so the
 * age told is never too small. */
struct gn_lag {
	struct {
		uint64_t position, writes, us;
	} marks[GN_LAG_MARKS];
	unsigned n;
	uint64_t writes;         /* all so far */
	uint64_t applied_writes; /* at the last mark that was passed */
};

/* A write was appended that begins at 'position'. */
void gn_lag_add(struct gn_lag *lag, uint64_t position, uint64_t now_us);
/* The shadow has everything before 'position'. */
void gn_lag_applied(struct gn_lag *lag, uint64_t position);
/* Age of the oldest write that the shadow has not; 0: it has all. */
uint64_t gn_lag_age_us(const struct gn_lag *lag, uint64_t now_us);
/* Writes it has not; never too small. */
uint64_t gn_lag_writes(const struct gn_lag *lag);
void gn_lag_clear(struct gn_lag *lag);

#endif
