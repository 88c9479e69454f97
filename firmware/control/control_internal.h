/* control_internal.h - the handlers of the service, by subject. */
#ifndef GN_CONTROL_INTERNAL_H
#define GN_CONTROL_INTERNAL_H

#include "firmware/control/control.h"

struct gn_control {
	const struct gn_config *config;
	struct gn_control_parts p;
	struct gn_channel_server *servers[2];
	struct gn_channel_publisher *publishers[2];
	struct gn_channel_service service;
};

/* status.c */
gn_channel_handler gn_control_get_status, gn_control_get_host_fit, gn_control_get_report;
/* vms.c */
gn_channel_handler gn_control_create_vm, gn_control_delete_vm, gn_control_list_vms,
        gn_control_get_vm;
/* guests.c */
gn_channel_handler gn_control_get_guest;
/* What is known of its kernel; NULL: nothing. The caller's. */
Gnomon__V1__GuestSummary *gn_control_guest_summary(const struct gn_vm *vm);
/* Who measures the demand of one of the VM's resources. */
void gn_control_add_source(const struct gn_control *control, const struct gn_vm *vm,
                           enum gn_resource resource, Gnomon__V1__Demand *demand);
/* series.c */
gn_channel_handler gn_control_get_forecast, gn_control_get_history, gn_control_get_policy,
        gn_control_update_policy;
/* shadows.c */
gn_channel_handler gn_control_create_shadow, gn_control_list_shadows, gn_control_get_shadow,
        gn_control_update_shadow, gn_control_delete_shadow, gn_control_promote_shadow,
        gn_control_rehearse_shadow, gn_control_list_mirrors, gn_control_update_mirror,
        gn_control_delete_mirror;
/* snapshots.c */
gn_channel_handler gn_control_list_volumes, gn_control_list_snapshots, gn_control_create_snapshot,
        gn_control_delete_snapshot, gn_control_export_snapshot, gn_control_revert_shadow,
        gn_control_verify_volume;
/* exports.c */
gn_channel_handler gn_control_create_nbd_export, gn_control_delete_nbd_export,
        gn_control_list_nbd_exports;
/* volumes.c */
gn_channel_handler gn_control_create_volume, gn_control_resize_volume, gn_control_delete_volume;
/* updates.c */
gn_channel_handler gn_control_begin_update, gn_control_write_update, gn_control_finish_update,
        gn_control_get_update_status, gn_control_rollback_update, gn_control_restart_card,
        gn_control_list_update_history;
/* crashes.c */
gn_channel_handler gn_control_list_crash_reports;
/* plans.c */
gn_channel_handler gn_control_list_plans, gn_control_get_plan, gn_control_approve_plan,
        gn_control_reject_plan;
/* models.c */
gn_channel_handler gn_control_list_models, gn_control_import_model, gn_control_rollback_model,
        gn_control_export_vm_state, gn_control_import_vm_state;
/* alerts.c */
gn_channel_handler gn_control_get_hazard, gn_control_list_alerts, gn_control_acknowledge_alert;
/* history.c */
gn_channel_handler gn_control_export_history;
/* audit.c */
gn_channel_handler gn_control_list_audit;
gn_channel_ended gn_control_ended; /* writes down every call that may change something */
/* observe.c */
gn_channel_handler gn_control_list_probes, gn_control_list_threads, gn_control_observe_vm,
        gn_control_stop_observe_vm, gn_control_get_observation;

/* Replies and frees the message. */
void gn_control_reply(struct gn_channel_call *call, ProtobufCMessage *reply);
void gn_control_reply_empty(struct gn_channel_call *call);
/* Before the reply to a change: what is acknowledged survives a crash. While the store is in
 * trouble the change holds in memory, and is stored when it recovers. */
void gn_control_commit(struct gn_control *control);
/* Fails the call with a code and a sentence. */
void gn_control_fail(struct gn_channel_call *call, enum gn_code code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The VM of that name, "vms/web-1" or a child such as "vms/web-1/policy"; or fails the call
 * and gives NULL. 'child' is "" or "/policy", ... */
struct gn_vm *gn_control_vm(struct gn_control *control, struct gn_channel_call *call,
                            const char *name, const char *child);

/* The VM as operators see it; gn_message_free(). */
Gnomon__V1__Vm *gn_control_vm_message(struct gn_control *control, const struct gn_vm *vm);

#endif
