/* control.c - endpoints, the table of handlers, and what all handlers share (control.h). */
#include "firmware/control/control.h"

#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/control/control_internal.h"
#include "firmware/control/roles.h"
#include "firmware/message/message.h"

/* In the order of the service's methods (checked when the service is made). */
#define METHODS(X)                                                                                 \
	X(GetStatus, gn_control_get_status)                                                        \
	X(GetHostFit, gn_control_get_host_fit)                                                     \
	X(CreateVm, gn_control_create_vm)                                                          \
	X(DeleteVm, gn_control_delete_vm)                                                          \
	X(ListVms, gn_control_list_vms)                                                            \
	X(GetVm, gn_control_get_vm)                                                                \
	X(GetGuest, gn_control_get_guest)                                                          \
	X(GetForecast, gn_control_get_forecast)                                                    \
	X(GetHistory, gn_control_get_history)                                                      \
	X(CreateShadow, gn_control_create_shadow)                                                  \
	X(ListShadows, gn_control_list_shadows)                                                    \
	X(GetShadow, gn_control_get_shadow)                                                        \
	X(UpdateShadow, gn_control_update_shadow)                                                  \
	X(DeleteShadow, gn_control_delete_shadow)                                                  \
	X(ListMirrors, gn_control_list_mirrors)                                                    \
	X(UpdateMirror, gn_control_update_mirror)                                                  \
	X(DeleteMirror, gn_control_delete_mirror)                                                  \
	X(GetPolicy, gn_control_get_policy)                                                        \
	X(UpdatePolicy, gn_control_update_policy)                                                  \
	X(ListPlans, gn_control_list_plans)                                                        \
	X(GetPlan, gn_control_get_plan)                                                            \
	X(ApprovePlan, gn_control_approve_plan)                                                    \
	X(RejectPlan, gn_control_reject_plan)                                                      \
	X(ListProbes, gn_control_list_probes)                                                      \
	X(ListThreads, gn_control_list_threads)                                                    \
	X(ObserveVm, gn_control_observe_vm)                                                        \
	X(StopObserveVm, gn_control_stop_observe_vm)                                               \
	X(GetObservation, gn_control_get_observation)                                              \
	X(GetReport, gn_control_get_report)                                                        \
	X(ListModels, gn_control_list_models)                                                      \
	X(ImportModel, gn_control_import_model)                                                    \
	X(RollbackModel, gn_control_rollback_model)                                                \
	X(ExportHistory, gn_control_export_history)                                                \
	X(ExportVmState, gn_control_export_vm_state)                                               \
	X(ImportVmState, gn_control_import_vm_state)                                               \
	X(GetHazard, gn_control_get_hazard)                                                        \
	X(ListAlerts, gn_control_list_alerts)                                                      \
	X(AcknowledgeAlert, gn_control_acknowledge_alert)                                          \
	X(ListVolumes, gn_control_list_volumes)                                                    \
	X(ListSnapshots, gn_control_list_snapshots)                                                \
	X(CreateSnapshot, gn_control_create_snapshot)                                              \
	X(DeleteSnapshot, gn_control_delete_snapshot)                                              \
	X(ExportSnapshot, gn_control_export_snapshot)                                              \
	X(RevertShadow, gn_control_revert_shadow)                                                  \
	X(VerifyVolume, gn_control_verify_volume)                                                  \
	X(PromoteShadow, gn_control_promote_shadow)                                                \
	X(RehearseShadow, gn_control_rehearse_shadow)                                              \
	X(ListAudit, gn_control_list_audit)                                                        \
	X(CreateNbdExport, gn_control_create_nbd_export)                                           \
	X(DeleteNbdExport, gn_control_delete_nbd_export)                                           \
	X(ListNbdExports, gn_control_list_nbd_exports)                                             \
	X(CreateVolume, gn_control_create_volume)                                                  \
	X(ResizeVolume, gn_control_resize_volume)                                                  \
	X(DeleteVolume, gn_control_delete_volume)                                                  \
	X(BeginUpdate, gn_control_begin_update)                                                    \
	X(WriteUpdate, gn_control_write_update)                                                    \
	X(FinishUpdate, gn_control_finish_update)                                                  \
	X(GetUpdateStatus, gn_control_get_update_status)                                           \
	X(RollbackUpdate, gn_control_rollback_update)                                              \
	X(RestartCard, gn_control_restart_card)                                                    \
	X(ListUpdateHistory, gn_control_list_update_history)                                       \
	X(ListCrashReports, gn_control_list_crash_reports)

static gn_channel_handler *const handlers[] = {
#define HANDLER(name, handler) handler,
        METHODS(HANDLER)
#undef HANDLER
};
static const char *const names[] = {
#define NAME(name, handler) #name,
        METHODS(NAME)
#undef NAME
};

/* ---- shared ----------------------------------------------------------------------------- */

void gn_control_reply(struct gn_channel_call *call, ProtobufCMessage *reply)
{
	gn_channel_reply(call, reply);
	gn_message_free(reply);
}

void gn_control_reply_empty(struct gn_channel_call *call)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;

	gn_channel_reply(call, &empty.base);
}

void gn_control_commit(struct gn_control *control)
{
	gn_store_commit(control->p.brain->store, true);
}

void gn_control_fail(struct gn_channel_call *call, enum gn_code code, const char *format, ...)
{
	struct gn_status status = {.code = code};
	va_list args;

	va_start(args, format);
	vsnprintf(status.message, sizeof status.message, format, args);
	va_end(args);
	gn_channel_fail(call, &status);
}

struct gn_vm *gn_control_vm(struct gn_control *control, struct gn_channel_call *call,
                            const char *name, const char *child)
{
	char vm_name[GN_NAME_SIZE];
	struct gn_vm *vm;

	if (!gn_name_vm_of(name, vm_name) ||
	    (strcmp(name, vm_name) != 0 && !gn_name_ends_with(name, child))) {
		gn_control_fail(call, GN_INVALID_ARGUMENT,
		                "'%.80s' is no such name; give vms/<vm>%s", name, child);
		return NULL;
	}
	vm = gn_brain_vm(control->p.brain, vm_name);
	if (!vm)
		gn_control_fail(
		        call, GN_NOT_FOUND,
		        "%s is not behind the card; see 'gnomonctl vm list', or put it there "
		        "with CreateVm",
		        vm_name);
	return vm;
}

/* ---- endpoints ---------------------------------------------------------------------------- */

static const struct gn_channel_tls *tls_of(const struct gn_config_endpoint *e,
                                           struct gn_channel_tls *tls)
{
	if (!e->tls)
		return NULL;
	*tls = (struct gn_channel_tls){.ca_file = e->tls->ca,
	                               .cert_file = e->tls->cert,
	                               .key_file = e->tls->key,
	                               .peer_name = e->tls->name};
	return tls;
}

/* A group's name or number; 0: none is configured. */
static int find_group(const char *name, gid_t *out, struct gn_status *status)
{
	const struct group *entry;
	char *end = NULL;

	*out = name ? (gid_t)strtoul(name, &end, 10) : 0;
	if (!name || (*out && !*end))
		return 0;
	entry = getgrnam(name);
	if (!entry)
		return gn_status_set(status, GN_NOT_FOUND,
		                     "local_group '%s' does not exist: make it with 'groupadd "
		                     "--system %s', or give a number",
		                     name, name);
	*out = entry->gr_gid;
	return 0;
}

/* gnomon-console is another user's. */
static int share_local(struct gn_control *control, struct gn_status *status)
{
	gid_t group;
	int error = find_group(control->config->local_group, &group, status);

	if (!error && group && control->servers[1])
		error = gn_channel_server_share(control->servers[1], group, status);
	if (!error && group && control->publishers[1])
		error = gn_channel_publisher_share(control->publishers[1], group, status);
	return error;
}

static int open_endpoints(struct gn_control *control, struct gn_status *status)
{
	const struct gn_config *c = control->config;
	const struct gn_config_endpoint *const served[] = {c->control, c->control_local};
	const struct gn_config_endpoint *const published[] = {c->events, c->events_local};
	char counters[PATH_MAX];
	struct gn_channel_tls tls;
	unsigned i;
	int error;

	snprintf(counters, sizeof counters, "%s/operators.counters", c->state_dir);
	for (i = 0; i < 2; i++) {
		if (served[i]) {
			bool signs = tls_of(served[i], &tls) != NULL;

			tls.counters_file = counters; /* whose requests were carried out */
			error = gn_channel_server_create(served[i]->url, signs ? &tls : NULL,
			                                 &control->service, 1, &control->servers[i],
			                                 status);
			if (error)
				return error;
		}
		if (published[i]) {
			error = gn_channel_publisher_create(published[i]->url,
			                                    tls_of(published[i], &tls),
			                                    &control->publishers[i], status);
			if (error)
				return error;
		}
	}
	return share_local(control, status);
}

static void check_table(void)
{
	unsigned i;

	if (gnomon__v1__control__descriptor.n_methods != sizeof handlers / sizeof handlers[0])
		abort();
	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(gnomon__v1__control__descriptor.methods[i].name, names[i]) != 0)
			abort();
}

static int permit(void *context, const struct gn_channel_call *call, const char *method,
                  const ProtobufCMessage *request, struct gn_status *status)
{
	enum gn_control_role least = gn_control_role_for(method);
	struct gn_channel_signer signer;

	if (!gn_channel_call_signer(call, &signer))
		return 0; /* the local socket's owner */
	if (least && gn_control_role_of(signer.role) >= least)
		return 0;
	return gn_status_set(status, GN_PERMISSION_DENIED,
	                     "%s needs the role %s; the certificate of '%s' says '%s': an admin "
	                     "issues another with 'gnomon-ca issue ... --role %s'",
	                     method, gn_control_role_name(least), signer.name, signer.role,
	                     gn_control_role_name(least));
}

int gn_control_create(const struct gn_config *config, const struct gn_control_parts *parts,
                      struct gn_control **out, struct gn_status *status)
{
	struct gn_control *control = gn_message_alloc(sizeof *control);
	int error;

	check_table();
	control->config = config;
	control->p = *parts;
	control->service = (struct gn_channel_service){
	        .descriptor = &gnomon__v1__control__descriptor,
	        .handlers = handlers,
	        .context = control,
	        .ended = gn_control_ended,
	        .permit = permit,
	};
	error = open_endpoints(control, status);
	if (error) {
		gn_control_destroy(control);
		return error;
	}
	*out = control;
	return 0;
}

void gn_control_destroy(struct gn_control *control)
{
	unsigned i;

	if (!control)
		return;
	for (i = 0; i < 2; i++) {
		gn_channel_server_destroy(control->servers[i]);
		gn_channel_publisher_destroy(control->publishers[i]);
	}
	free(control);
}

unsigned gn_control_fds(const struct gn_control *control, int fds[GN_CONTROL_MAX_FDS])
{
	unsigned i, n = 0;

	for (i = 0; i < 2; i++)
		if (control->servers[i])
			fds[n++] = gn_channel_server_fd(control->servers[i]);
	return n;
}

void gn_control_process(struct gn_control *control)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (control->servers[i])
			gn_channel_server_process(control->servers[i]);
}

uint16_t gn_control_port(const struct gn_control *control)
{
	return control->servers[0] ? gn_channel_server_port(control->servers[0]) : 0;
}

void gn_control_publish(struct gn_control *control, const Gnomon__V1__Event *event)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (control->publishers[i])
			gn_channel_publish(control->publishers[i], "events", &event->base);
}
