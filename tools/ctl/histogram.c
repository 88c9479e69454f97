/* histogram.c - see histogram.h. */
#include "tools/ctl/histogram.h"

#include <inttypes.h>

#include "tools/ctl/format.h"

#define MAX_BUCKETS 64

char *gn_histogram_duration(uint64_t ns, char *text, size_t size)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double value = (double)ns;
	unsigned unit = 0;

	while (value >= 1000 && unit < 3) {
		value /= 1000;
		unit++;
	}
	if (value >= 100)
		snprintf(text, size, "%.0f %s", value, units[unit]);
	else
		snprintf(text, size, "%.3g %s", value, units[unit]);
	return text;
}

/* Below which the share milli/1000 of the durations lies. */
static uint64_t quantile(const Gnomon__V1__DurationHistogram *h, uint64_t milli)
{
	uint64_t seen = 0;
	size_t i;

	for (i = 0; i < h->n_buckets && i < MAX_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen * 1000 >= h->count * milli)
			break;
	}
	return UINT64_C(2) << i < h->maximum_ns ? UINT64_C(2) << i : h->maximum_ns;
}

static void print_head(const Gnomon__V1__DurationHistogram *h, FILE *out)
{
	char count[GN_FORMAT_SIZE], mean[GN_FORMAT_SIZE], half[GN_FORMAT_SIZE],
	        most[GN_FORMAT_SIZE], maximum[GN_FORMAT_SIZE];

	fprintf(out, "%s: %s", h->name, gn_format_count(h->count, count, sizeof count));
	if (h->count)
		fprintf(out, ", mean %s, half below %s, 99 %% below %s, longest %s",
		        gn_histogram_duration(h->sum_ns / h->count, mean, sizeof mean),
		        gn_histogram_duration(quantile(h, 500), half, sizeof half),
		        gn_histogram_duration(quantile(h, 990), most, sizeof most),
		        gn_histogram_duration(h->maximum_ns, maximum, sizeof maximum));
	fputc('\n', out);
}

static void print_bucket(unsigned i, uint64_t count, uint64_t largest, int width, FILE *out)
{
	char from[GN_FORMAT_SIZE], to[GN_FORMAT_SIZE], text[GN_FORMAT_SIZE];
	int bar = (int)((double)count / (double)largest * width);

	if (count && !bar)
		bar = 1;
	fprintf(out, "  %8s to %8s %12s %.*s\n",
	        i ? gn_histogram_duration(UINT64_C(1) << i, from, sizeof from) : "0 ns",
	        i == MAX_BUCKETS - 1 ? "more"
	                             : gn_histogram_duration(UINT64_C(2) << i, to, sizeof to),
	        gn_format_count(count, text, sizeof text), bar,
	        "################################################################");
}

void gn_histogram_print(const Gnomon__V1__DurationHistogram *h, int width, FILE *out)
{
	size_t n = h->n_buckets < MAX_BUCKETS ? h->n_buckets : MAX_BUCKETS, first = 0, i;
	uint64_t largest = 1;

	if (width > 64)
		width = 64;
	print_head(h, out);
	while (n && !h->buckets[n - 1])
		n--;
	while (first < n && !h->buckets[first])
		first++;
	for (i = first; i < n; i++)
		if (h->buckets[i] > largest)
			largest = h->buckets[i];
	for (i = first; i < n; i++)
		print_bucket((unsigned)i, h->buckets[i], largest, width, out);
}
