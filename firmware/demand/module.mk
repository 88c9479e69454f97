demand.src := firmware/demand/resource.c firmware/demand/demand.c firmware/core/text.c
PURE += firmware/demand/resource.c firmware/demand/demand.c
$(eval $(call test,demand,firmware/demand/demand_test.c $(demand.src) $(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
