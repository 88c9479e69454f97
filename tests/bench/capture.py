"""Writes a capture for net_pcap to play: UDP over IPv4 in many flows."""
import struct


def _checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(source, destination, flow, size):
    """60 bytes or more, between two stations (numbers make MAC and IP address)."""
    mac = [bytes([2, 0x67, 0x6e, 0, n >> 8, n & 255]) for n in (destination, source)]
    udp = struct.pack(">HHHH", 10000 + flow, 5001, size - 34, 0) + bytes(size - 42)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, flow, 0, 64, 17, 0,
                       bytes([10, 0, source >> 8, source & 255]),
                       bytes([10, 0, destination >> 8, destination & 255]))
    head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
    return mac[0] + mac[1] + b"\x08\x00" + head + udp


def write(path, frames):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i, data in enumerate(frames):
            out.write(struct.pack("<IIII", i, 0, len(data), len(data)) + data)
