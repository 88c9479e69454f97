ctl.src := $(addprefix tools/ctl/,cli.c arguments.c call.c command.c completion.c connection.c file.c \
	format.c output.c parse.c redact.c screen.c session.c table.c text.c cmd_alert.c cmd_audit.c cmd_board.c cmd_export.c \
	cmd_forecast.c cmd_host.c cmd_mirror.c cmd_model.c cmd_observe.c histogram.c cmd_plan.c cmd_policy.c cmd_shadow.c cmd_rehearse.c \
	cmd_snapshot.c cmd_volume.c cmd_verify.c cmd_status.c cmd_support.c cmd_top.c cmd_update.c cmd_vm.c cmd_vm_calls.c cmd_vm_top.c cmd_watch.c) \
	firmware/audit/chain.c firmware/audit/seal.c $(sort $(board.src) $(board.pure))
ctl.libs := $(NNG_LIBS) -ljansson $(YAML_LIBS) -lpthread
$(eval $(call prog,gnomonctl,tools/ctl/main.c $(ctl.src) $(channel.src) proto/json.c,$(ctl.libs)))
ctl.pure := $(addprefix tools/ctl/,format.c parse.c output.c table.c) $(PROTO:%.proto=%.pb-c.c)
$(eval $(call test,ctl_parse,tools/ctl/parse_test.c $(ctl.pure),-lprotobuf-c))
$(eval $(call test,ctl_format,tools/ctl/format_test.c tools/ctl/format.c))
$(eval $(call test,ctl_redact,tools/ctl/redact_test.c tools/ctl/redact.c))
$(eval $(call test,ctl_table,tools/ctl/table_test.c tools/ctl/table.c tools/ctl/output.c))
$(eval $(call test,ctl_command,tools/ctl/command_test.c $(ctl.src) $(channel.src) proto/json.c,$(ctl.libs)))
$(eval $(call test,ctl_cli,tools/ctl/cli_test.c $(ctl.src) $(channel.src) proto/json.c,$(ctl.libs)))
