plan.src := firmware/plan/plan.c
PURE += firmware/plan/plan.c
$(eval $(call test,plan,firmware/plan/plan_test.c $(plan.src)))
