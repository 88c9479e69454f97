channel.src := proto/channel.c proto/envelope.c firmware/core/status.c firmware/core/log.c \
	firmware/core/clock.c $(PROTO:%.proto=%.pb-c.c)
