console.src := $(addprefix firmware/console/,accounts.c api.c assets.c config.c connections.c \
	console.c crypto.c events.c hasher.c http.c login.c metrics.c openapi.c route.c scrape.c \
	session.c) firmware/confine/confine.c firmware/loop/loop.c firmware/message/message.c firmware/peer/peer.c proto/json.c $(yaml.src)
CONSOLE_LIBS = $(NNG_LIBS) -ljansson $(YAML_LIBS) -lsystemd -lpthread -lseccomp
$(eval $(call prog,gnomon-console,firmware/console/main.c $(console.src) $(channel.src),$(CONSOLE_LIBS)))
$(eval $(call test,console,firmware/console/console_test.c $(addprefix firmware/console/,accounts.c \
	crypto.c metrics.c openapi.c route.c session.c) firmware/message/message.c proto/json.c \
	firmware/core/status.c $(PROTO:%.proto=%.pb-c.c),-ljansson -lprotobuf-c $(TLS_LIBS)))

# The page: its sources and its locked libraries, bundled into build/web (firmware/console/web/build).
WEB := firmware/console/web
FILES += $(B)/web/index.html
$(B)/web/index.html: $(wildcard $(WEB)/*) $(wildcard $(WEB)/src/*)
	@echo "  WEB     $@"; $(WEB)/build $(abspath $(B))
