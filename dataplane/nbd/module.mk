nbd_protocol.src := $(addprefix dataplane/nbd/,handshake.c plan.c)
nbd_client.src := $(addprefix dataplane/nbd/,dial.c reply.c uri.c)
nbd_transport.src := $(addprefix dataplane/nbd/,io.c tls.c)
nbd.src := $(nbd_protocol.src) $(nbd_client.src) $(nbd_transport.src) \
	$(addprefix dataplane/nbd/,arena.c conn.c export.c extents.c server.c session.c)
PURE += $(nbd_protocol.src) $(nbd_client.src) dataplane/nbd/arena.c
$(eval $(call test,nbd_protocol,dataplane/nbd/protocol_test.c $(nbd_protocol.src) $(nbd_client.src) dataplane/nbd/arena.c))
$(eval $(call fuzz,fuzz_nbd_handshake,dataplane/nbd/handshake_fuzz.c dataplane/nbd/handshake.c))
$(eval $(call fuzz,fuzz_nbd_plan,dataplane/nbd/plan_fuzz.c dataplane/nbd/plan.c))
$(eval $(call fuzz,fuzz_nbd_dial,dataplane/nbd/dial_fuzz.c dataplane/nbd/dial.c))
$(eval $(call fuzz,fuzz_nbd_reply,dataplane/nbd/reply_fuzz.c dataplane/nbd/reply.c))
$(eval $(call fuzz,fuzz_nbd_uri,dataplane/nbd/uri_fuzz.c dataplane/nbd/uri.c))
