meter.src := dataplane/meter/meter.c dataplane/meter/disk_meter.c
# The headers and file blocks of mirrored packets: pure, so they build without a port.
encap.src := dataplane/mirror/encap.c dataplane/mirror/pcapng.c

$(eval $(call test,meter,dataplane/meter/meter_test.c dataplane/meter/meter.c))
$(eval $(call test,disk_meter,dataplane/meter/disk_meter_test.c dataplane/meter/disk_meter.c))
$(eval $(call test,encap,dataplane/mirror/encap_test.c dataplane/mirror/encap.c $(testframe.src)))
$(eval $(call test,pcapng,dataplane/mirror/pcapng_test.c dataplane/mirror/pcapng.c))
$(eval $(call fuzz,encap,dataplane/mirror/encap_fuzz.c $(encap.src) $(packet.src)))
