# A malicious front end, for hostile_test.py.
$(eval $(call prog,gn-fe-hostile,$(addprefix tests/hostile/,hostile.c messages.c setups.c rings.c) \
	tests/frontend/options.c tests/frontend/netframe.c $(frontend.src),))
