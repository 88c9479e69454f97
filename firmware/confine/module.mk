confine.src := firmware/confine/confine.c
$(eval $(call test,confine,firmware/confine/confine_test.c $(confine.src) firmware/core/status.c,-lseccomp -lpthread))
