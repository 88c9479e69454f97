#!/usr/bin/python3
"""The real gnomonctl as its users meet it: help, mistakes, certificates, shells, pipes and
terminals, against a real gnomond (with modelled peers) over TLS. Prints TAP."""
import fcntl
import itertools
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

BUILD = os.path.abspath(os.environ.get("GN_BUILD", "build"))
CTL, CA, GNOMOND, PEERS = (f"{BUILD}/bin/{n}" for n in ("gnomonctl", "gnomon-ca", "gnomond", "gn-fake-peers"))
PATIENCE_S = 60


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_for(ready, what):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(**changes):
    """Nothing of the caller's own configuration."""
    clean = {k: v for k, v in os.environ.items() if k not in ("GNOMONCTL_CONFIG", "NO_COLOR")}
    return {**clean, "HOME": "/nonexistent", "TERM": "xterm", **changes}


class Card:
    """One directory with certificates, a gnomond and its peers; everything is gone at the end."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gnx", dir="/tmp")
        self.port, self.events = free_port(), free_port()
        self.children = {}
        os.mkdir(f"{self.dir}/vhost")
        with open(f"{self.dir}/vda.raw", "w", encoding="ascii") as file:
            file.write("disk")
        for name in ("ca", "other"):
            subprocess.run([CA, "init", f"{self.dir}/{name}"], check=True, capture_output=True)
            for root, own in (("cards", "card"), ("operators", "op")):
                subprocess.run([CA, "issue", f"{self.dir}/{name}", root, own, "--san", "127.0.0.1"],
                               check=True, capture_output=True)
        self.write_gnomond()
        self.config = self.write_ctl("ctl", "ca", "cards")

    def write_gnomond(self):
        d = self.dir
        tls = {"ca": f"{d}/ca/operators.pem", "cert": f"{d}/ca/cards/card.pem", "key": f"{d}/ca/cards/card.key"}
        settings = {
            "board": "devbox", "state_dir": f"{d}/state", "run_dir": d, "pool_path": f"{d}/pool",
            "control": {"url": f"tls+tcp://127.0.0.1:{self.port}", "tls": tls},
            "events": {"url": f"tls+tcp://127.0.0.1:{self.events}", "tls": tls},
            "dataplane": {"url": f"ipc://{d}/dataplane.ipc"}, "samples": {"url": f"ipc://{d}/samples.ipc"},
            "shim": {"url": f"ipc://{d}/shim.ipc"}, "period_ms": 100, "horizons": [1, 5],
            "vms": [{"name": "vms/web-1", "nics": [{"name": "net0"}],
                     "disks": [{"name": "vda", "path": f"{d}/vda.raw"}]}]}
        with open(f"{d}/g.yaml", "w", encoding="ascii") as file:
            json.dump(settings, file)

    def write_ctl(self, name, own, trusted, extra=""):
        d, path = self.dir, f"{self.dir}/{name}.yaml"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"server: tls+tcp://127.0.0.1:{self.port}\nevents: tls+tcp://127.0.0.1:{self.events}\n"
                       f"ca: {d}/ca/{trusted}.pem\ncert: {d}/{own}/operators/op.pem\n"
                       f"key: {d}/{own}/operators/op.key\n{extra}")
        return path

    def spawn(self, name, command):
        with open(f"{self.dir}/{name}.log", "a", encoding="utf-8") as log:
            self.children[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        self.spawn("gnomond", [GNOMOND, "--config", f"{self.dir}/g.yaml"])
        wait_for(lambda: self.ctl("vm", "list", "--names").stdout == "web-1\n", "gnomond's answer")

    def kill(self, name):
        child = self.children.pop(name)
        child.kill()
        child.wait()

    def ctl(self, *words, config=None, **options):
        return subprocess.run([CTL, "--config", config or self.config, *words], env=environment(), text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False,
                              **options)

    def __enter__(self):
        try:
            self.spawn("peers", [PEERS, f"--dir={self.dir}", "--load-ms=4000", "--spike-ms=1000"])
            self.start()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind and os.path.exists(f"{self.dir}/gnomond.log"):
            with open(f"{self.dir}/gnomond.log", encoding="utf-8") as log:
                print("".join(f"# {line}" for line in log.readlines()[-20:]))
        for name in list(self.children):
            self.kill(name)
        shutil.rmtree(self.dir)


def refused(done, code, *parts):
    check(done.returncode == code, f"exit {done.returncode} instead of {code}: {done.stderr}")
    check(done.stderr.startswith("gnomonctl: ") and done.stderr.count("\n") == 1, f"no sentence: {done.stderr!r}")
    for part in parts:
        check(part in done.stderr, f"'{part}' is not said: {done.stderr}")


# ---- help and mistakes ---------------------------------------------------------------------


def help_for_each_command(card):
    overview = card.ctl("--help")
    names = re.findall(r"^  ((?:[a-z]+)(?: [a-z]+)?)   *\S", overview.stdout, re.M)
    check(overview.returncode == 0 and len(names) >= 24, f"the overview lists only {names}")
    for name in names:
        if name == "completion":
            continue
        done = card.ctl(*name.split(), "--help")
        check(done.returncode == 0 and done.stdout.startswith(f"gnomonctl {name}") and not done.stderr,
              f"{name} --help: {done.stdout}{done.stderr}")
        check(f"  gnomonctl {name}" in done.stdout, f"{name} --help shows no example")
        check(card.ctl("help", *name.split()).stdout == done.stdout, f"help {name} differs")
    check(card.ctl("--version").stdout.startswith("gnomonctl "), "--version")
    check("shadow create" in card.ctl("shadow", "--help").stdout, "a noun's help lists its verbs")


def wrong_words(card):
    refused(card.ctl(), 2, "a command is missing")
    refused(card.ctl("vn", "list"), 2, "there is no command 'vn'")
    refused(card.ctl("vm", "show"), 2, "the name of a VM is missing")
    refused(card.ctl("vm", "list", "--all"), 2, "'--all' is no option here")
    refused(card.ctl("vm", "show", "web-9"), 1, "web-9", "NOT_FOUND")


def bad_configuration(card):
    path = card.write_ctl("unknown", "ca", "cards", "servr: x\n")
    refused(card.ctl("status", config=path), 2, path, "servr")
    with open(f"{card.dir}/broken.yaml", "w", encoding="ascii") as file:
        file.write("server: [\n")
    refused(card.ctl("status", config=f"{card.dir}/broken.yaml"), 2, "broken.yaml")
    refused(card.ctl("status", config=f"{card.dir}/none.yaml"), 2, "none.yaml", "cannot be opened")
    done = subprocess.run([CTL, "status"], env=environment(), text=True, capture_output=True, check=False)
    refused(done, 2, "'server' is not known: give --server")


def nobody_there(card):
    url = f"tls+tcp://127.0.0.1:{free_port()}"
    refused(card.ctl("status", "--server", url, "--timeout", "1s"), 3, url, "refused")
    refused(card.ctl("watch", "--events", url, "--timeout", "1s"), 3, url)


# ---- certificates ---------------------------------------------------------------------------


def wrong_certificates(card):
    d = card.dir
    for what, path in (("not of the operators' root", card.write_ctl("foreign", "other", "cards")),
                       ("another root trusted", card.write_ctl("distrust", "ca", "hosts"))):
        done = card.ctl("status", "--timeout", "4s", config=path)
        refused(done, 3)
        check("certificate" in done.stderr, f"{what}: {done.stderr}")
    refused(card.ctl("status", "--ca", f"{d}/none.pem"), 2, "none.pem")
    refused(card.ctl("status", "--cert", f"{d}/g.yaml"), 2, "g.yaml")
    open_key = f"{d}/open.key"
    shutil.copy(f"{d}/ca/operators/op.key", open_key)
    os.chmod(open_key, 0o644)
    refused(card.ctl("status", "--key", open_key), 2, "open.key")
    check(card.ctl("status").returncode == 0, "the right ones work")


# ---- shells and pipes ------------------------------------------------------------------------


def roles_of_certificates(card):
    """The certificate says who asks and what that one may; gnomond's audit log says who did."""
    def issue(name, *more):
        subprocess.run([CA, "issue", f"{card.dir}/ca", "operators", name, *more], check=True, capture_output=True)
        path = card.write_ctl(name, "ca", "cards")
        with open(path, encoding="ascii") as file:
            text = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(text.replace("operators/op.", f"operators/{name}."))
        return path
    val, ann = issue("val", "--role", "viewer"), issue("ann", "--role", "operator")
    check(card.ctl("vm", "list", "--names", config=val).stdout == "web-1\n", "a viewer does not see the VMs")
    change = ("policy", "set", "web-1", "--mode", "off")
    done = card.ctl(*change, config=val)
    refused(done, 1, "UpdatePolicy needs the role operator", "'val' says 'viewer'")
    done = card.ctl(*change, config=ann)
    check(done.returncode == 0, f"an operator may not: {done.stderr}")
    done = card.ctl("model", "rollback", config=ann)
    refused(done, 1, "needs the role admin")
    audit = card.ctl("audit", "show").stdout
    check("operator: ann" in audit and "operator: val" in audit, f"who did it is not in the log: {audit}")
    subprocess.run([CA, "revoke", f"{card.dir}/ca", "operators", "ann"], check=True, capture_output=True)
    refused(card.ctl("vm", "list", config=ann), 1, "revoked signer", "'ann'")
    check(card.ctl("vm", "list", "--names", config=val).stdout == "web-1\n", "val is refused too")
    check("is whole" in card.ctl("audit", "verify").stdout, "the log is not whole")


def complete(card, *words, line_end=""):
    """What bash offers after these words, the last of them begun with 'line_end'."""
    all_words = " ".join(f"'{w}'" for w in ("gnomonctl", *words, line_end))
    script = (f"set -eu; PATH={BUILD}/bin:$PATH; source <(gnomonctl completion bash); COMP_WORDS=({all_words}); "
              f"COMP_CWORD={len(words) + 1}; _gnomonctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = subprocess.run(["bash", "-c", script], env=environment(GNOMONCTL_CONFIG=card.config), text=True,
                          capture_output=True, timeout=PATIENCE_S, check=False)
    check(done.returncode == 0 and not done.stderr, f"completion of {words}: {done.stderr}")
    return done.stdout.split()


def completion(card):
    for shell in ("bash", "zsh"):
        script = card.ctl("completion", shell).stdout
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        check(done.returncode == 0 and not done.stderr, f"bash -n: {done.stderr}")
    check({"vm", "plan", "watch", "completion"} <= set(complete(card)), "nouns")
    check(complete(card, line_end="for") == ["forecast"], "a noun begun")
    check({"list", "show", "top", "create", "delete"} <= set(complete(card, "vm")), "verbs")
    check(complete(card, "--config", card.config, "plan", line_end="a") == ["approve"], "after global options")
    check(complete(card, "vm", "show") == ["web-1"], "VMs, asked of the card")
    check(complete(card, "forecast", line_end="w") == ["web-1"], "VMs after a command of one word")
    check("network-rx" in complete(card, "history", "web-1"), "resources")
    check(complete(card, "policy", "set", "web-1", line_end="--disk-read-q") == ["--disk-read-quantile"], "options")
    check("--timeout" in complete(card, line_end="--"), "global options")
    check(complete(card, "completion") == ["bash", "zsh"], "shells")
    check(complete(card, "--ca") == [], "a file's name is left to the shell")


def pipes(card):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.Popen([CTL, "--config", card.config, "vm", "list"], stdout=writer, stderr=subprocess.PIPE,
                            env=environment(), preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    os.close(writer)
    error = done.communicate(timeout=PATIENCE_S)[1]
    check(done.returncode == -signal.SIGPIPE and not error, f"a closed pipe: {done.returncode} {error}")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([CTL, "--config", card.config, "vm", "list"], stdout=full, stderr=subprocess.PIPE,
                              text=True, env=environment(), timeout=PATIENCE_S, check=False)
    refused(done, 1, "cannot be written")
    text = card.ctl("vm", "show", "web-1").stdout
    check("\033" not in text and "web-1" in text, "no escape sequences in a pipe")
    check(json.loads(card.ctl("--json", "vm", "list").stdout)["vms"][0]["name"] == "vms/web-1", "--json")


# ---- terminals ---------------------------------------------------------------------------------


class Terminal:
    """gnomonctl on a pseudo-terminal of a given size."""

    def __init__(self, card, *words, rows=24, columns=80, **changes):
        self.text, self.code = "", None
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.child = subprocess.Popen([CTL, "--config", card.config, *words], stdin=self.slave, stdout=self.slave,
                                      stderr=self.slave, start_new_session=True, env=environment(**changes))

    def read(self):
        while select.select([self.master], [], [], 0.1)[0]:
            self.text += os.read(self.master, 65536).decode()
        return self.text

    def until(self, part):
        wait_for(lambda: part in self.read(), f"{part!r} on the terminal, which has {self.text!r}")

    def end(self):
        def ended():
            self.read()
            return self.child.poll() is not None
        wait_for(ended, "its end")
        self.read()
        return self.child.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)


def colours(card):
    for changes, dims in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
        with Terminal(card, "vm", "list", columns=200, **changes) as terminal:
            check(terminal.end() == 0, "vm list on a terminal")
            check(("\033[2m" in terminal.text) == dims, f"{changes}: {terminal.text!r}")


def narrow(card):
    with Terminal(card, "status", columns=40) as terminal:
        check(terminal.end() == 0, "status on a narrow terminal")
        lines = terminal.text.replace("\r", "").split("\n")
        check(all(len(line) <= 40 for line in lines), f"wrapped at 40 columns: {lines}")
        check(any(line.startswith(" " * 12) and line.strip() for line in lines), "and indented")
    with Terminal(card, "vm", "list", columns=5) as terminal:
        check(terminal.end() == 0 and "web-1" in terminal.text, "five columns are survived")


def top(card):
    with Terminal(card, "top", "--interval", "200ms", rows=6, columns=50) as terminal:
        terminal.until("vms/web-1")
        check("\033[?1049h" in terminal.text and "\033[?25l" in terminal.text, "the other screen, no cursor")
        check(not termios.tcgetattr(terminal.slave)[3] & termios.ECHO, "keys are not echoed")
        frames = re.split("\033\\[H", terminal.text)
        check(all(frame.count("\n") < 6 for frame in frames), "no more rows than the terminal has")
        plain = re.sub("\033\\[[?0-9;]*[A-Za-z]", "", terminal.text).replace("\r", "")
        check(all(len(line) <= 50 for line in plain.split("\n")), "nor columns")
        os.write(terminal.master, b"xq")
        check(terminal.end() == 0, "q ends it")
        check(terminal.text.endswith("\033[?25h\033[?1049l"), "the screen is given back")
        check(termios.tcgetattr(terminal.slave) == terminal.before, "and the terminal is as it was")
    with Terminal(card, "top") as terminal:
        terminal.until("vms/web-1")
        os.kill(terminal.child.pid, signal.SIGTERM)
        check(terminal.end() == 0, "SIGTERM ends it")
        check(termios.tcgetattr(terminal.slave) == terminal.before, "and the terminal is as it was")
    with Terminal(card, "vm", "top", "web-1", "--interval", "1d", columns=160) as terminal:
        terminal.until("guests are not looked into")
        os.write(terminal.master, b"m")  # another order: drawn anew at once
        wait_for(lambda: terminal.read().count("guests are not looked into") >= 2, "the picture drawn anew")
        os.write(terminal.master, b"q")
        check(terminal.end() == 0, "q ends 'vm top'")
        check(termios.tcgetattr(terminal.slave) == terminal.before, "and the terminal is as it was")


# ---- a card that goes and comes --------------------------------------------------------------------


def watch_reconnects(card):
    out, err = (open(f"{card.dir}/watch.{n}", "w+", encoding="utf-8") for n in ("out", "err"))
    child = subprocess.Popen([CTL, "--config", card.config, "--json", "watch"], stdin=subprocess.DEVNULL, stdout=out,
                             stderr=err, env=environment())

    def said(file):
        with open(file.name, encoding="utf-8") as again:
            return again.read()

    modes = itertools.cycle(["off", "forecast-only"])

    def event_since(length):
        """Each change of the mode is an event."""
        card.ctl("policy", "set", "web-1", "--mode", next(modes))
        return '"vms/web-1' in said(out)[length:]
    try:
        wait_for(lambda: event_since(0), "the first event")
        card.kill("gnomond")
        wait_for(lambda: "waiting for it" in said(err), "word that the card is away")
        check(child.poll() is None, "it waits")
        card.start()
        wait_for(lambda: "connected again" in said(err), "word that the card is back")
        before = len(said(out))
        wait_for(lambda: event_since(before), "events after the restart")
        lines = said(out).splitlines()
        check(all("kind" in json.loads(line) for line in lines), "one JSON object a line")
        child.send_signal(signal.SIGINT)
        check(child.wait(timeout=PATIENCE_S) == 0, "Ctrl-C ends it")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        out.close()
        err.close()


def top_survives_the_card(card):
    with Terminal(card, "top", "--interval", "200ms", columns=100) as terminal:
        terminal.until("vms/web-1")
        card.kill("gnomond")
        terminal.until("no connection to")
        mark = len(terminal.text)
        card.start()
        wait_for(lambda: "vms/web-1" in terminal.read()[mark:], "the table again")
        os.write(terminal.master, b"q")
        check(terminal.end() == 0, "q ends it")


TESTS = [help_for_each_command, wrong_words, bad_configuration, nobody_there, wrong_certificates, roles_of_certificates, completion, pipes,
         colours, narrow, top, watch_reconnects, top_survives_the_card]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    failed = 0
    with Card() as card:
        for number, test in enumerate(TESTS, 1):
            name = test.__name__.replace("_", " ")
            try:
                test(card)
                print(f"ok {number} - {name}", flush=True)
            except Exception as error:  # the others are of interest, too
                failed += 1
                print(f"not ok {number} - {name}\n# {type(error).__name__}: {error}", flush=True)
    print(f"1..{len(TESTS)}")
    sys.exit(1 if failed else 0)


main()
