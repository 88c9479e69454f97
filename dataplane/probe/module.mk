probe.src := dataplane/probe/prober.c dataplane/probe/probe.c firmware/core/probe_target.c
$(eval $(call test,probe,dataplane/probe/probe_test.c dataplane/probe/probe.c firmware/core/probe_target.c firmware/core/status.c))
$(eval $(call fuzz,probe,dataplane/probe/probe_fuzz.c dataplane/probe/probe.c))
