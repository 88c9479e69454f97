$(eval $(call test,state,dataplane/state/state_test.c dataplane/state/state.c firmware/core/status.c \
	$(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
