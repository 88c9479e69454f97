ca.src := tools/ca/ca.c tools/ca/files.c firmware/core/status.c
$(eval $(call prog,gnomon-ca,tools/ca/main.c $(ca.src),$(TLS_LIBS)))
$(eval $(call test,ca,tools/ca/ca_test.c $(ca.src),$(TLS_LIBS)))
$(eval $(call test,trust,tools/ca/trust_test.c $(ca.src) $(channel.src),$(NNG_LIBS) -lpthread))
