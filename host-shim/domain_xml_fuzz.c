/* domain_xml_fuzz.c - any bytes as a domain's XML: described and cloned, never a crash; and a
 * clone never mentions the production VM's sockets. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host-shim/domain_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gn_shadow_spec spec = {
	        .name = "b",
	        .vcpus = 1,
	        .nics = {{.mac = "52:54:00:00:00:01", .socket_path = "/new/n"}},
	        .n_nics = 1,
	        .disks = {{.target = "vda", .socket_path = "/new/d"}},
	        .n_disks = 1,
	        .pool_path = "/new",
	};
	struct gn_vm_description d;
	char *xml = malloc(size + 1), *out = NULL;

	if (!xml)
		return 0;
	memcpy(xml, data, size);
	xml[size] = '\0';
	gn_domain_xml_init();
	gn_domain_xml_describe(xml, &d, NULL);
	if (gn_domain_xml_shadow(xml, "a", &spec, &out, NULL) == 0) {
		assert(gn_domain_xml_describe(out, &d, NULL) == 0);
		assert(!strcmp(d.shadow_of, "a"));
		free(out);
	}
	free(xml);
	return 0;
}
