# Real captures through the dataplane's packet code; used by feature_capture_test.py.
$(eval $(call prog,gn-feature-replay,tests/feature/replay.c $(feature.src) $(encap.src)))
