demand.src := firmware/demand/resource.c firmware/demand/demand.c firmware/demand/source.c \
	firmware/core/text.c
PURE += firmware/demand/resource.c firmware/demand/demand.c firmware/demand/source.c
$(eval $(call test,demand,firmware/demand/demand_test.c $(demand.src) $(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
$(eval $(call test,demand-source,firmware/demand/source_test.c $(demand.src) $(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
