replay.src := $(addprefix tools/replay/,main.c trace.c forecast.c features.c nab.c hdd.c learn.c \
	policy.c policy_file.c report.c)
$(eval $(call prog,gnomon-replay,$(replay.src) $(predict.src) $(hazard.src) firmware/policy/policy.c \
	firmware/policy/explain.c firmware/demand/resource.c $(yaml.src),-lz -lm $(YAML_LIBS)))
