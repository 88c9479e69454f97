replay.src := tools/replay/main.c tools/replay/trace.c tools/replay/forecast.c
$(eval $(call prog,gnomon-replay,$(replay.src) $(predict.src) firmware/core/text.c,-lz -lm))
