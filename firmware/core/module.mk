PURE += firmware/core/text.c
$(eval $(call test,text,firmware/core/text_test.c firmware/core/text.c))
