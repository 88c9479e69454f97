#!/usr/bin/python3
"""Real traffic between two network namespaces, captured by tcpdump and replayed through the
dataplane's feature code: what the card counts must be what the programs did. The same packets,
written as pcapng and inside ERSPAN and VXLAN, must be read back by tcpdump."""
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("GN_BUILD", "build")
REPLAY = os.path.abspath(f"{BUILD}/bin/gn-feature-replay")
VM, PEER = "10.98.7.1", "10.98.7.2"
MAC = "02:00:00:00:00:0a"
number = 0


def check(good, name, detail=""):
    global number
    number += 1
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    if not good:
        print(f"# {detail}")
        check.failed = True


check.failed = False


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Handler(http.server.BaseHTTPRequestHandler):
    """Keep-alive answers: /N has N bytes, /missing is not there, /chunked comes in chunks."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path[1:]
        if name == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for size in (1, 3000, 200000):
                data = (b"HTTP/1.1 500 \r\n" * (size // 15 + 1))[:size]
                self.wfile.write(b"%x\r\n%s\r\n" % (size, data))
            self.wfile.write(b"0\r\n\r\n")
            return
        size = 0 if name == "missing" else int(name)
        body = (b"GET / HTTP/1.1\r\n" * (size // 16 + 1))[:size]
        self.send_response(404 if name == "missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def dns_server():
    """Answers every second query with NXDOMAIN."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((VM, 53))
    for i in range(6):
        query, sender = server.recvfrom(512)
        server.sendto(query[:2] + bytes([0x81, 0x80 | (3 if i % 2 else 0)]) + query[4:], sender)


def serve():
    """In the VM's namespace; says 'ready' once it listens."""
    web = http.server.ThreadingHTTPServer((VM, 8080), Handler)
    threading.Thread(target=dns_server, daemon=True).start()
    print("ready", flush=True)
    web.serve_forever()


def talk():
    """In the peer's namespace: what the counters are compared with."""
    def curl(*args):
        return run("curl", "-s", "--noproxy", "*", *args)

    base = f"http://{VM}:8080"
    curl(f"{base}/100", f"{base}/300000", f"{base}/missing", f"{base}/chunked", f"{base}/5")
    curl("-I", f"{base}/1000")
    curl("--data-binary", "x" * 50000, f"{base}/upload")
    curl("--http1.0", f"{base}/77")
    with socket.create_connection((VM, 8080)) as pipelined:
        pipelined.sendall(b"GET /10 HTTP/1.1\r\nHost: a\r\n\r\n" * 3 +
                          b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while pipelined.recv(65536):
            pass
    try:
        socket.create_connection((VM, 9))
    except ConnectionRefusedError:
        pass
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.settimeout(5)
    for i in range(6):
        dns.sendto(bytes([0, i, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1]), (VM, 53))
        dns.recv(512)
    with socket.create_connection((VM, 8080)) as tls:  # a ClientHello, whatever the server thinks
        tls.sendall(bytes([0x16, 3, 1, 0, 50, 1, 0, 0, 46, 3, 3]) + bytes(44))
        tls.shutdown(socket.SHUT_WR)
        while tls.recv(65536):
            pass


EXPECTED = {"tcp_opened": 6, "tcp_closed": 6, "http_requests": 12, "http_status[1]": 11,
            "http_status[3]": 1, "tcp_handshake.count": 6, "http_first_byte.count": 12,
            "tcp_resets": 1, "dns_queries": 6, "dns_failures": 3, "tls_handshakes": 1,
            "flows_tracked": 0}


class Net:
    """Two namespaces joined by a veth pair; the VM's end is captured."""

    def __init__(self, folder):
        self.vm, self.peer = f"gn-fv-{os.getpid()}", f"gn-fp-{os.getpid()}"
        self.capture = f"{folder}/c.pcap"
        self.children = []

    def __enter__(self):
        for name in (self.vm, self.peer):
            run("ip", "netns", "add", name)
        run("ip", "-n", self.vm, "link", "add", "e0", "address", MAC, "type", "veth",
            "peer", "name", "e0", "netns", self.peer)
        for name, address in ((self.vm, VM), (self.peer, PEER)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "e0")
            run("ip", "-n", name, "link", "set", "e0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def start(self, *command, ready):
        child = subprocess.Popen(("ip", "netns", "exec", self.vm) + command, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.children.append(child)
        for line in child.stdout:
            if ready in line:
                return child
        raise RuntimeError(f"{command[0]} ended before it was ready")

    def stop(self, child):
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
        self.children.remove(child)

    def retransmitted(self):
        """Segments that the two kernels say they sent again."""
        total = 0
        for name in (self.vm, self.peer):
            snmp = run("ip", "netns", "exec", name, "cat", "/proc/net/snmp").splitlines()
            names, values = [line.split() for line in snmp if line.startswith("Tcp:")]
            total += int(values[names.index("RetransSegs")])
        return total

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
            child.wait()
        for name in (self.vm, self.peer):
            subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)


def packets(path, *options):
    """tcpdump's lines. The file may be growing."""
    return subprocess.run(("tcpdump", "-nn", "-tt", "--nano", "-r", path) + options, check=False,
                          capture_output=True, text=True).stdout.splitlines()


def capture(folder):
    with Net(folder) as net:
        dump = net.start("tcpdump", "-U", "--immediate-mode", "--nano", "-B", "16384", "-i", "e0",
                         "-w", net.capture, "tcp or udp", ready="listening on")
        net.start(sys.executable, os.path.abspath(__file__), "--serve", ready="ready")
        run("ip", "netns", "exec", net.peer, sys.executable, os.path.abspath(__file__), "--talk",
            timeout=120)
        # The server's last FIN may still be on its way, and tcpdump behind.
        for _ in range(100):
            if len(packets(net.capture, "tcp[tcpflags] & tcp-fin != 0")) >= 2 * EXPECTED["tcp_opened"]:
                break
            time.sleep(0.2)
        net.stop(dump)
        return net.capture, net.retransmitted()


def compare_counters(path, retransmitted):
    counters = json.loads(run(REPLAY, path, MAC))
    lines = packets(path)
    sent = [line for line in lines if f"IP {VM}." in line]
    check(counters["tx_packets"] == len(sent) and
          counters["rx_packets"] == len(lines) - len(sent), "packets of each direction",
          f"{counters} but tcpdump has {len(sent)} of {len(lines)}")
    for name, value in EXPECTED.items():
        check(counters[name] == value, f"{name} is {value}", counters)
    check(counters["tcp_retransmissions"] <= retransmitted,
          "no more retransmissions than the kernels know of", f"{counters} kernels: {retransmitted}")
    check(0 < counters["tcp_handshake.sum_us"] < 60e6, "handshakes took some time", counters)
    check(0 < counters["http_first_byte.sum_us"] < 60e6, "responses took some time", counters)
    return lines


def compare_wrapped(path, folder, lines):
    run(REPLAY, path, MAC, f"{folder}/o.pcapng")
    check(packets(f"{folder}/o.pcapng") == lines, "pcapng reads back as the same packets")
    run(REPLAY, path, MAC, f"{folder}/o.vxlan")
    outer = "\n".join(packets(f"{folder}/o.vxlan", "-v"))
    check(outer.count("VXLAN, flags [I] (0x08), vni 7") == len(lines) and "bad cksum" not in outer,
          "vxlan is read by tcpdump", outer[:2000])
    run(REPLAY, path, MAC, f"{folder}/o.erspan")
    outer = "\n".join(packets(f"{folder}/o.erspan", "-v"))
    sequences = re.findall(r"GREv0, Flags \[sequence# present\], seq (\d+), .*\n\tgre-proto-0x88be",
                           outer)
    check("bad cksum" not in outer, "erspan is read by tcpdump", outer[:2000])
    check(sequences == [str(i) for i in range(len(lines))], "erspan sequence has no gap",
          str(sequences[:50]))


def main():
    missing = [tool for tool in ("ip", "tcpdump", "curl") if not shutil.which(tool)]
    if missing or os.geteuid() != 0 or not os.path.exists(REPLAY):
        print(f"ok 1 - traffic is counted # SKIP needs root, {REPLAY} and {', '.join(missing)}")
        return 0
    with tempfile.TemporaryDirectory(prefix="gnf") as folder:
        os.chmod(folder, 0o777)  # tcpdump gives up its privileges
        path, retransmitted = capture(folder)
        lines = compare_counters(path, retransmitted)
        compare_wrapped(path, folder, lines)
    print(f"1..{number}")
    return 1 if check.failed else 0


if "--serve" in sys.argv:
    serve()
elif "--talk" in sys.argv:
    talk()
else:
    sys.exit(main())
