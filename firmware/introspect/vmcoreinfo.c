/* vmcoreinfo.c - lines of KEY=VALUE (vmcoreinfo.h). */
#include "firmware/introspect/vmcoreinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of the line that begins with 'key' and '='. */
static const char *find(const struct gn_vmcoreinfo *info, const char *key)
{
	size_t length = strlen(key);
	const char *line = info->text;

	while (line && *line) {
		if (strncmp(line, key, length) == 0 && line[length] == '=')
			return line + length + 1;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

static bool find_number(const struct gn_vmcoreinfo *info, const char *kind, const char *name,
                        int base, uint64_t *value)
{
	char key[64];
	const char *text;
	char *end;
	uint64_t number;

	snprintf(key, sizeof key, "%s(%s)", kind, name);
	text = find(info, key);
	if (!text)
		return false;
	/* strtoull takes a sign and wraps, which is what a negative phys_base needs. */
	number = strtoull(text, &end, base);
	if (end == text || (*end != '\n' && *end != '\0'))
		return false;
	*value = number;
	return true;
}

bool gn_vmcoreinfo_symbol(const struct gn_vmcoreinfo *info, const char *name, uint64_t *value)
{
	return find_number(info, "SYMBOL", name, 16, value);
}

bool gn_vmcoreinfo_number(const struct gn_vmcoreinfo *info, const char *name, uint64_t *value)
{
	return find_number(info, "NUMBER", name, 0, value);
}

bool gn_vmcoreinfo_text(const struct gn_vmcoreinfo *info, const char *key, char *out, size_t size)
{
	const char *text = find(info, key);
	size_t i;

	if (!text)
		return false;
	for (i = 0; i < size && text[i] && text[i] != '\n'; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
	return true;
}
