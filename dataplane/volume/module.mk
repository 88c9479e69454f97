volume.src := dataplane/volume/file.c
URING_LIBS := -luring
$(eval $(call test,volume,dataplane/volume/file_test.c $(volume.src) firmware/core/status.c,$(URING_LIBS)))
