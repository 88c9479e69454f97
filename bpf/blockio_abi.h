/* blockio_abi.h - the histograms of blockio.bpf.c, by index. */
#ifndef GN_BPF_BLOCKIO_ABI_H
#define GN_BPF_BLOCKIO_ABI_H

enum gn_blockio { GN_BLOCKIO_READ, GN_BLOCKIO_WRITE, GN_BLOCKIO_OTHER };
#define GN_BLOCKIO_KINDS 3

#endif
