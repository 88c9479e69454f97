/* domain_xml_test.c - domains' XML as libvirt and virt-manager write it, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-shim/domain_xml.h"

#define QEMU_NS " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"

/* A running domain as libvirt 9 prints it, abridged where nothing is edited. %s: devices. */
static const char live[] =
        "<domain type='kvm' id='7'" QEMU_NS ">\n"
        "  <name>web-1</name>\n"
        "  <uuid>ed68a2f8-2898-4158-b224-9f89109c281e</uuid>\n"
        "  <metadata>\n"
        "    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
        "<libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo>\n"
        "  </metadata>\n"
        "  <memory unit='KiB'>4194304</memory>\n"
        "  <currentMemory unit='KiB'>3145728</currentMemory>\n"
        "  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>\n"
        "  <vcpu placement='static' cpuset='2-5' current='3'>8</vcpu>\n"
        "  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>"
        "<vcpu id='1' enabled='no' hotpluggable='yes'/></vcpus>\n"
        "  <cputune><shares>2048</shares><vcpupin vcpu='0' cpuset='2'/></cputune>\n"
        "  <numatune><memory mode='strict' nodeset='0'/></numatune>\n"
        "  <sysinfo type='smbios'><system><entry name='manufacturer'>ACME</entry>"
        "<entry name='uuid'>ed68a2f8-2898-4158-b224-9f89109c281e</entry></system></sysinfo>\n"
        "  <os>\n"
        "    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n"
        "    <loader readonly='yes' secure='no' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd"
        "</loader>\n"
        "    <nvram>/var/lib/libvirt/qemu/nvram/web-1_VARS.fd</nvram>\n"
        "    <boot dev='hd'/><smbios mode='sysinfo'/>\n"
        "  </os>\n"
        "  <features><acpi/><apic/></features>\n"
        "  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC-Rome</model>"
        "<feature policy='require' name='x2apic'/><topology sockets='8' dies='1' cores='1' "
        "threads='1'/></cpu>\n"
        "  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>\n"
        "  <on_poweroff>destroy</on_poweroff>\n"
        "  <devices>\n"
        "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
        "    <interface type='vhostuser'>\n"
        "      <mac address='52:54:00:77:00:01'/>\n"
        "      <source type='unix' path='/run/gnomon/vhost/web-1-net0.sock' mode='client'>"
        "<reconnect enabled='yes' timeout='1'/></source>\n"
        "      <target dev='web-1-net0.sock'/>\n"
        "      <model type='virtio'/><driver queues='4'/><alias name='net0'/>\n"
        "      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n"
        "    </interface>\n"
        "    <disk type='vhostuser' device='disk'>\n"
        "      <driver name='qemu' type='raw'/>\n"
        "      <source type='unix' path='/run/gnomon/vhost/web-1-vda.sock' index='1'/>\n"
        "      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>\n"
        "      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>\n"
        "    </disk>\n"
        "%s"
        "    <memballoon model='virtio'><stats period='5'/></memballoon>\n"
        "  </devices>\n"
        "  <seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-ed68</label>"
        "<imagelabel>libvirt-ed68</imagelabel></seclabel>\n"
        "  <seclabel type='none' model='dac'/>\n"
        "  <qemu:override><qemu:device alias='net0'><qemu:frontend><qemu:property name='vectors' "
        "type='unsigned' value='0'/></qemu:frontend></qemu:device></qemu:override>\n"
        "</domain>\n";

static struct gn_shadow_spec spec(void)
{
	struct gn_shadow_spec s = {
	        .name = "web-1-shadow",
	        .vcpus = 1,
	        .memory_bytes = 512ull << 20,
	        .nics = {{.mac = "52:54:00:77:00:01",
	                  .socket_path = "/run/gnomon/vhost/web-1-shadow-net0.sock"}},
	        .n_nics = 1,
	        .disks = {{.target = "vda",
	                   .socket_path = "/run/gnomon/vhost/web-1-shadow-vda.sock"}},
	        .n_disks = 1,
	        .pool = "gnomon-shadows",
	        .pool_path = "/var/lib/gnomon/shadows",
	};

	return s;
}

static char *with_devices(const char *devices)
{
	char *xml = malloc(sizeof live + strlen(devices));

	assert_non_null(xml);
	sprintf(xml, live, devices);
	return xml;
}

/* The shadow of 'live' with more devices, or NULL with the reason in 'status'. */
static char *make(const char *devices, const struct gn_shadow_spec *s, struct gn_status *status)
{
	char *xml = with_devices(devices), *out = NULL;
	int error = gn_domain_xml_shadow(xml, "web-1", s, &out, status);

	free(xml);
	assert_true((error == 0) == (out != NULL));
	return out;
}

static int count(const char *text, const char *what)
{
	int n = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		n++;
	return n;
}

static void describes(void **state)
{
	char *xml = with_devices("<interface type='bridge'><mac address='52:54:00:77:00:02'/>"
	                         "<target dev='vnet3'/></interface>"
	                         "<disk type='block' device='disk'><source dev='/dev/vg/a'/>"
	                         "<target dev='vdb'/></disk>"
	                         "<disk type='file' device='cdrom'><target dev='sda'/></disk>");
	struct gn_vm_description d;

	assert_int_equal(gn_domain_xml_describe(xml, &d, NULL), 0);
	free(xml);
	assert_true(d.kvm && !d.tcg && d.balloon && d.balloon_period_s == 5);
	assert_int_equal(d.n_nics, 2);
	assert_string_equal(d.nics[0].mac, "52:54:00:77:00:01");
	assert_string_equal(d.nics[0].socket_path, "/run/gnomon/vhost/web-1-net0.sock");
	assert_string_equal(d.nics[1].socket_path, "");
	assert_string_equal(d.nics[1].target, "vnet3");
	assert_int_equal(d.n_disks, 3);
	assert_string_equal(d.disks[0].socket_path, "/run/gnomon/vhost/web-1-vda.sock");
	assert_string_equal(d.disks[0].source, "");
	assert_string_equal(d.disks[1].source, "/dev/vg/a");
	assert_string_equal(d.disks[2].target, "sda");
	assert_string_equal(d.shadow_of, "");
}

static void describes_poor_domains(void **state)
{
	struct gn_vm_description d;

	assert_int_equal(gn_domain_xml_describe("<domain/>", &d, NULL), 0);
	assert_true(d.n_nics == 0 && d.n_disks == 0 && !d.balloon && !d.kvm);
	assert_int_equal(gn_domain_xml_describe("<domain type='test'><devices><interface/><disk/>"
	                                        "<memballoon model='none'/></devices></domain>",
	                                        &d, NULL),
	                 0);
	assert_true(d.n_nics == 0 && d.n_disks == 0 && !d.balloon);
	/* A mark in another namespace is not gnomon's. */
	assert_int_equal(gn_domain_xml_describe("<domain><metadata><shadow xmlns='urn:x' of='a'/>"
	                                        "</metadata></domain>",
	                                        &d, NULL),
	                 0);
	assert_string_equal(d.shadow_of, "");
}

static void clones(void **state)
{
	static const char *const kept[] = {
	        "libosinfo",         "pc-q35-7.2",        "EPYC-Rome",      "x2apic",
	        "<topology",         "52:54:00:77:00:01", "queues=\"4\"",   "bus=\"0x01\"",
	        "timeout=\"1\"",     "qemu:override",     "type=\"memfd\"", ">8</vcpu>",
	        ">4194304</memory>", "OVMF_CODE_4M.fd",   "manufacturer",   "tickpolicy",
	        "model=\"dac\"",
	};
	static const char *const gone[] = {
	        "ed68a2f8", "web-1-net0.sock\"", "web-1-vda.sock\"", "<vcpus",
	        "cputune",  "numatune",          "cpuset",           "id=\"7\"",
	        "apparmor", ">3145728<",
	};
	static const char *const new[] = {
	        "<name>web-1-shadow</name>",
	        "web-1-shadow-net0.sock\" mode=\"client\"",
	        "web-1-shadow-vda.sock\"",
	        "current=\"1\"",
	        ">524288</currentMemory>",
	        "of=\"web-1\"",
	        GN_SHADOW_XMLNS,
	        "<nvram template=\"/var/lib/libvirt/qemu/nvram/web-1_VARS.fd\">"
	        "/var/lib/gnomon/shadows/web-1-shadow_VARS.fd</nvram>",
	};
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};
	struct gn_vm_description d;
	char *out = make("", &s, &status);
	size_t i;

	if (!out)
		fail_msg("%s", status.message);
	for (i = 0; i < sizeof kept / sizeof kept[0]; i++)
		if (!strstr(out, kept[i]))
			fail_msg("'%s' was lost:\n%s", kept[i], out);
	for (i = 0; i < sizeof gone / sizeof gone[0]; i++)
		if (strstr(out, gone[i]))
			fail_msg("'%s' is still there:\n%s", gone[i], out);
	for (i = 0; i < sizeof new / sizeof new[0]; i++)
		if (!strstr(out, new[i]))
			fail_msg("'%s' is not there:\n%s", new[i], out);
	assert_int_equal(gn_domain_xml_describe(out, &d, NULL), 0);
	assert_string_equal(d.shadow_of, "web-1");
	free(out);
}

static void keeps_what_can_be_kept(void **state)
{
	static const struct {
		const char *device;
		const char *there; /* in the result; NULL: the device as such is kept */
		const char *gone;
	} cases[] = {
	        {"<serial type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/><target port='0'/>"
	         "</serial>",
	         "<serial type=\"pty\">", "/dev/pts/4"},
	        {"<serial type='file'><source path='/var/log/web-1.log' append='on'/></serial>",
	         "/var/log/web-1.log-web-1-shadow\" append=\"on\"", "web-1.log\""},
	        {"<serial type='unix'><source mode='bind' path='/run/con/web-1'/></serial>",
	         "/run/con/web-1-web-1-shadow", "/run/con/web-1\""},
	        {"<console type='pty'><log file='/var/log/c.log' append='on'/></console>",
	         "/var/log/c.log-web-1-shadow", "c.log\""},
	        {"<channel type='unix'><source mode='bind' "
	         "path='/var/lib/libvirt/qemu/channel/target/"
	         "domain-7-web-1/org.qemu.guest_agent.0'/><target type='virtio' "
	         "name='org.qemu.guest_agent.0'/></channel>",
	         "org.qemu.guest_agent.0", "domain-7-web-1"},
	        {"<channel type='spicevmc'><target type='virtio' "
	         "name='com.redhat.spice.0'/></channel>",
	         "spicevmc", NULL},
	        {"<graphics type='vnc' port='5903' autoport='no' listen='127.0.0.1' "
	         "passwd='s3cret'>"
	         "<listen type='address' address='127.0.0.1'/></graphics>",
	         "autoport=\"yes\"", "5903"},
	        {"<graphics type='spice'><listen type='socket' "
	         "socket='/run/spice.sock'/></graphics>",
	         "<listen type=\"socket\"/>", "spice.sock"},
	        {"<disk type='file' device='cdrom'><source file='/iso/d.iso'/><target dev='sda' "
	         "bus='sata'/><readonly/></disk>",
	         "/iso/d.iso", NULL},
	        {"<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>", "cdrom",
	         NULL},
	        {"<vsock model='virtio'><cid auto='no' address='3'/></vsock>",
	         "<cid auto=\"yes\"/>", "address=\"3\""},
	        {"<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
	         "/dev/urandom", NULL},
	        {"<input type='tablet' bus='usb'/>", "tablet", NULL},
	        {"<video><model type='virtio' heads='1'/></video>", "<video>", NULL},
	        {"<watchdog model='i6300esb' action='reset'/>", "i6300esb", NULL},
	        {"<panic model='isa'/>", "<panic", NULL},
	        {"<redirdev bus='usb' type='spicevmc'/>", "redirdev", NULL},
	        {"<sound model='ich9'/><audio id='1' type='spice'/>", "ich9", NULL},
	        {"<memory model='dimm'><target><size unit='KiB'>524288</size></target></memory>",
	         "dimm", NULL},
	        {"<!-- a comment --><?php echo ?>", "memballoon", NULL},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_shadow_spec s = spec();
		struct gn_status status = {0};
		char *out = make(cases[i].device, &s, &status);

		if (!out)
			fail_msg("%s: %s", cases[i].device, status.message);
		if (!strstr(out, cases[i].there) || (cases[i].gone && strstr(out, cases[i].gone)))
			fail_msg("%s became:\n%s", cases[i].device, out);
		free(out);
	}
}

static void refuses_what_cannot_be_cloned(void **state)
{
	static const struct {
		const char *device;
		const char *said;
	} cases[] = {
	        {"<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' "
	         "bus='1' slot='0' function='0'/></source></hostdev>",
	         "hostdev (pci)"},
	        {"<interface type='bridge'><mac address='52:54:00:77:00:02'/></interface>",
	         "52:54:00:77:00:02"},
	        {"<interface type='hostdev'><mac address='52:54:00:77:00:03'/></interface>",
	         "52:54:00:77:00:03"},
	        {"<interface type='vhostuser'><mac address='52:54:00:77:00:01'/><source "
	         "type='unix' "
	         "path='/run/b.sock' mode='client'/></interface>",
	         "second NIC"},
	        {"<filesystem type='mount'><source dir='/srv'/><target dir='srv'/></filesystem>",
	         "filesystem (mount)"},
	        {"<tpm model='tpm-crb'><backend type='emulator'/></tpm>", "tpm (tpm-crb)"},
	        {"<shmem name='x'><model type='ivshmem-plain'/></shmem>", "shmem"},
	        {"<smartcard mode='host'/>", "smartcard"},
	        {"<serial type='tcp'><source mode='connect' host='h' service='1'/></serial>",
	         "serial (tcp)"},
	        {"<serial type='dev'><source path='/dev/ttyS0'/></serial>", "serial (dev)"},
	        {"<channel type='unix'><source mode='connect' path='/run/x'/></channel>",
	         "channel (unix)"},
	        {"<graphics type='sdl'/>", "graphics (sdl)"},
	        {"<rng model='virtio'><backend model='egd'/></rng>", "rng (egd)"},
	        {"<input type='evdev'><source dev='/dev/input/event1'/></input>", "input (evdev)"},
	        {"<memory model='nvdimm'><source><path>/tmp/nv</path></source></memory>",
	         "memory (nvdimm)"},
	        {"<redirdev bus='usb' type='tcp'/>", "redirdev (tcp)"},
	        {"<disk type='block' device='lun'><source dev='/dev/sdb'/><target "
	         "dev='sdb'/></disk>",
	         "LUN"},
	        {"<lease><key>x</key></lease>", "lease"},
	        {"<quantum model='spooky'/>", "quantum (spooky)"}, /* not known yet */
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_shadow_spec s = spec();
		struct gn_status status = {0};
		char *out = make(cases[i].device, &s, &status);

		if (out || status.code != GN_FAILED_PRECONDITION ||
		    !strstr(status.message, cases[i].said))
			fail_msg("%s: %s", cases[i].device, out ? out : status.message);
	}
}

static void lists_all_refusals(void **state)
{
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};

	assert_null(make("<tpm model='tpm-tis'/><shmem/><hostdev type='usb'/>", &s, &status));
	assert_non_null(strstr(status.message, "tpm (tpm-tis), shmem, hostdev (usb)"));
}

static void spec_must_name_everything(void **state)
{
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};

	s.n_nics = 0;
	assert_null(make("", &s, &status));
	assert_int_equal(status.code, GN_INVALID_ARGUMENT);
	assert_non_null(strstr(status.message, "52:54:00:77:00:01"));
	s = spec();
	s.n_disks = 0;
	assert_null(make("", &s, &status));
	assert_non_null(strstr(status.message, "vda"));
	s = spec();
	s.disks[1] = s.disks[0];
	strcpy(s.disks[1].target, "vdz");
	s.n_disks = 2;
	assert_null(make("", &s, &status));
	assert_non_null(strstr(status.message, "vdz"));
	s = spec();
	strcpy(s.nics[0].mac, "52:54:00:77:00:FF");
	assert_null(make("", &s, &status));
	assert_int_equal(status.code, GN_INVALID_ARGUMENT);
}

static void files_for_files(void **state)
{
	static const char disk[] =
	        "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/>"
	        "<source dev='/dev/vg/data' index='2'><encryption format='luks'/></source>"
	        "<backingStore/><mirror type='file'/><target dev='vdb' bus='virtio'/>"
	        "<serial>ABC</serial></disk>";
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};
	char *out;

	strcpy(s.disks[1].target, "vdb");
	strcpy(s.disks[1].source, "/var/lib/gnomon/shadows/b.raw");
	s.n_disks = 2;
	out = make(disk, &s, &status);
	if (!out)
		fail_msg("%s", status.message);
	assert_non_null(strstr(out, "<source file=\"/var/lib/gnomon/shadows/b.raw\"/>"));
	assert_non_null(strstr(out, "<serial>ABC</serial>"));
	assert_null(strstr(out, "/dev/vg/data"));
	assert_null(strstr(out, "mirror"));
	free(out);
	s.disks[1].source[0] = '\0';
	strcpy(s.disks[1].socket_path, "/run/gnomon/b.sock");
	assert_null(make(disk, &s, &status));
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
}

static void shares_nothing_writable(void **state)
{
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};

	/* The production VM's own socket, given as the shadow's. */
	strcpy(s.nics[0].socket_path, "/run/gnomon/vhost/web-1-net0.sock");
	assert_null(make("", &s, &status));
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	s = spec();
	strcpy(s.disks[0].socket_path, "/run/gnomon/vhost/web-1-vda.sock");
	assert_null(make("", &s, &status));
	/* Its disk, in a place where nobody looks. */
	s = spec();
	assert_null(make("<input type='tablet' note='/run/gnomon/vhost/web-1-vda.sock'/>", &s,
	                 &status));
	assert_non_null(strstr(status.message, "web-1-vda.sock"));
}

static char *with_arguments(const char *arguments)
{
	char *xml = with_devices(""), *out, *end;
	size_t size = strlen(xml) + strlen(arguments) + 64;

	out = malloc(size);
	assert_non_null(out);
	end = strstr(xml, "</domain>");
	*end = '\0';
	snprintf(out, size, "%s<qemu:commandline>%s</qemu:commandline></domain>", xml, arguments);
	free(xml);
	return out;
}

static void qemu_arguments(void **state)
{
	static const struct {
		const char *arguments;
		const char *there; /* NULL: refused */
	} cases[] = {
	        {"<qemu:arg value='-global'/><qemu:arg value='virtio-net-pci.vectors=0'/>",
	         "virtio-net-pci.vectors=0"},
	        {"<qemu:arg "
	         "value='socket,id=c,path=/run/gnomon/vhost/web-1-vda.sock,reconnect=1'/>",
	         "path=/run/gnomon/vhost/web-1-shadow-vda.sock,reconnect=1"},
	        {"<qemu:arg value='file=/srv/other.raw,if=none'/>", NULL},
	        {"<qemu:arg value='socket,path=/run/other.sock'/>", NULL},
	        {"<qemu:arg value='tap,fd=3'/>", NULL},
	        {"<qemu:arg value='vfio-pci,host=01:00.0'/>", NULL},
	        {"<qemu:env name='A' value='b'/>", "qemu:env"},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *xml = with_arguments(cases[i].arguments), *out = NULL;
		struct gn_shadow_spec s = spec();
		struct gn_status status = {0};
		int error = gn_domain_xml_shadow(xml, "web-1", &s, &out, &status);

		free(xml);
		if (cases[i].there ? error || !strstr(out, cases[i].there)
		                   : status.code != GN_FAILED_PRECONDITION)
			fail_msg("%s: %s", cases[i].arguments, out ? out : status.message);
		free(out);
	}
}

static void nvram_forms(void **state)
{
	static const struct {
		const char *os;
		const char *pool_path;
		const char *there, *gone; /* 'there' NULL: refused */
	} cases[] = {
	        {"<nvram template='/t.fd'>/n/web-1.fd</nvram>", "/p", "template=\"/n/web-1.fd\"",
	         "/t.fd"},
	        {"<nvram template='/t.fd'/>", "/p", "template=\"/t.fd\"", "_VARS"},
	        {"<nvram type='file'><source file='/n/a.fd'/></nvram>", "/p",
	         "template=\"/n/a.fd\"", "<source file"},
	        {"<nvram type='network'><source protocol='iscsi'/></nvram>", "/p", NULL, NULL},
	        {"<nvram>/n/web-1.fd</nvram>", "", NULL, NULL},
	        {"<nvram format='qcow2'>/n/a.qcow2</nvram>", "/p", "templateFormat=\"qcow2\"",
	         "x-x"},
	};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char xml[512], *out = NULL;
		struct gn_shadow_spec s = {.name = "b", .vcpus = 1, .memory_bytes = 1 << 20};
		struct gn_status status = {0};
		int error;

		strcpy(s.pool_path, cases[i].pool_path);
		snprintf(xml, sizeof xml,
		         "<domain><name>a</name><vcpu>2</vcpu><os firmware='efi'>%s</os></domain>",
		         cases[i].os);
		error = gn_domain_xml_shadow(xml, "a", &s, &out, &status);
		if (cases[i].there
		            ? error || !strstr(out, cases[i].there) || strstr(out, cases[i].gone)
		            : status.code != GN_FAILED_PRECONDITION)
			fail_msg("%s: %s", cases[i].os, out ? out : status.message);
		free(out);
	}
}

static void a_shadows_mark_is_replaced(void **state)
{
	struct gn_shadow_spec s = {.name = "b", .vcpus = 1};
	char *out = NULL;

	assert_int_equal(
	        gn_domain_xml_shadow(
	                "<domain><name>a</name><metadata><g:shadow xmlns:g='" GN_SHADOW_XMLNS
	                "' of='old'/></metadata></domain>",
	                "a", &s, &out, NULL),
	        0);
	assert_int_equal(count(out, GN_SHADOW_XMLNS), 1);
	assert_null(strstr(out, "old"));
	free(out);
}

static void launch_security(void **state)
{
	struct gn_shadow_spec s = {.name = "b", .vcpus = 1};
	struct gn_status status = {0};
	char *out = NULL;

	assert_int_not_equal(
	        gn_domain_xml_shadow("<domain><name>a</name><launchSecurity type='sev'/>"
	                             "</domain>",
	                             "a", &s, &out, &status),
	        0);
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
}

static void hostile(void **state)
{
	static const char *const cases[] = {
	        "",
	        " ",
	        "<",
	        "<domain",
	        "<domain><devices></domain>",
	        "<network/>",
	        "<domain xmlns:x='&a;'/>",
	        "\xff\xfe<\0d",
	        "<domain>\xff\xff</domain>",
	        "<!DOCTYPE domain [<!ENTITY a 'aaaa'><!ENTITY b "
	        "'&a;&a;&a;&a;'>]><domain>&b;</domain>",
	        "<!DOCTYPE domain SYSTEM 'http://192.0.2.1/x.dtd'><domain/>",
	        "<!DOCTYPE domain [<!ENTITY x SYSTEM "
	        "'file:///etc/passwd'>]><domain><name>&x;</name>"
	        "</domain>",
	        "<?xml version='1.0' encoding='UTF-16'?><domain>&x;</domain>",
	        "<domain>&undefined;</domain>",
	};
	struct gn_shadow_spec s = spec();
	struct gn_vm_description d;
	char *out = NULL, *deep;
	size_t i, n = 100000;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct gn_status status = {0};

		assert_int_not_equal(gn_domain_xml_describe(cases[i], &d, &status), 0);
		assert_true(status.message[0] != '\0');
		assert_int_not_equal(gn_domain_xml_shadow(cases[i], "a", &s, &out, &status), 0);
	}
	deep = malloc(n * 3 + 32);
	assert_non_null(deep);
	strcpy(deep, "<domain>");
	for (i = 0; i < n; i++)
		memcpy(deep + 8 + 3 * i, "<a>", 4);
	assert_int_not_equal(gn_domain_xml_describe(deep, &d, NULL), 0);
	memset(deep, 'x', n * 3);
	free(deep);
	deep = malloc(GN_DOMAIN_XML_MAX + 64);
	assert_non_null(deep);
	memset(deep, ' ', GN_DOMAIN_XML_MAX + 32);
	memcpy(deep, "<domain>", 8);
	strcpy(deep + GN_DOMAIN_XML_MAX + 20, "</domain>");
	assert_int_not_equal(gn_domain_xml_describe(deep, &d, NULL), 0);
	free(deep);
}

static void overlong_parts(void **state)
{
	struct gn_shadow_spec s = spec();
	struct gn_status status = {0};
	struct gn_vm_description d;
	char device[1024], path[400], *xml;

	memset(path, 'a', sizeof path - 1);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	snprintf(device, sizeof device, "<serial type='file'><source path='%s'/></serial>", path);
	assert_null(make(device, &s, &status));
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	path[100] = '\0'; /* fits, but the shadow's does not */
	snprintf(device, sizeof device,
	         "<serial type='unix'><source mode='bind' path='%s'/></serial>", path);
	assert_null(make(device, &s, &status));
	assert_int_equal(status.code, GN_FAILED_PRECONDITION);
	path[100] = 'a';
	snprintf(device, sizeof device,
	         "<disk type='file'><source file='%s'/><target dev='vdb'/></disk>", path);
	xml = with_devices(device);
	assert_int_equal(gn_domain_xml_describe(xml, &d, NULL), 0);
	assert_string_equal(d.disks[1].source, "");
	free(xml);
}

static int set_up(void **state)
{
	gn_domain_xml_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(describes),
	        cmocka_unit_test(describes_poor_domains),
	        cmocka_unit_test(clones),
	        cmocka_unit_test(keeps_what_can_be_kept),
	        cmocka_unit_test(refuses_what_cannot_be_cloned),
	        cmocka_unit_test(lists_all_refusals),
	        cmocka_unit_test(spec_must_name_everything),
	        cmocka_unit_test(files_for_files),
	        cmocka_unit_test(shares_nothing_writable),
	        cmocka_unit_test(qemu_arguments),
	        cmocka_unit_test(nvram_forms),
	        cmocka_unit_test(a_shadows_mark_is_replaced),
	        cmocka_unit_test(launch_security),
	        cmocka_unit_test(hostile),
	        cmocka_unit_test(overlong_parts),
	};

	return cmocka_run_group_tests_name("shim xml", tests, set_up, NULL);
}
