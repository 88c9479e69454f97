/* wire.h - the shim's messages (proto/gnomon/v1/host.proto) to and from plain data; the only
 * user of protobuf-c here. Strings that do not fit, and a missing action, are refused with a
 * sentence; what they mean is command.h's business. Pure but for malloc(). */
#ifndef GN_SHIM_WIRE_H
#define GN_SHIM_WIRE_H

#include "host-shim/drives.h"
#include "host-shim/command.h"
#include "proto/channel.h"
#include "proto/gnomon/v1/host.pb-c.h"

/* Packed bytes, the holder's to free(). */
struct gn_wire_bytes {
	void *data;
	size_t size;
};

struct gn_result {
	char id[GN_COMMAND_ID_SIZE];
	struct gn_status status;
	bool has_before;
	struct gn_vm_allocation before;
	bool has_after;
	struct gn_vm_allocation after;
	uint64_t started_us; /* wall */
	uint64_t finished_us;
	bool repeated;
	char uuid[GN_VM_UUID_SIZE];
};

/* Methods of the service, by index; those of wire_observe.h follow. */
enum gn_wire_method { GN_WIRE_GET_HOST, GN_WIRE_LIST_VMS, GN_WIRE_GET_STATS, GN_WIRE_EXECUTE };
#define GN_WIRE_METHODS 9
const ProtobufCServiceDescriptor *gn_wire_service(void);

/* 'request' is a Command. INVALID_ARGUMENT. */
int gn_wire_command(const ProtobufCMessage *request, struct gn_command *out,
                    struct gn_status *status);
/* The same from packed bytes, as the journal keeps them. */
int gn_wire_unpack_command(const void *data, size_t size, struct gn_command *out,
                           struct gn_status *status);
int gn_wire_unpack_result(const void *data, size_t size, struct gn_result *out);

/* -ENOMEM. Equal commands have equal bytes. */
int gn_wire_pack(const ProtobufCMessage *message, struct gn_wire_bytes *out);
int gn_wire_pack_result(const struct gn_result *result, struct gn_wire_bytes *out);

/* These answer a call; out of memory they answer RESOURCE_EXHAUSTED. */
void gn_wire_reply_result(struct gn_channel_call *call, const struct gn_result *result);
/* 'drives': NULL when none are known. */
void gn_wire_reply_host(struct gn_channel_call *call, const struct gn_host_info *info,
                        const struct gn_host_drives *drives, const char *uri, bool connected,
                        uint64_t started_us);
void gn_wire_reply_vms(struct gn_channel_call *call, const struct gn_vm *vms, size_t n);
void gn_wire_reply_stats(struct gn_channel_call *call, const struct gn_vm_stats *vms, size_t n,
                         uint64_t wall_us, uint64_t monotonic_us, uint64_t memory_free_bytes);

/* Borrows nothing. */
void gn_wire_process_out(uint32_t process, const struct gn_tasks_total *in,
                         Gnomon__V1__HostProcess *out);

#endif
