alert.pure := firmware/alert/alert.c
PURE += $(alert.pure)
$(eval $(call test,alert,firmware/alert/alert_test.c $(alert.pure)))
