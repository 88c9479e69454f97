/* policy_message.h - a VM's policy as message Policy, and changes to it by field mask. */
#ifndef GN_BRAIN_POLICY_MESSAGE_H
#define GN_BRAIN_POLICY_MESSAGE_H

#include "firmware/core/status.h"
#include "firmware/policy/policy.h"
#include "proto/gnomon/v1/control.pb-c.h"

/* A new message with every resource; gn_message_free(). */
Gnomon__V1__Policy *gn_policy_message(const char *vm, enum gn_policy_mode mode,
                                      const struct gn_policy_rules rules[GN_RESOURCE_END]);

/* Changes 'mode' and 'rules' as the request says ("mode", "resources.cpu",
 * "resources.cpu.horizon_us"; no mask: all that the policy names) and checks the result.
 * 0, or a negative errno with a sentence; nothing is changed then. */
int gn_policy_message_apply(const Gnomon__V1__Policy *policy, char *const *mask, size_t n_mask,
                            enum gn_policy_mode *mode,
                            struct gn_policy_rules rules[GN_RESOURCE_END],
                            struct gn_status *status);

#endif
