sign.src := proto/sign/sign.c proto/sign/revoked.c proto/sign/replay.c proto/sign/counters.c
PURE += proto/sign/replay.c
channel.src := proto/channel.c proto/channel_server.c proto/channel_client.c \
	proto/channel_events.c proto/channel_endpoint.c proto/tlsfiles.c proto/envelope.c $(sign.src) \
	firmware/core/status.c firmware/core/log.c firmware/core/clock.c $(PROTO:%.proto=%.pb-c.c)
$(eval $(call test,channel,proto/channel_test.c $(channel.src),$(NNG_LIBS) -lpthread))
$(eval $(call test,channel-stuck,proto/channel_stuck_test.c $(channel.src),$(NNG_LIBS) -lpthread))
$(eval $(call test,channel-events,proto/channel_events_test.c $(channel.src),$(NNG_LIBS) -lpthread))
envelope.src := proto/envelope.c firmware/core/status.c $(PROTO:%.proto=%.pb-c.c)
$(eval $(call test,envelope,proto/envelope_test.c $(envelope.src),-lprotobuf-c))
$(eval $(call fuzz,envelope,proto/envelope_fuzz.c $(envelope.src),-lprotobuf-c))
$(eval $(call test,json,proto/json_test.c proto/json.c firmware/core/status.c \
	$(PROTO:%.proto=%.pb-c.c),-ljansson -lprotobuf-c))
$(eval $(call fuzz,json,proto/json_fuzz.c proto/json.c firmware/core/status.c \
	$(PROTO:%.proto=%.pb-c.c),-ljansson -lprotobuf-c))
