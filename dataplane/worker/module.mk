worker.src := dataplane/worker/worker.c
$(eval $(call test,worker,dataplane/worker/worker_test.c $(worker.src),$$(DPDK_LIBS)))
