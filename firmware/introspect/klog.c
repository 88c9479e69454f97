/* klog.c - reads the printk ring buffer (klog.h).
 *
 * Record 'seq' has its descriptor and its info at index seq modulo the descriptors' number (a
 * record's id and its sequence number advance together). The descriptor's state says whether
 * the record is complete; both are checked again after the text was read. */
#include "firmware/introspect/klog.h"

#include <errno.h>
#include <string.h>

#define MAX_COUNT_BITS 20
#define BURST_NS       10000000u
#define MAX_STEPS      (1u << 17) /* descriptors looked at in one call */
#define MAX_SIZE_BITS  28
#define STATE_SHIFT    62
#define COMMITTED      1u
#define FINALIZED      2u

struct ring {
	uint64_t descs;
	uint64_t infos;
	uint64_t data;
	uint64_t head_id;
	uint64_t tail_id;
	uint32_t count_bits;
	uint32_t size_bits;
};

static bool read_ring(const struct gn_kernel *k, struct ring *r)
{
	const struct gn_profile *p = &k->profile;
	uint64_t prb;

	return gn_space_u64(&k->space, k->symbols.va[GN_SYM_prb], &prb) &&
	       gn_space_u64(&k->space, prb + p->at.prb_descs, &r->descs) &&
	       gn_space_u64(&k->space, prb + p->at.prb_infos, &r->infos) &&
	       gn_space_u64(&k->space, prb + p->at.prb_data, &r->data) &&
	       gn_space_u64(&k->space, prb + p->at.prb_tail_id, &r->tail_id) &&
	       gn_space_u64(&k->space, prb + p->at.prb_head_id, &r->head_id) &&
	       gn_space_u32(&k->space, prb + p->at.prb_count_bits, &r->count_bits) &&
	       gn_space_u32(&k->space, prb + p->at.prb_size_bits, &r->size_bits) &&
	       r->count_bits >= 1 && r->count_bits <= MAX_COUNT_BITS && r->size_bits >= 3 &&
	       r->size_bits <= MAX_SIZE_BITS;
}

static uint64_t index_of(const struct ring *r, uint64_t id)
{
	return id & (((uint64_t)1 << r->count_bits) - 1);
}

struct record {
	uint64_t seq;
	uint64_t at_ns;
	uint64_t begin;
	uint64_t next;
	uint16_t text_size;
	uint8_t facility;
	uint8_t level;
};

static bool read_bytes(const struct gn_kernel *k, uint64_t va, uint32_t at, void *out, size_t size)
{
	return gn_space_read(&k->space, va + at, out, size);
}

/* Whether record 'id' is complete, and what it is. */
static bool read_record(const struct gn_kernel *k, const struct ring *r, uint64_t id,
                        struct record *out)
{
	const struct gn_profile *p = &k->profile;
	uint64_t desc = r->descs + index_of(r, id) * p->size.desc;
	uint64_t info = r->infos + index_of(r, id) * p->size.info, state, again;
	uint8_t levels;
	unsigned kind;

	if (!gn_space_u64(&k->space, desc + p->at.desc_state, &state))
		return false;
	kind = (unsigned)(state >> STATE_SHIFT);
	if ((kind != COMMITTED && kind != FINALIZED) || state << 2 != id << 2)
		return false;
	return gn_space_u64(&k->space, info + p->at.info_seq, &out->seq) &&
	       gn_space_u64(&k->space, info + p->at.info_ts, &out->at_ns) &&
	       read_bytes(k, info, p->at.info_text_len, &out->text_size, 2) &&
	       read_bytes(k, info, p->at.info_facility, &out->facility, 1) &&
	       read_bytes(k, info, p->at.info_level / 8, &levels, 1) &&
	       gn_space_u64(&k->space, desc + p->at.desc_begin, &out->begin) &&
	       gn_space_u64(&k->space, desc + p->at.desc_next, &out->next) &&
	       gn_space_u64(&k->space, desc + p->at.desc_state, &again) && again == state &&
	       (out->level = levels >> (p->at.info_level % 8) & 7, true);
}

/* A block is its record's id and then the text; one that would not fit at the end of the
 * buffer lies at its beginning. */
static bool read_text(const struct gn_kernel *k, const struct ring *r, uint64_t id,
                      const struct record *record, char *text)
{
	uint64_t size = (uint64_t)1 << r->size_bits, at = record->begin & (size - 1), block_id;
	char bytes[GN_KLOG_TEXT];
	size_t n = record->text_size < GN_KLOG_TEXT ? record->text_size : GN_KLOG_TEXT;

	text[0] = '\0';
	if (record->begin & 1 || !n)
		return true; /* no text */
	if (record->begin >> r->size_bits != record->next >> r->size_bits &&
	    (record->next & (size - 1)) != 0)
		at = 0;
	if (at + 8 + n > size || !gn_space_u64(&k->space, r->data + at, &block_id) ||
	    block_id != id || !gn_space_read(&k->space, r->data + at + 8, bytes, n))
		return false;
	gn_space_clean_text(text, bytes, n);
	return true;
}

static bool is_supported(const struct gn_kernel *k)
{
	const struct gn_profile *p = &k->profile;
	const uint32_t needed[] = {
	        p->at.prb_descs,     p->at.prb_infos,     p->at.prb_count_bits, p->at.prb_head_id,
	        p->at.prb_tail_id,   p->at.prb_size_bits, p->at.prb_data,       p->at.desc_state,
	        p->at.desc_begin,    p->at.desc_next,     p->at.info_seq,       p->at.info_ts,
	        p->at.info_text_len, p->at.info_facility, p->at.info_level,     p->size.desc,
	        p->size.info,
	};

	for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++)
		if (needed[i] == GN_PROFILE_ABSENT)
			return false;
	return k->symbols.has[GN_SYM_prb];
}

/* What a person should read of several: the worst, of equals the newest; but the first line of a
 * burst says what happened and the others how ("BUG: ...", then registers and a trace). */
static bool tells_more(const struct record *record, const struct gn_klog_news *news)
{
	if (!news->n_errors || record->level < news->level)
		return true;
	return record->level == news->level && record->at_ns > news->newest_ns + BURST_NS;
}

static void take(const struct gn_kernel *k, const struct ring *r, uint64_t id,
                 const struct record *record, struct gn_klog_news *news)
{
	news->n_records++;
	if (record->facility != 0 || record->level > GN_KLOG_ERROR)
		return;
	if (tells_more(record, news)) {
		if (!read_text(k, r, id, record, news->text))
			strcpy(news->text, "(overwritten while it was read)");
		news->level = record->level;
		news->at_ns = record->at_ns;
	}
	news->n_errors++;
	news->newest_ns = record->at_ns;
}

/* Ids are numbers of 62 bits. */
static uint64_t id_add(uint64_t id, uint64_t n)
{
	return (id + n) & ~((uint64_t)3 << STATE_SHIFT);
}

/* How many ids from 'id' on were read before, by its record's sequence number. */
static uint64_t n_known(const struct gn_klog *log, const struct record *record)
{
	return log->is_started && record->seq < log->next_seq ? log->next_seq - record->seq : 0;
}

/* Records that are being written, or were never used, are passed over. */
static void read_from(const struct gn_kernel *k, const struct ring *r, uint64_t n, unsigned most,
                      struct gn_klog *log, struct gn_klog_news *news)
{
	uint64_t id = r->tail_id, step;

	for (unsigned i = 0; n && i < MAX_STEPS && news->n_records < most;
	     i++, id = id_add(id, step), n -= step) {
		struct record record;

		step = 1;
		if (!read_record(k, r, id, &record))
			continue;
		if (n_known(log, &record)) {
			step = n_known(log, &record);
			step = step < n ? step : n;
			continue;
		}
		if (log->is_started)
			news->n_lost += record.seq - log->next_seq;
		log->is_started = true;
		log->next_seq = record.seq + 1;
		take(k, r, id, &record, news);
	}
}

int gn_klog_read(const struct gn_kernel *k, struct gn_klog *log, unsigned most,
                 struct gn_klog_news *news)
{
	struct ring r;
	uint64_t n;

	memset(news, 0, sizeof *news);
	if (!is_supported(k))
		return -ENOTSUP;
	if (!read_ring(k, &r))
		return -EFAULT;
	n = id_add(r.head_id, 1 - r.tail_id);
	/* More than fit: the ring moved between the two reads. */
	if (n <= (uint64_t)1 << r.count_bits)
		read_from(k, &r, n, most, log, news);
	return 0;
}
