model.src := firmware/model/model.c firmware/model/signature.c firmware/core/status.c
$(eval $(call test,model,firmware/model/model_test.c $(model.src) firmware/predict/pack.c, \
	-lmbedtls -lmbedx509 -lmbedcrypto))
