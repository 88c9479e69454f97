/* ctl.h - what the commands of gnomonctl share. One thread; everything is owned by main(). */
#ifndef GN_CTL_H
#define GN_CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>
#include "firmware/core/status.h"

/* Exit codes. */
enum gn_ctl_exit { GN_CTL_OK = 0, GN_CTL_REFUSED = 1, GN_CTL_USAGE = 2, GN_CTL_UNREACHABLE = 3 };

struct gn_ctl_connection;

struct gn_ctl {
	struct gn_ctl_connection *connection;
	bool json;
	uint64_t timeout_us;
};

/* A command's words after its name, options included: "--name value". */
struct gn_ctl_arguments {
	int n_words;
	char **words;
};

int gn_ctl_main(int argc, char **argv);

/* Takes option 'name' ("--pool") out of the words; *value is the word after it or what follows
 * its '='. Returns whether it was there. A missing value ends the program with a usage error. */
bool gn_ctl_option(struct gn_ctl_arguments *arguments, const char *name, const char **value);
bool gn_ctl_flag(struct gn_ctl_arguments *arguments, const char *name);
void gn_ctl_remove_words(struct gn_ctl_arguments *arguments, int at, int n);

/* "web-1" and "vms/web-1" both give "vms/web-1" (+ suffix). Ends the program when the words
 * run out or the name is longer than the contract allows. The text lives until the next call. */
const char *gn_ctl_vm_name(struct gn_ctl_arguments *arguments, const char *suffix);
/* The next word, which 'what' describes. */
const char *gn_ctl_word(struct gn_ctl_arguments *arguments, const char *what);
/* Ends the program with a usage error when words are left. */
void gn_ctl_end(const struct gn_ctl_arguments *arguments);

/* Prints "gnomonctl: sentence" and how to get help, and exits with GN_CTL_USAGE. */
void gn_ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Calls a method of the Control service by name. On failure prints the sentence and exits
 * with the code that fits. The caller frees the reply (gn_ctl_free). */
ProtobufCMessage *gn_ctl_call(struct gn_ctl *ctl, const char *method,
                              const ProtobufCMessage *request);
void gn_ctl_free(ProtobufCMessage *message);
/* Which exit code says that the last call, or a subscription, failed with 'code'. */
int gn_ctl_exit_code(const struct gn_ctl *ctl, enum gn_code code);

/* With --json prints the message and returns true. */
bool gn_ctl_print_json(const struct gn_ctl *ctl, const ProtobufCMessage *message);

/* A request that only names a resource. */
ProtobufCMessage *gn_ctl_call_name(struct gn_ctl *ctl, const char *method, const char *name);
ProtobufCMessage *gn_ctl_call_empty(struct gn_ctl *ctl, const char *method);

typedef int gn_ctl_command(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments);
gn_ctl_command gn_ctl_status, gn_ctl_report, gn_ctl_watch, gn_ctl_top;
gn_ctl_command gn_ctl_vm_list, gn_ctl_vm_show, gn_ctl_vm_top, gn_ctl_vm_calls, gn_ctl_vm_create,
        gn_ctl_vm_delete;
gn_ctl_command gn_ctl_vm_observe, gn_ctl_vm_threads, gn_ctl_host_probes, gn_ctl_host_fit;
gn_ctl_command gn_ctl_forecast, gn_ctl_history;
gn_ctl_command gn_ctl_audit_verify, gn_ctl_audit_show, gn_ctl_audit_export;
gn_ctl_command gn_ctl_alert_list, gn_ctl_alert_ack, gn_ctl_hazard;
gn_ctl_command gn_ctl_model_list, gn_ctl_model_import, gn_ctl_model_rollback,
        gn_ctl_model_export_history, gn_ctl_vm_export_state, gn_ctl_vm_import_state;
gn_ctl_command gn_ctl_shadow_create, gn_ctl_shadow_list, gn_ctl_shadow_show, gn_ctl_shadow_update,
        gn_ctl_shadow_delete, gn_ctl_shadow_promote, gn_ctl_shadow_rehearse;
gn_ctl_command gn_ctl_snapshot_list, gn_ctl_snapshot_create, gn_ctl_snapshot_delete,
        gn_ctl_snapshot_revert, gn_ctl_snapshot_export, gn_ctl_clone;
gn_ctl_command gn_ctl_volume_list, gn_ctl_volume_show, gn_ctl_volume_verify, gn_ctl_volume_create,
        gn_ctl_volume_resize, gn_ctl_volume_delete;
gn_ctl_command gn_ctl_export_list, gn_ctl_export_create, gn_ctl_export_delete;
gn_ctl_command gn_ctl_board_check, gn_ctl_support;
gn_ctl_command gn_ctl_update_install, gn_ctl_update_status, gn_ctl_update_rollback,
        gn_ctl_update_history;
gn_ctl_command gn_ctl_mirror_show, gn_ctl_mirror_set, gn_ctl_mirror_delete;
/* What a rehearsal showed, as fields. */
void gn_ctl_rehearsal_print(const ProtobufCMessage *rehearsal);
/* Prints a plan, as 'plan show' does, and frees it. */
int gn_ctl_plan_print(struct gn_ctl *ctl, ProtobufCMessage *plan);
gn_ctl_command gn_ctl_policy_get, gn_ctl_policy_set;
gn_ctl_command gn_ctl_plan_list, gn_ctl_plan_show, gn_ctl_plan_approve, gn_ctl_plan_reject;

#endif
