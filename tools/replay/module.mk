replay.src := tools/replay/main.c tools/replay/trace.c tools/replay/forecast.c \
	tools/replay/features.c
$(eval $(call prog,gnomon-replay,$(replay.src) $(predict.src) firmware/core/text.c,-lz -lm))
