/* main.c - runs seeds; prints the first that fails, which then can be traced (sim.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/sim/sim.h"

static const char *const mutations[] = {
#define SIM_MUTATION_NAME(name, text) text,
        SIM_MUTATIONS(SIM_MUTATION_NAME)
#undef SIM_MUTATION_NAME
};

static void usage(FILE *out)
{
	unsigned i;

	fprintf(out,
	        "gn-sim [--seeds A..B] [--trace] [--break RULE] [--hosts N] [--vms N]\n"
	        "       [--faults N] [--until SECONDS]\n"
	        "Simulates a fleet under faults, one schedule per seed, and checks after every\n"
	        "event what must hold. Prints the first seed that fails; --trace shows each\n"
	        "step of it. --break plants a fault in a rule, which must then be found:\n ");
	for (i = 1; i < SIM_N_MUTATIONS; i++)
		fprintf(out, " %s", mutations[i]);
	fputc('\n', out);
}

static uint64_t number(const char *option, const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = text ? strtoull(text, &end, 10) : 0;
	if (!text || !*text || *end || errno) {
		fprintf(stderr, "gn-sim: %s '%s': give a number\n", option, text ? text : "");
		exit(2);
	}
	return value;
}

static void seeds(const char *text, uint64_t *first, uint64_t *last)
{
	char begin[32];
	const char *dots = text ? strstr(text, "..") : NULL;

	if (!dots) {
		*first = *last = number("--seeds", text);
		return;
	}
	snprintf(begin, sizeof begin, "%.*s", (int)(dots - text), text);
	*first = number("--seeds", begin);
	*last = number("--seeds", dots + 2);
}

static enum sim_mutation mutation(const char *text)
{
	unsigned i;

	for (i = 0; i < SIM_N_MUTATIONS; i++)
		if (text && strcmp(text, mutations[i]) == 0)
			return (enum sim_mutation)i;
	fprintf(stderr, "gn-sim: --break '%s': see --help for what can be broken\n",
	        text ? text : "");
	exit(2);
}

/* Sizes and loads that the seed chooses, where the command line does not. */
static struct sim_options options_for(const struct sim_options *given, uint64_t seed)
{
	struct sim_options o = *given;

	if (!o.n_hosts)
		o.n_hosts = 3 + (uint32_t)(seed % 4);
	if (!o.n_vms)
		o.n_vms = o.n_hosts * (1 + (uint32_t)(seed / 4 % 3));
	if (o.n_faults == UINT32_MAX)
		o.n_faults = (uint32_t)(seed / 16 % 12);
	o.quiet_us = o.quiet_us ? o.quiet_us : (10 + seed % 30) * S;
	/* Some run until the most patient plan has given up. */
	o.end_us = o.quiet_us + (seed % 256 == 0 ? 1500 : 100) * S;
	o.write_us = o.write_us ? o.write_us : 100 * MS;
	o.demand_us = o.demand_us ? o.demand_us : 3 * S;
	return o;
}

static void add(struct sim_counts *sum, const struct sim_counts *one)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)one;
	size_t i;

	for (i = 0; i < sizeof *sum / sizeof *to; i++)
		to[i] += from[i];
}

static void report(const struct sim_counts *c, uint64_t n, double seconds)
{
	unsigned i;

	printf("%llu schedules, %llu events (%.0f a second of CPU), %llu faults, %llu messages, "
	       "%llu writes (%llu alone), %llu decisions\n",
	       (unsigned long long)n, (unsigned long long)c->events, (double)c->events / seconds,
	       (unsigned long long)c->faults, (unsigned long long)c->messages,
	       (unsigned long long)c->writes, (unsigned long long)c->alone,
	       (unsigned long long)c->decisions);
	printf("%llu plans, %llu moves done, %llu failed: %llu promotions, %llu live migrations, "
	       "%llu relocations, %llu rehearsals, %llu restarts, %llu resizes\nrefused:",
	       (unsigned long long)c->plans, (unsigned long long)c->done,
	       (unsigned long long)c->failed, (unsigned long long)c->promoted,
	       (unsigned long long)c->migrated, (unsigned long long)c->relocated,
	       (unsigned long long)c->rehearsed, (unsigned long long)c->restarted,
	       (unsigned long long)c->resized);
	for (i = 1; i <= GN_FAILOVER_REFUSED_FAILED; i++)
		if (c->refused[i])
			printf(" %llu %s;", (unsigned long long)c->refused[i],
			       gn_failover_refusal_text((enum gn_failover_refusal)i));
	putchar('\n');
}

int main(int argc, char **argv)
{
	struct sim_options given = {.n_faults = UINT32_MAX};
	uint64_t first = 1, last = 1000, seed, n = 0;
	struct sim_counts sum = {0};
	clock_t begin = clock();
	int i;

	for (i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--trace") == 0) {
			given.trace = true;
			continue;
		} else if (strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return 0;
		} else if (strcmp(argv[i], "--seeds") == 0)
			seeds(value, &first, &last);
		else if (strcmp(argv[i], "--break") == 0)
			given.mutation = mutation(value);
		else if (strcmp(argv[i], "--hosts") == 0)
			given.n_hosts = (uint32_t)number(argv[i], value);
		else if (strcmp(argv[i], "--vms") == 0)
			given.n_vms = (uint32_t)number(argv[i], value);
		else if (strcmp(argv[i], "--faults") == 0)
			given.n_faults = (uint32_t)number(argv[i], value);
		else if (strcmp(argv[i], "--until") == 0)
			given.quiet_us = number(argv[i], value) * S;
		else {
			fprintf(stderr, "gn-sim: unknown option %s\n", argv[i]);
			usage(stderr);
			return 2;
		}
		i++;
	}
	for (seed = first; seed <= last; seed++, n++) {
		struct sim_options o = options_for(&given, seed);
		struct world w;

		sim_create(&w, &o, seed);
		sim_run(&w);
		add(&sum, &w.count);
		if (w.failure[0]) {
			printf("seed %llu failed %s\nto see each step: gn-sim --seeds %llu "
			       "--trace%s%s\n",
			       (unsigned long long)seed, w.failure, (unsigned long long)seed,
			       given.mutation ? " --break " : "",
			       given.mutation ? mutations[given.mutation] : "");
			sim_destroy(&w);
			return 1;
		}
		sim_destroy(&w);
	}
	report(&sum, n, (double)(clock() - begin) / CLOCKS_PER_SEC);
	return 0;
}
