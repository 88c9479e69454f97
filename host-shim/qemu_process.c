/* qemu_process.c - see qemu_process.h. */
#include "host-shim/qemu_process.h"

#include <string.h>

static bool begins(const char *text, size_t size, const char *with)
{
	size_t n = strlen(with);

	return size >= n && memcmp(text, with, n) == 0;
}

/* The argument at 'text', without its NUL. */
static size_t length(const char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	return end ? (size_t)(end - text) : size;
}

static bool is_qemu(const char *path, size_t size)
{
	size_t base = size;

	while (base && path[base - 1] != '/')
		base--;
	return begins(path + base, size - base, "qemu-system-") ||
	       begins(path + base, size - base, "qemu-kvm") ||
	       (size - base == 3 && begins(path + base, 3, "kvm"));
}

static bool copy_name(const char *value, size_t size, char name[GN_VM_NAME_SIZE])
{
	const char *comma = memchr(value, ',', size);
	size_t n = comma ? (size_t)(comma - value) : size;

	if (n == 0 || n >= GN_VM_NAME_SIZE)
		return false;
	memcpy(name, value, n);
	name[n] = '\0';
	return true;
}

bool gn_qemu_process_vm(const char *line, size_t size, char name[GN_VM_NAME_SIZE])
{
	size_t at = length(line, size), n;
	bool is_name = false;

	if (!is_qemu(line, at))
		return false;
	for (at++; at < size; at += n + 1) {
		n = length(line + at, size - at);
		if (is_name)
			return begins(line + at, n, "guest=") &&
			       copy_name(line + at + 6, n - 6, name);
		is_name = n == 5 && begins(line + at, n, "-name");
	}
	return false;
}

bool gn_qemu_process_is_machine(const char *cgroups, size_t size)
{
	static const char part[] = ":/machine";
	size_t i;

	for (i = 0; i + sizeof part <= size; i++)
		if (begins(cgroups + i, size - i, part) &&
		    (cgroups[i + sizeof part - 1] == '/' || cgroups[i + sizeof part - 1] == '.'))
			return true;
	return false;
}
