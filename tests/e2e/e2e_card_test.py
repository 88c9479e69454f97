#!/usr/bin/python3
"""Two machines: the card's image runs in its own, and serves a host that it is joined to by network
links alone. The VM's frames go through the card's ports, its disk comes from the card by NBD with
TLS, and the card commands the host's shim over TLS: samples, forecast, plan, action."""
import os
import shutil
import subprocess
import sys

import tap
import domain
import private_libvirt
from devbox import Devbox, REPOSITORY, Vm, free_port, short_directory
from processes import Failed, run, wait_for

sys.path.insert(0, f"{REPOSITORY}/tools/image")
import machine

NIC = """
    <interface type='udp'>
      <mac address='52:54:00:77:00:08'/>
      <source address='127.0.0.1' port='{card}'><local address='127.0.0.1' port='{here}'/></source>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>"""
DISK = """
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='nbd' name='web-1-vda' tls='yes'><host name='127.0.0.1' port='{nbd}'/></source>
      <target dev='vda' bus='virtio'/>
    </disk>"""
UNREACHABLE = 3


def udp_ports():
    return free_port(), free_port()


class Host(Devbox):
    """The host beside the card: libvirt and the shim, no dataplane and no gnomond."""

    def __init__(self, build, directory, vm):
        super().__init__(build, directory, [vm], hugepages=False)
        self.libvirt = private_libvirt.PrivateLibvirt(self.path("libvirt"), nbd_tls=self.path("nbd"))
        self.link, self.outside = udp_ports(), udp_ports()
        self.card = machine.Card(
            build, self.path("card"), ports={name: free_port() for name in machine.PORTS},
            links=[f"socket,udp=127.0.0.1:{there},localaddr=127.0.0.1:{card}"
                   for there, card in (self.outside, self.link)],
            disks={"web-1-vda.raw": vm.disk_mib}, site={"gnomond.yaml": self._gnomond_settings(vm)})

    def _gnomond_settings(self, vm):
        identity = lambda root: {"ca": f"/data/identity/{root}.pem", "cert": "/data/identity/card.pem",
                                 "key": "/data/identity/card.key"}
        ipc = lambda name: {"url": f"ipc:///run/gnomon/{name}.ipc"}
        return {"board": "qemu-virt", "state_dir": "/data/state", "run_dir": "/run/gnomon",
                "control": {"url": "tls+tcp://0.0.0.0:7443", "tls": identity("operators")},
                "events": {"url": "tls+tcp://0.0.0.0:7444", "tls": identity("operators")},
                "control_local": ipc("gnomond"), "events_local": ipc("events"),
                "dataplane": ipc("dataplane"), "samples": ipc("samples"), "guests": ipc("guests"),
                "shim": {"url": f"tls+tcp://{machine.HOST}:{self.shim_port}",
                         "tls": dict(identity("hosts"), name="shim")},
                "vms": [{"name": f"vms/{vm.name}", "policy": vm.policy,
                         "nics": [{"name": "net0", "device": "net_af_packet1,iface=eth2"}],
                         "disks": [{"name": "vda", "path": "/data/volumes/web-1-vda.raw",
                                    "nbd_listen": "tcp://0.0.0.0:10809"}]}]}

    def _certificates(self):
        self.card.make_identity()
        os.symlink(self.card.ca, self.path("ca"))
        run([self.program("gnomon-ca"), "issue", self.path("ca"), "hosts", "shim", "--san", "localhost"])
        os.makedirs(self.path("nbd"))
        for name in ("cert", "key"):
            suffix = {"cert": "pem", "key": "key"}[name]
            shutil.copy(self.path("ca", "hosts", f"shim.{suffix}"), self.path("nbd", f"client-{name}.pem"))
        with open(self.path("nbd", "ca-cert.pem"), "wb") as out:
            for root in ("cards", "hosts"):
                with open(self.path("ca", f"{root}.pem"), "rb") as file:
                    out.write(file.read())

    def _dataplane(self):
        """The card has it."""
        self.card.start()

    def _introspect(self):
        """The card has it; guests' memory is not in reach of a card joined by network links."""

    def _gnomond(self):
        self.card.wait_until_up()

    def _sockets(self):
        self.card.wait_for(self.serves_disk, "export of the VM's disk", 120)

    def serves_disk(self):
        probe = subprocess.run(
            ["qemu-img", "info", "--object", f"tls-creds-x509,id=t,endpoint=client,dir={self.path('nbd')}",
             "--image-opts", "driver=nbd,export=web-1-vda,tls-creds=t,server.type=inet,"
             f"server.host=127.0.0.1,server.port={self.card.ports['nbd']}"],
            capture_output=True, check=False, timeout=60)
        return probe.returncode == 0

    def boot(self, vm):
        text = domain.domain_xml(
            vm.name, f"{self.build}/guest", self.path("vhost"), self.path("console", f"{vm.name}.sock"),
            vcpus=vm.vcpus, max_vcpus=vm.max_vcpus, memory_mib=vm.memory_mib, current_mib=vm.current_mib,
            arguments=f"gn.ip={vm.address}/24 {vm.arguments}", kvm=self.kvm)
        devices = DISK.format(nbd=self.card.ports["nbd"]) + NIC.format(here=self.link[0], card=self.link[1])
        path = self.path(f"{vm.name}.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("</emulator>", "</emulator>" + devices))
        self.virsh("define", path)
        self.virsh("start", vm.name)

    def ctl_command(self, *arguments):
        return [*self.card.operator(), *arguments]

    def stop(self):
        super().stop()
        self.card.stop()


def cpu_plan(host, *states):
    plans = host.ctl("plan", "list", "web-1", "--limit", "50").get("plans", [])
    return next((p for p in plans if p["inputs"]["resource"] == "CPU" and p["state"] in states), None)


def body(steps):
    made = subprocess.run([f"{REPOSITORY}/tools/image/image", "qemu-virt", "--build", tap.BUILD],
                          capture_output=True, text=True, check=False)
    if made.returncode == UNREACHABLE:
        print(f"ok 1 - two machines # SKIP {made.stderr.strip().splitlines()[0]}")
        return
    steps.check(made.returncode == 0, "the card's image is built", made.stderr)
    rules = {"resource": "cpu", "quantile_milli": 950, "horizon_ms": 5000, "minimum": 1000, "maximum": 2000,
             "step": 1000, "headroom_milli": 250, "dead_band_milli": 50, "cooldown_ms": 5000,
             "shrink_after_ms": 600000, "max_change": 1000}
    vm = Vm("web-1", 1, "gn.cpu=const:950", {"mode": "forecast_only", "resources": [rules]})
    directory = short_directory()
    host = Host(tap.BUILD, directory, vm)
    try:
        host.start()
        steps.ok("the card boots, and the host's VM is started with its disk and its NIC at the card")
        console = host.wait_booted(vm, 240)
        steps.ok("the VM's guest is up")
        wait_for(lambda: host.ctl("status").get("shim_connected"),
                 120, "the card's connection to the host's shim over TLS")
        steps.ok("the card has the host's shim, over TLS")
        said = console.shell("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync", 120)
        volumes = wait_for(lambda: [v for v in host.ctl("vm", "show", "web-1").get("volumes", [])
                                    if int(v.get("counters", {}).get("write_bytes", 0)) >= 1 << 20],
                           120, f"the guest's writes among the card's counters ({said})")
        steps.check(volumes, "what the guest writes arrives in the card's volume")
        ports = wait_for(lambda: [p for p in host.ctl("vm", "show", "web-1").get("ports", [])
                                  if int(p.get("counters", {}).get("tx_packets", 0))],
                         120, "the guest's frames among the card's counters")
        steps.check(ports, "the guest's frames pass the card's port")
        wait_for(lambda: host.ctl("forecast", "web-1").get("forecasts"), 240, "a forecast on the card")
        steps.ok("the card forecasts the VM's demand")
        plan = wait_for(lambda: cpu_plan(host, "PENDING"), 240, "a plan for a second vCPU")
        steps.check(host.vcpus("web-1") == 1, "the card plans a second vCPU, and waits for an operator",
                    plan["reason"])
        host.ctl("plan", "approve", plan["name"])
        wait_for(lambda: host.vcpus("web-1") == 2, 120, "web-1's second vCPU")
        wait_for(lambda: cpu_plan(host, "DONE"), 60, "the plan's end")
        steps.ok("approved on the card, carried out by the host's shim, verified with libvirt")
    except BaseException:
        if os.path.exists(host.card.console):
            print("".join(f"# card: {line}\n" for line in host.card.said().splitlines()[-30:]))
        tap.tails(host)
        raise
    finally:
        host.stop()
        shutil.rmtree(directory, ignore_errors=True)


tap.run(body)
