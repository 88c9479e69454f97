"""The whole of gnomon on one machine (board devbox), with real VMs under a libvirtd of its own.
Used by 'make run' and by the end-to-end tests.

Everything is in one directory and is ended by stop(); what an earlier run left there because
it was killed is cleaned up by start()."""
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time

import domain
import kvm
import pool
import private_libvirt
from processes import Console, Failed, Hugepages, Process, Supervised, run, wait_for

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONGEST_NAME = len("/vhost/web-1-shadow-net0.sock") + 16
SUN_PATH_MAX = 107


class Vm:
    """One production VM: what its guest does ('arguments' for gn-load) and how it is managed. With
    'agent' it has a channel for gnomon-guest."""

    def __init__(self, name, index, arguments="", policy=None, vcpus=1, max_vcpus=4, memory_mib=256,
                 current_mib=192, disk_mib=64, nics=("net0",), vlan=0, file_system=None, agent=False,
                 initrd=None):
        self.name, self.index, self.arguments = name, index, arguments
        self.policy = policy or {}
        self.vcpus, self.max_vcpus = vcpus, max_vcpus
        self.memory_mib, self.current_mib, self.disk_mib = memory_mib, current_mib, disk_mib
        self.nics, self.vlan = nics, vlan
        self.file_system = file_system  # that its disk has from the start; "ext4"
        self.agent, self.initrd = agent, initrd

    @property
    def address(self):
        return f"10.77.0.{self.index}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def port_or_free(wanted):
    """The usual port, or another when something has it."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", wanted))
            return wanted
        except OSError:
            return free_port()


CONSOLE_USER = 64123  # nobody has this number: gnomon-console becomes it


class Devbox:
    def __init__(self, build, directory, vms, gnomond=None, tap="gn-up0", usual_ports=False,
                 hugepages=True, console=False, say=lambda text: None, shim=None):
        self.build, self.dir, self.vms, self.say = os.path.abspath(build), directory, vms, say
        self.gnomond_settings, self.shim_settings = gnomond or {}, shim or {}
        self.tap, self.hugepages = tap, hugepages
        pick = port_or_free if usual_ports else lambda _: free_port()
        self.control_port, self.events_port, self.shim_port = pick(7443), pick(7444), pick(7445)
        self.console_port = pick(8443) if console else None  # of gnomon-console; None: not started
        self.libvirt = private_libvirt.PrivateLibvirt(self.path("libvirt"))
        self.pool = pool.Pool(self.path("pool"))
        self.hugetlb = Hugepages(320, self.path("hugepages")) if hugepages else None
        self.dataplane = self._process("gnomon-dataplane")
        self.introspect = Supervised(self._process("gnomon-introspect"))
        self.shim = self._process("gnomon-shim")
        self.gnomond = self._process("gnomond")
        self.web = Supervised(self._process("gnomon-console"))
        self.first_password = None  # of the account 'admin'; must be changed at the first login
        self.lock = None
        self.kvm = False

    # -- paths ------------------------------------------------------------------------------

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def program(self, name):
        return f"{self.build}/bin/{name}"

    def _process(self, name):
        return Process(name, [self.program(name), "--config", self.path(f"{name}.yaml")],
                       self.path("log", f"{name}.log"))

    # -- start ------------------------------------------------------------------------------

    def start(self):
        steps = [("preparing the directory", self._prepare),
                 ("making the shadows' pool", self._pool),
                 ("reserving hugepages for DPDK", self._hugepages),
                 ("looking whether KVM boots a guest here", self._probe_kvm),
                 ("issuing certificates from three demo roots", self._certificates),
                 ("starting a private libvirtd", self._libvirt),
                 ("starting gnomon-dataplane (DPDK)", self._dataplane),
                 ("starting gnomon-introspect", self._introspect),
                 ("starting gnomon-shim", self._shim),
                 ("starting gnomond", self._gnomond),
                 *([("starting gnomon-console", self._web)] if self.console_port else []),
                 ("waiting for the VMs' ports and volumes", self._sockets)]
        steps += [(f"booting {vm.name} ({'KVM' if self.kvm else 'QEMU'})",
                   lambda vm=vm: self.boot(vm)) for vm in self.vms]
        begin = time.monotonic()
        for number, (text, step) in enumerate(steps, 1):
            self.say(f"[{number:2}/{len(steps)}] {time.monotonic() - begin:5.1f} s  {text}")
            step()
        return self

    def _prepare(self):
        if os.geteuid() != 0:
            raise Failed("root is needed: for hugepages, tap devices and libvirt's QEMU")
        longest = len(os.path.abspath(self.dir)) + LONGEST_NAME
        if longest > SUN_PATH_MAX:
            raise Failed(f"the path {self.dir} is too long for Unix sockets by "
                         f"{longest - SUN_PATH_MAX} characters")
        os.makedirs(self.dir, exist_ok=True)
        self.lock = open(self.path("lock"), "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.lock.close()
            self.lock = None
            raise Failed(f"another run uses {self.dir}: end it first") from None
        self.libvirt.stop()
        self.pool.stop()
        if self.hugetlb:
            self.hugetlb.recover()
        for name in os.listdir(self.dir):
            if name not in ("lock", "report.json"):
                remove(self.path(name))
        for name in ("log", "console", "vhost", "disks", "state", "agents", "accounts"):
            os.makedirs(self.path(name), exist_ok=True)

    def _pool(self):
        self.pool.start()
        if not self.pool.has_reflink:
            self.say(f"         plain directory, so snapshots are copies: {self.pool.why_plain}")

    def _hugepages(self):
        if self.hugetlb:
            self.hugetlb.start()

    def _probe_kvm(self):
        self.kvm = kvm.works(f"{self.build}/guest")

    def _certificates(self):
        ca = [self.program("gnomon-ca")]
        run(ca + ["init", self.path("ca")])
        local = ["--san", "localhost", "--san", "127.0.0.1"]
        run(ca + ["issue", self.path("ca"), "cards", "card", *local])
        run(ca + ["issue", self.path("ca"), "hosts", "shim", *local])
        run(ca + ["issue", self.path("ca"), "operators", "operator"])

    def _tls(self, root, own, trusted):
        return {"ca": self.path("ca", f"{trusted}.pem"), "cert": self.path("ca", root, f"{own}.pem"),
                "key": self.path("ca", root, f"{own}.key")}

    def _libvirt(self):
        self.libvirt.start()

    def _write(self, name, settings):
        """YAML is a superset of JSON."""
        with open(self.path(f"{name}.yaml"), "w", encoding="utf-8") as file:
            json.dump(settings, file, indent=1)

    def _board(self):
        with open(f"{REPOSITORY}/board/devbox/board.yaml", encoding="utf-8") as file:
            text = file.read().replace("iface=gn-up0", f"iface={self.tap}")
        if not self.hugepages:
            text = text.replace("hugepages: true", "hugepages: false")
        with open(self.path("board.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path("board.yaml")

    def _dataplane(self):
        self._write("gnomon-dataplane", {
            "board": self._board(), "run_dir": self.dir, "state_dir": self.path("state", "dataplane"),
            "file_prefix": f"gnomon-{os.getpid()}"})
        self.start_dataplane()

    def start_dataplane(self):
        self.dataplane.start().wait_until(lambda: listens(self.path("dataplane.ipc")), 30,
                                          "its control socket")

    def _introspect(self):
        self._write("gnomon-introspect", {"run_dir": self.dir})
        self.start_introspect()

    def start_introspect(self):
        self.introspect.start()
        self.introspect.process.wait_until(lambda: listens(self.path("guests.ipc")), 20, "its socket")

    def tend(self):
        """Starts gnomon-introspect and gnomon-console again if they ended, as the card's init does; the
        others' ends are for the caller to judge. Returns sentences when there is something to say, else
        None."""
        said = [self.introspect.tend(), self.web.tend()]
        return "\n".join(filter(None, said)) or None

    def _shim(self):
        self._write("gnomon-shim", {
            "url": f"tls+tcp://127.0.0.1:{self.shim_port}", "tls": self._tls("hosts", "shim", "cards"),
            "libvirt_uri": self.libvirt.uri, "journal": self.path("state", "shim.journal"),
            "verify_seconds": 20, "stats_period_seconds": 1, "agents": self.path("agents"),
            "limits": {"vms": ["*"], "max_vcpus": 8, "max_memory_mib": 4096, "allow_shadow": True,
                       "allow_pause": True, "allow_failover": True, "shadow_paths": [self.dir]},
            **self.shim_settings})
        self.start_shim()

    def start_shim(self):
        self.shim.start().wait_until(lambda: accepts(self.shim_port), 20, "its listening port")

    def _gnomond(self):
        for vm in self.vms:
            with open(self.path("disks", f"{vm.name}-vda.raw"), "wb") as file:
                file.truncate(vm.disk_mib << 20)
            if vm.file_system:
                run([f"mkfs.{vm.file_system}", "-q", file.name])
        card = self._tls("cards", "card", "operators")
        settings = {
            "board": "devbox", "state_dir": self.path("state"), "run_dir": self.dir,
            "pool_path": self.path("pool"),
            "control": {"url": f"tls+tcp://127.0.0.1:{self.control_port}", "tls": card},
            "events": {"url": f"tls+tcp://127.0.0.1:{self.events_port}", "tls": card},
            "control_local": {"url": f"ipc://{self.path('gnomond.ipc')}"},
            "events_local": {"url": f"ipc://{self.path('events.ipc')}"},
            **({"local_group": str(CONSOLE_USER)} if self._others_pass() else {}),
            "dataplane": {"url": f"ipc://{self.path('dataplane.ipc')}"},
            "samples": {"url": f"ipc://{self.path('samples.ipc')}"},
            "guests": {"url": f"ipc://{self.path('guests.ipc')}"},
            "shim": {"url": f"tls+tcp://127.0.0.1:{self.shim_port}",
                     "tls": dict(self._tls("cards", "card", "hosts"), name="shim")},
            "vms": [self._seed(vm) for vm in self.vms]}
        settings.update(self.gnomond_settings)
        self._write("gnomond", settings)
        self._write("ctl", {"server": f"tls+tcp://127.0.0.1:{self.control_port}",
                            "events": f"tls+tcp://127.0.0.1:{self.events_port}",
                            **self._tls("operators", "operator", "cards")})
        self.start_gnomond()

    def _seed(self, vm):
        seed = {"name": f"vms/{vm.name}",
                "nics": [{"name": nic, "vlan": vm.vlan} for nic in vm.nics],
                "disks": [{"name": "vda", "path": self.path("disks", f"{vm.name}-vda.raw")}]}
        return dict(seed, policy=vm.policy) if vm.policy else seed

    def start_gnomond(self):
        self.gnomond.start().wait_until(lambda: listens(self.path("gnomond.ipc")), 20,
                                        "its control socket")

    def _others_pass(self):
        """Whether another user reaches what is below our directory (not below a private /root, say):
        else the console stays root, with no files and system calls but its own."""
        path = os.path.abspath(self.dir)
        while os.stat(path).st_mode & 1 and path != "/":
            path = os.path.dirname(path)
        return path == "/"

    def _web(self):
        """The first account has a password of this run alone: it is printed once, kept nowhere, and
        good for one login, which has to change it."""
        if self._others_pass():
            os.chown(self.path("accounts"), CONSOLE_USER, CONSOLE_USER)
        self._write("gnomon-console", {
            "listen": f"https://127.0.0.1:{self.console_port}", "tls": self._tls("cards", "card", "cards"),
            "control_url": f"ipc://{self.path('gnomond.ipc')}", "events_url": f"ipc://{self.path('events.ipc')}",
            "accounts_file": self.path("accounts", "accounts.json"),
            **({"user": str(CONSOLE_USER)} if self._others_pass() else {}), "web_dir": f"{self.build}/web",
            "metrics_token_file": self.path("metrics.token")})
        with open(self.path("metrics.token"), "w", encoding="ascii", opener=private) as file:
            file.write(secrets.token_hex(32) + "\n")
        self.first_password = secrets.token_urlsafe(12)
        run([*self.web.process.command, "account", "add", "admin", "admin"], text=self.first_password + "\n")
        self.web.start()
        self.web.process.wait_until(lambda: accepts(self.console_port), 20, "its listening port")

    def _sockets(self):
        for vm in self.vms:
            for part in [*vm.nics, "vda"]:
                path = self.path("vhost", f"{vm.name}-{part}.sock")
                self.gnomond.wait_until(lambda path=path: os.path.exists(path), 20, f"the socket {path}")

    def boot(self, vm):
        path = self.path(f"{vm.name}.xml")
        arguments = f"gn.ip={vm.address}/24 {vm.arguments}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain.domain_xml(
                vm.name, f"{self.build}/guest", self.path("vhost"), self.path("console", f"{vm.name}.sock"),
                nics=[(nic, domain.mac_of(vm.index * 8 + i)) for i, nic in enumerate(vm.nics)],
                disks=["vda"], vcpus=vm.vcpus, max_vcpus=vm.max_vcpus, memory_mib=vm.memory_mib,
                current_mib=vm.current_mib, arguments=arguments, kvm=self.kvm, initrd=vm.initrd,
                channel=self.path("agents", f"{vm.name}.sock") if vm.agent else None))
        self.virsh("define", path)
        self.virsh("start", vm.name)

    def wait_booted(self, vm, seconds=90):
        """Returns the guest's console, once its load program answers."""
        return self.console(vm.name).wait_ready(seconds)

    # -- use --------------------------------------------------------------------------------

    def virsh(self, *arguments):
        return run(["virsh", "-c", self.libvirt.uri, *arguments])

    def console(self, name):
        return Console(self.path("console", f"{name}.sock")).connect()

    def shadow_console(self, name):
        """The shim gives a shadow's console the production one's path and its domain's name."""
        return Console(self.path("console", f"{name}.sock-{name}-shadow")).connect()

    def ctl_command(self, *arguments):
        return [self.program("gnomonctl"), "--config", self.path("ctl.yaml"), *arguments]

    def ctl(self, *arguments):
        """gnomonctl's answer, decoded."""
        text = run(self.ctl_command("--json", *arguments))
        return json.loads(text) if text.strip() else None

    def vcpus(self, name):
        text = self.virsh("vcpucount", name, "--current", "--live")
        return int(text.split()[0])

    # -- stop -------------------------------------------------------------------------------

    def stop(self):
        """Ends everything that start() began, in reverse; safe at any point, any number of times."""
        if not self.lock:  # not begun, or the directory is another run's
            return
        errors = []
        for end in (self.web.process.stop, self.gnomond.stop, self.shim.stop, self.introspect.process.stop, self.libvirt.stop,
                    self.dataplane.stop, self.pool.stop, self._remove_files,
                    self.hugetlb.stop if self.hugetlb else lambda: None):
            try:
                end()
            except Exception as error:  # whatever one part says, the others end too
                errors.append(str(error))
        if errors:
            raise Failed("; ".join(errors))

    def _remove_files(self):
        for name in os.listdir(self.dir):
            if name not in ("log", "report.json", "lock"):
                remove(self.path(name))
        os.unlink(self.path("lock"))  # while it is held: its next holder has another file
        self.lock.close()
        self.lock = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


def private(path, flags):
    return os.open(path, flags, 0o600)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def listens(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            return True
        except OSError:
            return False


def accepts(port):
    with socket.socket() as s:
        s.settimeout(1)
        try:
            s.connect(("127.0.0.1", port))
            return True
        except OSError:
            return False


def short_directory():
    """For tests: Unix socket paths must stay short."""
    return tempfile.mkdtemp(prefix="gn-", dir="/tmp")
