shadow.src := firmware/shadow/shadow.c
PURE += firmware/shadow/shadow.c
$(eval $(call test,shadow,firmware/shadow/shadow_test.c $(shadow.src)))
