/* fake_dataplane.c - see fake_dataplane.h. The lists are gnomond's own view of one. */
#include "tests/gnomond/fake_dataplane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "firmware/core/clock.h"
#include "firmware/ingest/view.h"
#include "firmware/message/message.h"

struct gn_fake_dataplane {
	const char *run_dir;
	uint64_t started_us;
	struct gn_view view;
	Gnomon__V1__MeterList *meters;
	struct gn_channel_service service;
};

static void fail(struct gn_channel_call *call, enum gn_code code, const char *what)
{
	struct gn_status status;

	gn_status_set(&status, code, "the model refuses: %s", what);
	gn_channel_fail(call, &status);
}

static void get_status(void *context, struct gn_channel_call *call, const ProtobufCMessage *request)
{
	struct gn_fake_dataplane *d = context;
	Gnomon__V1__DataplaneStatus status = GNOMON__V1__DATAPLANE_STATUS__INIT;

	status.started_us = d->started_us;
	status.workers = 1;
	status.loops = gn_clock_monotonic_us();
	gn_channel_reply(call, &status.base);
}

static void set_path(const struct gn_fake_dataplane *d, const char *name, char **path)
{
	if (!(*path)[0])
		gn_message_set(path, "%s/vhost/%s.sock", d->run_dir, strchr(name, '/') + 1);
}

static void create_port(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_fake_dataplane *d = context;
	Gnomon__V1__Port *port = (Gnomon__V1__Port *)gn_message_copy(request);

	set_path(d, port->name, &port->socket_path);
	if (!port->counters) {
		port->counters =
		        GN_MESSAGE_NEW(Gnomon__V1__PortCounters, gnomon__v1__port_counters__init);
		port->counters->rx_packets = 10;
		port->counters->tx_packets = 20;
	}
	gn_view_note_port(&d->view, port);
	gn_channel_reply(call, &port->base);
	GN_MESSAGE_FREE(port);
}

static void create_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_fake_dataplane *d = context;
	Gnomon__V1__Volume *volume = (Gnomon__V1__Volume *)gn_message_copy(request);
	struct stat st;

	if (stat(volume->path, &st)) {
		fail(call, GN_NOT_FOUND, volume->path);
	} else {
		volume->size_bytes = st.st_size ? (uint64_t)st.st_size : 1 << 20;
		set_path(d, volume->name, &volume->socket_path);
		gn_view_note_volume(&d->view, volume);
		gn_channel_reply(call, &volume->base);
	}
	GN_MESSAGE_FREE(volume);
}

#define LIST_AND_DELETE(kind, Kind, kinds)                                                         \
	static void list_##kinds(void *context, struct gn_channel_call *call,                      \
	                         const ProtobufCMessage *request)                                  \
	{                                                                                          \
		struct gn_fake_dataplane *d = context;                                             \
		const Gnomon__V1__##Kind##List none = {                                            \
		        .base = {.descriptor = &gnomon__v1__##kind##_list__descriptor}};           \
                                                                                                   \
		gn_channel_reply(call, d->view.kinds ? &d->view.kinds->base : &none.base);         \
	}                                                                                          \
	static void delete_##kind(void *context, struct gn_channel_call *call,                     \
	                          const ProtobufCMessage *message)                                 \
	{                                                                                          \
		const Gnomon__V1__NameRequest *r = (const Gnomon__V1__NameRequest *)message;       \
		const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;                           \
		struct gn_fake_dataplane *d = context;                                             \
		size_t i, n = d->view.kinds ? d->view.kinds->n_##kinds : 0;                        \
                                                                                                   \
		for (i = 0; i < n && strcmp(d->view.kinds->kinds[i]->name, r->name); i++)          \
			;                                                                          \
		if (i == n) {                                                                      \
			fail(call, GN_NOT_FOUND, r->name);                                         \
			return;                                                                    \
		}                                                                                  \
		GN_MESSAGE_FREE(d->view.kinds->kinds[i]);                                          \
		d->view.kinds->kinds[i] = d->view.kinds->kinds[--d->view.kinds->n_##kinds];        \
		gn_channel_reply(call, &empty.base);                                               \
	}

LIST_AND_DELETE(port, Port, ports)
LIST_AND_DELETE(volume, Volume, volumes)
LIST_AND_DELETE(mirror, Mirror, mirrors)

static void clone_volume(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *message)
{
	const Gnomon__V1__CloneVolumeRequest *r = (const Gnomon__V1__CloneVolumeRequest *)message;
	Gnomon__V1__CloneVolumeReply reply = GNOMON__V1__CLONE_VOLUME_REPLY__INIT;
	struct gn_fake_dataplane *d = context;
	const Gnomon__V1__Volume *volume = gn_view_volume(&d->view, r->name);
	FILE *file;

	if (!volume || access(r->target_path, F_OK) == 0 || (r->of_shadow && !volume->mirror)) {
		fail(call, volume ? GN_ALREADY_EXISTS : GN_NOT_FOUND, r->name);
		return;
	}
	file = fopen(r->target_path, "w");
	if (!file) {
		fail(call, GN_PERMISSION_DENIED, r->target_path);
		return;
	}
	fputs("a copy", file);
	fclose(file);
	reply.wall_us = gn_clock_wall_us();
	gn_channel_reply(call, &reply.base);
}

static void update_mirror(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_fake_dataplane *d = context;

	gn_view_note_mirror(&d->view, (const Gnomon__V1__Mirror *)request);
	gn_channel_reply(call, request);
}

static void create_mirror(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	struct gn_fake_dataplane *d = context;
	const Gnomon__V1__Mirror *mirror = (const Gnomon__V1__Mirror *)request;

	if (gn_view_mirror(&d->view, mirror->name))
		fail(call, GN_ALREADY_EXISTS, mirror->name);
	else
		update_mirror(context, call, request);
}

static void update_meter(void *context, struct gn_channel_call *call,
                         const ProtobufCMessage *request)
{
	const Gnomon__V1__Meter *meter = (const Gnomon__V1__Meter *)request;
	struct gn_fake_dataplane *d = context;
	size_t i;

	for (i = 0; i < d->meters->n_meters && strcmp(d->meters->meters[i]->vm, meter->vm); i++)
		;
	if (i < d->meters->n_meters) {
		GN_MESSAGE_FREE(d->meters->meters[i]);
		d->meters->meters[i] = GN_MESSAGE_COPY(Gnomon__V1__Meter, meter);
	} else {
		GN_MESSAGE_APPEND(d->meters->meters, d->meters->n_meters,
		                  GN_MESSAGE_COPY(Gnomon__V1__Meter, meter));
	}
	gn_channel_reply(call, request);
}

static void list_meters(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	gn_channel_reply(call, &((struct gn_fake_dataplane *)context)->meters->base);
}

/* In step at once, always. */
static void update_volume_mirror(void *context, struct gn_channel_call *call,
                                 const ProtobufCMessage *message)
{
	const Gnomon__V1__UpdateVolumeMirrorRequest *r =
	        (const Gnomon__V1__UpdateVolumeMirrorRequest *)message;
	struct gn_fake_dataplane *d = context;
	const Gnomon__V1__Volume *found = gn_view_volume(&d->view, r->name);
	Gnomon__V1__Volume *volume;

	if (!found) {
		fail(call, GN_NOT_FOUND, r->name);
		return;
	}
	volume = GN_MESSAGE_COPY(Gnomon__V1__Volume, found);
	GN_MESSAGE_FREE(volume->mirror);
	GN_MESSAGE_FREE(volume->mirror_status);
	volume->mirror = NULL;
	volume->mirror_status = NULL;
	if (r->mirror && r->mirror->mode != GNOMON__V1__VOLUME_MIRROR__MODE__OFF) {
		volume->mirror = GN_MESSAGE_COPY(Gnomon__V1__VolumeMirror, r->mirror);
		volume->mirror_status = GN_MESSAGE_NEW(Gnomon__V1__VolumeMirrorStatus,
		                                       gnomon__v1__volume_mirror_status__init);
		volume->mirror_status->state = GNOMON__V1__VOLUME_MIRROR_STATUS__STATE__IN_STEP;
		volume->mirror_status->point_us = gn_clock_wall_us();
		volume->mirror_status->tracked = true;
	}
	gn_view_note_volume(&d->view, volume);
	gn_channel_reply(call, &volume->base);
	GN_MESSAGE_FREE(volume);
}

/* Equal, and at once. */
static void verify_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *message)
{
	const char *name = ((const Gnomon__V1__VerifyVolumeRequest *)message)->name;
	struct gn_fake_dataplane *d = context;
	const Gnomon__V1__Volume *found = gn_view_volume(&d->view, name);
	Gnomon__V1__VolumeVerify *verify;
	Gnomon__V1__Volume *volume;

	if (!found || !found->mirror_status) {
		fail(call, GN_NOT_FOUND, name);
		return;
	}
	volume = GN_MESSAGE_COPY(Gnomon__V1__Volume, found);
	verify = GN_MESSAGE_NEW(Gnomon__V1__VolumeVerify, gnomon__v1__volume_verify__init);
	verify->number = 1;
	verify->state = GNOMON__V1__VOLUME_VERIFY__STATE__DONE;
	GN_MESSAGE_FREE(volume->mirror_status->verify);
	volume->mirror_status->verify = verify;
	gn_view_note_volume(&d->view, volume);
	gn_channel_reply(call, &volume->base);
	GN_MESSAGE_FREE(volume);
}

static void refuse_exports(void *context, struct gn_channel_call *call,
                           const ProtobufCMessage *request)
{
	struct gn_status status;

	gn_status_set(&status, GN_UNIMPLEMENTED, "this dataplane exports no volumes");
	gn_channel_fail(call, &status);
}

static void refuse_move(void *context, struct gn_channel_call *call,
                        const ProtobufCMessage *request)
{
	struct gn_status status;

	gn_status_set(&status, GN_UNIMPLEMENTED, "this dataplane fences and promotes nothing");
	gn_channel_fail(call, &status);
}

static void resize_volume(void *context, struct gn_channel_call *call,
                          const ProtobufCMessage *request)
{
	const Gnomon__V1__ResizeVolumeRequest *r = (const Gnomon__V1__ResizeVolumeRequest *)request;
	struct gn_fake_dataplane *d = context;
	const Gnomon__V1__Volume *found = gn_view_volume(&d->view, r->name);
	Gnomon__V1__Volume *volume;

	if (!found || r->size_bytes < found->size_bytes) {
		fail(call, found ? GN_OUT_OF_RANGE : GN_NOT_FOUND, r->name);
		return;
	}
	volume = GN_MESSAGE_COPY(Gnomon__V1__Volume, found);
	volume->size_bytes = r->size_bytes;
	gn_view_note_volume(&d->view, volume);
	gn_channel_reply(call, &volume->base);
	GN_MESSAGE_FREE(volume);
}

static gn_channel_handler *const handlers[] = {
        get_status,     create_port,    delete_port,    list_ports,    create_volume,
        delete_volume,  list_volumes,   clone_volume,   create_mirror, update_mirror,
        delete_mirror,  list_mirrors,   update_meter,   list_meters,   update_volume_mirror,
        refuse_exports, refuse_exports, refuse_exports, verify_volume, refuse_move,
        refuse_move,    resize_volume,
};

struct gn_fake_dataplane *gn_fake_dataplane_create(const char *run_dir)
{
	struct gn_fake_dataplane *d = gn_message_alloc(sizeof *d);

	d->run_dir = run_dir;
	d->started_us = gn_clock_wall_us();
	d->meters = GN_MESSAGE_NEW(Gnomon__V1__MeterList, gnomon__v1__meter_list__init);
	d->service = (struct gn_channel_service){.descriptor = &gnomon__v1__dataplane__descriptor,
	                                         .handlers = handlers,
	                                         .context = d};
	return d;
}

const struct gn_channel_service *gn_fake_dataplane_service(struct gn_fake_dataplane *dataplane)
{
	return &dataplane->service;
}
