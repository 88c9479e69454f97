shadow.src := firmware/shadow/shadow.c firmware/shadow/health.c
PURE += $(shadow.src)
$(eval $(call test,shadow,firmware/shadow/shadow_test.c $(shadow.src)))
PURE += firmware/shadow/retention.c
$(eval $(call test,health,firmware/shadow/health_test.c $(shadow.src)))
$(eval $(call test,retention,firmware/shadow/retention_test.c firmware/shadow/retention.c))
