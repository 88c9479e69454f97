$(eval $(call test,yaml,firmware/yaml/yaml_test.c $(yaml.src),$(YAML_LIBS)))
