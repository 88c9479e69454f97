/* revoked.c - see revoked.h. */
#include "proto/sign/revoked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEX_MAX (2 * 64)

struct gn_revoked {
	char *path;
	gn_revoked_verify *verify;
	void *context;
	struct stat seen;
	bool was_there;
	char *list;                           /* the lines after the header; NULL: none */
	char trouble[GN_STATUS_MESSAGE_SIZE]; /* why everybody is revoked, or "" */
};

static char *read_list(const char *path, size_t *size)
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(GN_REVOKED_MAX + 1) : NULL;

	if (text) {
		*size = fread(text, 1, GN_REVOKED_MAX + 1, file);
		if (ferror(file) || *size > GN_REVOKED_MAX) {
			free(text);
			text = NULL;
		} else {
			text[*size] = '\0';
		}
	}
	if (file)
		fclose(file);
	return text;
}

static int unhex(const char *text, uint8_t *bytes, size_t room)
{
	size_t n = strspn(text, "0123456789abcdef");

	if (n % 2 || n / 2 > room)
		return -1;
	for (size_t i = 0; i < n / 2; i++)
		if (sscanf(text + 2 * i, "%2hhx", &bytes[i]) != 1)
			return -1;
	return (int)(n / 2);
}

/* Cuts the signature off; false when the list is not whole or not the root's. */
static bool is_signed(const struct gn_revoked *revoked, char *text)
{
	static const char word[] = "signature ";
	uint8_t signature[160];
	char *last = strstr(text, "\nsignature ");
	int size;

	if (strncmp(text, GN_REVOKED_HEADER, strlen(GN_REVOKED_HEADER)) || !last)
		return false;
	last++;
	size = unhex(last + strlen(word), signature, sizeof signature);
	if (size <= 0 || !revoked->verify(revoked->context, text, (size_t)(last - text), signature,
	                                  (size_t)size))
		return false;
	*last = '\0';
	return true;
}

static void load(struct gn_revoked *revoked)
{
	size_t size = 0;
	char *text = read_list(revoked->path, &size);

	free(revoked->list);
	revoked->list = NULL;
	revoked->was_there = true;
	revoked->trouble[0] = '\0';
	if (text && strlen(text) == size && is_signed(revoked, text)) {
		revoked->list = text;
		return;
	}
	free(text);
	snprintf(
	        revoked->trouble, sizeof revoked->trouble,
	        "'%s' is damaged or not signed by its root, so nobody is let in: copy it anew from "
	        "where 'gnomon-ca revoke' made it",
	        revoked->path);
}

static void refresh(struct gn_revoked *revoked)
{
	struct stat now;

	if (stat(revoked->path, &now)) {
		if (revoked->was_there)
			snprintf(revoked->trouble, sizeof revoked->trouble,
			         "'%s' is gone, so nobody is let in: put it back, or restart when "
			         "there shall be none",
			         revoked->path);
		memset(&revoked->seen, 0, sizeof revoked->seen);
		return;
	}
	if (now.st_ino == revoked->seen.st_ino && now.st_size == revoked->seen.st_size &&
	    !memcmp(&now.st_mtim, &revoked->seen.st_mtim, sizeof now.st_mtim))
		return;
	revoked->seen = now;
	load(revoked);
}

int gn_revoked_create(const char *path, gn_revoked_verify *verify, void *context,
                      struct gn_revoked **out, struct gn_status *status)
{
	struct gn_revoked *revoked = calloc(1, sizeof *revoked);

	if (!revoked || !(revoked->path = strdup(path))) {
		free(revoked);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	}
	revoked->verify = verify;
	revoked->context = context;
	refresh(revoked);
	if (revoked->trouble[0]) {
		gn_status_set(status, GN_INVALID_ARGUMENT, "%s", revoked->trouble);
		gn_revoked_destroy(revoked);
		return -EINVAL;
	}
	*out = revoked;
	return 0;
}

void gn_revoked_destroy(struct gn_revoked *revoked)
{
	if (!revoked)
		return;
	free(revoked->list);
	free(revoked->path);
	free(revoked);
}

bool gn_revoked_has(struct gn_revoked *revoked, const uint8_t *serial, size_t size,
                    struct gn_status *status)
{
	char line[HEX_MAX + 3] = "\n";
	const char *found;

	refresh(revoked);
	if (revoked->trouble[0]) {
		gn_status_set(status, GN_UNAUTHENTICATED, "revoked signer: %s", revoked->trouble);
		return true;
	}
	if (!revoked->list || size > HEX_MAX / 2)
		return false;
	for (size_t i = 0; i < size; i++)
		snprintf(line + 1 + 2 * i, 3, "%02x", serial[i]);
	strcat(line, " ");
	found = strstr(revoked->list, line);
	if (!found)
		return false;
	found += strlen(line);
	gn_status_set(
	        status, GN_UNAUTHENTICATED,
	        "revoked signer: the certificate of '%.*s' was revoked: issue a new one under "
	        "another name",
	        (int)strcspn(found, "\n"), found);
	return true;
}
