graph.src := $(addprefix dataplane/graph/,graph.c burst.c) dataplane/switch/fdb.c \
	$(addprefix dataplane/mirror/,mirror.c views.c filter.c writer.c encap.c pcapng.c)
fakeport.src := dataplane/graph/fakeport.c dataplane/port/port.c
