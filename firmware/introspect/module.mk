# What parses guest memory; every part can be tested alone on memory that a test makes.
introspect_memory.src := $(addprefix firmware/introspect/,memory.c space.c)
introspect_find.src := $(introspect_memory.src) $(addprefix firmware/introspect/,vmcoreinfo.c \
	kallsyms.c ksymtab.c profile.c find.c kernel.c bootstrap.c)
introspect_read.src := $(introspect_find.src) $(addprefix firmware/introspect/,walk.c globals.c klog.c)
introspect.src := $(introspect_read.src) $(addprefix firmware/introspect/,top.c signs.c report.c \
	observer.c)
# The processes around it.
introspect_shell.src := $(addprefix firmware/introspect/,sandbox.c child.c source.c publish.c service.c \
	config.c dump.c print.c) $(yaml.src)
INTROSPECT_LIBS = $(NNG_LIBS) -lbpf -lseccomp -lsystemd $(YAML_LIBS)
$(eval $(call prog,gnomon-introspect,firmware/introspect/main.c $(introspect.src) \
	$(introspect_shell.src) $(channel.src) $(core.src),$(INTROSPECT_LIBS)))

introspect_image.src := tests/introspect/image.c
$(eval $(call test,introspect-memory,firmware/introspect/memory_test.c firmware/introspect/dump.c \
	firmware/introspect/vmcoreinfo.c $(introspect_memory.src) firmware/core/status.c))
$(eval $(call test,introspect-reader,firmware/introspect/reader_test.c $(introspect_image.src) \
	$(introspect.src),-lbpf))
$(eval $(call test,introspect-judge,firmware/introspect/judge_test.c firmware/introspect/config.c \
	$(introspect.src) $(yaml.src),-lbpf $(YAML_LIBS)))
$(eval $(call fuzz,introspect,tests/introspect/introspect_fuzz.c $(introspect_image.src) \
	$(introspect_read.src),-lbpf))
$(eval $(call test,introspect-source,firmware/introspect/source_test.c firmware/introspect/source.c))
$(eval $(call test,introspect-child,firmware/introspect/child_test.c firmware/introspect/child.c \
	firmware/introspect/sandbox.c firmware/core/clock.c $(introspect.src),-lbpf -lseccomp))
