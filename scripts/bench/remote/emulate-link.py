#!/usr/bin/env python3
"""A link between two network namespaces, with a delay and a rate of its own: for kernels without netem.

usage: emulate-link.py NAMESPACE ADDRESS/LENGTH NAMESPACE ADDRESS/LENGTH DELAY_MS RATE_BITS_PER_SECOND QUEUE_BYTES MTU
Without a rate the kernel hands over many packets of one connection as one, as it does to network cards that can cut them, so that this
program keeps up. Each way: packets leave at the rate (0: as they come), wait in a queue of so many bytes, beyond which they are lost, and
arrive DELAY_MS later. Says `ready` once both ends are up; ends when its standard input does."""
import collections, ctypes, fcntl, os, select, struct, subprocess, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000
TUNSETOFFLOAD, IFF_VNET_HDR, TUN_F_CSUM, TUN_F_TSO4 = 0x400454D0, 0x4000, 1, 2
DEVICE = "bench0"
libc = ctypes.CDLL(None, use_errno=True)


def enter(descriptor):
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def open_end(namespace, address, mtu, is_uncut):
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    enter(other)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if is_uncut else 0)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), flags))
    if is_uncut:
        fcntl.ioctl(end, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)
    enter(own)
    for words in (f"addr add {address} dev {DEVICE}", f"link set {DEVICE} mtu {mtu} txqueuelen 1000 up"):
        subprocess.check_call(["ip", "-n", namespace] + words.split())
    return end


class Way:
    def __init__(self, source, target):
        self.source, self.target = source, target
        self.free_at = 0.0
        self.packets = collections.deque()


def main():
    near, near_address, far, far_address = sys.argv[1:5]
    delay = float(sys.argv[5]) / 1000
    rate, queue_bytes, mtu = (int(word) for word in sys.argv[6:9])
    ends = open_end(near, near_address, mtu, rate == 0), open_end(far, far_address, mtu, rate == 0)
    ways = {ends[0]: Way(*ends), ends[1]: Way(ends[1], ends[0])}
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        dues = [way.packets[0][0] for way in ways.values() if way.packets]
        readable, _, _ = select.select([*ends, 0], [], [], max(0, min(dues) - now) if dues else None)
        now = time.monotonic()
        for descriptor in readable:
            if descriptor == 0:
                if not os.read(0, 4096):
                    return
                continue
            way = ways[descriptor]
            for _ in range(64):
                try:
                    packet = os.read(descriptor, 131072)
                except BlockingIOError:
                    break
                leaves = now
                if rate > 0:
                    begins = max(now, way.free_at)
                    if (begins - now) * rate / 8 > queue_bytes:
                        continue
                    leaves = way.free_at = begins + len(packet) * 8 / rate
                way.packets.append((leaves + delay, packet))
        now = time.monotonic()
        for way in ways.values():
            while way.packets and way.packets[0][0] <= now:
                try:
                    os.write(way.target, way.packets.popleft()[1])
                except OSError:
                    pass


main()
