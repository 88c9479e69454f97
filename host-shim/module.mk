comma := ,
shim.core := firmware/core/status.c firmware/core/log.c firmware/core/clock.c
shim.pure := host-shim/command.c host-shim/executor.c
shim.host := host-shim/libvirt_host.c host-shim/libvirt_domain.c host-shim/libvirt_stats.c \
	host-shim/stats_cache.c host-shim/domain_xml.c
shim.wire := host-shim/wire.c host-shim/wire_agent.c bpf/agent_wire.c bpf/syscall_name.c
shim.execution := host-shim/execution.c host-shim/journal.c $(shim.wire)
shim.observe := $(addprefix host-shim/,observe_calls.c wire_observe.c observer.c observation.c \
	processes.c qemu_process.c agents.c) $(bpf.src)
shim.observe.libs := $(BPF_LIBS) -lseccomp -ljansson
shim.drives := host-shim/drives.c host-shim/drive_report.c
shim.service := host-shim/service.c host-shim/worker.c $(shim.drives) $(shim.observe) $(shim.execution) $(shim.pure) $(channel.src)
XML_LIBS := -lxml2
$(B)/obj/host-shim/domain_xml.o $(B)/san/host-shim/domain_xml.o: CFLAGS += -I/usr/include/libxml2

$(eval $(call prog,gnomon-shim,host-shim/main.c host-shim/config.c $(yaml.src) $(shim.service) $(shim.host),\
	-lvirt $(XML_LIBS) $(shim.observe.libs) $(YAML_LIBS) -lsystemd $(NNG_LIBS) -lpthread))

$(eval $(call test,shim_command,host-shim/command_test.c host-shim/command.c $(shim.core)))
$(eval $(call test,shim_executor,host-shim/executor_test.c $(shim.pure) $(shim.core)))
$(eval $(call test,shim_journal,host-shim/journal_test.c host-shim/journal.c $(shim.core),\
	-Wl$(comma)--wrap=pwrite -Wl$(comma)--wrap=fsync -Wl$(comma)--wrap=fdatasync \
	-Wl$(comma)--wrap=rename))
$(eval $(call test,shim_xml,host-shim/domain_xml_test.c host-shim/domain_xml.c $(shim.core),$(XML_LIBS)))
shim.fake := host-shim/fake_host.c host-shim/domain_xml.c
$(eval $(call test,shim_execution,host-shim/execution_test.c $(shim.execution) $(shim.pure) $(shim.fake) \
	$(channel.src),$(NNG_LIBS) $(XML_LIBS) -lseccomp -lpthread))
$(eval $(call test,shim_worker,host-shim/worker_test.c host-shim/worker.c,-lpthread))
$(eval $(call test,shim_drives,host-shim/drives_test.c $(shim.drives) firmware/core/status.c,-ljansson))
$(eval $(call test,shim_stats,host-shim/stats_cache_test.c host-shim/stats_cache.c))
$(eval $(call test,shim_libvirt,host-shim/libvirt_host_test.c $(shim.host) host-shim/command.c \
	$(shim.core),-lvirt $(XML_LIBS) -lpthread))
$(eval $(call test,shim_service,host-shim/service_test.c $(shim.service) $(shim.fake),\
	-lsystemd $(shim.observe.libs) $(NNG_LIBS) $(XML_LIBS) -lpthread))
$(eval $(call test,shim_config,host-shim/config_test.c host-shim/config.c host-shim/command.c \
	$(bpf.src) $(yaml.src),$(BPF_LIBS) $(YAML_LIBS)))
$(eval $(call prog,shim-qemu-client,host-shim/shim_qemu_client.c $(channel.src),$(NNG_LIBS) -lcmocka))
FUZZ_CFLAGS_shim_xml := -I/usr/include/libxml2
$(eval $(call fuzz,shim_xml,host-shim/domain_xml_fuzz.c host-shim/domain_xml.c $(shim.core),$(XML_LIBS)))
$(eval $(call fuzz,shim_wire,host-shim/wire_fuzz.c $(shim.wire) host-shim/command.c \
	$(channel.src),$(NNG_LIBS) -lseccomp -lpthread))
