# '=': the volume's sources are declared later.
blk.src = $(addprefix dataplane/blk/,attach.c blk.c clone.c inflight.c promote.c replicate.c queue.c request.c ring.c stats.c user.c vhost.c) \
	$(volume.src) $(nbd_store.src) dataplane/meter/disk_meter.c dataplane/guard/guard.c dataplane/guard/socket.c dataplane/ram/ram.c \
	firmware/core/status.c firmware/core/clock.c
$(eval $(call test,blk_request,dataplane/blk/request_test.c dataplane/blk/request.c))
$(eval $(call test,blk_ring,dataplane/blk/ring_test.c dataplane/blk/ring.c))
$(eval $(call test,blk_inflight,dataplane/blk/inflight_test.c dataplane/blk/inflight.c))
$(eval $(call fuzz,fuzz_blk_request,dataplane/blk/request_fuzz.c dataplane/blk/request.c))
