/* uri_fuzz.c - any text as a URI: what is accepted is complete. */
#include "dataplane/nbd/uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct gn_nbd_uri uri;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (!gn_nbd_uri_parse(text, &uri) &&
	    (uri.is_unix ? !uri.socket[0] : !uri.host[0] || !uri.port))
		abort();
	free(text);
	return 0;
}
