core.src := firmware/core/status.c firmware/core/log.c firmware/core/clock.c
-include $(wildcard firmware/*/module.mk)

# gnomond's shells, declared after the pure modules that they are made of.
config.src := firmware/config/config.c $(names.src) $(policy.src) firmware/core/status.c
$(eval $(call test,gnomond-config,firmware/config/config_test.c $(config.src),-lcyaml -lyaml))
store.src := firmware/store/store.c firmware/store/history.c firmware/store/db.c \
	firmware/message/message.c firmware/core/status.c
$(eval $(call test,store,firmware/store/store_test.c $(store.src),-lsqlite3 -lprotobuf-c))
