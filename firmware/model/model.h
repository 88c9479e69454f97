/* model.h - loads a model pack from a file and believes it only when it is signed.
 *
 * File: the pack as in firmware/predict/pack.h, then the trailer: u32 magic 'GNSG', u16
 * version 1, u16 length, then a DER-encoded ECDSA signature of SHA-256 over all bytes before
 * the trailer. The key is the public key (PEM) that the card was provisioned with.
 *
 * A shell: reads files, allocates. Thread-safe: a model is immutable once loaded. */
#ifndef GN_MODEL_MODEL_H
#define GN_MODEL_MODEL_H

#include "firmware/core/status.h"
#include "firmware/model/signature.h"
#include "firmware/predict/pack.h"

struct gn_model {
	struct gn_pack pack;
	void *bytes; /* of the whole file, signature included */
	size_t size;
	uint64_t digest; /* of the pack without its signature; tells packs apart, no more */
};

#define GN_MODEL_FILE_MAX (GN_PACK_SIZE_MAX + 8 + GN_SIGNATURE_MAX)

/* Owner of the model: the caller, who ends it with gn_model_destroy(). On failure '*model' is
 * untouched and 'status' says what is wrong with which file and what to do. */
int gn_model_load(const char *path, const char *key_path, struct gn_model **model,
                  struct gn_status *status);

/* The same from bytes, which stay the caller's and are copied. 'name' is for messages. */
int gn_model_from_bytes(const void *bytes, size_t size, const char *key_path, const char *name,
                        struct gn_model **model, struct gn_status *status);

void gn_model_destroy(struct gn_model *model);

#endif
