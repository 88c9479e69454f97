/* domain_xml.h - reads a libvirt domain's XML, and makes a shadow's out of it.
 *
 * Strings in, strings out; the only user of libxml2. The XML comes from libvirt, yet parts
 * of it were written by whoever defines VMs on this host: it is parsed without network,
 * without entities (a document type is refused) and with libxml2's own limits on depth and
 * size. Thread-safe after gn_domain_xml_init().
 *
 * Format: https://libvirt.org/formatdomain.html. */
#ifndef GN_SHIM_DOMAIN_XML_H
#define GN_SHIM_DOMAIN_XML_H

#include "host-shim/command.h"

#define GN_DOMAIN_XML_MAX (1u << 20) /* bytes; a larger document is refused */
#define GN_SHADOW_XMLNS   "https://gnomon.dev/xmlns/1"

/* Once, before other threads exist. */
void gn_domain_xml_init(void);

/* What the shim wants to know of a domain. Devices beyond the arrays' bounds and strings
 * that do not fit are left out. -EINVAL with a sentence if it is not a domain's XML. */
int gn_domain_xml_describe(const char *xml, struct gn_vm_description *out,
                           struct gn_status *status);

/* The definition of a shadow of 'vm': 'xml' (live or inactive), with
 *  - the shadow's name, no UUID (libvirt gives one), gnomon's mark in <metadata>;
 *  - the start size: <vcpu current>, <currentMemory>; the maxima stay;
 *  - each NIC's vhost-user socket and each disk's socket or file as the spec names them;
 *    MAC, model, address, queues and all else that the guest sees stay;
 *  - paths of its own for consoles, channels, logs and NVRAM (made from the production
 *    VM's NVRAM when the shadow first starts), ports given by libvirt for graphics;
 *  - no host-side pinning (<cputune>, <numatune>, cpuset): it may not crowd the VM.
 * Read-only and empty CD-ROMs and floppies are kept and need not be named.
 *
 * FAILED_PRECONDITION lists every device that cannot be cloned: what is passed through or
 * shared from the host (hostdev, filesystem, TPM, NICs that are not vhost-user, ...), and
 * what this version does not know. INVALID_ARGUMENT: the spec does not name a NIC or disk
 * that the VM has, or names one that it has not. '*out' is the caller's to free(). */
int gn_domain_xml_shadow(const char *xml, const char *vm, const struct gn_shadow_spec *spec,
                         char **out, struct gn_status *status);

#endif
