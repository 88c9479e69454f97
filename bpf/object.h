/* object.h - libbpf, for the loaders of this folder: what they all do with it, and its errors as
 * sentences. Every loader includes libbpf through here. */
#ifndef GN_BPF_OBJECT_H
#define GN_BPF_OBJECT_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware/core/status.h"

/* Before anything is opened: libbpf is not to write to standard error; its first complaint is
 * kept for gn_bpf_fail(), per thread. */
void gn_bpf_begin(void);

/* What 'error' (negative, from libbpf) of loading 'what' means, as a status:
 * PERMISSION_DENIED (capabilities), NOT_FOUND (the kernel has no type information, or not this
 * hook), UNIMPLEMENTED (it refuses such programs). Returns a negative errno. */
int gn_bpf_fail(int error, const char *what, struct gn_status *status);

/* Adds up, over all CPUs, the 64-bit words of one entry of a per-CPU map into 'words'. */
int gn_bpf_sum(int map_fd, uint32_t key, uint64_t *words, size_t n_words);
/* The same, but the last word is the largest of the CPUs' instead of their sum. */
int gn_bpf_sum_and_maximum(int map_fd, uint32_t key, uint64_t *words, size_t n_words);

#endif
