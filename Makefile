# gnomon: one make process, one build directory; each folder declares what it
# has in its module.mk. 'make help' lists the commands.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

B ?= build
BOARD ?= qemu-virt
CC := gcc
CLANG := clang-14
NPROC := $(shell nproc)
ARCH := $(shell uname -m)

# The DPDK flags go to the folders that may include it.
DPDK_CFLAGS = $(shell pkg-config --cflags libdpdk) -DALLOW_EXPERIMENTAL_API
DPDK_LIBS = $(shell pkg-config --libs libdpdk)
TLS_LIBS := -lmbedtls -lmbedx509 -lmbedcrypto
NNG_LIBS := -lnng -lprotobuf-c $(TLS_LIBS)

WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wno-unused-parameter
CFLAGS = -std=gnu11 -O2 -g -fno-strict-aliasing -fstack-protector-strong $(WARN) $(WERROR) \
	-I. -I$(B)/gen -D_GNU_SOURCE -DGN_VERSION='"$(VERSION)"' -MMD -MP
WERROR ?= -Werror
VERSION := 0.1.0
# Grows when a fault is mended that cards must not be brought back to; they refuse older images.
SECURITY := 1
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PURE_CFLAGS := $(if $(filter x86_64,$(ARCH)),-mgeneral-regs-only,-mgeneral-regs-only)

PROTO := $(wildcard proto/gnomon/v1/*.proto)
GEN_H := $(PROTO:%.proto=$(B)/gen/%.pb-c.h)
GEN_O := $(PROTO:%.proto=$(B)/obj/%.pb-c.o)

# Filled by the modules.
PROGS :=#     programs:               build/bin/NAME
TESTS :=#     unit-test programs:     build/test/NAME, run under ASan and UBSan
SCRIPTS :=#   test scripts:           tests/x/NAME_test.{sh,py}, print TAP
FUZZERS :=#   fuzz targets:           build/fuzz/NAME, corpus in tests/fuzz/NAME
PURE :=#      pure sources:           compiled without floats, symbols checked
FILES :=#     other things 'all' makes (guest image, BPF objects)

# $(call prog,NAME,SOURCES,LIBRARIES): a program.
define prog
PROGS += $(B)/bin/$(1)
$(B)/bin/$(1): $(patsubst %.c,$(B)/obj/%.o,$(2))
	@mkdir -p $$(@D); echo "  LD      $$@"; $(CC) -g -o $$@ $$^ $(LDFLAGS) $(3)
endef
# $(call test,NAME,SOURCES,LIBRARIES): a cmocka program, built with sanitizers.
define test
TESTS += $(B)/test/$(1)
$(B)/test/$(1): $(patsubst %.c,$(B)/san/%.o,$(2))
	@mkdir -p $$(@D); echo "  LD      $$@"; $(CC) -g $(SAN) -o $$@ $$^ $(LDFLAGS) -lcmocka $(3)
endef
# $(call fuzz,NAME,SOURCES,LIBRARIES): LLVMFuzzerTestOneInput; build/fuzz/NAME
# replays files, build/libfuzzer/NAME explores.
define fuzz
FUZZERS += $(B)/fuzz/$(1)
$(B)/fuzz/$(1): $(patsubst %.c,$(B)/san/%.o,$(2) tests/fuzz/replay.c)
	@mkdir -p $$(@D); echo "  LD      $$@"; $(CC) -g $(SAN) -o $$@ $$^ $(LDFLAGS) $(3)
$(B)/libfuzzer/$(1): $(patsubst %.pb-c.c,$(B)/gen/%.pb-c.c,$(2)) $(GEN_H)
	@mkdir -p $$(@D); echo "  FUZZ    $$@"; $(CLANG) $(filter-out -MMD -MP $(WARN) -Werror,$(CFLAGS)) $(FUZZ_CFLAGS_$(1)) \
		-fsanitize=fuzzer,address,undefined -o $$@ $$(filter %.c,$$^) $(LDFLAGS) $(3)
endef

include proto/module.mk bpf/module.mk firmware/module.mk board/module.mk dataplane/module.mk \
	host-shim/module.mk tools/module.mk tests/module.mk

all: $(PROGS) $(FILES)

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h: %.proto
	@mkdir -p $(B)/gen; echo "  PROTO   $<"; protoc-c -I. --c_out=$(B)/gen $<
$(B)/obj/%.pb-c.o: $(B)/gen/%.pb-c.c
	@mkdir -p $(@D); $(CC) $(CFLAGS) -Wno-error -c -o $@ $<
$(B)/san/%.pb-c.o: $(B)/gen/%.pb-c.c
	@mkdir -p $(@D); $(CC) $(CFLAGS) -Wno-error $(SAN) -c -o $@ $<
$(B)/obj/dataplane/%.o $(B)/san/dataplane/%.o: CFLAGS += $(DPDK_CFLAGS)
$(PURE:%.c=$(B)/obj/%.o) $(PURE:%.c=$(B)/san/%.o): CFLAGS += $(PURE_CFLAGS)
$(B)/obj/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D); echo "  CC      $<"; $(CC) $(CFLAGS) $(CFLAGS_$(basename $(notdir $<))) -c -o $@ $<
$(B)/san/%.o: %.c | $(GEN_H)
	@mkdir -p $(@D); echo "  CC san  $<"; $(CC) $(CFLAGS) $(SAN) -c -o $@ $<

run check bench: setup
setup:
	@tools/setup/setup
run: ; @$(MAKE) -j$(NPROC) all && tools/run/gnomon-run $(if $(FOR),--for $(FOR))
check: ; @$(MAKE) -j$(NPROC) all tests && tests/run-tests --build $(B)
tests: $(TESTS) $(FUZZERS)
test: setup
	@$(MAKE) -j$(NPROC) all $(foreach t,$(filter $(B)/test/$(T)%,$(TESTS)) $(filter $(B)/fuzz/$(T)%,$(FUZZERS)),$(t)) \
		&& tests/run-tests --build $(B) --only "$(T)"
bench: ; @$(MAKE) -j$(NPROC) all && tests/bench/run --build $(B) $(if $(T),--only $(T))
sim: $(B)/bin/gn-sim ; @$< --seeds $(or $(SEEDS),1..10000)
fuzz: $(B)/libfuzzer/$(T)
	@mkdir -p $(B)/corpus/$(T); $< $(B)/corpus/$(T) tests/fuzz/$(T) -max_total_time=$(or $(FOR),60)
image: setup
	@tools/image/image $(BOARD) --build $(B)
image-lock: setup
	@tools/image/image --lock --build $(B)
boot: image
	@$(MAKE) -s $(B)/bin/gnomon-ca && tools/image/boot $(BOARD) --build $(B)
flash: image
	@tools/image/flash $(BOARD) --to "$(TO)" --build $(B) $(if $(DRY),--dry-run) $(if $(YES),--yes) \
		$(if $(DEFAULT_BFB),--default-bfb $(DEFAULT_BFB))
deb: ; @$(MAKE) -j$(NPROC) $(addprefix $(B)/bin/,gnomon-shim gnomonctl gnomon-ca) && tools/deb/deb --build $(B)
fmt: ; @git ls-files '*.c' '*.h' | xargs clang-format-14 -i
lint: $(PURE:%.c=$(B)/obj/%.o)
	@tools/lint/lint --build $(B) $(addprefix --pure=,$(PURE))
clean: ; @rm -rf $(B)
help: ; @sed -n '/^| command/,/^$$/p' README.md
.PHONY: all run check tests test bench sim fuzz image image-lock boot flash deb fmt lint clean help setup

-include $(shell find $(B) -path $(B)/image -prune -o -type f -name '*.d' -print 2>/dev/null)
