/* agent_wire.c - see agent_wire.h. Writer and reader walk the same description of a body, so that
 * they cannot differ. */
#include "bpf/agent_wire.h"

#include <string.h>

#define HEAD_SIZE 12
#define VERSION   1
#define CALL_SIZE (8 + 4 * 8 + GN_CALLS_NAME_SIZE)

static const uint8_t magic[4] = {'G', 'N', 'A', '1'};

_Static_assert(HEAD_SIZE + 4 + 6 * 8 + 8 + GN_CALLS_APIS * GN_AGENT_API_SIZE +
                               GN_AGENT_CALLS * CALL_SIZE +
                               GN_AGENT_N_HISTOGRAMS * sizeof(struct gn_histogram) <
                       GN_AGENT_FRAME_MAX,
               "the largest report fits into a frame");

const char *gn_agent_part_name(enum gn_agent_part part)
{
	static const char *const names[GN_AGENT_N_PARTS] = {
#define NAME(name, text) text,
	        GN_AGENT_PARTS(NAME)
#undef NAME
	};

	return names[part];
}

/* ---- bytes ------------------------------------------------------------------------------- */

/* Writes from, or reads into, the same variables. */
struct cursor {
	uint8_t *to;         /* NULL: reads */
	const uint8_t *from; /* NULL: writes */
	size_t left;
	bool is_bad; /* nothing is done from then on */
};

static bool take(struct cursor *c, size_t size)
{
	if (c->is_bad || c->left < size) {
		c->is_bad = true;
		return false;
	}
	c->left -= size;
	return true;
}

static void number(struct cursor *c, uint64_t *value, size_t size)
{
	if (!take(c, size))
		return;
	if (c->from)
		*value = 0;
	for (size_t i = 0; i < size; i++) {
		if (c->from)
			*value |= (uint64_t)*c->from++ << 8 * i;
		else
			*c->to++ = (uint8_t)(*value >> 8 * i);
	}
}

static void u64(struct cursor *c, uint64_t *value)
{
	number(c, value, 8);
}

/* Not above 'maximum'. */
static void u32(struct cursor *c, uint32_t *value, uint32_t maximum)
{
	uint64_t wide = *value;

	number(c, &wide, 4);
	c->is_bad |= wide > maximum;
	if (c->from && !c->is_bad)
		*value = (uint32_t)wide;
}

static void text(struct cursor *c, char *string, size_t size)
{
	if (!take(c, size))
		return;
	for (size_t i = 0; i < size; i++) {
		if (!c->from)
			*c->to++ = (uint8_t)string[i];
		else
			string[i] = (char)*c->from++;
	}
	if (!c->from)
		return;
	string[size - 1] = '\0';
	for (; *string; string++)
		if (*string < ' ' || *string > '~')
			*string = '?';
}

/* ---- the body ----------------------------------------------------------------------------- */

static void walk_call(struct cursor *c, struct gn_agent_report *r, uint32_t i)
{
	struct gn_calls_value *v = &r->calls[i].value;
	uint32_t *slot = &r->calls[i].key.slot;

	u32(c, &r->calls[i].key.process, UINT32_MAX);
	u32(c, slot, GN_CALLS_API + GN_CALLS_APIS);
	c->is_bad |= *slot >= GN_SYSCALLS_SIZE &&
	             (*slot < GN_CALLS_API || *slot - GN_CALLS_API >= r->n_apis);
	u64(c, &v->count);
	u64(c, &v->errors);
	u64(c, &v->sum_ns);
	u64(c, &v->maximum_ns);
	text(c, v->name, sizeof v->name);
}

static void walk_histogram(struct cursor *c, struct gn_histogram *h)
{
	for (unsigned i = 0; i < GN_HISTOGRAM_SLOTS; i++)
		u64(c, &h->slots[i]);
	u64(c, &h->count);
	u64(c, &h->sum_ns);
	u64(c, &h->maximum_ns);
}

static void walk(struct cursor *c, struct gn_agent_report *r)
{
	uint32_t version = VERSION;

	u32(c, &version, VERSION);
	c->is_bad |= version != VERSION;
	u64(c, &r->sequence);
	u64(c, &r->uptime_us);
	u64(c, &r->period_us);
	u64(c, &r->n_calls_all);
	u64(c, &r->lost);
	u32(c, &r->parts, (1u << GN_AGENT_N_PARTS) - 1);
	u32(c, &r->n_apis, GN_CALLS_APIS);
	for (uint32_t i = 0; i < r->n_apis && !c->is_bad; i++)
		text(c, r->apis[i], sizeof r->apis[i]);
	u32(c, &r->n_calls, GN_AGENT_CALLS);
	for (uint32_t i = 0; i < r->n_calls && !c->is_bad; i++)
		walk_call(c, r, i);
	for (unsigned i = 0; i < GN_AGENT_N_HISTOGRAMS && !c->is_bad; i++)
		walk_histogram(c, &r->histograms[i]);
}

bool gn_agent_decode(const uint8_t *body, size_t size, struct gn_agent_report *out)
{
	struct cursor c = {.from = body, .left = size};
	struct gn_agent_report report;

	memset(&report, 0, sizeof report);
	walk(&c, &report);
	if (c.is_bad || c.left)
		return false;
	*out = report;
	return true;
}

/* ---- frames ------------------------------------------------------------------------------- */

static uint32_t checksum(const uint8_t *bytes, size_t n)
{
	uint32_t hash = 2166136261u;

	while (n--)
		hash = (hash ^ *bytes++) * 16777619u;
	return hash;
}

static uint32_t word(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static void put_word(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

size_t gn_agent_encode(const struct gn_agent_report *report, uint8_t frame[GN_AGENT_FRAME_MAX])
{
	struct gn_agent_report copy = *report;
	struct cursor c = {.to = frame + HEAD_SIZE, .left = GN_AGENT_FRAME_MAX - HEAD_SIZE};
	size_t size;

	walk(&c, &copy);
	size = (size_t)(c.to - frame) - HEAD_SIZE;
	memcpy(frame, magic, sizeof magic);
	put_word(frame + 4, (uint32_t)size);
	put_word(frame + 8, checksum(frame + HEAD_SIZE, size));
	return HEAD_SIZE + size;
}

uint8_t *gn_agent_stream_room(struct gn_agent_stream *s, size_t *size)
{
	*size = sizeof s->bytes - s->n;
	return s->bytes + s->n;
}

void gn_agent_stream_add(struct gn_agent_stream *s, size_t n)
{
	s->n += n;
}

static void drop(struct gn_agent_stream *s, size_t n)
{
	memmove(s->bytes, s->bytes + n, s->n - n);
	s->n -= n;
}

/* Where the next thing is that may be a frame's beginning, from 'at' on. */
static size_t find_magic(const struct gn_agent_stream *s, size_t at)
{
	while (at < s->n && memcmp(s->bytes + at, magic,
	                           s->n - at < sizeof magic ? s->n - at : sizeof magic) != 0)
		at++;
	return at;
}

/* What is no good frame is passed over as a whole, so that each byte is looked at once or twice,
 * whatever a guest sends. */
bool gn_agent_stream_next(struct gn_agent_stream *s, struct gn_agent_report *out)
{
	size_t at = find_magic(s, 0), used;
	bool is_good = false;

	while (!is_good && s->n - at >= HEAD_SIZE) {
		uint32_t size = word(s->bytes + at + 4);
		const uint8_t *body = s->bytes + at + HEAD_SIZE;

		used = sizeof magic;
		if (size <= GN_AGENT_FRAME_MAX - HEAD_SIZE) {
			if (s->n - at < HEAD_SIZE + size)
				break;
			used = HEAD_SIZE + size;
			is_good = checksum(body, size) == word(s->bytes + at + 8) &&
			          gn_agent_decode(body, size, out);
		}
		at = is_good ? at + used : find_magic(s, at + used);
		s->n_skipped += is_good ? 0 : used;
	}
	drop(s, at);
	return is_good;
}
