/* text.c - see text.h. */
#include "firmware/core/text.h"

#include <string.h>

void gn_text_init(struct gn_text *text, char *buffer, size_t size)
{
	text->buffer = buffer;
	text->size = size;
	text->length = 0;
	buffer[0] = '\0';
}

static void add_bytes(struct gn_text *text, const char *bytes, size_t n)
{
	size_t room = text->size - 1 - text->length;

	if (n > room)
		n = room;
	memcpy(text->buffer + text->length, bytes, n);
	text->length += n;
	text->buffer[text->length] = '\0';
}

void gn_text_add(struct gn_text *text, const char *string)
{
	/* Not strlen(): a pure module calls only mem*. */
	const char *end = memchr(string, '\0', (size_t)1 << 20);

	add_bytes(text, string, end ? (size_t)(end - string) : 0);
}

static void add_unsigned(struct gn_text *text, uint64_t value, unsigned min_digits)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[sizeof digits - ++n] = (char)('0' + value % 10);
		value /= 10;
	} while (value || n < min_digits);
	add_bytes(text, digits + sizeof digits - n, n);
}

void gn_text_add_int(struct gn_text *text, int64_t value)
{
	if (value < 0)
		gn_text_add(text, "-");
	add_unsigned(text, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
}

void gn_text_add_ratio(struct gn_text *text, int64_t value, int64_t unit, unsigned decimals)
{
	static const uint64_t powers[] = {1, 10, 100, 1000};
	uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
	uint64_t whole = size / (uint64_t)unit;
	uint64_t power = powers[decimals < 3 ? decimals : 3];
	uint64_t part = ((size % (uint64_t)unit) * power + (uint64_t)unit / 2) / (uint64_t)unit;

	if (part == power) {
		whole++;
		part = 0;
	}
	if (value < 0 && (whole || part))
		gn_text_add(text, "-");
	add_unsigned(text, whole, 1);
	if (!part)
		return;
	for (decimals = decimals < 3 ? decimals : 3; part % 10 == 0; part /= 10)
		decimals--;
	gn_text_add(text, ".");
	add_unsigned(text, part, decimals);
}

void gn_text_add_duration(struct gn_text *text, uint64_t duration_us)
{
	static const struct {
		int64_t unit_us;
		uint64_t up_to_us;
		const char *name;
	} units[] = {
	        {1000, 1000000, " ms"},
	        {1000000, 120000000, " s"},
	        {60000000, 7200000000, " min"},
	        {3600000000, 172800000000, " h"},
	        {86400000000, UINT64_MAX, " days"},
	};
	unsigned i = 0;

	while (duration_us >= units[i].up_to_us && i + 1 < sizeof units / sizeof units[0])
		i++;
	gn_text_add_ratio(text, (int64_t)(duration_us & INT64_MAX), units[i].unit_us, 1);
	gn_text_add(text, units[i].name);
}
