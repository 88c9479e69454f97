core.src := firmware/core/status.c firmware/core/log.c firmware/core/clock.c
yaml.src := firmware/yaml/yaml.c firmware/core/text.c firmware/core/status.c
YAML_LIBS := -lcyaml -lyaml
-include $(wildcard firmware/*/module.mk)

# gnomond's shells, declared after the pure modules that they are made of.
config.src := firmware/config/config.c $(names.src) $(policy.src) $(yaml.src)
$(eval $(call test,gnomond-config,firmware/config/config_test.c $(config.src),$(YAML_LIBS)))
store.src := firmware/store/store.c firmware/store/history.c firmware/store/db.c \
	firmware/message/message.c firmware/core/status.c
$(eval $(call test,store,firmware/store/store_test.c $(store.src),-lsqlite3 -lprotobuf-c))
# What thinks, apart from clocks and sockets: tests link fakes of those.
thinking.src := $(config.src) $(store.src) $(demand.src) $(policy.src) $(ledger.src) $(plan.src) $(failover.src) \
	$(shadow.src) $(predict.src) $(hazard.src) $(alert.pure) $(model.src) $(PROTO:%.proto=%.pb-c.c) \
	$(brain.src) $(addprefix firmware/,executor/executor.c plan/runner.c plan/moves.c plan/propose.c \
	mover/mover.c mover/steps.c mover/rehearsal.c \
	shadow/provision.c shadow/steps.c shadow/disks.c shadow/follow.c shadow/snapshots.c shadow/retention.c \
	shadow/settings.c core/probe_target.c ingest/view.c reconcile/reconcile.c)
thinking.libs := -lsqlite3 $(YAML_LIBS) -lprotobuf-c $(TLS_LIBS)
gnomond.src := $(audit.src) $(thinking.src) $(channel.src) $(addprefix firmware/,main.c loop/loop.c \
	brain/time.c peer/peer.c ingest/ingest.c alert/board.c alert/hooks.c alert/watch.c \
	control/alerts.c control/control.c control/status.c control/vms.c \
	control/guests.c control/models.c control/history.c control/series.c control/shadows.c \
	control/exports.c control/updates.c control/crashes.c control/snapshots.c control/volumes.c \
	control/observe.c control/plans.c control/audit.c control/roles.c) proto/json.c
$(eval $(call prog,gnomond,$(sort $(gnomond.src)),$(thinking.libs) $(NNG_LIBS) \
	-lsystemd -lpthread -ljansson))
PURE += firmware/control/roles.c
$(eval $(call test,roles,firmware/control/roles_test.c firmware/control/roles.c \
	firmware/console/route.c firmware/core/status.c $(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
fake_brain.src := firmware/brain/fake_brain.c firmware/peer/fake_peer.c
$(eval $(call test,brain,firmware/brain/brain_test.c $(fake_brain.src) \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,brain-state,firmware/brain/state_test.c firmware/peer/fake_peer.c \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,brain-packs,firmware/brain/packs_test.c firmware/peer/fake_peer.c \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,alert-board,firmware/alert/board_test.c firmware/alert/board.c \
	firmware/alert/hooks.c firmware/alert/watch.c firmware/peer/fake_peer.c \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,alert-hooks,firmware/alert/hooks_test.c firmware/alert/hooks.c \
	firmware/message/message.c firmware/core/status.c $(PROTO:%.proto=%.pb-c.c),-lprotobuf-c))
$(eval $(call test,brain-guest,firmware/brain/guest_test.c $(fake_brain.src) \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,runner,firmware/plan/runner_test.c $(fake_brain.src) \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,provision,firmware/shadow/provision_test.c $(fake_brain.src) \
	$(sort $(thinking.src)),$(thinking.libs)))
$(eval $(call test,mover,firmware/mover/mover_test.c firmware/peer/fake_peer.c \
	$(sort $(thinking.src)),$(thinking.libs)))
