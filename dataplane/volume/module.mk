volume.src := $(addprefix dataplane/volume/,file.c filecopy.c changes.c mirror.c mirror_request.c mirror_phase.c \
	mirror_store.c mirror_apply.c mirror_verify.c verify.c snapshot.c \
	lease_file.c journal.c bitmap.c lease.c replica.c) dataplane/uring/uring.c
# '=': the NBD client's sources are declared later.
nbd_store.src = $(addprefix dataplane/volume/,nbd.c nbd_connection.c nbd_send.c nbd_answer.c nbd_link.c) $(nbd_client.src) \
	$(nbd_transport.src) dataplane/nbd/plan.c proto/tlsfiles.c
PURE += $(addprefix dataplane/volume/,journal.c bitmap.c lease.c replica.c verify.c changes.c)
URING_LIBS := -luring
$(eval $(call test,volume,dataplane/volume/file_test.c $(volume.src) firmware/core/status.c \
	firmware/core/clock.c,$(URING_LIBS)))
$(eval $(call test,volume_changes,dataplane/volume/changes_test.c dataplane/volume/changes.c))
$(eval $(call test,journal,dataplane/volume/journal_test.c \
	$(addprefix dataplane/volume/,journal.c bitmap.c lease.c replica.c)))
