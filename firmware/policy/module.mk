policy.src := firmware/policy/policy.c firmware/policy/explain.c firmware/demand/resource.c \
	firmware/core/text.c
PURE += firmware/policy/policy.c firmware/policy/explain.c
$(eval $(call test,policy,firmware/policy/policy_test.c $(policy.src)))
