# Packets to counters; sample.c also needs the generated messages.
packet.src := dataplane/feature/packet.c
feature.src := $(packet.src) dataplane/feature/flow.c dataplane/feature/http.c \
	dataplane/feature/l7.c dataplane/feature/tcp.c dataplane/feature/feature.c
feature_sample.src := dataplane/feature/sample.c proto/gnomon/v1/sample.pb-c.c
testframe.src := dataplane/feature/testframe.c $(packet.src)

$(eval $(call prog,feature_bench,tests/bench/feature_bench.c $(testframe.src) $(feature.src)))
$(eval $(call test,packet,dataplane/feature/packet_test.c $(testframe.src)))
$(eval $(call test,http,dataplane/feature/http_test.c dataplane/feature/http.c))
$(eval $(call test,feature,dataplane/feature/feature_test.c $(testframe.src) $(feature.src) \
	$(feature_sample.src),-lprotobuf-c))
$(eval $(call test,flow,dataplane/feature/flow_test.c dataplane/feature/flow.c))

$(eval $(call fuzz,feature,dataplane/feature/feature_fuzz.c $(feature.src)))
$(eval $(call fuzz,http,dataplane/feature/http_fuzz.c dataplane/feature/http.c))
