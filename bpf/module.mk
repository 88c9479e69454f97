# Programs for the kernel: compiled by clang, linked by bpftool (which leaves the debug sections
# out), embedded as skeletons.
BPF_CLANG_FLAGS := -g -O2 -target bpf -Wall -Wextra -Werror -Wno-unused-parameter \
	-idirafter /usr/include/$(shell $(CC) -print-multiarch) -I.
$(B)/obj/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D); echo "  BPF     $<"; $(CLANG) $(BPF_CLANG_FLAGS) -MMD -MP -MT $@ \
		-MF $(@:.o=.d) -c -o $@.debug $< && bpftool gen object $@ $@.debug
$(B)/gen/bpf/%.skel.h: $(B)/obj/bpf/%.bpf.o
	@mkdir -p $(@D); bpftool gen skeleton $< name gn_$*_bpf >$@

bpf.windows := runq oncpu blockio syscalls
define bpf-loader
$(B)/obj/bpf/$(1).o $(B)/san/bpf/$(1).o: $(B)/gen/bpf/$(1).skel.h
endef
$(foreach p,tasks calls $(bpf.windows),$(eval $(call bpf-loader,$(p))))
bpf.src := bpf/object.c bpf/tasks.c bpf/window.c $(bpf.windows:%=bpf/%.c)
BPF_LIBS := -lbpf -lelf -lz
$(eval $(call test,bpf_tasks,bpf/tasks_test.c bpf/tasks.c bpf/object.c firmware/core/status.c,$(BPF_LIBS)))
$(B)/san/bpf/programs_test.o: $(B)/gen/bpf/syscalls.skel.h $(B)/gen/bpf/calls.skel.h
$(eval $(call test,bpf_programs,bpf/programs_test.c bpf/object.c firmware/core/status.c,$(BPF_LIBS)))
$(eval $(call prog,gn-bpf-load,bpf/load.c,-lpthread))

# The agent for guests: static, so that it runs in any of them.
bpf.agent.src := bpf/guest.c bpf/agent_wire.c bpf/calls.c bpf/object.c bpf/window.c \
	$(bpf.windows:%=bpf/%.c) firmware/core/clock.c firmware/core/status.c
$(eval $(call prog,gnomon-guest,$(bpf.agent.src),-static -s $(BPF_LIBS)))
PURE += bpf/agent_wire.c
$(eval $(call test,bpf_agent,bpf/agent_wire_test.c bpf/agent_wire.c))
$(eval $(call fuzz,agent,bpf/agent_fuzz.c bpf/agent_wire.c))
$(eval $(call prog,gn-bpf-hold,bpf/hold.c bpf/calls.c $(bpf.src) firmware/core/status.c,$(BPF_LIBS)))
