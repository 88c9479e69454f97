/* vmcoreinfo.h - the page in which a kernel describes itself to crash dumps. Pure. */
#ifndef GN_INTROSPECT_VMCOREINFO_H
#define GN_INTROSPECT_VMCOREINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_VMCOREINFO_PREFIX "OSRELEASE="
#define GN_VMCOREINFO_SIZE   4096

struct gn_vmcoreinfo {
	const char *text; /* NUL-terminated, borrowed */
};

/* "SYMBOL(name)=hex", "NUMBER(name)=decimal or 0x...". False: not there or no number. */
bool gn_vmcoreinfo_symbol(const struct gn_vmcoreinfo *info, const char *name, uint64_t *value);
bool gn_vmcoreinfo_number(const struct gn_vmcoreinfo *info, const char *name, uint64_t *value);
/* "KEY=value": copies at most 'size' bytes and a NUL, unprintable ones as '?'. */
bool gn_vmcoreinfo_text(const struct gn_vmcoreinfo *info, const char *key, char *out, size_t size);

#endif
