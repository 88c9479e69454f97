audit.src := firmware/audit/chain.c firmware/audit/log.c firmware/audit/seal.c
$(eval $(call test,audit,firmware/audit/audit_test.c $(audit.src) firmware/message/message.c proto/json.c \
	firmware/core/status.c $(PROTO:%.proto=%.pb-c.c),-ljansson -lprotobuf-c $(TLS_LIBS)))
