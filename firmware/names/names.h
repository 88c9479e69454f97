/* names.h - how gnomon's resources are called, and what follows from a VM's name.
 *
 *   VM           vms/web-1                 libvirt domain web-1
 *   port         ports/web-1-net0          volume  volumes/web-1-vda
 *   shadow       vms/web-1/shadow          domain  web-1-shadow
 *   its port     ports/web-1-shadow-net0   volume  volumes/web-1-shadow-vda
 *   its mirror   vms/web-1/mirrors/shadow  policy  vms/web-1/policy
 *
 * Pure. Every name is at most GN_NAME_SIZE - 1 bytes; ids are [a-z0-9-], beginning with a
 * letter or digit, at most GN_NAME_ID_MAX bytes, so that every derived name fits, also as
 * part of a socket's path. */
#ifndef GN_NAMES_H
#define GN_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define GN_NAME_SIZE   129
#define GN_NAME_ID_MAX 40

/* "vms/<id>"; ids that end in "-shadow" are kept for shadows. */
bool gn_name_is_vm(const char *name);
/* A NIC's or disk's own name: [a-z0-9], at most 15 bytes. */
bool gn_name_is_device(const char *name);

/* The part after "vms/": the libvirt domain's name. 'vm' is a VM's name. */
const char *gn_name_domain(const char *vm);
/* The VM of "vms/<id>/shadow", "vms/<id>/policy", "vms/<id>/mirrors/<id>" or "vms/<id>":
 * false when 'name' does not begin so. */
bool gn_name_vm_of(const char *name, char vm[GN_NAME_SIZE]);
/* True when 'name' is '<vm of it><rest>', with 'rest' such as "/shadow". */
bool gn_name_ends_with(const char *name, const char *rest);

/* Derived names; 'vm' is a VM's name, 'device' a device's. */
void gn_name_port(const char *vm, bool shadow, const char *device, char out[GN_NAME_SIZE]);
void gn_name_volume(const char *vm, bool shadow, const char *device, char out[GN_NAME_SIZE]);
/* "vms/web-1" and "/shadow" make "vms/web-1/shadow". */
void gn_name_child(const char *vm, const char *rest, char out[GN_NAME_SIZE]);
void gn_name_shadow_domain(const char *vm, char out[GN_NAME_SIZE]);

#endif
