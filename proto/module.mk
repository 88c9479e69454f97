channel.src := proto/channel.c proto/channel_server.c proto/channel_client.c \
	proto/channel_events.c proto/tlsfiles.c proto/envelope.c \
	firmware/core/status.c firmware/core/log.c firmware/core/clock.c $(PROTO:%.proto=%.pb-c.c)
$(eval $(call test,channel,proto/channel_test.c $(channel.src),$(NNG_LIBS) -lpthread))
