# The fuzz target's corpus without sanitizers, for valgrind, which sees into libbpf.
$(eval $(call prog,gn-introspect-replay,tests/introspect/introspect_fuzz.c tests/fuzz/replay.c \
	$(introspect_image.src) $(introspect_read.src),-lbpf))
# Many passes over a running guest's memory; used by guest_test.py and introspect_bench.py.
$(eval $(call prog,gn-introspect-passes,tests/introspect/passes.c firmware/introspect/dump.c \
	$(introspect.src) firmware/core/status.c,-lbpf))
$(eval $(call prog,gn-samples,tests/introspect/samples.c tests/frontend/pbtext.c $(channel.src) \
	$(core.src),-ljansson $(NNG_LIBS)))
