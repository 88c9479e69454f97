hazard.src := $(addprefix firmware/hazard/,anomaly.c exhaustion.c drive.c signs.c vm.c)
PURE += $(hazard.src)
$(eval $(call test,hazard,firmware/hazard/hazard_test.c $(hazard.src) firmware/core/text.c))
$(eval $(call test,hazard-vm,firmware/hazard/vm_test.c $(hazard.src) firmware/core/text.c))
