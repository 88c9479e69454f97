ca.src := tools/ca/ca.c tools/ca/files.c firmware/core/status.c
$(eval $(call prog,gnomon-ca,tools/ca/main.c $(ca.src),$(TLS_LIBS)))
$(eval $(call test,ca,tools/ca/ca_test.c $(ca.src),$(TLS_LIBS)))
$(eval $(call test,trust,tools/ca/trust_test.c $(ca.src) $(channel.src),$(NNG_LIBS) -lpthread))
$(eval $(call test,sign,proto/sign/sign_test.c $(sign.src) $(ca.src) proto/envelope.c \
	$(PROTO:%.proto=%.pb-c.c),-lprotobuf-c $(TLS_LIBS)))
