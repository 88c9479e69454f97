#!/usr/bin/python3
"""A libvirtd of one's own: real QEMU domains that disturb nothing on this machine.

    private_libvirt.py start DIR     start it; prints the connection URI
    private_libvirt.py status DIR    what runs in it
    private_libvirt.py restart DIR   another libvirtd; its domains go on
    private_libvirt.py stop DIR      end its domains and processes, remove its files

It has its own mount namespace, in which /run, /etc/libvirt, /var/lib/libvirt,
/var/log/libvirt and /var/cache/libvirt are directories of DIR, and its own cgroup
namespace, so that a libvirtd, its domains and networks that the machine already has are
neither seen nor touched. It opens no network port unless asked to. Everything else of the
file system is as outside: domains reach vhost-user sockets, disks and kernels by the same
paths, except below the five directories above. Connect from outside with

    virsh -c 'qemu:///system?socket=DIR/sock/libvirt-sock'

Its processes are recognised by what they see as /run (DIR/run), never by a name or a
stored number, so 'stop' also cleans up after whoever started it was killed. Needs root.

As a module: 'with PrivateLibvirt(DIR) as libvirt: ... libvirt.uri'."""
import argparse
import contextlib
import ctypes
import fcntl
import grp
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import uuid

# Directory inside DIR -> where libvirtd sees it.
PRIVATE = {
    "run": "/run",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
LIBVIRTD = "/usr/sbin/libvirtd"
CGROUPS = "/sys/fs/cgroup"
SUN_PATH_MAX = 107
# Marks a mount point that was not on this machine before, for its removal afterwards.
MADE_BY_US = "trusted.gnomon.private_libvirt"

CLONE_NEWNS, CLONE_NEWCGROUP = 0x00020000, 0x02000000
MNT_DETACH = 2
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE = 2, 4, 8, 4096, 16384, 1 << 19

LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = {listen_tcp}
{listen}
unix_sock_dir = "{dir}/sock"
unix_sock_rw_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
max_clients = 100
"""

# Domains run as 'user'; as root QEMU has no capability left (libvirt drops them), yet
# opens the sockets and files of whoever started all this.
QEMU_CONF = """\
user = "{user}"
group = "{group}"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
stdio_handler = "file"
hugetlbfs_mount = []
cgroup_controllers = [ "cpu", "cpuacct" ]
{migration}
{nbd}
"""


class Error(Exception):
    """What went wrong and what to do about it, in a sentence."""


# ---- the namespace, seen from outside ------------------------------------------------


def members(directory):
    """The processes that see DIR/run as /run: [(pid, pidfd)]. Close the pidfds."""
    try:
        want = os.stat(f"{directory}/run")
    except FileNotFoundError:
        return []
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            pidfd = os.pidfd_open(int(name))
        except (ProcessLookupError, OSError):
            continue
        try:
            seen = os.stat(f"/proc/{name}/root/run")
        except OSError:
            seen = None
        if seen and (seen.st_dev, seen.st_ino) == (want.st_dev, want.st_ino):
            found.append((int(name), pidfd))
        else:
            os.close(pidfd)
    return found


def program(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return comm.read().strip()
    except OSError:
        return ""


def send(directory, number, only=None):
    """Signals all members (or those of one program name); returns how many there are."""
    count = 0
    for pid, pidfd in members(directory):
        if only is None or program(pid) == only:
            count += 1
            with contextlib.suppress(ProcessLookupError):
                if number:
                    signal.pidfd_send_signal(pidfd, number)
        os.close(pidfd)
    return count


def wait_gone(directory, seconds, only=None):
    end = time.monotonic() + seconds
    while send(directory, 0, only):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def end_processes(directory):
    """libvirtd first, so that it restarts nothing; then QEMU, which ends cleanly on TERM."""
    for only in ("libvirtd", None):
        send(directory, signal.SIGTERM, only)
        if not wait_gone(directory, 5, only):
            send(directory, signal.SIGKILL, only)
            if not wait_gone(directory, 10, only):
                left = [f"{program(pid)} ({pid})" for pid, fd in members(directory)
                        if os.close(fd) is None]
                raise Error(f"still running after SIGKILL: {', '.join(left)}")


# ---- cgroups ------------------------------------------------------------------------


def cgroup_name(directory):
    return "gnomon-" + hashlib.sha256(directory.encode()).hexdigest()[:12]


def hierarchies():
    """Where the CPU controllers are: [(mount point, controllers or None for version 2)]."""
    if os.path.exists(f"{CGROUPS}/cgroup.controllers"):
        return [(CGROUPS, None)]
    found = []
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, point, kind, options = line.split()[:4]
            names = {"cpu", "cpuacct"} & set(options.split(","))
            if kind == "cgroup" and names and point.startswith(CGROUPS + "/"):
                found.append((point, ",".join(sorted(names))))
    return found


def cgroup_leave_nothing(directory):
    for point, _ in hierarchies():
        top = f"{point}/{cgroup_name(directory)}"
        for path, _, _ in os.walk(top, topdown=False):
            for _ in range(100):  # a dead process leaves its group a moment later
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)


def write_text(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w",
              encoding="utf-8", errors="surrogateescape") as out:
        out.write(text)


def cgroup_enter(directory):
    """Puts this process into its group of each hierarchy; returns those that worked."""
    joined = []
    for point, controllers in hierarchies():
        top = f"{point}/{cgroup_name(directory)}"
        try:
            os.makedirs(top, exist_ok=True)
            write_text(f"{top}/cgroup.procs", "0")
            joined.append((point, controllers))
        except OSError as error:
            print(f"no cgroup in {point}: {error.strerror}; CPU shares and quotas will not "
                  "work", file=sys.stderr)
    return joined


def cgroup_mount(joined):
    """Shows this namespace its own group as the root, and nothing of the machine's."""
    if not joined:
        mount("none", CGROUPS, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k")
        return
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    if joined[0][1] is None:
        # The kernel refuses a file system on top of itself.
        ctypes.CDLL(None).umount2(CGROUPS.encode(), MNT_DETACH)
        mount("cgroup2", CGROUPS, "cgroup2", flags)
        # No group may both hold processes and hand controllers on.
        os.makedirs(f"{CGROUPS}/daemon", exist_ok=True)
        write_text(f"{CGROUPS}/daemon/cgroup.procs", "0")
        with contextlib.suppress(OSError):
            write_text(f"{CGROUPS}/cgroup.subtree_control", "+cpu")
        return
    mount("none", CGROUPS, "tmpfs", flags, "size=64k,mode=755")
    for point, controllers in joined:
        os.makedirs(point)
        mount("cgroup", point, "cgroup", flags, controllers)


# ---- inside -------------------------------------------------------------------------


def mount(source, target, kind, flags, data=None):
    libc = ctypes.CDLL(None, use_errno=True)
    text = [value.encode() if value else None for value in (source, target, kind)]
    if libc.mount(*text, ctypes.c_ulong(flags), data.encode() if data else None):
        error = ctypes.get_errno()
        raise Error(f"cannot mount {source} at {target}: {os.strerror(error)}")


def unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        error = ctypes.get_errno()
        raise Error(f"cannot make a namespace: {os.strerror(error)}; this needs root")


def join(pid):
    """Enters the namespaces of one of the members."""
    libc = ctypes.CDLL(None, use_errno=True)
    spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("cgroup", "mnt")]
    for space in spaces:
        if libc.setns(space, 0):
            raise Error(f"cannot enter the namespaces of process {pid}: "
                        f"{os.strerror(ctypes.get_errno())}")
        os.close(space)


def become_libvirtd(listen):
    arguments = [LIBVIRTD, "--config", "/etc/libvirt/libvirtd.conf", "--pid-file",
                 "/run/libvirtd.pid"] + (["--listen"] if listen else [])
    os.chdir("/")
    os.execve(LIBVIRTD, arguments, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
                                    "HOME": "/root"})


def inside_again(directory, listen, pid):
    """As inside(), for the successor of a libvirtd whose domains still run."""
    for point, controllers in hierarchies():
        top = f"{point}/{cgroup_name(directory)}"
        with contextlib.suppress(OSError):
            write_text(f"{top}/daemon/cgroup.procs" if controllers is None
                       else f"{top}/cgroup.procs", "0")
    join(pid)
    become_libvirtd(listen)


def inside(directory, listen):
    """Runs as the process that becomes libvirtd."""
    joined = cgroup_enter(directory)
    unshare(CLONE_NEWNS | CLONE_NEWCGROUP)
    # What is mounted outside later (a pool's file system) shows up here; never the reverse.
    mount("none", "/", None, MS_REC | MS_SLAVE)
    cgroup_mount(joined)
    for name, target in PRIVATE.items():
        mount(f"{directory}/{name}", target, None, MS_BIND)
    for name in ("passwd", "group"):
        if os.path.exists(f"/etc/libvirt/{name}"):
            mount(f"/etc/libvirt/{name}", f"/etc/{name}", None, MS_BIND)
    become_libvirtd(listen)


# ---- mount points that this machine lacks ----------------------------------------------


@contextlib.contextmanager
def machine_lock():
    """One at a time on this machine, without a lock file."""
    fd = os.open("/var/lib", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_mount_points():
    for target in PRIVATE.values():
        if not os.path.isdir(target):
            os.makedirs(target, 0o755)
            with contextlib.suppress(OSError):
                os.setxattr(target, MADE_BY_US, b"1")


def in_use(target):
    """Whether any process' namespace has something mounted at 'target'."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/mountinfo", encoding="utf-8") as lines:
                if any(line.split()[4] == target for line in lines):
                    return True
    return False


def remove_mount_points():
    for target in PRIVATE.values():
        with contextlib.suppress(OSError):
            os.getxattr(target, MADE_BY_US)
            if not in_use(target):
                os.rmdir(target)


# ---- start and stop --------------------------------------------------------------------


def free_of(directory):
    for target in list(PRIVATE.values()) + [CGROUPS]:
        if (directory + "/").startswith(target + "/"):
            raise Error(f"{directory} is below {target}, which its libvirtd cannot see; "
                        "choose a directory elsewhere, such as build/run/libvirt")
    longest = len(f"{directory}/sock/libvirt-admin-sock")
    if longest > SUN_PATH_MAX:
        raise Error(f"{directory} is {longest - SUN_PATH_MAX} bytes too long for a unix "
                    "socket's path; choose a shorter one")
    if any(c in directory for c in ' "\\\n?#%&'):
        raise Error(f"{directory} has a character that libvirt's configuration cannot carry")


def configure(directory, user, listen, nbd_tls):
    for name in list(PRIVATE) + ["sock"]:
        os.makedirs(f"{directory}/{name}", 0o755, exist_ok=True)
    os.chmod(f"{directory}/sock", 0o700)
    address, _, port = listen.rpartition(":") if listen else ("", "", "")
    write_text(f"{directory}/etc/libvirtd.conf", LIBVIRTD_CONF.format(
        dir=directory, uuid=uuid.uuid4(), listen_tcp=int(bool(listen)),
        listen=f'listen_addr = "{address}"\ntcp_port = "{port}"\nauth_tcp = "none"'
        if listen else ""))
    write_text(f"{directory}/etc/qemu.conf", QEMU_CONF.format(
        user=user, group=grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name,
        migration=f'migration_address = "{address}"' if listen else "",
        nbd=f'nbd_tls = 1\nnbd_tls_x509_cert_dir = "{nbd_tls}"' if nbd_tls else ""))


def add_accounts(directory):
    """libvirtd insists that its package's default user exists, even when it is not used.
    Where it does not, the namespace gets copies of the two files with it added."""
    for name, find, line in (
            ("passwd", pwd.getpwnam, "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin"),
            ("group", grp.getgrnam, "libvirt-qemu:x:64055:")):
        copy = f"{directory}/etc/{name}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        try:
            find("libvirt-qemu")
        except KeyError:
            with open(f"/etc/{name}", encoding="utf-8", errors="surrogateescape") as old:
                write_text(copy, old.read() + line + "\n", 0o644)


def answers(uri):
    """Whether the QEMU driver is ready, which is some time after the socket exists."""
    return subprocess.run(["virsh", "-q", "-c", uri, "uri"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False).returncode == 0


def tail(directory):
    lines = []
    for name in ("start.log", "libvirtd.log"):
        with contextlib.suppress(OSError):
            with open(f"{directory}/log/{name}", encoding="utf-8", errors="replace") as log:
                lines += log.readlines()[-5:]
    return "".join(lines).strip() or "it said nothing"


class PrivateLibvirt:
    """One private libvirtd in DIR. 'user': whom its QEMU processes run as. 'listen':
    "127.0.0.1:16510" opens an unauthenticated TCP port, for migration on one machine only;
    None (the default) opens none. 'nbd_tls': a folder with the certificates (QEMU's names) that disks
    at an NBD server are asked for with."""

    def __init__(self, directory, user="root", listen=None, nbd_tls=None):
        self.directory = os.path.realpath(directory)
        self.user = user
        self.listen = listen
        self.nbd_tls = nbd_tls
        self.socket = f"{self.directory}/sock/libvirt-sock"
        self.uri = f"qemu:///system?socket={self.socket}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def processes(self):
        """{pid: program} of everything that runs in it."""
        found = members(self.directory)
        for _, pidfd in found:
            os.close(pidfd)
        return {pid: program(pid) for pid, _ in found}

    def start(self, seconds=60):
        """Returns once it answers; raises Error, with nothing left running."""
        if os.geteuid() != 0:
            raise Error("a private libvirtd needs root; run this with sudo")
        if not os.access(LIBVIRTD, os.X_OK):
            raise Error(f"{LIBVIRTD} is missing; apt-get install libvirt-daemon "
                        "libvirt-daemon-driver-qemu")
        free_of(self.directory)
        if self.processes():
            raise Error(f"{self.directory} has a running libvirtd already; "
                        f"'private_libvirt.py stop {self.directory}' ends it")
        cgroup_leave_nothing(self.directory)
        configure(self.directory, self.user, self.listen, self.nbd_tls)
        add_accounts(self.directory)
        try:
            self._launch(seconds)
        except BaseException:
            end_processes(self.directory)
            cgroup_leave_nothing(self.directory)
            raise

    def restart(self, seconds=60, number=signal.SIGTERM):
        """Ends libvirtd by that signal and starts another, which finds the domains again."""
        send(self.directory, number, "libvirtd")
        if not wait_gone(self.directory, 10, "libvirtd"):
            raise Error("libvirtd does not end; stop it all")
        domains = self.processes()
        if not domains:
            self.start(seconds)
        else:
            self._launch(seconds, min(domains))

    def _launch(self, seconds, join_pid=None):
        command = [sys.executable, os.path.abspath(__file__), "inside", self.directory]
        command += ["--listen"] if self.listen else []
        command += ["--join", str(join_pid)] if join_pid else []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        with machine_lock(), open(f"{self.directory}/log/start.log", "wb") as log:
            make_mount_points()
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True)
            end = time.monotonic() + seconds
            while not (os.path.exists(self.socket) and answers(self.uri)):
                if child.poll() is not None or time.monotonic() > end:
                    if child.returncode is None:
                        child.kill()
                        child.wait()
                    raise Error(f"libvirtd did not start: {tail(self.directory)}")
                time.sleep(0.02)
        child.returncode = 0  # it is not ours to wait for any longer

    def stop(self, keep_logs=False):
        """Safe at any time, also when nothing runs or somebody else started it."""
        if not os.path.isdir(f"{self.directory}/sock"):
            return
        end_processes(self.directory)
        cgroup_leave_nothing(self.directory)
        with machine_lock():
            remove_mount_points()
        for name in list(PRIVATE) + ["sock"]:
            if not (keep_logs and name == "log"):
                shutil.rmtree(f"{self.directory}/{name}", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(self.directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("start", "restart", "stop", "status", "inside"),
                        metavar="start|restart|stop|status")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--user", default="root", help="whom QEMU runs as (start)")
    parser.add_argument("--listen", nargs="?", const=True, metavar="ADDRESS:PORT",
                        help="open an unauthenticated TCP port (start); default: none")
    parser.add_argument("--join", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--keep-logs", action="store_true", help="leave DIR/log (stop)")
    args = parser.parse_args()
    libvirt = PrivateLibvirt(args.directory, args.user,
                             args.listen if isinstance(args.listen, str) else None)
    try:
        if args.verb == "inside" and args.join:
            inside_again(libvirt.directory, bool(args.listen), args.join)
        elif args.verb == "inside":
            inside(libvirt.directory, bool(args.listen))
        elif args.verb == "restart":
            libvirt.restart()
            print(libvirt.uri)
        elif args.verb == "start":
            libvirt.start()
            print(libvirt.uri)
        elif args.verb == "stop":
            libvirt.stop(args.keep_logs)
        else:
            for pid, name in sorted(libvirt.processes().items()):
                print(f"{pid:8} {name}")
            return 0 if libvirt.processes() else 3
    except Error as error:
        print(f"private_libvirt: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
