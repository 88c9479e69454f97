#!/usr/bin/python3
"""The real gnomon-console in front of the real gnomond and its model host: pages, logins, roles,
the API, events, metrics, and clients that mean harm. Prints TAP."""
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gnomond_test import BUILD, Failed, World, check  # noqa: E402

USER = 64123  # of the console when root runs this test
CONSOLE, CA = f"{BUILD}/bin/gnomon-console", f"{BUILD}/bin/gnomon-ca"
FIRST, PASSWORD = "the first password", "a much better one"


class ConsoleWorld(World):
    """A gnomond with a console before it."""

    def write_config(self, mode, extra=""):
        super().write_config(mode, f"{extra}\nlocal_group: '{USER}'")

    def __enter__(self):
        super().__enter__()
        d = self.dir
        os.chmod(d, 0o711)  # the console's user passes through
        for command in (["init", f"{d}/ca"],
                        ["issue", f"{d}/ca", "cards", "card", "--san", "127.0.0.1"]):
            subprocess.run([CA, *command], check=True, capture_output=True)
        os.mkdir(f"{d}/web")
        with open(f"{d}/web/index.html", "w", encoding="ascii") as file:
            file.write("<!doctype html><title>gnomon</title>")
        with open(f"{d}/token", "w", encoding="ascii") as file:
            file.write("0123456789abcdef\n")
        with open(f"{d}/c.yaml", "w", encoding="ascii") as file:
            file.write(f"""
listen: https://127.0.0.1:0
tls: {{ca: {d}/ca/cards.pem, cert: {d}/ca/cards/card.pem, key: {d}/ca/cards/card.key}}
control_url: ipc://{d}/g.ipc
events_url: ipc://{d}/e.ipc
accounts_file: {d}/console/accounts.json
user: "{USER}"
web_dir: {d}/web
metrics_token_file: {d}/token
""")
        self.tls = ssl.create_default_context(cafile=f"{d}/ca/cards.pem")
        for name, role in (("ann", "operator"), ("val", "viewer")):
            self.account("add", name, role, password=FIRST)
        self.start_console()
        return self

    def account(self, *words, password="", code=0):
        done = subprocess.run([CONSOLE, "--config", f"{self.dir}/c.yaml", "account", *words],
                              input=password + "\n", capture_output=True, text=True, check=False)
        check(done.returncode == code, f"account {words}: {done.returncode} {done.stderr}")
        return done.stdout + done.stderr

    def start_console(self):
        seen = len(self.log("console")) if os.path.exists(f"{self.dir}/console.log") else 0
        self.spawn("console", [CONSOLE, "--config", f"{self.dir}/c.yaml"])
        self.port = int(self.wait("the console serves", lambda: re.search(
            r"port (\d+)", self.log("console")[seen:])).group(1))

    def connection(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=30)

    def ask(self, verb, path, body=None, headers=()):
        """(status, headers, body as JSON or text)"""
        connection = self.connection()
        try:
            connection.request(verb, path, None if body is None else json.dumps(body),
                               dict(headers))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        is_json = answer.headers.get("Content-Type") == "application/json"
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def log_in(self, name, password=PASSWORD, **more):
        return self.ask("POST", "/api/v1/session", {"name": name, "password": password, **more})

    def bearer(self, name):
        """Logs in, setting the password where it is still the first one."""
        status, _, answer = self.log_in(name)
        if status != 200:
            status, _, answer = self.log_in(name, FIRST, new_password=PASSWORD)
        check(status == 200, f"{name} cannot log in: {answer}")
        return {"Authorization": f"Bearer {answer['token']}"}

    def raw(self):
        return self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 30),
                                    server_hostname="127.0.0.1")


def expect(answer, status, says=""):
    got, _, body = answer
    text = body["error"]["message"] if isinstance(body, dict) and "error" in body else str(body)
    check(got == status and says in text, f"expected {status} '{says}', got {got} {text[:300]}")
    return body


# ---- cases ---------------------------------------------------------------------------------

def pages(world):
    status, headers, body = world.ask("GET", "/")
    check(status == 200 and "gnomon" in body, f"no page: {status}")
    for name, value in (("Strict-Transport-Security", "max-age"), ("X-Content-Type-Options", "nosniff"),
                        ("Content-Security-Policy", "default-src 'none'")):
        check(value in headers.get(name, ""), f"{name} is missing")
    status, _, body = world.ask("GET", "/index.html", headers={"If-None-Match": headers["ETag"]})
    check(status == 304 and not body, f"a page that is known came again: {status}")
    expect(world.ask("GET", "/../accounts.json"), 404)
    expect(world.ask("GET", "/%2e%2e/accounts.json"), 404)
    expect(world.ask("POST", "/"), 405)


def logins(world):
    expect(world.ask("GET", "/api/v1/vms"), 401, "log in first")
    expect(world.log_in("ann", "wrong password"), 401, "wrong, or the account is locked")
    expect(world.log_in("nobody", FIRST), 401, "wrong, or the account is locked")
    expect(world.log_in("ann", FIRST), 400, "must be changed")
    expect(world.log_in("ann", FIRST, new_password="short"), 400, "12 to 128")
    expect(world.log_in("ann", FIRST, new_password="this is ann here"), 400, "account's name")
    expect(world.log_in("ann", FIRST, new_password=FIRST), 400, "must differ")
    session = expect(world.log_in("ann", FIRST, new_password=PASSWORD), 200)
    check(session["role"] == "OPERATOR" and session["account"] == "ann", f"session: {session}")
    expect(world.log_in("ann", FIRST), 401)
    bearer = {"Authorization": f"Bearer {session['token']}"}
    check(expect(world.ask("GET", "/api/v1/vms", headers=bearer), 200)["vms"], "no VMs")
    expect(world.ask("DELETE", "/api/v1/session", headers=bearer), 204)
    expect(world.ask("GET", "/api/v1/vms", headers=bearer), 401)
    with open(f"{world.dir}/console/accounts.json", encoding="utf-8") as file:
        text = file.read()
    check(PASSWORD not in text and FIRST not in text, "a password is in the accounts file")
    check(os.stat(f"{world.dir}/console/accounts.json").st_mode & 0o777 == 0o600, "accounts file is open")
    check(PASSWORD not in world.log("console"), "a password is in the log")


def forged_requests(world):
    status, headers, session = world.log_in("ann")
    check(status == 200, f"login: {session}")
    cookie = headers["Set-Cookie"]
    for word in ("__Host-gnomon=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        check(word in cookie, f"cookie without {word}")
    jar = {"Cookie": f"theme=dark; {cookie.split(';')[0]}"}
    expect(world.ask("GET", "/api/v1/vms", headers=jar), 200)
    change = {"mode": "FORECAST_ONLY"}
    path = "/api/v1/vms/web-1/policy"
    expect(world.ask("PATCH", path, change, jar), 401)
    expect(world.ask("PATCH", path, change, {**jar, "X-CSRF-Token": "0" * 64}), 401)
    changed = expect(world.ask("PATCH", path, change, {**jar, "X-CSRF-Token": session["csrf"]}), 200)
    check(changed["mode"] == "FORECAST_ONLY", f"policy: {changed}")
    jar = {"Cookie": "x__Host-gnomon=" + session["token"]}
    expect(world.ask("GET", "/api/v1/vms", headers=jar), 401)


def roles(world):
    viewer, operator = world.bearer("val"), world.bearer("ann")
    expect(world.ask("GET", "/api/v1/vms/web-1/policy", headers=viewer), 200)
    expect(world.ask("PATCH", "/api/v1/vms/web-1/policy", {"mode": "OFF"}, viewer), 403,
           "needs the role operator; yours is viewer")
    expect(world.ask("PATCH", "/api/v1/vms/web-1/policy", {"mode": "ENFORCE"}, operator), 200)
    routes = expect(world.ask("GET", "/api/v1/openapi.json"), 200)
    for path, verbs in routes["paths"].items():
        for verb, route in verbs.items():
            url = path.replace("{id}", "none").replace("{session}", "none")
            status, _, body = world.ask(verb.upper(), url)
            check(status == 401, f"{verb} {url} without a login: {status} {body}")
            status, _, body = world.ask(verb.upper(), url, headers=viewer)
            check((status == 403) == (route["x-role"] != "viewer"), f"{verb} {url} as viewer: {status}")


def api(world):
    me = world.bearer("ann")
    vm = expect(world.ask("GET", "/api/v1/vms/web-1", headers=me), 200)
    check(vm == world.call("GetVm", "name=vms/web-1") or vm["name"] == "vms/web-1", "another VM")
    expect(world.ask("GET", "/api/v1/vms/none", headers=me), 404, "vms/none")
    expect(world.ask("GET", "/api/v1/nothing", headers=me), 404, "openapi.json")
    expect(world.ask("GET", "/api/v1/vms/a%2fb", headers=me), 404)
    expect(world.ask("GET", "/api/v1/vms/..", headers=me), 404)
    status, headers, _ = world.ask("DELETE", "/api/v1/plans", headers=me)
    check(status == 405 and headers["Allow"] == "GET", f"wrong verb: {status}")
    expect(world.ask("PATCH", "/api/v1/vms/web-1/policy", {"resources": [{"step": "x"}]}, me), 400,
           "'resources[0].step' must be a whole number")
    expect(world.ask("PATCH", "/api/v1/vms/web-1/policy", {"mood": 1}, me), 400, "'mood' is not known")
    expect(world.ask("GET", "/api/v1/plans?limit=many", headers=me), 400, "'limit'")
    expect(world.ask("GET", "/api/v1/plans?colour=red", headers=me), 400, "colour")
    expect(world.ask("GET", "/api/v1/plans?limit=%zz", headers=me), 400, "malformed")
    expect(world.ask("GET", "/api/v1/status", {"a": 1}, me), 400, "takes no body")
    check("plans" in expect(world.ask("GET", "/api/v1/plans?limit=3&vm=vms/web-1", headers=me), 200),
          "no plans")
    history = world.wait("history", lambda: expect(world.ask(
        "GET", "/api/v1/vms/web-1/history?resource=CPU&max_points=50", headers=me), 200)["points"])
    check(history[0]["wall_us"] > 0, "history without time")
    for body in ({}, None):
        status, _, answer = world.ask("PATCH", "/api/v1/vms/web-1/shadow", body, me)
        check(status == 400 and "names no field" in answer["error"]["message"], f"{body}: {answer}")
    # The name in the path wins over one in the body.
    policy = expect(world.ask("PATCH", "/api/v1/vms/web-1/policy",
                              {"name": "vms/other/policy", "mode": "ENFORCE"}, me), 200)
    check(policy["name"] == "vms/web-1/policy", f"policy: {policy['name']}")


def description(world):
    text = expect(world.ask("GET", "/api/v1/openapi.json"), 200)
    schemas = text["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(text)):
        check(name in schemas, f"schema {name} is missing")
    check("/api/v1/vms/{id}/policy" in text["paths"], "a path is missing")
    operations = [r["operationId"] for verbs in text["paths"].values() for r in verbs.values()]
    check(len(set(operations)) == len(operations), "an operation is there twice")


class Stream(threading.Thread):
    """Reads server-sent events until the end."""

    def __init__(self, world, headers):
        super().__init__(daemon=True)
        self.connection = world.connection()
        self.connection.request("GET", "/api/v1/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.events, self.ended = [], False
        self.start()

    def run(self):
        event = {}
        with contextlib.suppress(OSError, ValueError):
            for line in self.answer:
                text = line.decode().rstrip("\n")
                if not text and event:
                    self.events.append(event)
                    event = {}
                elif ": " in text:
                    key, value = text.split(": ", 1)
                    event[key] = value
        self.ended = True


def set_mode(world, me, mode):
    expect(world.ask("PATCH", "/api/v1/vms/web-1/policy", {"mode": mode}, me), 200)


def events(world):
    me = world.bearer("ann")
    stream = Stream(world, me)
    check(stream.answer.headers["Content-Type"] == "text/event-stream", "no stream")
    # The subscription settles a moment after the start: change until something comes.
    modes = iter(["OFF", "ENFORCE"] * 100)
    world.wait("an event", lambda: set_mode(world, me, next(modes)) or
               [e for e in stream.events if "id" in e])
    first = next(e for e in stream.events if "id" in e)
    data = json.loads(first["data"])
    check(str(data["id"]) == first["id"] and data["kind"] == first["event"], f"event: {first}")
    seen = len(stream.events)
    set_mode(world, me, "OFF")
    set_mode(world, me, "ENFORCE")
    world.wait("more events", lambda: len(stream.events) > seen + 1)
    late = Stream(world, {**me, "Last-Event-ID": first["id"]})
    world.wait("what was missed", lambda: len([e for e in late.events if "id" in e]) >= 2)
    ids = [int(e["id"]) for e in late.events if "id" in e]
    check(min(ids) > int(first["id"]) and ids == sorted(ids), f"ids {ids} after {first['id']}")
    unknown = Stream(world, {**me, "Last-Event-ID": "999999999"})
    world.wait("a reset", lambda: [e for e in unknown.events if e.get("event") == "reset"])
    time.sleep(2.1)  # gnomond is looked at every two seconds
    world.stop()
    world.start()
    world.wait("a reset after gnomond's restart",
               lambda: [e for e in stream.events if e.get("event") == "reset"])
    expect(world.ask("DELETE", "/api/v1/session", headers=me), 204)
    world.wait("the streams to end with the session", lambda: stream.ended and late.ended)


def metrics(world):
    expect(world.ask("GET", "/metrics"), 401, "metrics_token_file")
    expect(world.ask("GET", "/metrics", headers={"Authorization": "Bearer 0123456789abcdeg"}), 401)
    token = {"Authorization": "Bearer 0123456789abcdef"}
    ready = lambda: (page := world.ask("GET", "/metrics", headers=token)[2]) \
        and "gnomon_vm_cpu_forecast_vcpus{" in page and page
    page = world.wait("forecasts in the metrics", ready)
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
    check(values["gnomon_up"] == "1" and values["gnomon_vms"] == "1", "gnomon_up, gnomon_vms")
    check('gnomon_vm_cpu_allocated_vcpus{vm="web-1"}' in values, "allocated CPU is missing")
    samples = [line.rsplit(" ", 1)[0] for line in page.splitlines() if line[0] != "#"]
    check(len(values) == len(samples), f"twice: {[s for s in samples if samples.count(s) > 1][:4]}")
    families = re.findall(r"^# TYPE (\S+)", page, re.M)
    check(len(set(families)) == len(families), "a family is there twice")
    promtool = shutil.which("promtool")
    if promtool:
        done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True,
                              text=True, check=False)
        check(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")


def gnomond_away(world):
    me = world.bearer("ann")
    world.stop()
    expect(world.ask("GET", "/api/v1/vms", headers=me), 503)
    token = {"Authorization": "Bearer 0123456789abcdef"}
    time.sleep(1.1)  # a page is fresh for a second
    check("gnomon_up 0" in world.ask("GET", "/metrics", headers=token)[2], "gnomon_up is not 0")
    world.start()
    world.wait("the API again", lambda: world.ask("GET", "/api/v1/vms", headers=me)[0] == 200)


def console_killed(world):
    me = world.bearer("ann")
    world.stop("console")
    world.start_console()
    expect(world.ask("GET", "/api/v1/vms", headers=me), 401)
    expect(world.log_in("ann"), 200)
    world.stop("console", signal.SIGTERM)
    world.start_console()


def totp(secret, step):
    mac = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


def second_factor(world):
    import base64
    world.account("add", "two", "viewer", password=FIRST)
    link = world.account("second-factor", "two")
    secret = base64.b32decode(re.search(r"secret=(\w+)", link).group(1))
    world.stop("console")
    world.start_console()
    expect(world.log_in("two", FIRST, new_password=PASSWORD), 401)
    step = int(time.time()) // 30
    code = totp(secret, step)
    expect(world.log_in("two", FIRST, code=code, new_password=PASSWORD), 200)
    expect(world.log_in("two", PASSWORD, code=code), 401)
    expect(world.log_in("two", PASSWORD, code=totp(secret, int(time.time()) // 30 + 1)), 200)


def lock_out(world):
    world.account("add", "eve", "viewer", password=FIRST)
    world.stop("console")
    world.start_console()
    for _ in range(5):
        expect(world.log_in("eve", "not this one"), 401)
    expect(world.log_in("eve", FIRST, new_password=PASSWORD), 401, "locked for a while")
    world.stop("console")
    world.start_console()
    expect(world.log_in("eve", FIRST, new_password=PASSWORD), 401)
    check("locked" in world.account("list"), "the list does not say 'locked'")
    expect(world.log_in("val"), 200)


def changed_accounts(world):
    """What the command line does to accounts holds at once, and no login undoes it."""
    world.account("add", "tmp", "viewer", password=FIRST)
    me = world.bearer("tmp")
    expect(world.ask("GET", "/api/v1/vms", headers=me), 200)
    stream = Stream(world, me)
    world.account("remove", "tmp")
    world.wait("the stream to end with the account", lambda: stream.ended)
    expect(world.ask("GET", "/api/v1/vms", headers=me), 401)
    expect(world.log_in("val", "not the password"), 401)
    expect(world.log_in("tmp"), 401)
    check("tmp" not in world.account("list"), "a login brought the account back")
    me = world.bearer("val")
    world.account("add", "val", "operator", password=FIRST)
    expect(world.ask("GET", "/api/v1/vms", headers=me), 401)


def accounts_file(world):
    check("no role" in world.account("add", "x", "king", password=FIRST, code=1), "role king")
    check("12 to 128" in world.account("add", "x", "viewer", password="a", code=1), "short password")
    check("account name" in world.account("add", "X Y", "viewer", password=FIRST, code=1), "name")
    check("no account" in world.account("remove", "nobody", code=1), "removed nobody")
    with open(f"{world.dir}/console/accounts.json", "r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        file.truncate()
        file.write(text[:len(text) // 2])
    check("is damaged" in world.account("list", code=1), "a damaged file was taken")
    with open(f"{world.dir}/console/accounts.json", encoding="utf-8") as file:
        check(file.read() == text[:len(text) // 2], "the damaged file was changed")
    with open(f"{world.dir}/console/accounts.json", "w", encoding="utf-8") as file:
        file.write(text)


def read_all(sock):
    data = b""
    with contextlib.suppress(OSError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def confinement(world):
    """What the running process may not do any more; firmware/confine tries the acts themselves."""
    pid = world.children["console"].pid
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        check(status["Seccomp"] == "2" and status["NoNewPrivs"] == "1",
              f"thread {task} ({status['Name']}) is not confined: {status}")
        if os.geteuid() == 0:
            check(status["Uid"].split() == [str(USER)] * 4 and not status["Groups"].strip(),
                  f"thread {task} is user {status['Uid']}, groups {status['Groups']}")
        check(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0,
              f"thread {task} has capabilities: {status['CapPrm']}")
    mode = os.stat(f"{world.dir}/g.ipc").st_mode & 0o777
    check(mode == 0o660, f"gnomond's socket has mode {mode:o}")
    check("runs as root" not in world.log("console"), "the console runs as root")
    with open(f"{world.dir}/c.yaml", encoding="ascii") as file:
        text = file.read()
    for value, says in (("no-such-user", "useradd --system no-such-user"), ("root", "is root"),
                        ("64124", f"chown -R 64124:64124 {world.dir}/console")):
        with open(f"{world.dir}/other.yaml", "w", encoding="ascii") as file:
            file.write(text.replace(f'"{USER}"', f'"{value}"'))
        done = subprocess.run([CONSOLE, "--config", f"{world.dir}/other.yaml"], capture_output=True,
                              text=True, check=False, timeout=60)
        check(os.geteuid() or (done.returncode == 1 and says in done.stderr),
              f"user {value}: {done.returncode} {done.stderr}")


def hostile_requests(world):
    cases = {
        "chunked": (b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nGET /\r\n0\r\n\r\n", b" 411 "),
        "too large": (b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                      b"Content-Length: 1000000\r\n\r\n", b" 400 "),
        "negative": (b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                     b"Content-Length: -1\r\n\r\n", b" 400 "),
        "no host": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b" 400 "),
        "HTTP/9": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b" 505 "),
        "deep JSON": (b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                      b"Content-Length: 100000\r\n\r\n" + b"[" * 100000, b" 400 "),
    }
    for name, (request, answer) in cases.items():
        with world.raw() as sock:
            sock.sendall(request)
            got = read_all(sock)
            check(answer in got.split(b"\r\n")[0], f"{name}: {got[:200]}")
    for garbage in (b"\0" * 4096, b"GET", b"\r\n" * 100, os.urandom(1000)):
        with world.raw() as sock:
            sock.sendall(garbage)
    with socket.create_connection(("127.0.0.1", world.port), 30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_all(plain)
    check(world.ask("GET", "/")[0] == 200, "the console is not well")


def endless_headers(world):
    """A client that never stops sending headers is cut, without waiting for the idle time."""
    with world.raw() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        line = b"X-A: " + b"a" * 1000 + b"\r\n"
        try:
            for _ in range(200000):
                sock.sendall(line)
            raise Failed("200 MB of headers were taken")
        except OSError:
            pass
    check(world.ask("GET", "/")[0] == 200, "the console is not well")


def slow_and_many(world):
    """Many connections that say nothing: the newest above 64 are cut at once, the others when they
    have been silent for twenty seconds; others are served meanwhile."""
    socks = [socket.create_connection(("127.0.0.1", world.port), 30) for _ in range(100)]
    slow = socks[0]
    slow.sendall(b"\x16")

    def n_cut():
        n = 0
        for sock in socks:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                try:
                    n += not sock.recv(1)
                except ConnectionError:
                    n += 1
        return n
    world.wait("those above the limit to be cut", lambda: n_cut() >= 36)
    world.wait("an answer meanwhile", lambda: _try(lambda: world.ask("GET", "/")[0] == 200))
    world.wait("all to be cut", lambda: n_cut() == 100)
    for sock in socks:
        sock.close()
    check(world.ask("GET", "/")[0] == 200, "the console is not well")


def _try(what):
    try:
        return what()
    except OSError:
        return False


def configuration(world):
    def refused(text, says):
        path = f"{world.dir}/bad.yaml"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run([CONSOLE, "--config", path, "--check"], capture_output=True, text=True,
                              check=False)
        check(done.returncode == 1 and says in done.stderr, f"{text}: {done.stderr}")
    refused("listen: http://0.0.0.0:80\n", "must be https://")
    refused("listen: https://0.0.0.0:8443\n", "tls is missing")
    refused("colour: red\n", "colour")
    refused("listen: http://127.0.0.1:0\ncontrol_url: tcp://1.2.3.4:5\n", "on this machine")
    done = subprocess.run([CONSOLE, "--config", f"{world.dir}/c.yaml", "--check"],
                          capture_output=True, text=True, check=False)
    check(done.returncode == 0 and "is good" in done.stdout, f"good one: {done.stderr}")
    done = subprocess.run([CONSOLE], capture_output=True, text=True, check=False)
    check(done.returncode == 2 and "--help" in done.stderr, "no argument")


CASES = [pages, logins, forged_requests, roles, api, description, events, metrics, gnomond_away,
         console_killed, second_factor, lock_out, changed_accounts, accounts_file, hostile_requests, endless_headers,
         slow_and_many, confinement, configuration]


def main():
    failed = 0
    wanted = sys.argv[1:]
    cases = [case for case in CASES if not wanted or case.__name__ in wanted]
    print(f"1..{len(cases)}")
    with ConsoleWorld() as world:
        for number, case in enumerate(cases, 1):
            name = case.__name__.replace("_", " ")
            try:
                case(world)
                print(f"ok {number} - {name}", flush=True)
            except (Failed, OSError, http.client.HTTPException, KeyError) as error:
                failed += 1
                print(f"not ok {number} - {name}\n# {type(error).__name__} {error}", flush=True)
                print("".join(f"# {line}" for line in world.log("console").splitlines(True)[-10:]))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
