/* names.c - see names.h. */
#include "firmware/names/names.h"

#include <string.h>
#include "firmware/core/text.h"

static size_t length_of(const char *string)
{
	const char *end = memchr(string, '\0', GN_NAME_SIZE);

	return end ? (size_t)(end - string) : GN_NAME_SIZE;
}

static bool starts_with(const char *name, const char *prefix)
{
	size_t n = length_of(prefix);

	return length_of(name) >= n && memcmp(name, prefix, n) == 0;
}

static bool is_id_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* How many bytes of an id 'string' begins with; 0: none, or too long. */
static size_t id_length(const char *string)
{
	size_t n = 0;

	if (string[0] == '-')
		return 0;
	while (is_id_character(string[n]))
		if (++n > GN_NAME_ID_MAX)
			return 0;
	return n;
}

bool gn_name_is_vm(const char *name)
{
	size_t n;

	if (!starts_with(name, "vms/"))
		return false;
	n = id_length(name + 4);
	if (n > 7 && memcmp(name + 4 + n - 7, "-shadow", 7) == 0)
		return false;
	return n && name[4 + n] == '\0';
}

bool gn_name_is_device(const char *name)
{
	size_t n = 0;

	while (is_id_character(name[n]) && name[n] != '-')
		if (++n > 15)
			return false;
	return n && name[n] == '\0';
}

const char *gn_name_domain(const char *vm)
{
	return vm + 4;
}

bool gn_name_vm_of(const char *name, char vm[GN_NAME_SIZE])
{
	size_t n;

	if (!starts_with(name, "vms/"))
		return false;
	n = id_length(name + 4);
	if (!n || (name[4 + n] != '\0' && name[4 + n] != '/'))
		return false;
	memcpy(vm, name, 4 + n);
	vm[4 + n] = '\0';
	return true;
}

bool gn_name_ends_with(const char *name, const char *rest)
{
	char vm[GN_NAME_SIZE];
	size_t n = length_of(rest);

	if (!gn_name_vm_of(name, vm))
		return false;
	name += length_of(vm);
	return length_of(name) == n && memcmp(name, rest, n) == 0;
}

static void join(char out[GN_NAME_SIZE], const char *a, const char *b, const char *c, const char *d)
{
	struct gn_text text;

	gn_text_init(&text, out, GN_NAME_SIZE);
	gn_text_add(&text, a);
	gn_text_add(&text, b);
	gn_text_add(&text, c);
	gn_text_add(&text, d);
}

void gn_name_port(const char *vm, bool shadow, const char *device, char out[GN_NAME_SIZE])
{
	join(out, "ports/", gn_name_domain(vm), shadow ? "-shadow-" : "-", device);
}

void gn_name_volume(const char *vm, bool shadow, const char *device, char out[GN_NAME_SIZE])
{
	join(out, "volumes/", gn_name_domain(vm), shadow ? "-shadow-" : "-", device);
}

void gn_name_child(const char *vm, const char *rest, char out[GN_NAME_SIZE])
{
	join(out, vm, rest, "", "");
}

void gn_name_shadow_domain(const char *vm, char out[GN_NAME_SIZE])
{
	join(out, gn_name_domain(vm), "-shadow", "", "");
}
