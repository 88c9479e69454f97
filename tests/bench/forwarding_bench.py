"""Forwarding on one lcore between two ports that never run dry.

Both ports are net_pcap with infinite_rx, fed with 64 UDP flows of 60 bytes each: one VM on
one side, eight stations on the other, both directions at once; what is sent is counted and
thrown away by the driver. Everything that is compared uses the same driver and the same
captures. Cycles per packet are the polling thread's CPU time over the packets forwarded."""
import os
import re
import statistics
import subprocess
import tempfile
import time

import capture
import harness

FLOWS = 64
STATIONS = 8
VM = 1
OVS = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"


def write_captures(context):
    """Returns the devargs of the VM's and of the network's port."""
    remote = [100 + flow % STATIONS for flow in range(FLOWS)]
    capture.write(f"{context.tmp}/vm.pcap",
                  [capture.frame(VM, remote[f], f, 60) for f in range(FLOWS)])
    capture.write(f"{context.tmp}/net.pcap",
                  [capture.frame(remote[f], VM, 1000 + f, 60) for f in range(FLOWS)])
    return [f"net_pcap{i},rx_pcap={context.tmp}/{name}.pcap,infinite_rx=1"
            for i, name in enumerate(("vm", "net"))]


def snapshot(context, pid, count):
    """CPU time of the threads and packets forwarded, at the same moment. Asking for the
    packets takes time, more on a busy machine, so it is repeated until it was quick."""
    for _ in range(30):
        before = harness.thread_cpu_ns(pid)
        packets = count()
        after = harness.thread_cpu_ns(pid)
        if harness.busiest_thread_ns(before, after) < 0.02 * context.seconds * 1e9:
            return {tid: (before.get(tid, 0) + ns) / 2 for tid, ns in after.items()}, packets
    raise RuntimeError("this machine is too busy to measure anything")


def measure(context, pid, count):
    """Cycles per packet over some seconds; 'count' returns packets forwarded so far."""
    before, first = snapshot(context, pid, count)
    time.sleep(context.seconds)
    after, last = snapshot(context, pid, count)
    if last <= first:
        raise RuntimeError("nothing was forwarded")
    cpu_ns = harness.busiest_thread_ns(before, after)
    return cpu_ns * harness.tsc_hz() / 1e9 / (last - first)


class Testpmd:
    def __init__(self, context, devices, mode):
        self.context = context
        command = ["stdbuf", "-oL", "dpdk-testpmd", "-l", f"{context.cpu_load},{context.cpu_poll}",
                   "--in-memory", "--no-pci", "--file-prefix", "gntestpmd",
                   "--socket-mem", "192"]
        for device in devices:
            command += ["--vdev", device]
        command += ["--", "-i", "-a", "--nb-cores=1", f"--forward-mode={mode}",
                    "--total-num-mbufs=32768"]
        self.process = context.start(command, "testpmd.log", stdin=subprocess.PIPE)
        harness.wait_for(lambda: "packet forwarding" in context.log(self.process), 20,
                         "dpdk-testpmd does not start")

    def count(self):
        seen = len(re.findall(r"TX-packets: (\d+)", self.context.log(self.process)))
        self.process.stdin.write(b"show port stats all\n")
        self.process.stdin.flush()
        found = harness.wait_for(
            lambda: (lambda all: all if len(all) >= seen + 2 else None)(
                re.findall(r"TX-packets: (\d+)", self.context.log(self.process))),
            5, "dpdk-testpmd shows no statistics")
        return int(found[seen]) + int(found[seen + 1])

    def measure(self):
        time.sleep(0.3)
        return measure(self.context, self.process.pid, self.count)

    def stop(self):
        self.context.stop(self.process)


class OpenVSwitch:
    """A private ovsdb-server and ovs-vswitchd, a learning bridge and one polling thread."""

    def __init__(self, context, devices):
        self.context = context
        self.directory = tempfile.mkdtemp(prefix="o-", dir=context.tmp)
        where = self.directory
        self.environment = dict(os.environ, OVS_RUNDIR=where, OVS_DBDIR=where, OVS_LOGDIR=where,
                                OVS_SYSCONFDIR=where)
        self._run("ovsdb-tool", "create", f"{where}/conf.db",
                  "/usr/share/openvswitch/vswitch.ovsschema")
        self.database = context.start(
            ["ovsdb-server", f"{where}/conf.db", f"--remote=punix:{where}/db.sock",
             f"--unixctl={where}/db.ctl"], "ovsdb.log", env=self.environment)
        harness.wait_for(lambda: os.path.exists(f"{where}/db.sock"), 10, "ovsdb-server")
        self._vsctl("--no-wait", "init")
        self._vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                    "other_config:dpdk-socket-mem=256",
                    f"other_config:dpdk-lcore-mask={1 << context.cpu_load:#x}",
                    f"other_config:pmd-cpu-mask={1 << context.cpu_poll:#x}",
                    "other_config:dpdk-extra=--in-memory --no-pci --file-prefix gnovs")
        self.switch = context.start(
            [OVS, f"unix:{where}/db.sock", f"--unixctl={where}/vs.ctl"],
            "ovs.log", env=self.environment)
        harness.wait_for(lambda: os.path.exists(f"{where}/vs.ctl"), 20, "ovs-vswitchd")
        self._vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for i, device in enumerate(devices):
            self._vsctl("add-port", "br0", f"p{i}", "--", "set", "Interface", f"p{i}",
                        "type=dpdk", f"options:dpdk-devargs={device}")
        self._appctl("dpif-netdev/pmd-stats-show")

    def _run(self, *command):
        done = subprocess.run([*self.context.first, *command], env=self.environment, capture_output=True, timeout=30,
                              check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.decode()}")
        return done.stdout.decode()

    def _vsctl(self, *words):
        self._run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=20", *words)

    def _appctl(self, *words):
        return self._run("ovs-appctl", f"--target={self.directory}/vs.ctl", *words)

    def _threads(self):
        """What the polling threads report, without the main thread's part."""
        text = self._appctl("dpif-netdev/pmd-stats-show")
        return text.split("main thread:")[0]

    def count(self):
        found = re.findall(r"packets received: (\d+)", self._threads())
        if not found:
            raise RuntimeError("Open vSwitch has no polling thread")
        return sum(int(n) for n in found)

    def measure(self):
        """Its own figure is kept too, as a check of ours."""
        time.sleep(1.0)
        self._appctl("dpif-netdev/pmd-stats-clear")
        time.sleep(0.3)  # the thread clears them when it comes round to it
        result = measure(self.context, self.switch.pid, self.count)
        self.own_figure = float(re.search(r"avg cycles per packet: ([0-9.]+)",
                                          self._threads()).group(1))
        return result

    def stop(self):
        self.context.stop(self.switch)
        self.context.stop(self.database)


class Gnomon:
    """'vm': the VM's port belongs to a VM, so its packets are counted as features; 'mirror':
    all of them are copied to a third port, which throws them away."""

    def __init__(self, context, devices, vm, mirror):
        self.context = context
        ports = [{"name": "ports/vm", "devargs": devices[0]},
                 {"name": "ports/net", "devargs": devices[1], "uplink": True}]
        if vm:
            ports[0]["vm"] = "vms/a"
        if mirror:
            ports.append({"name": "ports/sink", "devargs": "net_null0,no-rx=1",
                          "isolated": True})
        self.dataplane = harness.Dataplane(context, {"ports": ports})
        if mirror:
            self.dataplane.call("CreateMirror", "name=vms/a/mirrors/m", "port=ports/sink")
        self.mirror = mirror

    def count(self):
        ports = self.dataplane.call("ListPorts")["ports"]
        return sum(p["counters"]["rx_packets"] for p in ports if p["name"] != "ports/sink")

    def measure(self):
        time.sleep(0.3)
        return measure(self.context, self.dataplane.process.pid, self.count)

    def check_mirror(self):
        """The figure of a mirror that copies nothing would flatter."""
        counters = self.dataplane.call("ListMirrors")["mirrors"][0]["counters"]
        if counters["copied"] < 0.99 * counters["seen"] or not counters["seen"]:
            raise RuntimeError(f"the mirror did not copy everything: {counters}")

    def stop(self):
        if self.mirror:
            self.check_mirror()
        self.dataplane.stop()


def collect(context, devices, systems):
    """Runs all, alternating; a list of cycles per packet for each."""
    results = {name: [] for name in systems}
    for index in range(context.rounds):
        for name, start in systems.items():
            system = start(context, devices)
            results[name].append(system.measure())
            system.stop()
            context.processes = [p for p in context.processes if p.poll() is None]
        print(f"#   round {index + 1}: " + ", ".join(
            f"{name} {values[-1]:.1f}" for name, values in results.items()), flush=True)
    return results


def systems_here(context):
    gnomon = {
        "gnomon plain": lambda c, d: Gnomon(c, d, vm=False, mirror=False),
        "gnomon features": lambda c, d: Gnomon(c, d, vm=True, mirror=False),
        "gnomon features+mirror": lambda c, d: Gnomon(c, d, vm=True, mirror=True),
    }
    peers = {
        "testpmd io": lambda c, d: Testpmd(c, d, "io"),
        "testpmd macswap": lambda c, d: Testpmd(c, d, "macswap"),
    }
    if os.access(OVS, os.X_OK):
        peers["OVS-DPDK"] = OpenVSwitch
    else:
        print("# openvswitch-switch-dpdk is not installed: no comparison with it")
    try:
        context.program("gnomon-dataplane")
    except harness.CannotRun as reason:
        print(f"# {reason}: only its peers are measured")
        return peers
    return {**gnomon, **peers}


def rows_of(results):
    """Rates as packets per second of one lcore at the counter's rate."""
    hz = harness.tsc_hz()
    rows = []
    for name, cycles in results.items():
        rows.append(harness.row(f"forwarding, {name}", hz / statistics.median(cycles) / 1e6,
                                "Mpackets/s", True))
    if "gnomon plain" not in results:
        return rows

    def compare(title, ours, theirs, aim, cycles=False):
        mine, peer = results[ours], results[theirs]
        ratio = harness.median_ratio(mine, peer) if cycles else harness.median_ratio(peer, mine)
        value = statistics.median(mine)
        rows.append(harness.row(title, value if cycles else hz / value / 1e6,
                                "cycles/packet" if cycles else "Mpackets/s", not cycles,
                                theirs, ratio, aim))

    compare("forwarding, mirror on", "gnomon features+mirror", "gnomon features", 0.85)
    compare("forwarding, features on", "gnomon features", "gnomon plain", 0.9)
    for peer in ("testpmd io", "testpmd macswap"):
        compare(f"forwarding next to {peer}", "gnomon plain", peer, None)
    if "OVS-DPDK" in results:
        compare("forwarding, features and mirror", "gnomon features+mirror", "OVS-DPDK", 1.0,
                cycles=True)
    return rows


def run(context):
    context.need("dpdk-testpmd")
    context.need_cpus()
    context.need_hugepages(300)
    devices = write_captures(context)
    return rows_of(collect(context, devices, systems_here(context)))
