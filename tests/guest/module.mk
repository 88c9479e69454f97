guest_load.src := $(addprefix tests/guest/load/,main.c pattern.c cpu.c memory.c network.c disk.c)
$(eval $(call prog,gn-load,$(guest_load.src),-static -lpthread))
$(eval $(call test,pattern,tests/guest/load/pattern_test.c tests/guest/load/pattern.c))
FILES += $(B)/guest/initramfs.gz
$(B)/guest/initramfs.gz: $(B)/bin/gn-load tests/guest/build-guest tests/guest/init
	@echo "  GUEST   $@"; tests/guest/build-guest $< $(@D)
