/* text.h - words for the contract's enums, and the tables that several commands print. */
#ifndef GN_CTL_TEXT_H
#define GN_CTL_TEXT_H

#include "proto/gnomon/v1/control.pb-c.h"

const char *gn_text_vm_state(Gnomon__V1__VmState state);
const char *gn_text_mode(Gnomon__V1__Mode mode);
const char *gn_text_plan_state(Gnomon__V1__Plan__State state);
const char *gn_text_action(Gnomon__V1__Action__Kind kind);
const char *gn_text_shadow_state(Gnomon__V1__ShadowState state);

void gn_ctl_print_vms(const Gnomon__V1__VmList *list);

#endif
