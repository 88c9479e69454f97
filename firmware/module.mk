core.src := firmware/core/status.c firmware/core/log.c firmware/core/clock.c
-include $(wildcard firmware/*/module.mk)

# gnomond's shells, declared after the pure modules that they are made of.
config.src := firmware/config/config.c $(names.src) $(policy.src) firmware/core/status.c
$(eval $(call test,gnomond-config,firmware/config/config_test.c $(config.src),-lcyaml -lyaml))
store.src := firmware/store/store.c firmware/store/history.c firmware/store/db.c \
	firmware/message/message.c firmware/core/status.c
$(eval $(call test,store,firmware/store/store_test.c $(store.src),-lsqlite3 -lprotobuf-c))
gnomond.src := $(config.src) $(store.src) $(demand.src) $(policy.src) $(ledger.src) $(plan.src) \
	$(shadow.src) $(predict.src) $(channel.src) \
	$(addprefix firmware/,peer/peer.c executor/executor.c brain/series.c brain/brain.c \
	brain/observe.c brain/policy_message.c plan/runner.c plan/propose.c shadow/provision.c \
	shadow/steps.c shadow/settings.c ingest/view.c ingest/ingest.c reconcile/reconcile.c \
	control/control.c control/status.c control/vms.c control/series.c control/shadows.c \
	control/plans.c)
gnomond.libs := $(NNG_LIBS) $(TLS_LIBS) -lsqlite3 -lcyaml -lyaml -lsystemd -lpthread
$(eval $(call prog,gnomond,firmware/main.c firmware/loop/loop.c $(sort $(gnomond.src)),$(gnomond.libs)))
