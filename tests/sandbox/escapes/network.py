"""Reaching the service, and what else listens on this machine."""

import ctypes
import socket
import struct

from tests.sandbox.escapes.common import Told, call, check, escape, libc

MPTCP, SCTP, UDPLITE = 262, 132, 136
FAST_OPEN = 0x20000000
TCP_FASTOPEN_CONNECT = 30
IO_URING_SETUP = 425
AF_VSOCK, AF_ALG, AF_SMC, AF_KCM, AF_RDS, AF_XDP = 40, 38, 43, 41, 21, 44


def _connect(address: tuple[str, int], family: int = socket.AF_INET, protocol: int = 0) -> object:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as client:
        client.settimeout(2)
        client.connect(address)
        return address


@escape
def connect_to_service(told: Told) -> object:
    return _connect(("127.0.0.1", told["port"]))


@escape
def connect_to_service_by_ipv6(told: Told) -> object:
    return _connect(("::1", told["port6"]), socket.AF_INET6)


@escape
def connect_to_service_by_mapped_address(told: Told) -> object:
    return _connect(("::ffff:127.0.0.1", told["port"]), socket.AF_INET6)


@escape
def connect_to_service_by_any_address(told: Told) -> object:
    return _connect(("0.0.0.0", told["port"]))


@escape
def connect_to_service_from_fixed_port(told: Told) -> object:
    with socket.socket() as client:
        client.settimeout(2)
        client.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", told["port"]))
        return client.getsockname()


@escape
def connect_by_multipath_tcp(told: Told) -> object:
    return _connect(("127.0.0.1", told["port"]), protocol=MPTCP)


@escape
def connect_by_multipath_tcp_over_ipv6(told: Told) -> object:
    return _connect(("::1", told["port6"]), socket.AF_INET6, MPTCP)


@escape
def connect_by_fast_open(told: Told) -> object:
    with socket.socket() as client:
        return client.sendto(b"x", FAST_OPEN, ("127.0.0.1", told["port"]))


@escape
def connect_by_fast_open_message(told: Told) -> object:
    with socket.socket() as client:
        return client.sendmsg([b"x"], [], FAST_OPEN, ("127.0.0.1", told["port"]))


@escape
def connect_by_fast_open_messages(told: Told) -> object:
    """The same for several messages, which Python does not have."""
    address = struct.pack(
        "=HH4s8x", socket.AF_INET, socket.htons(told["port"]), socket.inet_aton("127.0.0.1")
    )
    data = ctypes.create_string_buffer(b"x")
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(data), 1)
    name = ctypes.create_string_buffer(address)
    header = ctypes.create_string_buffer(64)
    struct.pack_into("=QI4xQQ", header, 0, ctypes.addressof(name), len(address), ctypes.addressof(vector), 1)
    with socket.socket() as client:
        return check(libc.sendmmsg(client.fileno(), header, 1, FAST_OPEN))


@escape
def connect_late_by_fast_open(told: Told) -> object:
    with socket.socket() as client:
        client.settimeout(2)
        client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        client.connect(("127.0.0.1", told["port"]))
        return client.send(b"x")


@escape
def connect_after_disconnecting(told: Told) -> object:
    """AF_UNSPEC dissolves a connection; what comes after it is a connection like any other."""
    with socket.socket() as client:
        client.settimeout(2)
        libc.connect(client.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
        client.connect(("127.0.0.1", told["port"]))
        return "connected"


@escape
def connect_by_io_uring(told: Told) -> object:
    parameters = ctypes.create_string_buffer(120)
    return call(IO_URING_SETUP, 4, parameters) + 1


@escape
def connect_to_metadata_port(told: Told) -> object:
    """Credentials of cloud machines are at port 80 of an address that only the machine itself reaches."""
    return _connect(("127.0.0.1", 80))


@escape
def take_port_of_service(told: Told) -> object:
    """Whoever listens there when the service is down, or beside it, gets its clients' tokens."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.2", told["port"]))
        listener.listen()
        return listener.getsockname()


@escape
def listen_to_the_world(told: Told) -> object:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        return listener.getsockname()


@escape
def listen_without_binding(told: Told) -> object:
    """The kernel takes a port by itself then; in a network of one's own that reaches nobody."""
    with socket.socket() as listener:
        listener.listen()
        return read_sockets_by_proc(told) and listener.getsockname()


@escape
def send_datagram_to_loopback(told: Told) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(told["mark"].encode(), ("127.0.0.1", told["datagrams"]))
    return None


@escape
def send_datagram_by_udp_lite(told: Told) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE) as client:
        return client.sendto(b"x", ("127.0.0.1", told["datagrams"]))


@escape
def use_sctp(told: Told) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP)


@escape
def use_raw_socket(told: Told) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@escape
def use_packet_socket(told: Told) -> object:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


@escape
def use_strange_families(told: Told) -> object:
    found = []
    for family in (AF_VSOCK, AF_ALG, AF_SMC, AF_KCM, AF_RDS, AF_XDP):
        try:
            socket.socket(
                family, socket.SOCK_STREAM if family not in (AF_ALG, AF_KCM) else socket.SOCK_SEQPACKET
            )
            found.append(family)
        except OSError:
            continue
    return found


@escape
def listen_to_kernel_events(told: Told) -> object:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)  # NETLINK_KOBJECT_UEVENT


@escape
def list_sockets_of_machine(told: Told) -> object:
    """Diagnostics of all sockets: who talks to whom."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # NETLINK_SOCK_DIAG


@escape
def change_routes(told: Told) -> object:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        # Of the loopback interface: change nothing, and say whether that was allowed.
        message = struct.pack("=IHHII", 32, 16, 5, 1, 0) + struct.pack("=BxHiII", 0, 0, 1, 0, 0)
        netlink.send(message)
        answer = netlink.recv(4096)
    return struct.unpack_from("=i", answer, 16)[0] == 0 and "changed"


@escape
def read_sockets_by_proc(told: Told) -> object:
    """Addresses of all connections of the machine, where the network is shared."""
    port = f":{told['port']:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        return [line for line in file if port in line.split()[1]][:1]
