ctl.src := $(addprefix tools/ctl/,command.c connection.c format.c json.c parse.c session.c table.c \
	text.c cmd_forecast.c cmd_mirror.c cmd_plan.c cmd_policy.c cmd_shadow.c cmd_status.c \
	cmd_top.c cmd_vm.c)
$(eval $(call prog,gnomonctl,tools/ctl/main.c $(ctl.src) $(channel.src),$(NNG_LIBS) -ljansson -lcyaml $(TLS_LIBS) -lpthread))
