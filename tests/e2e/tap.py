"""TAP for the end-to-end tests: each step is a test; the first that fails ends the script."""
import os
import signal
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "devbox"))
BUILD = os.environ.get("GN_BUILD", "build")


class Steps:
    def __init__(self):
        self.n = 0

    def ok(self, name):
        self.n += 1
        print(f"ok {self.n} - {name}", flush=True)

    def check(self, condition, name, detail=""):
        if condition:
            self.ok(name)
            return
        raise AssertionError(f"{name}: {detail}")

    def fail(self, why):
        self.n += 1
        print(f"not ok {self.n} - {why}", flush=True)


def run(body):
    """body(steps); whatever it raises is a failure, after its own clean-up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    steps = Steps()
    if os.geteuid() != 0:
        print("ok 1 - everything # SKIP needs root for libvirt, hugepages and tap devices")
        sys.exit(0)
    try:
        body(steps)
    except BaseException as error:
        steps.fail(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print(f"1..{steps.n}")


def tails(devbox):
    """The ends of the logs, for a failure's reader."""
    for name in sorted(os.listdir(devbox.path("log"))):
        with open(devbox.path("log", name), encoding="utf-8", errors="replace") as file:
            print(f"# {name}:")
            for line in file.readlines()[-15:]:
                print(f"#   {line.rstrip()}")
