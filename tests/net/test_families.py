"""Sockets of every family that asyncio takes: where the general calls get an unusual socket, they work all the same."""

import asyncio
import socket
import struct

import pytest
from socket_tools import on_loop, tcp_pair, unix_pair
from test_datagram import Recorder as Endpoint
from test_datagram import end

from descriptors import left_open, open_descriptors

RTM_GETLINK, NLM_F_REQUEST_DUMP = 18, 0x301


def vsock_listener():
    """A listening VSOCK socket on the machine's own address, or a skip."""
    try:
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except (AttributeError, OSError):
        pytest.skip("no AF_VSOCK here")
    try:
        sock.bind((1, socket.VMADDR_PORT_ANY))  # 1: VMADDR_CID_LOCAL
        sock.listen()
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
            probe.settimeout(2)
            probe.connect(sock.getsockname())
            sock.accept()[0].close()
    except OSError as error:
        sock.close()
        pytest.skip(f"no AF_VSOCK loopback here: {error}")
    return sock


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(asyncio.Protocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, data):
        self.answer.set_result(data)


async def converse(loop, sock):
    transport, protocol = await loop.create_connection(Client, sock=sock)
    assert await protocol.answer == b"hello"
    assert transport.get_extra_info("sockname") == sock.getsockname()
    assert transport.get_extra_info("peername") == sock.getpeername()
    assert transport.get_extra_info("socket").family == sock.family
    transport.close()


@on_loop
async def test_unix_sockets_in_the_general_calls(loop, tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener"))
    async with await loop.create_server(Echo, sock=listener):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        await loop.sock_connect(client, str(tmp_path / "listener"))
        await converse(loop, client)


@on_loop
async def test_vsock(loop):
    listener = vsock_listener()
    address = listener.getsockname()
    async with await loop.create_server(Echo, sock=listener):
        client = socket.socket(socket.AF_VSOCK)
        client.setblocking(False)
        await loop.sock_connect(client, address)
        await converse(loop, client)


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair], ids=["tcp", "unix"])
@on_loop
async def test_accepted_elsewhere(loop, pair):
    ours, theirs = pair()
    ours.setblocking(True)  # whatever it was: a transport's socket does not block
    transport, _ = await loop.connect_accepted_socket(Echo, ours)
    assert ours.gettimeout() == 0
    await converse(loop, theirs)
    transport.close()


@on_loop
async def test_netlink_datagrams(loop):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, getattr(socket, "NETLINK_ROUTE", 0))
    sock.bind((0, 0))
    transport, protocol = await loop.create_datagram_endpoint(Endpoint, sock=sock)
    transport.sendto(struct.pack("=LHHLLB3x", 20, RTM_GETLINK, NLM_F_REQUEST_DUMP, 7, 0, 0), (0, 0))
    await protocol.until(lambda: protocol.received)
    data, address = protocol.received[0]
    assert address == (0, 0)  # the kernel, as the socket module names it
    assert struct.unpack("=LHHL", data[:12])[1:4:2] == (16, 7)  # RTM_NEWLINK, our number
    assert protocol.errors == []
    await end(transport)


@on_loop
async def test_packets(loop):
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x88B5))
        sock.bind(("lo", 0x88B5))
    except (AttributeError, PermissionError, OSError) as error:
        pytest.skip(f"no AF_PACKET here: {error}")
    transport, protocol = await loop.create_datagram_endpoint(Endpoint, sock=sock)
    transport.sendto(b"to ourselves", ("lo", 0x88B5, 0, 0, b"\0" * 6))
    await protocol.until(lambda: protocol.received)
    data, address = protocol.received[0]
    assert data == b"to ourselves" and address[0] == "lo" and address[1] == 0x88B5
    await end(transport)


@on_loop
async def test_addresses_of_another_family_are_errors_not_ends(loop):
    transport, protocol = await loop.create_datagram_endpoint(Endpoint, local_addr=("127.0.0.1", 0))
    transport.sendto(b"x", ("::1", 9))
    assert len(protocol.errors) == 1 and isinstance(protocol.errors[0], OSError)
    transport.sendto(b"itself", transport.get_extra_info("sockname"))
    await protocol.until(lambda: protocol.received)
    await end(transport)
    transport, protocol = await loop.create_datagram_endpoint(Endpoint, local_addr=("::1", 0))
    transport.sendto(b"x", ("127.0.0.1", 9))  # no mapped address leaves from ::1
    assert len(protocol.errors) == 1 and isinstance(protocol.errors[0], OSError)
    await end(transport)


@on_loop
async def test_scopes_of_ipv6_addresses(loop):
    scope = socket.if_nametoindex("lo")  # by name the C library takes it for link-local addresses only
    listening, answering = await loop.create_datagram_endpoint(Endpoint, local_addr=(f"::1%{scope}", 0))
    address = listening.get_extra_info("sockname")
    assert address[0] == "::1"
    transport, _ = await loop.create_datagram_endpoint(Endpoint, remote_addr=(f"::1%{scope}", address[1]))
    transport.sendto(b"connected")
    other, _ = await loop.create_datagram_endpoint(Endpoint, family=socket.AF_INET6)
    other.sendto(b"scope", ("::1", address[1], 0, scope))
    other.sendto(b"name", (f"::1%{scope}", address[1]))
    await answering.until(lambda: len(answering.received) == 3)
    assert [data for data, _ in answering.received] == [b"connected", b"scope", b"name"]
    with pytest.raises(OSError):
        await loop.create_datagram_endpoint(Endpoint, remote_addr=("fe80::1%no-such-one", 9))
    await end(listening, transport, other)


@on_loop
async def test_stream_connections_by_scope(loop):
    scope = socket.if_nametoindex("lo")
    server = await loop.create_server(Echo, f"::1%{scope}", 0)
    port = server.sockets[0].getsockname()[1]
    transport, protocol = await loop.create_connection(Client, f"::1%{scope}", port)
    assert await protocol.answer == b"hello"
    transport.close()
    with socket.socket(socket.AF_INET6) as client:
        client.setblocking(False)
        await loop.sock_connect(client, (f"::1%{scope}", port))
        assert client.getpeername()[1] == port
    server.close()
    await server.wait_closed()


@on_loop
async def test_a_name_in_sock_sendto_is_looked_up_by_the_loop(loop):
    asked = []

    async def getaddrinfo(host, port, **options):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    loop.getaddrinfo = getaddrinfo
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        one.bind(("127.0.0.1", 0))
        for sock in (one, other):
            sock.setblocking(False)
        port = one.getsockname()[1]
        assert await loop.sock_sendto(other, b"by name", ("some.test", port)) == 7
        assert await loop.sock_sendto(other, b"by number", ("127.0.0.1", port)) == 9
        assert await loop.sock_recv(one, 100) == b"by name"
        assert await loop.sock_recv(one, 100) == b"by number"
    assert asked == ["some.test"]


@on_loop
async def test_the_kinds_of_sockets_that_each_call_takes(loop):
    calls = {
        "create_connection": lambda sock: loop.create_connection(Echo, sock=sock),
        "create_server": lambda sock: loop.create_server(Echo, sock=sock),
        "connect_accepted_socket": lambda sock: loop.connect_accepted_socket(Echo, sock),
        "create_unix_connection": lambda sock: loop.create_unix_connection(Echo, sock=sock),
        "create_unix_server": lambda sock: loop.create_unix_server(Echo, sock=sock),
        "create_datagram_endpoint": lambda sock: loop.create_datagram_endpoint(Endpoint, sock=sock),
    }
    refused = {
        (socket.AF_UNIX, socket.SOCK_SEQPACKET): set(calls) - {"create_datagram_endpoint"},
        (socket.AF_UNIX, socket.SOCK_DGRAM): set(calls) - {"create_datagram_endpoint"},
        (socket.AF_INET, socket.SOCK_DGRAM): set(calls) - {"create_datagram_endpoint"},
        (socket.AF_INET, socket.SOCK_STREAM): {
            "create_unix_connection",
            "create_unix_server",
            "create_datagram_endpoint",
        },
    }
    before = open_descriptors()
    for (family, kind), names in refused.items():
        for name in sorted(names):
            with socket.socket(family, kind) as sock:
                with pytest.raises(ValueError, match="was expected"):
                    await calls[name](sock)
                assert sock.fileno() >= 0  # still the caller's
    assert left_open(before) == set()
