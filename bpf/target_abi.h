/* target_abi.h - whom a program looks at: one process by number, or everybody. */
#ifndef GN_BPF_TARGET_ABI_H
#define GN_BPF_TARGET_ABI_H

#define GN_TARGET_EVERYBODY 0xffffffffu /* but the idle tasks; for gnomon-guest */

#endif
