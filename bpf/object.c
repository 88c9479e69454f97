/* object.c - see object.h. */
#include "bpf/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char complaint[160];

static int keep_first(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN || complaint[0])
		return 0;
	vsnprintf(complaint, sizeof complaint, format, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

void gn_bpf_begin(void)
{
	complaint[0] = '\0';
	libbpf_set_print(keep_first);
}

int gn_bpf_fail(int error, const char *what, struct gn_status *status)
{
	if (error == -EPERM || error == -EACCES)
		return gn_status_set(status, GN_PERMISSION_DENIED,
		                     "%s needs the capabilities CAP_BPF and CAP_PERFMON, which "
		                     "this process does not have",
		                     what);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return gn_status_set(status, GN_NOT_FOUND,
		                     "%s needs the kernel's type information, which "
		                     "/sys/kernel/btf/vmlinux does not give here (%s); use a "
		                     "kernel with CONFIG_DEBUG_INFO_BTF",
		                     what, strerror(errno));
	if (error == -ESRCH || error == -ENOENT)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "%s: this kernel has not the hook that it needs (%s)", what,
		                     complaint);
	return gn_status_set(status, GN_UNIMPLEMENTED, "%s: this kernel refuses it: %s (%s)", what,
	                     strerror(-error), complaint);
}

static int sum(int map_fd, uint32_t key, uint64_t *words, size_t n_sums, size_t n_words)
{
	int n_cpus = libbpf_num_possible_cpus(), cpu, error = 0;
	uint64_t *cpus = n_cpus > 0 ? calloc((size_t)n_cpus, n_words * sizeof *cpus) : NULL;
	size_t i;

	if (!cpus)
		return n_cpus < 0 ? n_cpus : -ENOMEM;
	if (bpf_map_lookup_elem(map_fd, &key, cpus))
		error = -errno;
	for (cpu = 0; cpu < n_cpus && !error; cpu++) {
		const uint64_t *one = cpus + (size_t)cpu * n_words;

		for (i = 0; i < n_sums; i++)
			words[i] += one[i];
		for (; i < n_words; i++)
			if (one[i] > words[i])
				words[i] = one[i];
	}
	free(cpus);
	return error;
}

int gn_bpf_sum(int map_fd, uint32_t key, uint64_t *words, size_t n_words)
{
	return sum(map_fd, key, words, n_words, n_words);
}

int gn_bpf_sum_and_maximum(int map_fd, uint32_t key, uint64_t *words, size_t n_words)
{
	return sum(map_fd, key, words, n_words - 1, n_words);
}
