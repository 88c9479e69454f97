#!/usr/bin/python3
"""private_libvirt.py: two of them side by side with real domains, kill -9, restart; nothing of
it is left behind, and nothing of this machine's own is touched."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import private_libvirt  # noqa: E402
from private_libvirt import Error, PrivateLibvirt  # noqa: E402

DOMAIN = """<domain type='qemu'><name>one</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""

number = failed = 0


def check(good, name, why=""):
    global number, failed
    number += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    if not good and why:
        print("".join(f"# {line}\n" for line in str(why).splitlines()), end="", flush=True)


def virsh(libvirt, *arguments):
    return subprocess.run(["virsh", "-q", "-c", libvirt.uri, *arguments], capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, check=True, timeout=120).stdout


def traces(directory):
    """What is left of the ones below 'directory' on this machine, where others may run too."""
    found = []
    for point, _ in private_libvirt.hierarchies():
        names = [private_libvirt.cgroup_name(f"{directory}/{name}") for name in "123"]
        found += [f"{point}/{name}" for name in names if os.path.exists(f"{point}/{name}")]
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        found += [line for line in mounts if directory in line]
    for path in private_libvirt.PRIVATE.values():
        try:
            os.getxattr(path, private_libvirt.MADE_BY_US)
        except OSError:
            continue
        if not private_libvirt.in_use(path):
            found.append(path)
    return found


def start_domain(libvirt, directory):
    path = f"{directory}/one.xml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(DOMAIN)
    virsh(libvirt, "define", path)
    virsh(libvirt, "start", "one")


def refusals():
    for path, word in (("/run/x", "below /run"), ("/tmp/" + "x" * 120, "too long"),
                       ("/tmp/a b", "character")):
        try:
            PrivateLibvirt(path).start()
            check(False, f"refuses {path[:20]}")
        except Error as error:
            check(word in str(error), f"refuses {path[:20]}", error)


def side_by_side(directory):
    one, two = PrivateLibvirt(f"{directory}/1"), PrivateLibvirt(f"{directory}/2")
    try:
        one.start()
        two.start()
        start_domain(one, directory)
        start_domain(two, directory)
        check(virsh(one, "list", "--name").split() == ["one"], "each has its own domains")
        uuids = [ET.fromstring(virsh(each, "capabilities")).findtext("host/uuid")
                 for each in (one, two)]
        check(uuids[0] and uuids[0] != uuids[1], "and its own host UUID", uuids)
        try:
            one.start()
            check(False, "a second start is refused")
        except Error as error:
            check("stop" in str(error), "a second start is refused", error)
        shares = virsh(one, "schedinfo", "one")
        if "cpu_shares" in shares:
            check(True, "the cpu controller can be used")
        else:
            check(True, "the cpu controller can be used # SKIP none here for libvirt")
        before = [pid for pid, name in one.processes().items() if name != "libvirtd"]
        one.restart(number=signal.SIGKILL)
        after = [pid for pid, name in one.processes().items() if name != "libvirtd"]
        check(before == after and virsh(one, "list", "--name").split() == ["one"],
              "another libvirtd finds the domain that went on")
        one.stop()
        check(not one.processes() and virsh(two, "list", "--name").split() == ["one"],
              "stopping one leaves the other alone")
    finally:
        one.stop()
        two.stop()


def killed_starter(directory):
    """Whoever started it is gone, libvirtd is killed too, QEMU is left."""
    script = os.path.abspath(private_libvirt.__file__)
    subprocess.run([sys.executable, script, "start", f"{directory}/3"], check=True,
                   capture_output=True, timeout=120)
    three = PrivateLibvirt(f"{directory}/3")
    start_domain(three, directory)
    for pid, name in three.processes().items():
        if name == "libvirtd":
            os.kill(pid, signal.SIGKILL)
    stopped = subprocess.run([sys.executable, script, "stop", f"{directory}/3"], timeout=120,
                             capture_output=True, text=True, check=False)
    check(stopped.returncode == 0 and not three.processes() and
          not os.path.exists(f"{directory}/3"), "stop cleans up after kill -9", stopped.stderr)


def main():
    if os.geteuid() != 0 or not os.access(private_libvirt.LIBVIRTD, os.X_OK):
        print("ok 1 - a private libvirtd # SKIP needs root and libvirt-daemon")
        return 0
    directory = tempfile.mkdtemp(prefix="gnp", dir="/tmp")
    own = os.path.exists("/run/libvirt")
    try:
        refusals()
        side_by_side(directory)
        killed_starter(directory)
    except (Error, OSError, subprocess.SubprocessError) as error:
        check(False, "the test's own machinery", f"{error} {getattr(error, 'stderr', '')}")
    finally:
        for name in ("1", "2", "3"):
            PrivateLibvirt(f"{directory}/{name}").stop()
        shutil.rmtree(directory, ignore_errors=True)
    left = traces(directory)
    check(not left, "no group, mount or directory is left", "\n".join(left))
    check(os.path.exists("/run/libvirt") == own, "the machine's /run is as it was")
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
