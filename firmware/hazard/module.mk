hazard.src := $(addprefix firmware/hazard/,anomaly.c exhaustion.c drive.c signs.c)
PURE += $(hazard.src)
$(eval $(call test,hazard,firmware/hazard/hazard_test.c $(hazard.src)))
