# The mirror over simulated stores, ended everywhere. A seed that fails: build/test/powercut --seed N
powercut.src := $(addprefix tests/powercut/,powercut.c sim.c) $(filter-out %/file.c %/snapshot.c %/filecopy.c %/uring.c,$(volume.src)) \
	firmware/core/status.c
$(eval $(call test,powercut,$(powercut.src),))
