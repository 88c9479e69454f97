blk.src := $(addprefix dataplane/blk/,blk.c clone.c queue.c request.c ring.c stats.c vhost.c) \
	dataplane/volume/file.c dataplane/meter/disk_meter.c dataplane/guard/guard.c \
	firmware/core/status.c firmware/core/clock.c
