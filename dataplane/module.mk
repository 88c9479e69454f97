-include $(wildcard dataplane/*/module.mk)

port.src := $(addprefix dataplane/port/,port.c vhost.c ethdev.c) dataplane/ram/ram.c
control.src := $(addprefix dataplane/control/,dataplane.c exports.c life.c meters.c message.c mirrors.c names.c ports.c probes.c promote.c saved.c \
	restore.c service.c telemetry.c volumes.c)
# All but main.
dataplane_parts.src := $(probe.src) dataplane/config/config.c dataplane/state/state.c $(control.src) $(graph.src) $(port.src) $(worker.src) $(feature.src) $(feature_sample.src) \
	$(meter.src) $(encap.src) $(blk.src) $(nbd.src) $(guard.src) $(board.src) \
	$(channel.src)
DATAPLANE_LIBS = $(DPDK_LIBS) $(NNG_LIBS) $(TLS_LIBS) $(URING_LIBS) $(YAML_LIBS) -lsystemd
$(eval $(call prog,gnomon-dataplane,dataplane/main.c $(ram_listen.src) $(dataplane_parts.src),$$(DATAPLANE_LIBS)))
$(eval $(call test,control,dataplane/control/control_test.c $(dataplane_parts.src),$$(DATAPLANE_LIBS)))

# Direct calls between fake ports.
pipeline.src := $(graph.src) $(probe.src) $(fakeport.src) $(feature.src) dataplane/meter/meter.c $(worker.src) \
	$(testframe.src) firmware/core/status.c
$(eval $(call test,graph,dataplane/graph/graph_test.c $(pipeline.src),$$(DPDK_LIBS)))
$(eval $(call test,mirror,dataplane/mirror/mirror_test.c $(pipeline.src),$$(DPDK_LIBS)))
$(eval $(call test,filter,dataplane/mirror/filter_test.c dataplane/mirror/filter.c $(testframe.src) \
	firmware/core/status.c))
