#!/usr/bin/python3
"""Starts the real gnomond against a model host and dataplane (tests/gnomond) over real
sockets, kills it, and checks what carried on. Prints TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("GN_BUILD", "build")
GNOMOND, PEERS, CALL = (f"{BUILD}/bin/{name}" for name in ("gnomond", "gn-fake-peers", "gn-call"))
LOAD_MS, SPIKE_MS = 4000, 1000
PATIENCE_S = 120


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


class World:
    """One directory with a gnomond and its peers; everything is gone at the end."""

    def __init__(self, mode="enforce", extra="", **peer_options):
        self.dir = tempfile.mkdtemp(prefix="gng", dir="/tmp")
        self.children = {}
        self.peer_options = {"load-ms": LOAD_MS, "spike-ms": SPIKE_MS, **peer_options}
        os.mkdir(f"{self.dir}/vhost")
        with open(f"{self.dir}/vda.raw", "w", encoding="ascii") as file:
            file.write("disk")
        self.write_config(mode, extra)

    def write_config(self, mode, extra=""):
        d = self.dir
        with open(f"{d}/g.yaml", "w", encoding="ascii") as file:
            file.write(f"""
board: devbox
state_dir: {d}/state
run_dir: {d}
pool_path: {d}/pool
control_local: {{url: 'ipc://{d}/g.ipc'}}
events_local: {{url: 'ipc://{d}/e.ipc'}}
dataplane: {{url: 'ipc://{d}/dataplane.ipc'}}
samples: {{url: 'ipc://{d}/samples.ipc'}}
shim: {{url: 'ipc://{d}/shim.ipc'}}
period_ms: 100
horizons: [1, 5, 10, 15]
policy:
  mode: {mode}
  resources:
    - {{resource: cpu, horizon_ms: 1500, cooldown_ms: 500, shrink_after_ms: 1000}}
vms:
  - name: vms/web-1
    nics: [{{name: net0, vlan: 10}}]
    disks: [{{name: vda, path: {d}/vda.raw}}]
{extra}
""")

    def __enter__(self):
        self.start_peers()
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("".join(f"# {line}" for line in self.log().splitlines(True)[-40:]))
        for name in list(self.children):
            self.stop(name, signal.SIGKILL)
        shutil.rmtree(self.dir)

    def spawn(self, name, command):
        with open(f"{self.dir}/{name}.log", "a", encoding="utf-8") as log:
            self.children[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log)

    def start_peers(self):
        options = [f"--{key}={value}" for key, value in self.peer_options.items()]
        self.spawn("peers", [PEERS, f"--dir={self.dir}"] + options)

    def start(self):
        self.spawn("gnomond", [GNOMOND, "--config", f"{self.dir}/g.yaml"])
        self.wait("gnomond answers", lambda: self.call("GetStatus", quiet=True) is not None)

    def stop(self, name="gnomond", how=signal.SIGKILL):
        child = self.children.pop(name)
        child.send_signal(how)
        return child.wait(timeout=30)

    def log(self, name="gnomond"):
        with open(f"{self.dir}/{name}.log", encoding="utf-8") as file:
            return file.read()

    def call(self, method, *fields, quiet=False, service="Control", socket="g"):
        done = subprocess.run([CALL, f"ipc://{self.dir}/{socket}.ipc", f"{service}/{method}", *fields],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            if quiet:
                return None
            raise Failed(f"{method}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def refusal(self, method, *fields):
        done = subprocess.run([CALL, f"ipc://{self.dir}/g.ipc", f"Control/{method}", *fields],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 1, f"{method} {fields} was not refused")
        return done.stderr.strip()

    def wait(self, what, condition):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            result = condition()
            if result:
                return result
            for name, child in self.children.items():
                check(child.poll() is None, f"{name} ended with {child.returncode}")
            time.sleep(0.1)
        raise Failed(f"waited {PATIENCE_S} s in vain: {what}")

    def journal(self):
        """(id, vm, action, value, what, monotonic us) of every command that the host got."""
        try:
            with open(f"{self.dir}/journal", encoding="ascii") as file:
                rows = [line.split() for line in file if line.endswith("\n")]
        except FileNotFoundError:
            rows = []
        return [(r[0], r[1], r[2], int(r[3]), r[4], int(r[5])) for r in rows]

    def plans(self, *fields):
        return self.call("ListPlans", *fields)["plans"]

    def shadow(self):
        return self.call("GetShadow", "name=vms/web-1/shadow", quiet=True)


def executed_once(journal):
    new = [row[0] for row in journal if row[4] == "new"]
    check(len(new) == len(set(new)), f"an id was executed twice: {new}")


def test_forecast_only_changes_nothing():
    with World(mode="forecast_only") as w:
        plan = w.wait("a pending plan", lambda: w.plans("pending_only=true"))[0]
        check(plan["state"] == "PENDING", plan["state"])
        check("grow to 2 vCPU" in plan["reason"], plan["reason"])
        check(plan["inputs"]["history"] > 0, "the plan does not say what it was made from")
        time.sleep(5)
        check(not w.journal(), f"something was sent: {w.journal()}")
        check(w.call("GetVm", "name=vms/web-1")["allocation"]["vcpus"] == 1, "vCPUs changed")
        name = w.wait("a pending plan", lambda: w.plans("pending_only=true"))[0]["name"]
        w.call("ApprovePlan", f"name={name}")
        w.wait("the approved plan is done",
               lambda: w.call("GetPlan", f"name={name}")["state"] == "DONE")
        check(w.call("GetVm", "name=vms/web-1")["allocation"]["vcpus"] == 2, "not executed")
        check("only a PENDING plan" in w.refusal("ApprovePlan", f"name={name}"), "approved twice")


def test_enforce_grows_before_the_spike():
    with World() as w:
        def early_growth():
            for row in w.journal():
                phase = row[5] % (LOAD_MS * 1000)
                if row[2:5] == ("vcpus", 2, "new") and phase > (SPIKE_MS + 200) * 1000:
                    return row
            return None
        w.wait("a vCPU is added in the quiet part before a spike", early_growth)
        w.wait("a vCPU is taken away again",
               lambda: [row for row in w.journal() if row[2:5] == ("vcpus", 1, "new")])
        done = [plan for plan in w.plans() if plan["state"] == "DONE"]
        check(done, "no plan is DONE")
        check(any("was seen for 1 s: shrink to 1 vCPU" in plan["reason"] for plan in done),
              "no shrink by observation")
        action = done[-1]["actions"][0]
        check(action["kind"] == "SET_VCPUS" and action["after"]["vcpus"] == action["to"], str(action))
        report = w.call("GetReport")
        check(report["samples"] > 0 and report["forecasts"] > 0, "the report counts nothing")
        check(report["vms"][0]["before"]["vcpus"] == 1, str(report["vms"][0]))
        check(report["vms"][0]["packets_rx"] == 10, str(report["vms"][0]))
        history = w.call("GetHistory", "vm=vms/web-1", "resource=CPU",
                         f"from_us={int((time.time() - 20) * 1e6)}", "max_points=1000")
        check(any(point["forecast_p95"] > 0 for point in history["points"]), "no forecast in history")
        check(any(point["allocated"] == 2000 for point in history["points"]), "no allocation in history")


def test_kill_between_command_and_answer():
    """The host executes the first command, its answer is lost, gnomond is killed."""
    with World(silent=1) as w:
        w.wait("the first command", w.journal)
        first = w.journal()[0]
        # There may be earlier ones that were advice only.
        plan = next(p for p in w.plans() if p["actions"][0]["command_id"] == first[0])
        check(plan["state"] == "RUNNING", f"{plan['name']} is {plan['state']}")
        w.stop()
        w.start()
        w.wait("the plan is done after the restart",
               lambda: w.call("GetPlan", f"name={plan['name']}")["state"] == "DONE")
        again = [row for row in w.journal() if row[0] == first[0]]
        check([row[4] for row in again][:2] == ["new", "again"], f"{again}")
        check(w.call("GetPlan", f"name={plan['name']}")["actions"][0]["command_id"] == first[0],
              "another id")
        executed_once(w.journal())


def test_killed_again_and_again():
    with World() as w:
        w.wait("some plans", lambda: len(w.plans()) >= 2)
        for _ in range(4):
            plans = {plan["name"]: plan["created_us"] for plan in w.plans()}
            history = max(f["history"] for f in
                          w.call("GetForecast", "name=vms/web-1")["forecasts"])
            w.stop()
            time.sleep(0.5)
            w.start()
            now = {plan["name"]: plan["created_us"] for plan in w.plans()}
            check(plans.items() <= now.items(), "plans were forgotten or made anew")
            w.wait("the predictor still knows what it learnt", lambda: any(
                f["history"] >= history for f in
                w.call("GetForecast", "name=vms/web-1")["forecasts"]))
            count = len(now)
            w.wait("it goes on", lambda: len(w.plans()) > count)
        executed_once(w.journal())
        per_plan = {}
        for row in w.journal():
            per_plan.setdefault(row[0].split("-")[1], set()).add(row[0])
        check(all(len(ids) == 1 for ids in per_plan.values()), f"{per_plan}")
        w.call("UpdatePolicy", "policy.name=vms/web-1/policy", "policy.mode=OFF", "update_mask.0=mode")
        w.stop()
        w.start()
        check(w.call("GetPolicy", "name=vms/web-1/policy")["mode"] == "OFF", "the policy is forgotten")


def test_host_fit_is_told_and_reserves_nothing():
    with World(mode="'off'") as w:
        w.wait("the host is known", lambda: w.call("GetVm", "name=vms/web-1").get("allocation"))
        before = w.call("GetStatus")["ledger"]
        fit = w.call("GetHostFit", "cpu_milli=500", f"memory_bytes={64 << 20}")
        check(fit["fits"] and not fit["until_us"] and not fit["short_of"], str(fit))
        check(0 < fit["room_cpu_milli"] <= before["cpu_capacity_milli"] - before["cpu_promised_milli"], str(fit))
        fit = w.call("GetHostFit", f"cpu_milli={fit['room_cpu_milli'] + 1}", "memory_bytes=1")
        check(not fit["fits"] and not fit["from_us"] and fit["short_of"] == "CPU", str(fit))
        fit = w.call("GetHostFit", "cpu_milli=1", f"memory_bytes={fit['room_memory_bytes'] + 1}")
        check(not fit["fits"] and fit["short_of"] == "memory", str(fit))
        check("give both, above 0" in w.refusal("GetHostFit", "cpu_milli=1"), "")
        check("at most 2^48" in w.refusal("GetHostFit", "cpu_milli=1", f"memory_bytes={1 << 60}"), "")
        check(w.call("GetStatus")["ledger"]["reservations"] == before["reservations"], "something was reserved")


def test_shadow_survives_kills_and_leaves_nothing():
    with World(mode="'off'") as w:
        w.wait("the host is known", lambda: w.call("GetVm", "name=vms/web-1").get("allocation"))
        w.call("CreateShadow", "name=vms/web-1/shadow", "start=true")
        for _ in range(3):
            w.stop()
            w.start()
        shadow = w.wait("the shadow runs", lambda: (w.shadow() or {}).get("state") == "IN_STEP"
                        and w.shadow().get("runs") and w.shadow())
        check("0 writes behind" in shadow["reason"], shadow["reason"])
        check(shadow["run_point_us"] > 0 and shadow["token"] > 0, str(shadow))
        check(shadow["disk_point_us"] > 0 and shadow["uuid"], str(shadow))
        mirror = w.wait("its mirror", lambda: w.call("ListMirrors")["mirrors"])[0]
        check(mirror["port"] == "ports/web-1-shadow-net0", str(mirror))
        check(os.path.exists(f"{w.dir}/pool/web-1-shadow/vda.raw"), "no clone")
        owners = [r["owner"] for r in w.call("GetStatus")["ledger"]["reservations"]]
        check("vms/web-1/shadow" in owners, f"not reserved: {owners}")
        check("delete vms/web-1/shadow first" in w.refusal("DeleteVm", "name=vms/web-1"), "")
        check("has a shadow already" in w.refusal("CreateShadow", "name=vms/web-1/shadow"), "")
        w.call("DeleteShadow", "name=vms/web-1/shadow")
        w.stop()
        w.start()
        w.wait("it is gone", lambda: w.shadow() is None)
        check(not os.listdir(f"{w.dir}/pool"), "files are left")
        w.wait("no mirror is left", lambda: not w.call("ListMirrors")["mirrors"])
        vms = w.call("ListHostVms", service="Host", socket="shim")["vms"]
        check(len(vms) == 1, "a domain is left")
        executed_once(w.journal())


def test_triggers_and_schedules():
    with World(mode="'off'") as w:
        w.call("CreateShadow", "name=vms/web-1/shadow", "triggers.0.resource=CPU", "start=true",
               "triggers.0.threshold=900", "triggers.0.for_us=300000")
        check(w.shadow()["armed"], "not armed")
        shadow = w.wait("the trigger makes it",
                        lambda: w.shadow()["state"] == "IN_STEP" and w.shadow())
        check(shadow["made_by"] == "trigger cpu", shadow["made_by"])
        shadow = w.wait("it runs", lambda: w.shadow()["runs"] and w.shadow())
        first = f"schedule.first_us={int(time.time() * 1e6)}"
        w.call("UpdateShadow", "shadow.name=vms/web-1/shadow", f"shadow.{first}",
               "update_mask.0=schedule")
        w.wait("the schedule refreshes it", lambda: w.shadow()["made_by"] == "schedule"
               and w.shadow()["state"] == "IN_STEP" and w.shadow()["runs"]
               and w.shadow()["run_point_us"] > shadow["run_point_us"])
        executed_once(w.journal())


def test_shadow_that_cannot_be_made_cleans_up():
    with World(mode="'off'") as w:
        w.call("CreateShadow", "name=vms/web-1/shadow", "pool_path=/proc/nowhere")
        shadow = w.wait("it fails", lambda: w.shadow()["state"] == "FAILED" and w.shadow())
        check("FAILED_PRECONDITION: could not make its disk follow" in shadow["reason"],
              shadow["reason"])
        ports = w.call("ListPorts", service="Dataplane", socket="dataplane")["ports"]
        check([port["name"] for port in ports] == ["ports/web-1-net0"], f"left: {ports}")
        w.call("DeleteShadow", "name=vms/web-1/shadow")
        check(w.shadow() is None, "still there")


def test_host_without_room():
    with World(extra="overcommit_milli: 1000", cpus=1) as w:
        plan = w.wait("a plan", w.plans)[-1]
        check(plan["must_move"] and plan["state"] == "PENDING", str(plan))
        check("the VM must move" in plan["reason"], plan["reason"])
        check(plan["inputs"]["bound_by"] == "host capacity", plan["inputs"]["bound_by"])
        check("nothing to execute" in w.refusal("ApprovePlan", f"name={plan['name']}"), "")
        w.call("RejectPlan", f"name={plan['name']}")
        check(not w.journal(), "something was sent")


def test_peers_that_go_and_come():
    with World(mode="forecast_only") as w:
        w.wait("the port is made", lambda: w.call("GetVm", "name=vms/web-1")["ports"])
        w.stop("peers")
        w.wait("the loss is seen", lambda: not w.call("GetStatus")["dataplane_connected"]
               and not w.call("GetStatus")["shim_connected"])
        check(w.call("GetStatus")["shim_error"], "no reason is given")
        w.start_peers()  # without what it had: the model keeps ports in memory only
        w.wait("all is connected and made again", lambda: w.call("GetStatus")["shim_connected"]
               and w.call("ListPorts", service="Dataplane", socket="dataplane", quiet=True)
               and w.call("ListPorts", service="Dataplane", socket="dataplane")["ports"])
        samples = w.call("GetStatus")["samples"]
        w.wait("samples come again", lambda: w.call("GetStatus")["samples"] > samples)


def test_damaged_database():
    with World(mode="forecast_only") as w:
        w.wait("something is stored", lambda: w.call("GetStatus")["samples"] > 100)
        w.stop()
        with open(f"{w.dir}/state/gnomond.db", "r+b") as file:
            file.write(os.urandom(8192))
        for name in ("gnomond.db-wal", "gnomond.db-shm"):
            if os.path.exists(f"{w.dir}/state/{name}"):
                os.unlink(f"{w.dir}/state/{name}")
        w.start()
        check(w.call("GetStatus")["store_error"] == "", "it is not stored again")
        check("was damaged" in w.log(), "the log does not say so")
        check([name for name in os.listdir(f"{w.dir}/state") if "damaged" in name], "not kept")


def test_full_disk():
    if os.geteuid() != 0:
        return "SKIP needs root to mount a small file system"
    with World() as w:
        w.stop()
        state = f"{w.dir}/state"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", state],
                          capture_output=True, check=False).returncode:
            return "SKIP cannot mount a small file system here"
        try:
            w.start()
            w.wait("the disk is full", lambda: w.call("GetStatus")["store_error"])
            check("make room" in w.call("GetStatus")["store_error"], "no advice")
            samples = w.call("GetStatus")["samples"]
            w.wait("it runs on", lambda: w.call("GetStatus")["samples"] > samples)
            sent = len(w.journal())
            time.sleep(LOAD_MS * 2 / 1000)
            check(len(w.journal()) == sent, "a command was sent that is not stored")
            subprocess.run(["mount", "-o", "remount,size=40m", state], check=True)
            w.wait("it is stored again", lambda: not w.call("GetStatus")["store_error"])
            w.wait("and acts again", lambda: len(w.journal()) > sent)
            executed_once(w.journal())
        finally:
            if "gnomond" in w.children:
                w.stop()
            subprocess.run(["umount", state], check=True)
    return None


def test_bad_requests():
    with World(mode="forecast_only") as w:
        for words, says in (
            (["GetVm", "name=vms/nobody"], "not behind the card"),
            (["GetVm", "name=../etc"], "give vms/<vm>"),
            (["GetVm", "name=vms/web-1/shadow"], "give vms/<vm>"),
            (["CreateVm", "name=vms/Web"], "give vms/<domain>"),
            (["CreateVm", "name=vms/a-shadow"], "not ending in -shadow"),
            (["CreateVm", "name=vms/a", "nics.0.name=net0", "nics.0.vlan=9999"], "vlan 0 to 4094"),
            (["CreateVm", "name=vms/a", "disks.0.name=vda", "disks.0.path=x"], "an absolute path"),
            (["CreateVm", "name=vms/web-1"], "with other NICs or disks"),
            (["GetPlan", "name=plans/x"], "there is no plan"),
            (["ListPlans", "limit=5000"], "give 1 to 1000"),
            (["UpdatePolicy"], "has no policy"),
            (["UpdatePolicy", "policy.name=vms/web-1/policy", "update_mask.0=colour"], "names nothing"),
            (["UpdatePolicy", "policy.name=vms/web-1/policy", "policy.resources.0.resource=CPU",
              "policy.resources.0.step=7", "update_mask.0=resources.cpu.step"], "step is 7"),
            (["CreateShadow", "name=vms/nobody/shadow"], "is no shadow"),
            (["GetShadow", "name=vms/web-1/shadow"], "has no shadow"),
            (["UpdateMirror", "name=vms/web-1/x/y"], "no mirror's name"),
            (["GetHistory", "vm=vms/web-1"], "resource 0"),
        ):
            said = w.refusal(*words)
            check(says in said, f"{words}: {said}")
        w.call("CreateVm", "name=vms/new", "nics.0.name=net0")
        w.wait("its port", lambda: w.call("GetVm", "name=vms/new")["ports"])
        check("libvirt does not know" in w.wait(
            "a note", lambda: w.call("GetVm", "name=vms/new")["note"]), "no note")
        w.stop()
        w.start()
        w.call("DeleteVm", "name=vms/new")
        w.stop()
        w.start()
        check([vm["name"] for vm in w.call("ListVms")["vms"]] == ["vms/web-1"], "it is back")


def test_command_line_and_orderly_end():
    with World(mode="forecast_only") as w:
        check(w.stop("gnomond", signal.SIGTERM) == 0, "SIGTERM: not 0")
        config = f"{w.dir}/g.yaml"

        def run(*words):
            return subprocess.run([GNOMOND, *words], capture_output=True, text=True, check=False)
        check(run("--check", "-c", config).returncode == 0, "a valid file is refused")
        check("usage" in run("--help").stdout, "no help")
        check(run("--version").stdout.startswith("gnomond "), "no version")
        w.write_config("enforce", "colour: red")
        done = run("--check", "-c", config)
        check(done.returncode == 1 and "colour" in done.stderr, done.stderr)
        w.start_peers()
        w.write_config("enforce")
        w.start()
        check(run("-c", config).returncode == 1, "two serve the same socket")


def main(tests=None):
    """Runs the named tests, else all 'test_' functions of 'tests' (a module's globals)."""
    for program in (GNOMOND, PEERS, CALL):
        if not os.access(program, os.X_OK):
            print(f"not ok 1 - {program} is missing: build it first")
            return 1
    wanted = sys.argv[1:]
    tests = [(name[5:].replace("_", " "), function) for name, function in (tests or globals()).items()
             if name.startswith("test_") and (not wanted or name in wanted)]
    failures = 0
    for number, (name, function) in enumerate(tests, 1):
        try:
            skip = function()
            print(f"ok {number} - {name}" + (f" # {skip}" if skip else ""), flush=True)
        except (Failed, subprocess.SubprocessError, KeyError, IndexError) as error:
            failures += 1
            print(f"not ok {number} - {name}\n# {type(error).__name__}: {error}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
