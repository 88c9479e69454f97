/* report.c - see report.h. Charts are SVG drawn here: the demand as an area, the allocation
 * as a line above it, violations as marks. */
#include "tools/replay/report.h"

#include <errno.h>
#include <string.h>

#include "tools/replay/trace.h"

#define WIDTH      900
#define HEIGHT     140
#define HEADROOM   16
#define CHARTS_MAX 40

struct figures {
	double allocated, wasted, violated, saved;
};

static struct figures figures_of(const struct gn_replay_row *row)
{
	double n = row->n ? (double)row->n : 1, scale = (double)row->scale;

	return (struct figures){
	        .allocated = row->allocated / n / scale,
	        .wasted = row->allocated > 0 ? 1 - row->used / row->allocated : 0,
	        .violated = (double)row->n_violated / n,
	        .saved = row->fixed > 0 ? 1 - row->allocated / n / row->fixed : 0,
	};
}

static struct figures mean_of(const struct gn_replay_row *rows, size_t n)
{
	struct figures mean = {0};

	for (size_t i = 0; i < n; i++) {
		struct figures one = figures_of(&rows[i]);

		mean.wasted += one.wasted / (double)n;
		mean.violated += one.violated / (double)n;
		mean.saved += one.saved / (double)n;
	}
	return mean;
}

void gn_replay_report_text(FILE *out, const struct gn_replay_row *rows, size_t n)
{
	struct figures mean = mean_of(rows, n);

	fprintf(out, "%-44s %12s %9s %9s %9s %8s\n", "series", "allocated", "saved", "violated",
	        "wasted", "changes");
	for (size_t i = 0; i < n; i++) {
		struct figures one = figures_of(&rows[i]);

		fprintf(out, "%-44s %12.6g %8.1f%% %8.2f%% %8.1f%% %8zu\n", rows[i].name,
		        one.allocated, 100 * one.saved, 100 * one.violated, 100 * one.wasted,
		        rows[i].n_changes);
	}
	fprintf(out, "%-44s %12s %8.1f%% %8.2f%% %8.1f%%\n", "mean of all", "", 100 * mean.saved,
	        100 * mean.violated, 100 * mean.wasted);
	fprintf(out,
	        "saved: against the first allocation, kept for ever. violated: samples above the "
	        "allocation. wasted: share of the allocation that was not used.\n");
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<' || *text == '>' || *text == '&' || *text == '"' || *text == '\'')
			fprintf(out, "&#%d;", *text);
		else
			fputc(*text, out);
	}
}

struct column {
	double value, allocated;
	int violated;
};

/* What one pixel column stands for: the highest demand and lowest allocation in it. */
static struct column column_at(const struct gn_replay_row *row, size_t x)
{
	size_t from = x * row->n_points / WIDTH, to = (x + 1) * row->n_points / WIDTH;
	struct column column = {0, (double)row->points[from].allocated, 0};

	for (size_t i = from; i < (to > from ? to : from + 1) && i < row->n_points; i++) {
		const struct gn_replay_point *point = &row->points[i];
		double value = point->value == GN_TRACE_MISSING ? 0 : (double)point->value;

		column.value = value > column.value ? value : column.value;
		if ((double)point->allocated < column.allocated)
			column.allocated = (double)point->allocated;
		column.violated |= value > (double)point->allocated;
	}
	return column;
}

/* The chart's ceiling: the highest demand or allocation. */
static double top_of(const struct gn_replay_row *row)
{
	double top = 1;

	for (size_t i = 0; i < row->n_points; i++) {
		const struct gn_replay_point *point = &row->points[i];

		top = (double)point->value > top ? (double)point->value : top;
		top = (double)point->allocated > top ? (double)point->allocated : top;
	}
	return top;
}

/* Above the highest value there is room for its number and for the marks of shortage. */
static double y_of(double value, double top)
{
	return HEIGHT - (HEIGHT - HEADROOM) * value / top;
}

/* Lines and numbers to read the chart by: the highest value and half of it, days or hours. */
static void put_axes(FILE *out, const struct gn_replay_row *row, double top, uint64_t interval_us)
{
	double hours = (double)row->n_points * (double)interval_us / 3.6e9;
	double unit = hours >= 48 ? 24 : 1, units = hours / unit, every = 1;

	while (units / every > 12)
		every *= units / every > 60 ? 10 : 2;
	for (double at = every; at < units; at += every)
		fprintf(out,
		        "<path class='grid' d='M%.1f 0V%d'/><text x='%.1f' y='%d'>%.0f %s</text>",
		        WIDTH * at / units, HEIGHT, WIDTH * at / units + 3, HEIGHT - 3, at,
		        unit > 1 ? "d" : "h");
	for (int part = 1; part <= 2; part++)
		fprintf(out, "<path class='grid' d='M0 %.1fH%d'/><text x='3' y='%.1f'>%.4g</text>",
		        y_of(top / part, top), WIDTH, y_of(top / part, top) - 3,
		        top / part / (double)row->scale);
}

static void put_chart(FILE *out, const struct gn_replay_row *row, uint64_t interval_us)
{
	double top = top_of(row);

	fprintf(out, "<svg viewBox='0 0 %d %d' role='img' aria-label='demand and allocation of ",
	        WIDTH, HEIGHT);
	put_escaped(out, row->name);
	fprintf(out, "'><path class='demand' d='M0 %d", HEIGHT);
	for (size_t x = 0; x < WIDTH; x++)
		fprintf(out, "L%zu %.1f", x, y_of(column_at(row, x).value, top));
	fprintf(out, "L%d %dZ'/><path class='allocated' d='M", WIDTH, HEIGHT);
	for (size_t x = 0; x < WIDTH; x++)
		fprintf(out, "%s%zu %.1f", x ? "L" : "", x, y_of(column_at(row, x).allocated, top));
	fprintf(out, "'/><path class='violated' d='");
	for (size_t x = 0; x < WIDTH; x++)
		if (column_at(row, x).violated)
			fprintf(out, "M%zu 0v5", x);
	fprintf(out, "'/>");
	put_axes(out, row, top, interval_us);
	fprintf(out, "</svg>\n");
}

static void put_table(FILE *out, const struct gn_replay_row *rows, size_t n)
{
	fprintf(out, "<table><tr><th>series<th>mean allocation<th>saved<th>violated<th>wasted"
	             "<th>changes</tr>\n");
	for (size_t i = 0; i < n; i++) {
		struct figures one = figures_of(&rows[i]);

		fprintf(out, "<tr><td>");
		put_escaped(out, rows[i].name);
		fprintf(out, "<td>%.6g<td>%.1f %%<td>%.2f %%<td>%.1f %%<td>%zu</tr>\n",
		        one.allocated, 100 * one.saved, 100 * one.violated, 100 * one.wasted,
		        rows[i].n_changes);
	}
	fprintf(out, "</table>\n");
}

static void put_page(FILE *out, const struct gn_replay_row *rows, size_t n, uint64_t interval_us)
{
	struct figures mean = mean_of(rows, n);

	fprintf(out,
	        "<!doctype html><html lang='en'><meta charset='utf-8'><title>gnomon: replay of a "
	        "policy</title><style>body{font:15px/1.5 "
	        "system-ui,sans-serif;max-width:60rem;margin:2rem "
	        "auto;padding:0 "
	        "1rem;color:#223}table{border-collapse:collapse;width:100%%}td,th{text-align:"
	        "right;padding:.2rem .6rem;border-bottom:1px solid "
	        "#dde}td:first-child,th:first-child{"
	        "text-align:left}svg{width:100%%;background:#f6f7fa}.demand{fill:#9db8dd}."
	        "allocated{fill:"
	        "none;stroke:#234;stroke-width:1.5}.violated{stroke:#c22;stroke-width:1}.grid{"
	        "stroke:#223;stroke-opacity:.12}text{"
	        "font-size:10px;fill:#556;paint-order:stroke;stroke:#f6f7fa;stroke-width:3px}h2{"
	        "font-"
	        "size:1rem;"
	        "margin:1.5rem 0 .3rem}</style><h1>What this policy would have done</h1>");
	fprintf(out,
	        "<p>%zu series, a sample every %.0f s. On average it would have saved <b>%.1f "
	        "%%</b> of "
	        "the first allocation, been short in <b>%.2f %%</b> of the samples, and left "
	        "<b>%.1f "
	        "%%</b> of what it allocated unused.</p>\n",
	        n, (double)interval_us / 1e6, 100 * mean.saved, 100 * mean.violated,
	        100 * mean.wasted);
	put_table(out, rows, n);
	fprintf(out, "<p>Area: demand. Line: allocation. Red: short of it.%s</p>\n",
	        n > CHARTS_MAX ? " The first 40 series." : "");
	for (size_t i = 0; i < n && i < CHARTS_MAX; i++) {
		if (rows[i].n_points == 0)
			continue;
		fprintf(out, "<h2>");
		put_escaped(out, rows[i].name);
		fprintf(out, "</h2>\n");
		put_chart(out, &rows[i], interval_us);
	}
}

int gn_replay_report_html(const char *path, const struct gn_replay_row *rows, size_t n,
                          uint64_t interval_us)
{
	FILE *out = fopen(path, "w");
	int status = 0;

	if (!out) {
		status = -errno;
	} else {
		put_page(out, rows, n, interval_us);
		if (ferror(out))
			status = -EIO;
		if (fclose(out) != 0)
			status = -errno;
	}
	if (status != 0)
		fprintf(stderr, "gnomon-replay: cannot write %s: %s\n", path, strerror(-status));
	return status;
}
