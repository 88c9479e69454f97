# The block device without the rest of the dataplane, driven by the front end of our own.
blk_test.src := $(blk.src) $(worker.src) $(PROTO:%.proto=%.pb-c.c) $(core.src) \
	$(addprefix tests/frontend/,latency.c blkmodel.c blkload.c wire.c ram.c vring.c frontend.c blkdrv.c)

$(eval $(call prog,gn-blk-host,tests/blk/blk_host.c $(blk_test.src),$$(DPDK_LIBS) $(URING_LIBS) $(TLS_LIBS) -lprotobuf-c))
$(eval $(call test,blk_device,tests/blk/device_test.c $(blk_test.src),$$(DPDK_LIBS) $(URING_LIBS) $(TLS_LIBS) -lprotobuf-c))
$(B)/obj/tests/blk/%.o $(B)/san/tests/blk/%.o: CFLAGS += $(DPDK_CFLAGS)
# Numbered writes; used by mirror_test.py.
$(eval $(call prog,gn-fe-sequence,tests/blk/sequence.c $(addprefix tests/frontend/,wire.c ram.c vring.c frontend.c blkdrv.c) \
	$(core.src)))
