names.src := firmware/names/names.c firmware/core/text.c
PURE += firmware/names/names.c
$(eval $(call test,names,firmware/names/names_test.c $(names.src)))
