predict.src :=
$(eval $(call test,fixed,firmware/core/fixed_test.c,-lm))
