# The block device without the rest of the dataplane.
$(eval $(call prog,gn-blk-host,tests/blk/blk_host.c $(blk.src) $(worker.src) $(core.src) $(PROTO:%.proto=%.pb-c.c),$$(DPDK_LIBS) $$(URING_LIBS) -lprotobuf-c -lpthread))
$(B)/obj/tests/blk/%.o: CFLAGS += $(DPDK_CFLAGS)
