ctl.src := $(addprefix tools/ctl/,cli.c arguments.c call.c command.c completion.c connection.c \
	format.c json.c output.c parse.c session.c table.c text.c cmd_forecast.c cmd_mirror.c \
	cmd_plan.c cmd_policy.c cmd_shadow.c cmd_status.c cmd_top.c cmd_vm.c cmd_watch.c)
ctl.libs := $(NNG_LIBS) -ljansson -lcyaml -lpthread
$(eval $(call prog,gnomonctl,tools/ctl/main.c $(ctl.src) $(channel.src),$(ctl.libs)))
