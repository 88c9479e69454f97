#!/usr/bin/python3
"""Real guests read from outside: values equal to what the guest prints, no wrong value in many
passes over a guest that forks all the time, and signs of failure when it fails."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402  (needs the path above)
from guest import Guest  # noqa: E402

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
PASSES = 100_000
results = []


class Skip(Exception):
    pass


def program(name):
    path = f"{BUILD}/bin/{name}"
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def boot(cpus, mib=256, append="", **more):
    for name in ("vmlinuz", "initramfs.gz"):
        if not os.path.exists(f"{BUILD}/guest/{name}"):
            raise Skip(f"{BUILD}/guest/{name} is not built")
    return Guest(f"{BUILD}/guest/vmlinuz", f"{BUILD}/guest/initramfs.gz", cpus, mib,
                 append=append, **more)


def introspect(path, *options, code=0):
    done = subprocess.run([program("gnomon-introspect"), "--dump", path, "--json", *options],
                          capture_output=True, check=False, timeout=60)
    if done.returncode != code:
        raise AssertionError(f"exit status {done.returncode}: {done.stdout[-500:]} {done.stderr}")
    return json.loads(done.stdout)


def frozen(guest):
    guest.freeze()
    try:
        return introspect(guest.memory)
    finally:
        guest.thaw()


def printed(guest):
    return guest.run(f"{compare.SCRIPT}; sleep 0.1; echo @@ end; cat /proc/schedstat")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def values_equal(guest, rounds):
    for _ in range(rounds):
        before = printed(guest)
        ours = frozen(guest)
        check = compare.compare(before, ours, printed(guest))
        expect(not check.problems, "; ".join(check.problems[:10]))
        expect(check.checked > 300, f"only {check.checked} values were compared")
        expect(all(ours["capabilities"].values()), f"capabilities: {ours['capabilities']}")


def test_values_one_cpu():
    with boot(1) as guest:
        guest.wait_ready()
        values_equal(guest, 2)


def test_values_under_load():
    """Two CPUs, a busy loop on each, memory in use, and threads."""
    with boot(2) as guest:
        guest.wait_ready()
        guest.run("for i in 1 2; do (while :; do :; done) & done")
        guest.run("dd if=/dev/zero of=/tmp/f bs=1M count=20 2>/dev/null; sleep 1000 & true")
        values_equal(guest, 3)


def test_core_file():
    """The same guest as an ELF core, whose segments are not page-aligned in the file."""
    with boot(2) as guest:
        guest.wait_ready()
        guest.freeze()
        raw = introspect(guest.memory)
        path = f"{guest.directory}/core"
        guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{path}")
        core = introspect(path)
        for key in ("globals", "processes", "release", "log_errors"):
            expect(raw[key] == core[key], f"{key}: {raw[key]} and {core[key]}")


def test_ways_agree():
    """Without VMCOREINFO, and without symbol table, the same processes are found."""
    with boot(2) as guest:
        guest.wait_ready()
        guest.freeze()
        fast = introspect(guest.memory)
        expect(fast["found_by"] == "vmcoreinfo", fast["found_by"])
        spoil(guest.memory, b"OSRELEASE=")
        slow = introspect(guest.memory)
        expect(slow["found_by"] == "signature", slow["found_by"])
        expect(slow["globals"] == fast["globals"], "globals differ")
        expect(slow["processes"] == fast["processes"], "processes differ")
        spoil(guest.memory, b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0")
        bare = introspect(guest.memory)
        expect(bare["processes"] == fast["processes"], "processes differ without symbols")
        expect(bare["found_by"] == "signature" and not bare["capabilities"]["log"],
               f"{bare['found_by']} {bare['capabilities']}")


def spoil(path, text):
    with open(path, "r+b") as file:
        data = file.read()
        at = data.find(text)
        while at >= 0:
            file.seek(at)
            file.write(b"X")
            at = data.find(text, at + 1)


def refused(data):
    path = f"/dev/shm/gni-{os.getpid()}.img"
    try:
        with open(path, "wb") as file:
            file.write(data)
        found = introspect(path, code=3)
        expect(found["state"] == "UNSUPPORTED", str(found))
        return found["reason"]
    finally:
        os.unlink(path)


def test_no_kernel():
    with open("/bin/busybox", "rb") as file:
        program_text = file.read()
    reason = refused(bytes(4096) + (program_text * 100)[:100 << 20])  # or it were an ELF core
    expect("runs another system" in reason, reason)
    # As SEV shows it: ciphertext everywhere, but for a few pages shared with the hypervisor.
    reason = refused(b"".join(os.urandom(1 << 20) if i % 10 else bytes(1 << 20) for i in range(100)))
    expect("is encrypted" in reason, reason)


def test_without_type_information():
    """A real kernel whose BTF is spoilt, and gone: found by its symbol table, as one built without."""
    with boot(1) as guest:
        guest.wait_ready()
        guest.freeze()
        spoil(guest.memory, b"\x9f\xeb\x01\x00\x18\x00\x00\x00")
        found = introspect(guest.memory, code=3)
        expect(found["state"] == "UNSUPPORTED" and "damaged" in found["reason"], str(found))
        spoil(guest.memory, b"OSRELEASE=")
        found = introspect(guest.memory, code=3)
        expect(found["state"] == "UNSUPPORTED" and "CONFIG_DEBUG_INFO_BTF" in found["reason"], str(found))


def test_fork_heavy():
    with boot(2) as guest:
        guest.wait_ready()
        guest.run("for i in 1 2 3; do (while :; do busybox true; done) & done")
        guest.run("(while :; do (sleep 0.01 | sleep 0.01) & wait; done) & sleep 1")
        done = subprocess.run([program("gn-introspect-passes"), guest.memory, "--passes",
                               str(PASSES), "--interval-us", "20"], capture_output=True, check=False, timeout=600)
        expect(done.returncode == 0, done.stderr.decode())
        found = json.loads(done.stdout)
        print(f"# {found}")
        forked = guest.run("grep processes /proc/stat")
        print(f"# {forked.strip()}")
        expect(found["wrong"] == 0, done.stderr.decode())
        expect(found["missing"] == 0, f"{found['missing']} living processes were not seen")
        expect(found["torn"] < PASSES // 100, f"{found['torn']} of {PASSES} passes were torn")
        expect(found["highest_pid"] > 150, "the guest did not fork")


def test_failure_signs():
    with boot(2, append="sysctl.kernel.panic=0") as guest:
        guest.wait_ready()
        quiet = frozen(guest)
        expect(quiet["log_errors"] == 0, f"{quiet['log_errors']} errors: {quiet['log_text']}")
        guest.run("echo 0 >/proc/sys/kernel/panic; echo 512 >/proc/sys/kernel/tainted")
        guest.run("echo not a module at all, but long enough to be looked at >/tmp/m; "
                  "for i in 1 2 3 4; do cat /tmp/m /tmp/m >/tmp/n; cp /tmp/n /tmp/m; done; "
                  "insmod /tmp/m")
        errors = int(guest.run("dmesg -r | grep -c '^<[0-3]>'"))
        said = frozen(guest)
        expect(said["globals"]["taint"] == 512, f"taint {said['globals']['taint']}")
        expect(said["log_errors"] == errors > 0 and "Invalid ELF header" in said["log_text"]
               and said["log_level"] == 3, f"log: {said['log_errors']} {said['log_text']}")
        guest.run("tail /dev/zero", 300)
        said = frozen(guest)
        expect(said["globals"]["oom_kills"] == 1, f"OOM kills {said['globals']['oom_kills']}")
        expect("Out of memory: Killed process" in said["log_text"], said["log_text"])
        guest.start("echo c >/proc/sysrq-trigger")
        guest.wait_for(rb"end Kernel panic")
        said = frozen(guest)
        expect(said["globals"]["panic"] == 1, "the panic was not seen")
        expect("panic" in said["log_text"], said["log_text"])


TESTS = [
    ("one CPU: every value as the guest prints it", test_values_one_cpu),
    ("two CPUs under load: every value as the guest prints it", test_values_under_load),
    ("an ELF core gives what the raw memory gives", test_core_file),
    ("with and without VMCOREINFO and symbol table", test_ways_agree),
    ("memory without a kernel and encrypted memory are refused with the reason", test_no_kernel),
    ("a kernel without type information is refused with the reason", test_without_type_information),
    (f"no wrong value in {PASSES} passes over a forking guest", test_fork_heavy),
    ("errors in the log, OOM kill, taint and panic are seen", test_failure_signs),
]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that guests end too
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    failed = 0
    for number, (name, test) in enumerate(TESTS, 1):
        if only not in test.__name__:
            continue
        try:
            test()
            print(f"ok {number} - {name}")
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}")
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"not ok {number} - {name}")
            print("# " + str(why).replace("\n", "\n# "))
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
