PURE += firmware/core/text.c
$(eval $(call test,text,firmware/core/text_test.c firmware/core/text.c))
PURE += firmware/core/probe_target.c
$(eval $(call test,probe_target,firmware/core/probe_target_test.c firmware/core/probe_target.c firmware/core/status.c))
