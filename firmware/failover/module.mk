failover.src := $(addprefix firmware/failover/,tenure.c detect.c move.c failover.c drain.c \
	rehearsal.c)
PURE += $(failover.src)
$(eval $(call test,failover,firmware/failover/failover_test.c $(failover.src) firmware/plan/plan.c \
	firmware/core/text.c))
$(eval $(call test,tenure,firmware/failover/tenure_test.c firmware/failover/tenure.c))
