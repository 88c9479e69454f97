$(eval $(call test,dataplane-config,dataplane/config/config_test.c dataplane/config/config.c \
	firmware/core/status.c,-lcyaml -lyaml))
