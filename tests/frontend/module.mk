# A vhost-user front end of our own: it plays QEMU and a guest's virtio driver.
frontend.src := $(addprefix tests/frontend/,wire.c ram.c vring.c frontend.c blkdrv.c netdrv.c) \
	$(core.src)
blkload.src := $(addprefix tests/frontend/,latency.c blkmodel.c blkload.c options.c) $(frontend.src)
netload.src := $(addprefix tests/frontend/,netframe.c netload.c options.c) $(frontend.src)

$(eval $(call prog,gn-fe-blk,tests/frontend/fe_blk.c $(blkload.src),-ljansson))
$(eval $(call prog,gn-fe-net,tests/frontend/fe_net.c $(netload.src),-ljansson))
$(eval $(call prog,gn-dpctl,tests/frontend/dpctl.c tests/frontend/pbtext.c $(channel.src),-ljansson $(NNG_LIBS)))
$(eval $(call test,frontend,tests/frontend/frontend_test.c tests/frontend/fakeblk.c $(blkload.src),-lpthread))
$(eval $(call test,frontend_load,tests/frontend/load_test.c $(blkload.src) $(netload.src)))
