predict.src := $(addprefix firmware/predict/,predict.c panel.c mix.c autoreg.c rls.c period.c \
	level.c spread.c history.c blob.c explain.c features.c pack.c trial.c)
PURE += $(predict.src)
# Small loops of constant length: unrolled, a forecast takes a sixth fewer instructions.
$(predict.src:%.c=$(B)/obj/%.o): CFLAGS += -O3
$(eval $(call test,fixed,firmware/core/fixed_test.c,-lm))
$(eval $(call test,predict,firmware/predict/predict_test.c $(predict.src) firmware/core/text.c,-lm))
$(eval $(call fuzz,predict_blob,firmware/predict/blob_fuzz.c $(predict.src) firmware/core/text.c))
$(eval $(call fuzz,model_pack,firmware/predict/pack_fuzz.c firmware/predict/pack.c \
	firmware/hazard/drive.c))
$(eval $(call test,predict-pack,firmware/predict/pack_test.c $(predict.src) firmware/core/text.c))
