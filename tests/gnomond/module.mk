# What tests of gnomond play against: a model host and dataplane, and a caller.
fake-peers.src := $(addprefix tests/gnomond/,fake_host.c fake_mood.c fake_dataplane.c) firmware/ingest/view.c \
	firmware/message/message.c $(channel.src)
$(eval $(call prog,gn-fake-peers,tests/gnomond/fake_peers.c $(fake-peers.src),$(NNG_LIBS) $(TLS_LIBS)))
$(eval $(call prog,gn-call,tests/gnomond/call.c tests/frontend/pbtext.c $(channel.src),-ljansson $(NNG_LIBS) $(TLS_LIBS)))
