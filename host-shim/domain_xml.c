/* domain_xml.c - see domain_xml.h. A shadow is made by editing the tree in place: a table
 * names every device element that may occur, with what to do about it, and what is not in
 * the table is refused. Refusals are collected, so that the owner reads them all at once. */
#include "host-shim/domain_xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#define TEXT(s) ((const xmlChar *)(s))

static void ignore_error(void *context, const char *format, ...)
{
}

void gn_domain_xml_init(void)
{
	xmlInitParser();
	xmlSetGenericErrorFunc(NULL, ignore_error);
}

/* ---- small things on trees ------------------------------------------------------------- */

static bool is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
	xmlNode *node;

	for (node = parent ? parent->children : NULL; node; node = node->next)
		if (is_element(node, name))
			return node;
	return NULL;
}

/* Copies an attribute; false, with an empty string, if there is none or it does not fit. */
static bool attribute(const xmlNode *node, const char *name, char *out, size_t size)
{
	xmlChar *value = node ? xmlGetNoNsProp((xmlNode *)node, TEXT(name)) : NULL;
	bool fits = value && strlen((const char *)value) < size;

	if (fits)
		strcpy(out, (const char *)value);
	else
		out[0] = '\0';
	xmlFree(value);
	return fits;
}

static bool text(const xmlNode *node, char *out, size_t size)
{
	xmlChar *value = node ? xmlNodeGetContent(node) : NULL;
	bool fits = value && strlen((const char *)value) < size;

	if (fits)
		strcpy(out, (const char *)value);
	else
		out[0] = '\0';
	xmlFree(value);
	return fits;
}

static bool attribute_is(const xmlNode *node, const char *name, const char *value)
{
	char have[64];

	return attribute(node, name, have, sizeof have) && !strcmp(have, value);
}

static void set_attribute(xmlNode *node, const char *name, const char *value)
{
	xmlSetProp(node, TEXT(name), TEXT(value));
}

static void drop_attribute(xmlNode *node, const char *name)
{
	xmlUnsetProp(node, TEXT(name));
}

/* Removes every child element of that name. */
static void drop_children(xmlNode *parent, const char *name)
{
	xmlNode *node;

	while ((node = child(parent, name))) {
		xmlUnlinkNode(node);
		xmlFreeNode(node);
	}
}

static void set_text(xmlNode *node, const char *value)
{
	xmlChar *escaped = xmlEncodeSpecialChars(node->doc, TEXT(value));

	xmlNodeSetContent(node, escaped);
	xmlFree(escaped);
}

static xmlNode *child_or_new(xmlNode *parent, const char *name)
{
	xmlNode *node = child(parent, name);

	return node ? node : xmlNewChild(parent, NULL, TEXT(name), NULL);
}

static xmlDoc *parse(const char *xml, struct gn_status *status)
{
	size_t size = strlen(xml);
	xmlDoc *doc;
	xmlNode *root;

	if (size > GN_DOMAIN_XML_MAX || strstr(xml, "<!DOCTYPE") || strstr(xml, "<!ENTITY")) {
		gn_status_set(status, GN_INVALID_ARGUMENT,
		              "the domain's XML is larger than %u bytes or has a document type",
		              GN_DOMAIN_XML_MAX);
		return NULL;
	}
	doc = xmlReadMemory(xml, (int)size, NULL, "UTF-8",
	                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	root = doc ? xmlDocGetRootElement(doc) : NULL;
	if (!root || doc->intSubset || !is_element(root, "domain")) {
		xmlFreeDoc(doc);
		gn_status_set(status, GN_INVALID_ARGUMENT, "this is not a libvirt domain's XML");
		return NULL;
	}
	return doc;
}

/* ---- describe --------------------------------------------------------------------------- */

static xmlNode *mark_of(const xmlNode *root)
{
	const xmlNode *metadata = child(root, "metadata");
	xmlNode *node;

	for (node = metadata ? metadata->children : NULL; node; node = node->next)
		if (is_element(node, "shadow") && node->ns &&
		    !strcmp((const char *)node->ns->href, GN_SHADOW_XMLNS))
			return node;
	return NULL;
}

/* Where the host keeps a disk: a vhost-user socket, or a file or device. */
static void disk_backing(const xmlNode *disk, struct gn_vm_disk *out)
{
	const xmlNode *source = child(disk, "source");

	if (attribute_is(disk, "type", "vhostuser"))
		attribute(source, "path", out->socket_path, sizeof out->socket_path);
	else if (!attribute(source, "file", out->source, sizeof out->source) &&
	         !attribute(source, "dev", out->source, sizeof out->source))
		attribute(source, "name", out->source, sizeof out->source);
}

static void describe_disk(const xmlNode *node, struct gn_vm_description *out)
{
	struct gn_vm_disk disk = {0};

	if (out->n_disks == GN_VM_MAX_DISKS ||
	    !attribute(child(node, "target"), "dev", disk.target, sizeof disk.target))
		return;
	disk_backing(node, &disk);
	out->disks[out->n_disks++] = disk;
}

static void describe_nic(const xmlNode *node, struct gn_vm_description *out)
{
	struct gn_vm_nic nic = {0};

	if (out->n_nics == GN_VM_MAX_NICS ||
	    !attribute(child(node, "mac"), "address", nic.mac, sizeof nic.mac))
		return;
	if (attribute_is(node, "type", "vhostuser"))
		attribute(child(node, "source"), "path", nic.socket_path, sizeof nic.socket_path);
	attribute(child(node, "target"), "dev", nic.target, sizeof nic.target);
	out->nics[out->n_nics++] = nic;
}

static void describe_balloon(const xmlNode *node, struct gn_vm_description *out)
{
	char period[16];

	out->balloon = !attribute_is(node, "model", "none");
	if (attribute(child(node, "stats"), "period", period, sizeof period))
		out->balloon_period_s = (uint32_t)strtoul(period, NULL, 10);
}

int gn_domain_xml_describe(const char *xml, struct gn_vm_description *out, struct gn_status *status)
{
	struct gn_vm_description d = {0};
	xmlDoc *doc = parse(xml, status);
	const xmlNode *root, *node, *devices;

	if (!doc)
		return -EINVAL;
	root = xmlDocGetRootElement(doc);
	d.kvm = attribute_is(root, "type", "kvm");
	d.tcg = attribute_is(root, "type", "qemu");
	attribute(mark_of(root), "of", d.shadow_of, sizeof d.shadow_of);
	devices = child(root, "devices");
	for (node = devices ? devices->children : NULL; node; node = node->next) {
		if (is_element(node, "interface"))
			describe_nic(node, &d);
		else if (is_element(node, "disk"))
			describe_disk(node, &d);
		else if (is_element(node, "memballoon"))
			describe_balloon(node, &d);
	}
	xmlFreeDoc(doc);
	*out = d;
	return 0;
}

/* ---- a shadow out of a VM ----------------------------------------------------------------- */

/* A writable thing of the production VM that must not occur in the shadow, and what stands
 * in its place. */
struct replacement {
	char old[GN_VM_PATH_SIZE];
	const char *new;
};

struct edit {
	const struct gn_shadow_spec *spec;
	struct gn_status *status;
	int error;         /* the first INVALID_ARGUMENT */
	char refused[384]; /* "hostdev (pci), tpm" */
	struct replacement replaced[GN_VM_MAX_NICS + GN_VM_MAX_DISKS];
	size_t n_replaced;
	bool nic_used[GN_VM_MAX_NICS];
	bool disk_used[GN_VM_MAX_DISKS];
};

static void refuse(struct edit *e, const char *what, const char *detail)
{
	size_t n = strlen(e->refused);

	snprintf(e->refused + n, sizeof e->refused - n, "%s%s%s%s%s", n ? ", " : "", what,
	         detail[0] ? " (" : "", detail, detail[0] ? ")" : "");
}

static void refuse_device(struct edit *e, const xmlNode *node)
{
	char kind[64];

	if (!attribute(node, "type", kind, sizeof kind))
		attribute(node, "model", kind, sizeof kind);
	refuse(e, (const char *)node->name, kind);
}

static void invalid(struct edit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void invalid(struct edit *e, const char *format, ...)
{
	char message[GN_STATUS_MESSAGE_SIZE];
	va_list args;

	if (e->error)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	e->error = gn_status_set(e->status, GN_INVALID_ARGUMENT, "%s", message);
}

static void replace(struct edit *e, const char *old, const char *new)
{
	struct replacement *r;

	if (!old[0] || e->n_replaced == sizeof e->replaced / sizeof e->replaced[0])
		return;
	r = &e->replaced[e->n_replaced++];
	snprintf(r->old, sizeof r->old, "%s", old);
	r->new = new;
}

static void keep(struct edit *e, xmlNode *node)
{
}

static void edit_interface(struct edit *e, xmlNode *node)
{
	char mac[GN_VM_MAC_SIZE], old[GN_VM_PATH_SIZE];
	xmlNode *source = child(node, "source");
	size_t i;

	attribute(child(node, "mac"), "address", mac, sizeof mac);
	if (!attribute_is(node, "type", "vhostuser") || !source ||
	    !attribute(source, "path", old, sizeof old)) {
		refuse(e, "a NIC that is not vhost-user", mac);
		return;
	}
	for (i = 0; i < e->spec->n_nics; i++)
		if (!strcasecmp(e->spec->nics[i].mac, mac))
			break;
	if (i == e->spec->n_nics) {
		invalid(e, "the VM's NIC %s is not named; give a socket for it", mac);
		return;
	}
	if (e->nic_used[i])
		refuse(e, "a second NIC with the MAC", mac);
	e->nic_used[i] = true;
	replace(e, old, e->spec->nics[i].socket_path);
	set_attribute(source, "path", e->spec->nics[i].socket_path);
	drop_children(node, "target"); /* libvirt derives it from the socket */
}

static void set_disk_file(xmlNode *node, const char *file)
{
	xmlNode *source;

	drop_children(node, "source");
	drop_children(node, "backingStore");
	drop_children(node, "mirror");
	drop_children(node, "auth");
	drop_children(node, "encryption");
	drop_children(node, "transient");
	set_attribute(node, "type", "file");
	source = xmlNewChild(node, NULL, TEXT("source"), NULL);
	set_attribute(source, "file", file);
}

static void edit_named_disk(struct edit *e, xmlNode *node, const struct gn_vm_disk *to)
{
	struct gn_vm_disk from = {0};
	bool vhost_user = attribute_is(node, "type", "vhostuser");

	disk_backing(node, &from);
	if (vhost_user != (to->socket_path[0] != '\0')) {
		refuse(e,
		       vhost_user ? "a vhost-user disk cloned to a file"
		                  : "a disk that is not vhost-user cloned to a socket",
		       to->target);
	} else if (vhost_user) {
		replace(e, from.socket_path, to->socket_path);
		set_attribute(child_or_new(node, "source"), "path", to->socket_path);
	} else {
		replace(e, from.source, to->source);
		set_disk_file(node, to->source);
	}
}

static void edit_disk(struct edit *e, xmlNode *node)
{
	char target[GN_VM_TARGET_SIZE], device[32];
	size_t i;

	attribute(child(node, "target"), "dev", target, sizeof target);
	if (!attribute(node, "device", device, sizeof device))
		strcpy(device, "disk");
	if (!strcmp(device, "lun")) {
		refuse(e, "a SCSI LUN passed through", target);
		return;
	}
	for (i = 0; i < e->spec->n_disks; i++) {
		if (!strcmp(e->spec->disks[i].target, target)) {
			if (e->disk_used[i])
				refuse(e, "a second disk with the target", target);
			e->disk_used[i] = true;
			edit_named_disk(e, node, &e->spec->disks[i]);
			return;
		}
	}
	/* Nothing can be written there, so both may have it. */
	if (strcmp(device, "disk") && (!child(node, "source") || child(node, "readonly")))
		return;
	invalid(e, "the VM's disk %s is not named; give a socket or a file for it", target);
}

/* A path of the shadow's own next to the production VM's. */
static void edit_path(struct edit *e, xmlNode *node, const char *name, size_t size)
{
	char old[GN_VM_PATH_SIZE], new[GN_VM_PATH_SIZE + GN_VM_NAME_SIZE + 1];

	if (!attribute(node, name, old, sizeof old)) {
		refuse(e, (const char *)node->parent->name, "its path is too long");
		return;
	}
	snprintf(new, sizeof new, "%s-%s", old, e->spec->name);
	if (strlen(new) >= size)
		refuse(e, (const char *)node->parent->name, "its path is too long");
	else
		set_attribute(node, name, new);
}

/* serial, parallel, console, channel: by what they are connected to. */
static void edit_character(struct edit *e, xmlNode *node)
{
	static const char *const harmless[] = {"null",      "vc",           "stdio", "spicevmc",
	                                       "spiceport", "qemu-vdagent", "dbus"};
	xmlNode *source = child(node, "source"), *log = child(node, "log");
	char kind[32], path[GN_VM_PATH_SIZE];
	size_t i;

	attribute(node, "type", kind, sizeof kind);
	if (log)
		edit_path(e, log, "file", GN_VM_PATH_SIZE);
	for (i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
		if (!strcmp(kind, harmless[i]))
			return;
	if (!strcmp(kind, "pty")) {
		drop_children(node, "source");
		drop_attribute(node, "tty");
	} else if (!strcmp(kind, "file") && source) {
		edit_path(e, source, "path", GN_VM_PATH_SIZE);
	} else if (!strcmp(kind, "unix") && !attribute_is(source, "mode", "connect")) {
		attribute(source, "path", path, sizeof path);
		if (strstr(path, "/channel/target/")) /* libvirt's own choice */
			drop_children(node, "source");
		else if (source && xmlHasProp(source, TEXT("path")))
			edit_path(e, source, "path", GN_VM_SOCKET_SIZE);
	} else {
		refuse_device(e, node);
	}
}

static void edit_graphics(struct edit *e, xmlNode *node)
{
	xmlNode *listen;

	if (attribute_is(node, "type", "sdl") || attribute_is(node, "type", "desktop") ||
	    xmlHasProp(node, TEXT("address"))) {
		refuse_device(e, node);
		return;
	}
	if (!attribute_is(node, "type", "vnc") && !attribute_is(node, "type", "spice"))
		return;
	drop_attribute(node, "port");
	drop_attribute(node, "tlsPort");
	drop_attribute(node, "websocket");
	drop_attribute(node, "socket");
	set_attribute(node, "autoport", "yes");
	for (listen = node->children; listen; listen = listen->next)
		if (is_element(listen, "listen"))
			drop_attribute(listen, "socket");
}

static void edit_vsock(struct edit *e, xmlNode *node)
{
	xmlNode *cid = child(node, "cid");

	if (!cid)
		return;
	set_attribute(cid, "auto", "yes");
	drop_attribute(cid, "address");
}

static void edit_input(struct edit *e, xmlNode *node)
{
	if (child(node, "source"))
		refuse_device(e, node);
}

static void edit_rng(struct edit *e, xmlNode *node)
{
	if (attribute_is(child(node, "backend"), "model", "egd"))
		refuse(e, "rng", "egd");
}

static void edit_memory(struct edit *e, xmlNode *node)
{
	if (child(child(node, "source"), "path"))
		refuse_device(e, node);
}

static void edit_spice_only(struct edit *e, xmlNode *node)
{
	if (!attribute_is(node, "type", "spicevmc"))
		refuse_device(e, node);
}

static void edit_audio(struct edit *e, xmlNode *node)
{
	if (attribute_is(node, "type", "file"))
		refuse_device(e, node);
}

static const struct {
	const char *name;
	void (*edit)(struct edit *e, xmlNode *node);
} devices[] = {
        {"audio", edit_audio},
        {"channel", edit_character},
        {"console", edit_character},
        {"controller", keep},
        {"crypto", keep},
        {"disk", edit_disk},
        {"emulator", keep},
        {"graphics", edit_graphics},
        {"hub", keep},
        {"input", edit_input},
        {"interface", edit_interface},
        {"iommu", keep},
        {"memballoon", keep},
        {"memory", edit_memory},
        {"nvram", keep},
        {"panic", keep},
        {"parallel", edit_character},
        {"redirdev", edit_spice_only},
        {"redirfilter", keep},
        {"rng", edit_rng},
        {"serial", edit_character},
        {"smartcard", edit_spice_only},
        {"sound", keep},
        {"video", keep},
        {"vsock", edit_vsock},
        {"watchdog", keep},
};

static void edit_device(struct edit *e, xmlNode *node)
{
	size_t i;

	for (i = 0; i < sizeof devices / sizeof devices[0]; i++) {
		if (is_element(node, devices[i].name)) {
			devices[i].edit(e, node);
			return;
		}
	}
	refuse_device(e, node);
}

static void edit_devices(struct edit *e, xmlNode *root)
{
	xmlNode *node, *parent = child(root, "devices");
	size_t i;

	for (node = parent ? parent->children : NULL; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE)
			edit_device(e, node);
	for (i = 0; i < e->spec->n_nics; i++)
		if (!e->nic_used[i])
			invalid(e, "the VM has no NIC %s", e->spec->nics[i].mac);
	for (i = 0; i < e->spec->n_disks; i++)
		if (!e->disk_used[i])
			invalid(e, "the VM has no disk %s", e->spec->disks[i].target);
}

/* ---- the parts of <domain> beside its devices -------------------------------------------- */

static void edit_identity(struct edit *e, xmlNode *root, const char *vm)
{
	xmlNode *metadata, *mark, *node, *next;

	drop_attribute(root, "id");
	drop_children(root, "uuid");
	set_text(child_or_new(root, "name"), e->spec->name);
	metadata = child_or_new(root, "metadata");
	while ((mark = mark_of(root))) {
		xmlUnlinkNode(mark);
		xmlFreeNode(mark);
	}
	mark = xmlNewChild(metadata, NULL, TEXT("shadow"), NULL);
	xmlSetNs(mark, xmlNewNs(mark, TEXT(GN_SHADOW_XMLNS), TEXT("gnomon")));
	set_attribute(mark, "of", vm);
	/* libvirt wants a UUID in the SMBIOS table to be the domain's. */
	metadata = child(child(root, "sysinfo"), "system");
	for (node = metadata ? metadata->children : NULL; node; node = next) {
		next = node->next;
		if (is_element(node, "entry") && attribute_is(node, "name", "uuid")) {
			xmlUnlinkNode(node);
			xmlFreeNode(node);
		}
	}
}

static void edit_size(struct edit *e, xmlNode *root)
{
	xmlNode *vcpu = child(root, "vcpu"), *memory;
	char number[24];

	if (vcpu) {
		snprintf(number, sizeof number, "%u", e->spec->vcpus);
		set_attribute(vcpu, "current", number);
		drop_attribute(vcpu, "cpuset");
		drop_attribute(vcpu, "placement");
	}
	drop_children(root, "vcpus");
	memory = child_or_new(root, "currentMemory");
	snprintf(number, sizeof number, "%llu", (unsigned long long)e->spec->memory_bytes >> 10);
	set_text(memory, number);
	set_attribute(memory, "unit", "KiB");
	drop_children(root, "cputune");
	drop_children(root, "numatune");
	drop_children(root, "blkiotune");
}

/* The shadow's NVRAM starts as a copy of the production VM's: libvirt makes it from the
 * template when the shadow first starts and has none yet. */
static void edit_nvram(struct edit *e, xmlNode *os)
{
	xmlNode *nvram = child(os, "nvram"), *source = child(nvram, "source");
	char old[GN_VM_PATH_SIZE], new[GN_VM_PATH_SIZE + GN_VM_NAME_SIZE + 16], format[16];

	if (!nvram)
		return;
	if (xmlHasProp(nvram, TEXT("type")) && !attribute_is(nvram, "type", "file")) {
		refuse(e, "NVRAM that is not a file", "");
		return;
	}
	if (source)
		attribute(source, "file", old, sizeof old);
	else
		text(nvram, old, sizeof old);
	if (!old[0])
		return; /* never started: libvirt will choose the path */
	if (!e->spec->pool_path[0]) {
		refuse(e, "NVRAM", "give a pool to hold its copy");
		return;
	}
	snprintf(new, sizeof new, "%s/%s_VARS.fd", e->spec->pool_path, e->spec->name);
	drop_attribute(nvram, "type");
	set_text(nvram, new);
	set_attribute(nvram, "template", old);
	if (attribute(nvram, "format", format, sizeof format))
		set_attribute(nvram, "templateFormat", format);
	/* The choice is made: loader and NVRAM are both named. */
	drop_attribute(os, "firmware");
	drop_children(os, "firmware");
}

static void drop_dynamic_labels(xmlNode *root)
{
	xmlNode *node, *next;

	for (node = root->children; node; node = next) {
		next = node->next;
		if (is_element(node, "seclabel") && attribute_is(node, "type", "dynamic")) {
			xmlUnlinkNode(node);
			xmlFreeNode(node);
		}
	}
}

/* Replaces one production path by the shadow's within an argument such as
 * "socket,id=c,path=/run/a.sock". False if the result does not fit. */
static bool substitute(char *value, size_t size, const struct replacement *r)
{
	char *at = strstr(value, r->old);
	size_t old = strlen(r->old), new = strlen(r->new);

	if (!at || (at[old] != '\0' && at[old] != ','))
		return true;
	if (strlen(value) - old + new >= size)
		return false;
	memmove(at + new, at + old, strlen(at + old) + 1);
	memcpy(at, r->new, new);
	return true;
}

/* Whether an argument that is not the shadow's own names something on the host. */
static bool names_host_thing(const char *value, const struct edit *e)
{
	size_t i;

	for (i = 0; i < e->n_replaced; i++)
		if (strstr(value, e->replaced[i].new))
			return false;
	return strchr(value, '/') || strstr(value, "fd=") || strstr(value, "host=");
}

static void edit_arguments(struct edit *e, xmlNode *root)
{
	xmlNode *node, *arguments = child(root, "commandline");
	char value[1024];
	size_t i;

	for (node = arguments ? arguments->children : NULL; node; node = node->next) {
		if (!is_element(node, "arg"))
			continue;
		if (!attribute(node, "value", value, sizeof value)) {
			refuse(e, "qemu:arg", "too long");
			continue;
		}
		for (i = 0; i < e->n_replaced; i++)
			if (!substitute(value, sizeof value, &e->replaced[i]))
				refuse(e, "qemu:arg", "too long");
		if (names_host_thing(value, e))
			refuse(e, "qemu:arg", value);
		set_attribute(node, "value", value);
	}
}

/* ---- the last look ------------------------------------------------------------------------ */

static bool ends_path(char c)
{
	return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	         c == '.' || c == '_' || c == '+' || c == '-' || c == '/');
}

static bool mentions(const char *xml, const char *path)
{
	const char *at = xml;

	while ((at = strstr(at, path))) {
		at += strlen(path);
		if (ends_path(*at))
			return true;
	}
	return false;
}

/* Two writers on one volume or two guests on one port would be worse than no shadow. */
static int check_nothing_shared(const struct edit *e, const char *xml, struct gn_status *status)
{
	size_t i;

	for (i = 0; i < e->n_replaced; i++)
		if (mentions(xml, e->replaced[i].old))
			return gn_status_set(
			        status, GN_FAILED_PRECONDITION,
			        "the shadow would share %s with the production VM; give "
			        "it one of its own",
			        e->replaced[i].old);
	return 0;
}

static int serialize(xmlDoc *doc, char **out, struct gn_status *status)
{
	xmlBuffer *buffer = xmlBufferCreate();
	char *copy = NULL;

	if (buffer && xmlNodeDump(buffer, doc, xmlDocGetRootElement(doc), 0, 0) >= 0)
		copy = strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	if (!copy)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	*out = copy;
	return 0;
}

static int edit_all(struct edit *e, xmlNode *root, const char *vm)
{
	edit_identity(e, root, vm);
	edit_size(e, root);
	edit_devices(e, root);
	if (child(root, "os"))
		edit_nvram(e, child(root, "os"));
	drop_dynamic_labels(root);
	edit_arguments(e, root);
	if (child(root, "launchSecurity"))
		refuse(e, "launchSecurity", "its memory cannot be read");
	if (e->refused[0])
		return gn_status_set(e->status, GN_FAILED_PRECONDITION,
		                     "%.64s cannot be cloned exactly because of: %s", vm,
		                     e->refused);
	return e->error;
}

int gn_domain_xml_shadow(const char *xml, const char *vm, const struct gn_shadow_spec *spec,
                         char **out, struct gn_status *status)
{
	struct edit e = {.spec = spec, .status = status};
	xmlDoc *doc = parse(xml, status);
	char *made = NULL;
	int error;

	if (!doc)
		return -EINVAL;
	error = edit_all(&e, xmlDocGetRootElement(doc), vm);
	if (!error)
		error = serialize(doc, &made, status);
	if (!error)
		error = check_nothing_shared(&e, made, status);
	xmlFreeDoc(doc);
	if (error) {
		free(made);
		return error;
	}
	*out = made;
	return 0;
}
