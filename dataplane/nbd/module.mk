nbd_protocol.src := $(addprefix dataplane/nbd/,handshake.c plan.c)
nbd.src := $(nbd_protocol.src) $(addprefix dataplane/nbd/,arena.c conn.c export.c extents.c io.c server.c session.c tls.c)
PURE += $(nbd_protocol.src) dataplane/nbd/arena.c
