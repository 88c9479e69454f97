$(eval $(call test,dataplane-config,dataplane/config/config_test.c dataplane/config/config.c \
	$(yaml.src),$(YAML_LIBS)))
