"""The libvirt definition of a test VM behind gnomon: its NIC and disk are vhost-user sockets of
the dataplane, its RAM is shared, its console a Unix socket."""
import os
from xml.sax.saxutils import escape, quoteattr

# QEMU 7.2 crashes under TCG when a vhost-user device starts with MSI-X; KVM must keep it.
NO_MSIX = """
  <qemu:override>{devices}
  </qemu:override>"""
NO_MSIX_DEVICE = """
    <qemu:device alias='{alias}'><qemu:frontend>
      <qemu:property name='vectors' type='unsigned' value='0'/>
    </qemu:frontend></qemu:device>"""

NIC = """
    <interface type='vhostuser'>
      <mac address={mac}/>
      <source type='unix' path={socket} mode='client'>
        <reconnect enabled='yes' timeout='1'/>
      </source>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>"""
DISK = """
    <disk type='vhostuser' device='disk'>
      <driver name='qemu' type='raw'/>
      <source type='unix' path={socket}>
        <reconnect enabled='yes' timeout='1'/>
      </source>
      <target dev={target} bus='virtio'/>
    </disk>"""
CHANNEL = """
    <channel type='unix'>
      <source mode='bind' path={path}/><target type='virtio' name='org.gnomon.guest.0'/>
    </channel>"""
DOMAIN = """<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <currentMemory unit='MiB'>{current_mib}</currentMemory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu placement='static' current='{vcpus}'>{max_vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='{cpu}'/>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}{nics}
    <controller type='usb' model='none'/>
    <serial type='unix'><source mode='bind' path={console}/><target port='0'/></serial>{channel}
    <memballoon model='virtio'><stats period='1'/></memballoon>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>{override}
</domain>
"""


def mac_of(index):
    return f"52:54:00:77:00:{index:02x}"


def domain_xml(name, guest_dir, vhost_dir, console, nics=(), disks=(), vcpus=1, max_vcpus=4,
               memory_mib=256, current_mib=192, arguments="", kvm=False, channel=None, initrd=None):
    """'nics' are (nic name, MAC), 'disks' target names; sockets are named as gnomond does. 'channel':
    the socket of a port for gnomon-guest."""
    sockets = lambda part: quoteattr(f"{vhost_dir}/{name}-{part}.sock")
    nic_text = "".join(NIC.format(mac=quoteattr(mac), socket=sockets(nic)) for nic, mac in nics)
    disk_text = "".join(DISK.format(target=quoteattr(disk), socket=sockets(disk)) for disk in disks)
    aliases = [f"net{i}" for i in range(len(nics))] + [f"virtio-disk{i}" for i in range(len(disks))]
    override = "" if kvm or not aliases else NO_MSIX.format(
        devices="".join(NO_MSIX_DEVICE.format(alias=alias) for alias in aliases))
    return DOMAIN.format(
        kind="kvm" if kvm else "qemu", cpu="host-passthrough" if kvm else "maximum", name=escape(name),
        memory_mib=memory_mib, current_mib=current_mib, vcpus=vcpus, max_vcpus=max_vcpus,
        kernel=escape(os.path.abspath(f"{guest_dir}/vmlinuz")),
        initrd=escape(os.path.abspath(initrd or f"{guest_dir}/initramfs.gz")),
        channel=CHANNEL.format(path=quoteattr(channel)) if channel else "",
        cmdline=escape(f"console=ttyS0 quiet panic=-1 {arguments}"),
        disks=disk_text, nics=nic_text, console=quoteattr(console), override=override)
