"""Whether KVM can boot the test guest here. A /dev/kvm that opens is not proof: some nested
set-ups offer one that no stock kernel boots on."""
import os
import select
import subprocess
import time

BOOT_SECONDS = 8


def _boots(guest_dir):
    command = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "160", "-display", "none",
               "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nodefaults",
               "-kernel", f"{guest_dir}/vmlinuz", "-initrd", f"{guest_dir}/initramfs.gz",
               "-append", "console=ttyS0 quiet panic=-1"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    seen, end = b"", time.monotonic() + BOOT_SECONDS
    try:
        while b"gn: ready" not in seen and time.monotonic() < end:
            if not select.select([child.stdout], [], [], 0.2)[0]:
                continue
            data = os.read(child.stdout.fileno(), 4096)
            if not data:
                break
            seen += data
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    return b"gn: ready" in seen


def works(guest_dir):
    """Tried once per boot of this machine; the answer is kept beside the guest."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    kept = f"{guest_dir}/kvm-works"
    try:
        with open(kept, encoding="ascii") as file:
            known_boot, answer = file.read().split()
        if known_boot == boot:
            return answer == "yes"
    except (OSError, ValueError):
        pass
    answer = _boots(guest_dir)
    with open(kept, "w", encoding="ascii") as file:
        file.write(f"{boot} {'yes' if answer else 'no'}\n")
    return answer
