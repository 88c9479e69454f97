#!/usr/bin/python3
"""gnomon-shim on real libvirt and QEMU (TCG), over TLS: queries, commands, shadows, a guest
that cooperates, one that does not, a shim that is killed again and again, a libvirtd that
hangs and one that is replaced. Everything runs under a private libvirtd."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{ROOT}/tools/devbox")
from private_libvirt import Error, PrivateLibvirt  # noqa: E402

BUILD = os.path.abspath(os.environ.get("GN_BUILD", f"{ROOT}/build"))
SHADOW_NS = "{https://gnomon.dev/xmlns/1}shadow"

BARE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory>
<vcpu current='1'>4</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>{os}</os>
<features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<serial type='pty'/><memballoon model='virtio'/></devices></domain>"""

GUEST = """<domain type='qemu'><name>guest-1</name><memory unit='MiB'>256</memory>
<vcpu current='1'>4</vcpu><memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{guest}/vmlinuz</kernel>
<initrd>{guest}/initramfs.gz</initrd><cmdline>console=ttyS0 panic=-1</cmdline></os>
<features><acpi/></features><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<serial type='file'><source path='{log}'/></serial><memballoon model='virtio'/></devices></domain>"""

NET = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>net-1</name><title>A web server</title>
<metadata><o:owner xmlns:o='urn:owner' team='shop'/></metadata>
<memory unit='MiB'>512</memory><currentMemory unit='MiB'>384</currentMemory>
<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
<vcpu placement='static' current='2'>4</vcpu><cputune><shares>2048</shares></cputune>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
<features><acpi/><apic/></features><cpu mode='maximum'/>
<clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/>
<source type='unix' path='{sockets}/net-1-vda.sock'><reconnect enabled='yes' timeout='1'/></source>
<target dev='vda' bus='virtio'/></disk>
<interface type='vhostuser'><mac address='52:54:00:77:00:05'/>
<source type='unix' path='{sockets}/net-1-net0.sock' mode='client'>
<reconnect enabled='yes' timeout='1'/></source><model type='virtio'/><driver queues='2'/></interface>
<serial type='unix'><source mode='bind' path='{sockets}/net-1.console'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<graphics type='vnc' port='5999' autoport='no' listen='127.0.0.1'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='virtio'><stats period='2'/></memballoon></devices>
<qemu:override><qemu:device alias='net0'><qemu:frontend>
<qemu:property name='vectors' type='unsigned' value='0'/></qemu:frontend></qemu:device></qemu:override>
</domain>"""

CONFIG = """url: tls+tcp://127.0.0.1:{port}
tls: {{ca: {ca}/cards.pem, cert: {ca}/hosts/host-1.pem, key: {ca}/hosts/host-1.key}}
libvirt_uri: {uri}
journal: {dir}/journal
verify_seconds: 12
stats_period_seconds: 1
limits:
  vms: ['bare-*', 'guest-*', 'net-*', 'efi-*', 'nobody']
  max_vcpus: 16
  max_memory_mib: 4096
  min_memory_mib: 32
  allow_shadow: true
  allow_pause: true
  shadow_paths: [{dir}]
"""


class Report:
    def __init__(self):
        self.number = self.failed = 0

    def line(self, good, name, why=""):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)
        if why:
            print("".join(f"# {line}\n" for line in why.strip().splitlines()), end="", flush=True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)


def run(*command, check=True):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=check, timeout=120).stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    """The private libvirtd, the certificates, the shim, and the client that plays the card."""

    def __init__(self, directory, report):
        self.dir, self.report = directory, report
        self.libvirt = PrivateLibvirt(f"{directory}/l")
        self.shim = None
        self.port = free_port()
        self.ca = f"{directory}/ca"

    def virsh(self, *arguments):
        return run("virsh", "-q", "-c", self.libvirt.uri, *arguments)

    def define(self, xml, start):
        path = f"{self.dir}/domain.xml"
        with open(path, "w", encoding="utf-8") as out:
            out.write(xml)
        self.virsh("define", path)
        if start:
            self.virsh("start", ET.fromstring(xml).findtext("name"))

    def certificates(self):
        tool = f"{BUILD}/bin/gnomon-ca"
        run(tool, "init", self.ca)
        run(tool, "issue", self.ca, "hosts", "host-1", "--san", "localhost")
        run(tool, "issue", self.ca, "cards", "card-1", "--san", "localhost")
        run(tool, "issue", self.ca, "operators", "eve", "--san", "localhost")

    def start_shim(self):
        path = f"{self.dir}/shim.yaml"
        with open(path, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(port=self.port, ca=self.ca, uri=self.libvirt.uri, dir=self.dir))
        with open(f"{self.dir}/shim.log", "ab") as log:
            self.shim = subprocess.Popen([f"{BUILD}/bin/gnomon-shim", "--config", path],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end_shim(self, number=signal.SIGTERM):
        if self.shim:
            self.shim.send_signal(number)
            self.shim.wait(30)
            self.shim = None

    def client(self, part, who="cards/card-1", prefix=None):
        """Runs a part of the client; its TAP lines become ours."""
        env = dict(os.environ, GN_SHIM_URL=f"tls+tcp://localhost:{self.port}",
                   GN_SHIM_CA=f"{self.ca}/hosts.pem", GN_SHIM_CERT=f"{self.ca}/{who}.pem",
                   GN_SHIM_KEY=f"{self.ca}/{who}.key", GN_SHIM_SOCKETS=self.dir)
        done = subprocess.run([f"{BUILD}/bin/shim-qemu-client", part], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                              timeout=300, check=False)
        self.report_tap(prefix or part, done.stdout)
        return done.stdout

    def report_tap(self, prefix, output):
        lines = re.findall(r"^(not ok|ok)\b\s*\d*\s*-?\s*(\S+)(.*)$", output, re.M)
        if not lines:
            self.report.line(False, f"{prefix} ran", output)
        for verdict, name, rest in lines:
            if "SKIP" in rest.upper():
                self.report.skip(f"{prefix}: {name}", "libvirtd has no cpu controller here")
            else:
                self.report.line(verdict == "ok", f"{prefix}: {name}",
                                 "" if verdict == "ok" else output + self.log_tail())

    def log_tail(self):
        try:
            with open(f"{self.dir}/shim.log", encoding="utf-8", errors="replace") as log:
                return "".join(log.readlines()[-15:])
        except OSError as error:
            return str(error)

    def libvirtd_pid(self):
        return next(pid for pid, name in self.libvirt.processes().items() if name == "libvirtd")

    def close(self):
        if self.shim:
            self.shim.kill()
            self.shim.wait()
        self.libvirt.stop()


# ---- the shadow's definition next to the production VM's ---------------------------------


def flatten(element, path=""):
    """Every text and attribute as {path: value}; siblings are numbered."""
    found, seen = {}, {}
    for name, value in element.attrib.items():
        found[f"{path}@{name}"] = value
    if element.text and element.text.strip():
        found[path] = element.text.strip()
    for child in element:
        if child.tag == "controller":  # libvirt may list them in another order
            key = f"{child.get('type')},{child.get('index')}"
        else:
            key = seen[child.tag] = seen.get(child.tag, 0) + 1
        found.update(flatten(child, f"{path}/{child.tag}[{key}]"))
    return found


# What may differ, and nothing else.
MAY_DIFFER = [r"^/name\[1\]$", r"^/uuid\[1\]$", r"^/metadata\[1\]/" + re.escape(SHADOW_NS),
              r"^/currentMemory\[1\]$", r"^/vcpu\[1\]@current$", r"^/cputune\[1\]/",
              r"^/devices\[1\]/disk\[1\]/source\[1\]@path$",
              r"^/devices\[1\]/interface\[1\]/source\[1\]@path$",
              r"^/devices\[1\]/(serial|console)\[1\]/source\[1\]@path$",
              r"^/devices\[1\]/graphics\[1\]@(port|autoport)$"]


def check_clone(bench):
    old = flatten(ET.fromstring(bench.virsh("dumpxml", "--inactive", "net-1")))
    new = flatten(ET.fromstring(bench.virsh("dumpxml", "--inactive", "net-1-shadow")))
    differ = [path for path in sorted(set(old) | set(new)) if old.get(path) != new.get(path)]
    wrong = [f"{path}: {old.get(path)} -> {new.get(path)}" for path in differ
             if not any(re.match(may, path) for may in MAY_DIFFER)]
    bench.report.line(not wrong, "shadow: libvirt has it as an exact clone", "\n".join(wrong))
    must = ["/devices[1]/disk[1]/source[1]@path", "/devices[1]/interface[1]/source[1]@path",
            "/devices[1]/serial[1]/source[1]@path", "/uuid[1]", f"/metadata[1]/{SHADOW_NS}[1]@of"]
    same = [path for path in must if old.get(path) == new.get(path)]
    bench.report.line(not same, "shadow: it shares no socket with the production VM",
                      "\n".join(same))
    listed = bench.virsh("pool-list", "--name")
    bench.report.line("gnomon-shadows" in listed, "shadow: its pool runs")


def prepare_efi(bench):
    """A domain with flash firmware and variables; the firmware is only there to be loaded."""
    with open(f"{bench.dir}/code.fd", "wb") as code:
        code.write(b"\xf4" * (256 << 10))
    with open(f"{bench.dir}/efi-1_VARS.fd", "wb") as variables:
        variables.write(b"production's own boot order".ljust(64 << 10, b"\xff"))
    bench.define(BARE.format(name="efi-1", os=(
        f"<loader readonly='yes' type='pflash'>{bench.dir}/code.fd</loader>"
        f"<nvram>{bench.dir}/efi-1_VARS.fd</nvram>")), False)


def check_nvram(bench):
    with open(f"{bench.dir}/efi-1_VARS.fd", "rb") as old:
        want = old.read()
    try:
        with open(f"{bench.dir}/pool/efi-1-shadow_VARS.fd", "rb") as new:
            have = new.read()
    except OSError as error:
        have = str(error).encode()
    bench.report.line(have == want, "shadow: it starts with a copy of the NVRAM",
                      "" if have == want else repr(have[:80]))


# ---- parts ---------------------------------------------------------------------------------


def storm(bench, kills=15):
    """Kills and restarts the shim while the client's chain of commands runs."""
    def kill():
        for _ in range(kills):
            time.sleep(random.uniform(0.2, 1.2))
            bench.end_shim(signal.SIGKILL)
            bench.start_shim()
        with open(f"{bench.dir}/storm-over", "wb"):
            pass

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        output = bench.client("storm")
    finally:
        killer.join()
    print("# " + " ".join(re.findall(r"storm of.*", output)), flush=True)


def libvirtd_troubles(bench):
    bench.client("back", prefix="after the storm")
    pid = bench.libvirtd_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        bench.client("hang")
    finally:
        os.kill(pid, signal.SIGCONT)
    bench.client("back", prefix="after the hang")
    bench.libvirt.restart(number=signal.SIGKILL)
    bench.client("back", prefix="after another libvirtd")


def guest(bench):
    names = ("reports_memory", "grows", "balloons")
    folder = f"{BUILD}/guest"
    if not os.path.exists(f"{folder}/initramfs.gz"):
        for name in names:
            bench.report.skip(f"guest: {name}", f"{folder} is not built; 'make' builds it")
        return
    log = f"{bench.dir}/guest.log"
    bench.define(GUEST.format(guest=folder, log=log), True)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        time.sleep(0.2)
        if os.path.exists(log) and b"gn: ready" in open(log, "rb").read():
            break
    bench.client("guest")
    bench.virsh("destroy", "guest-1")


def everything(bench):
    bench.libvirt.start()
    bench.certificates()
    bench.define(BARE.format(name="bare-1", os=""), True)
    bench.define(NET.format(sockets=bench.dir), False)
    prepare_efi(bench)
    bench.start_shim()
    bench.client("back", prefix="at the start")
    bench.client("host")
    bench.client("stranger", who="operators/eve")
    bench.client("command")
    bench.client("shadow")
    check_clone(bench)
    check_nvram(bench)
    bench.client("undefine")
    storm(bench)
    libvirtd_troubles(bench)
    guest(bench)
    bench.report.skip("guest: a vCPU is taken away", "needs KVM: QEMU's TCG crashes after it")
    bench.end_shim()
    left = [line for line in bench.virsh("list", "--all", "--name").split() if "shadow" in line]
    bench.report.line(not left, "no shadow is left", " ".join(left))


def missing():
    for path in ("/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-system-x86_64"):
        if not os.path.exists(path):
            return f"{path} is not installed"
    for name in ("gnomon-shim", "shim-qemu-client", "gnomon-ca"):
        if not os.path.exists(f"{BUILD}/bin/{name}"):
            return f"{BUILD}/bin/{name} is not built"
    return "" if os.geteuid() == 0 else "a private libvirtd needs root"


def main():
    report, why = Report(), missing()
    if why:
        report.skip("the shim on real QEMU", why)
        return 0
    directory = tempfile.mkdtemp(prefix="gnq", dir="/tmp")
    bench = Bench(directory, report)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        everything(bench)
    except (Error, subprocess.SubprocessError, OSError) as error:
        report.line(False, "the test's own machinery",
                    f"{error}\n{getattr(error, 'stderr', '') or ''}")
    finally:
        bench.close()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"1..{report.number}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
