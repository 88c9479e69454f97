/* text.h - words for the contract's enums, and the tables that several commands print. */
#ifndef GN_CTL_TEXT_H
#define GN_CTL_TEXT_H

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/table.h"

const char *gn_text_vm_state(Gnomon__V1__VmState state);
/* "READY" ... */
const char *gn_text_guest_state(Gnomon__V1__GuestState state);
const char *gn_text_mode(Gnomon__V1__Mode mode);
const char *gn_text_plan_state(Gnomon__V1__Plan__State state);
const char *gn_text_alert_state(Gnomon__V1__Alert__State state);
const char *gn_text_alert_kind(Gnomon__V1__Alert__Kind kind);
const char *gn_text_model_role(Gnomon__V1__Model__Role role);
const char *gn_text_shadow_state(Gnomon__V1__ShadowState state);

/* The caller frees it by printing it. */
struct gn_table *gn_ctl_vm_table(const Gnomon__V1__VmList *list);

#endif
