/* model.c - see model.h. Only this file and signature.c know that packs come in files. */
#include "firmware/model/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/model/signature.h"

#define TRAILER_MAGIC 0x47534e47u

struct trailer {
	uint32_t magic;
	uint16_t version;
	uint16_t length;
};
_Static_assert(sizeof(struct trailer) == 8, "as in GN_MODEL_FILE_MAX");

/* FNV-1a: who believes a pack has checked its signature. */
static uint64_t digest_of(const uint8_t *byte, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	while (size--)
		hash = (hash ^ *byte++) * 1099511628211u;
	return hash;
}

void gn_model_destroy(struct gn_model *model)
{
	if (!model)
		return;
	free(model->bytes);
	free(model);
}

/* Where the signature is; checks that the trailer ends the file. */
static const void *signature_of(const uint8_t *bytes, size_t size, size_t pack_size, size_t *length)
{
	struct trailer trailer;

	if (size < pack_size + sizeof(trailer))
		return NULL;
	memcpy(&trailer, bytes + pack_size, sizeof(trailer));
	if (trailer.magic != TRAILER_MAGIC || trailer.version != 1 || trailer.length == 0 ||
	    trailer.length > GN_SIGNATURE_MAX ||
	    size != pack_size + sizeof(trailer) + trailer.length)
		return NULL;
	*length = trailer.length;
	return bytes + pack_size + sizeof(trailer);
}

static int check(const struct gn_model *model, size_t size, const char *key_path, const char *name,
                 struct gn_status *status)
{
	size_t length = 0;
	const void *signature = signature_of(model->bytes, size, model->pack.size, &length);
	int error;

	if (!signature)
		return gn_status_set(status, GN_UNAUTHENTICATED,
		                     "model pack %s is not signed; sign it with "
		                     "'tools/train/train --sign KEY'",
		                     name);
	error = gn_signature_check(key_path, model->bytes, model->pack.size, signature, length);
	if (error == -EBADMSG)
		return gn_status_set(status, GN_UNAUTHENTICATED,
		                     "model pack %s was not signed with the key of %s, or was "
		                     "changed since; get it anew from whom you trust",
		                     name, key_path);
	if (error != 0)
		return gn_status_set(status, gn_code_from_errno(error),
		                     "the key that model packs are checked with, %s, cannot be "
		                     "read: %s; give a public key in PEM form",
		                     key_path, strerror(-error));
	return 0;
}

int gn_model_from_bytes(const void *bytes, size_t size, const char *key_path, const char *name,
                        struct gn_model **out, struct gn_status *status)
{
	struct gn_model *model = calloc(1, sizeof(*model));
	int error;

	if (!model || !(model->bytes = malloc(size ? size : 1))) {
		gn_model_destroy(model);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for model pack %s",
		                     name);
	}
	memcpy(model->bytes, bytes, size);
	error = gn_pack_open(&model->pack, model->bytes, size);
	if (error == -EPROTO)
		error = gn_status_set(status, GN_FAILED_PRECONDITION,
		                      "model pack %s is of another version; train it with this "
		                      "version's tools/train",
		                      name);
	else if (error != 0)
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "%s is not a model pack, or is damaged", name);
	else
		error = check(model, size, key_path, name, status);
	if (error != 0) {
		gn_model_destroy(model);
		return error;
	}
	model->size = size;
	model->digest = digest_of(model->bytes, model->pack.size);
	*out = model;
	return 0;
}

int gn_model_load(const char *path, const char *key_path, struct gn_model **model,
                  struct gn_status *status)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	size_t size;
	int error;

	if (!file)
		return gn_status_set(status, gn_code_from_errno(errno),
		                     "cannot read model pack %s: %s", path, strerror(errno));
	bytes = malloc(GN_MODEL_FILE_MAX + 1);
	size = bytes ? fread(bytes, 1, GN_MODEL_FILE_MAX + 1, file) : 0;
	fclose(file);
	if (!bytes)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for model pack %s",
		                     path);
	if (size > GN_MODEL_FILE_MAX)
		error = gn_status_set(status, GN_INVALID_ARGUMENT,
		                      "%s is larger than a model pack can be (%zu bytes)", path,
		                      (size_t)GN_MODEL_FILE_MAX);
	else
		error = gn_model_from_bytes(bytes, size, key_path, path, model, status);
	free(bytes);
	return error;
}
