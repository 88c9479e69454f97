# Packets to counters; sample.c also needs the generated messages.
packet.src := dataplane/feature/packet.c
feature.src := $(packet.src) dataplane/feature/flow.c dataplane/feature/http.c \
	dataplane/feature/feature.c
feature_sample.src := dataplane/feature/sample.c proto/gnomon/v1/sample.pb-c.c
