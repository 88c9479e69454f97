init.pure := firmware/init/supervise.c firmware/init/vitality.c
PURE += $(init.pure)
init.src := $(init.pure) $(addprefix firmware/init/,boot.c main.c progress.c service.c)
$(eval $(call prog,gnomon-init,$(init.src) $(channel.src),$(NNG_LIBS) -lpthread))
$(eval $(call test,init,firmware/init/init_test.c $(init.pure)))
