update.pure := $(addprefix firmware/update/,manifest.c slots.c health.c)
PURE += $(update.pure)
update.src := $(update.pure) firmware/update/install.c firmware/update/authentic.c
updater.src := $(update.src) $(addprefix firmware/update/,config.c disk.c main.c service.c) board/board.c \
	firmware/yaml/yaml.c firmware/core/text.c firmware/loop/loop.c firmware/peer/peer.c firmware/message/message.c
$(eval $(call prog,gnomon-updater,$(sort $(updater.src) $(channel.src)),$(YAML_LIBS) -lsystemd $(NNG_LIBS) -lpthread))
$(eval $(call test,update,firmware/update/update_test.c $(update.pure)))
$(eval $(call test,update-install,firmware/update/install_test.c firmware/update/fake_disk.c $(update.src) \
	tools/ca/ca.c tools/ca/files.c firmware/core/status.c,$(TLS_LIBS)))
$(eval $(call fuzz,manifest,firmware/update/manifest_fuzz.c firmware/update/manifest.c firmware/update/slots.c))
