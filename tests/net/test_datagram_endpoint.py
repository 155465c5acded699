"""create_datagram_endpoint: addresses, families, options, and the arguments that do not fit together."""

import asyncio
import os
import socket

import pytest
from socket_tools import on_loop, udp_socket, unix_pair
from test_datagram import Recorder, end

from descriptors import open_descriptors, opened_since


@on_loop
async def test_bound_here_and_connected_there(loop):
    with udp_socket() as peer:
        transport, protocol = await loop.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0), remote_addr=peer.getsockname()
        )
        transport.sendto(b"hello")
        assert await loop.sock_recvfrom(peer, 10) == (b"hello", transport.get_extra_info("sockname"))
        with udp_socket() as stranger:
            stranger.sendto(b"not for you", transport.get_extra_info("sockname"))
            peer.sendto(b"for you", transport.get_extra_info("sockname"))
            await protocol.until(lambda: protocol.received)
        assert protocol.received == [(b"for you", peer.getsockname())]
        await end(transport)


@on_loop
async def test_with_a_family_alone(loop):
    transport, protocol = await loop.create_datagram_endpoint(Recorder, family=socket.AF_INET)
    with udp_socket() as peer:
        transport.sendto(b"out", peer.getsockname())
        data, address = await loop.sock_recvfrom(peer, 10)
        peer.sendto(b"in", ("127.0.0.1", address[1]))
        await protocol.until(lambda: protocol.received)
        assert (data, protocol.received) == (b"out", [(b"in", peer.getsockname())])
    await end(transport)


@on_loop
async def test_over_a_socket_that_is_set_up_already(loop):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=sock)
    assert sock.gettimeout() == 0
    with udp_socket() as peer:
        peer.sendto(b"x", sock.getsockname())
        await protocol.until(lambda: protocol.received)
    await end(transport)
    assert sock.fileno() == -1


@on_loop
async def test_over_a_connected_socket(loop):
    with udp_socket() as peer:
        sock = udp_socket()
        sock.connect(peer.getsockname())
        transport, _protocol = await loop.create_datagram_endpoint(Recorder, sock=sock)
        transport.sendto(b"no address needed")
        assert await loop.sock_recv(peer, 100) == b"no address needed"
        await end(transport)


@on_loop
async def test_unix_by_path(loop, tmp_path):
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    listening, answering = await loop.create_datagram_endpoint(Recorder, local_addr=there, family=socket.AF_UNIX)
    transport, protocol = await loop.create_datagram_endpoint(
        Recorder, local_addr=here, remote_addr=there, family=socket.AF_UNIX
    )
    transport.sendto(b"hello")
    await answering.until(lambda: answering.received)
    assert answering.received == [(b"hello", here)]
    listening.sendto(b"answer", here)
    await protocol.until(lambda: protocol.received)
    assert protocol.received == [(b"answer", there)]
    await end(listening, transport)


@on_loop
async def test_unix_removes_a_stale_socket_and_nothing_else(loop, tmp_path):
    path = tmp_path / "name"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(str(path))
    transport, _ = await loop.create_datagram_endpoint(Recorder, local_addr=str(path), family=socket.AF_UNIX)
    await end(transport)
    path.unlink()
    path.write_text("precious")
    with pytest.raises(OSError):
        await loop.create_datagram_endpoint(Recorder, local_addr=str(path), family=socket.AF_UNIX)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", [None, b"\0abstract-%d" % os.getpid(), "path"])
@on_loop
async def test_unix_senders_are_named_as_the_socket_module_names_them(loop, tmp_path, name):
    path = str(tmp_path / "listening")
    transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=path, family=socket.AF_UNIX)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain,
    ):
        if name is not None:
            sender.bind(str(tmp_path / name) if name == "path" else name)
        plain.bind(str(tmp_path / "plain"))
        sender.sendto(b"x", str(tmp_path / "plain"))
        sender.sendto(b"x", path)
        expected = plain.recvfrom(10)
        await protocol.until(lambda: protocol.received)
    assert protocol.received == [expected]
    await end(transport)


@on_loop
async def test_a_unix_datagram_larger_than_any_of_udp(loop):
    one, other = unix_pair(socket.SOCK_DGRAM)
    with other:
        transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=one)
        data = os.urandom(100_000)
        other.send(data)
        other.send(b"next")
        await protocol.until(lambda: len(protocol.received) == 2)
        assert [data for data, _ in protocol.received] == [data, b"next"]
        await end(transport)


@on_loop
async def test_ipv6_addresses_carry_flow_and_scope(loop):
    transport, protocol = await loop.create_datagram_endpoint(Recorder, local_addr=("::1", 0))
    with udp_socket("::1") as peer:
        for _ in range(2):
            peer.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.until(lambda: len(protocol.received) == 2)
        assert {address for _, address in protocol.received} == {peer.getsockname()}
        port = peer.getsockname()[1]
        for address in (("::1", port), ("::1", port, 0), ("::1", port, 0, 0), protocol.received[0][1]):
            transport.sendto(b"answer", address)
            assert await loop.sock_recv(peer, 10) == b"answer"
    await end(transport)


@on_loop
async def test_an_ipv4_peer_of_an_ipv6_endpoint(loop):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=sock)
    with udp_socket() as peer:
        peer.sendto(b"x", ("127.0.0.1", sock.getsockname()[1]))
        await protocol.until(lambda: protocol.received)
        address = protocol.received[0][1]
        assert address == ("::ffff:127.0.0.1", peer.getsockname()[1], 0, 0)
        transport.sendto(b"back", address)
        assert await loop.sock_recv(peer, 10) == b"back"
    await end(transport)


@on_loop
async def test_broadcast_leaves_the_endpoint_unconnected(loop):
    transport, protocol = await loop.create_datagram_endpoint(
        Recorder, local_addr=("127.0.0.1", 0), remote_addr=("127.0.0.1", 9), allow_broadcast=True
    )
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
    assert transport.get_extra_info("peername") is None
    with udp_socket() as anybody:
        anybody.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.until(lambda: protocol.received)
    with pytest.raises(ValueError, match="Invalid address"):
        transport.sendto(b"x", ("127.0.0.1", 10))
    await end(transport)


@on_loop
async def test_a_remote_address_that_broadcasts_is_where_datagrams_go(loop):
    with udp_socket() as peer:
        transport, _protocol = await loop.create_datagram_endpoint(
            Recorder, remote_addr=peer.getsockname(), allow_broadcast=True
        )
        transport.sendto(b"by default")
        assert await loop.sock_recv(peer, 100) == b"by default"
        await end(transport)


@on_loop
async def test_a_port_shared_by_two_endpoints(loop):
    one, _ = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0), reuse_port=True)
    address = one.get_extra_info("sockname")
    other, _ = await loop.create_datagram_endpoint(Recorder, local_addr=address, reuse_port=True)
    assert other.get_extra_info("sockname") == address
    with pytest.raises(OSError):
        await loop.create_datagram_endpoint(Recorder, local_addr=address)
    await end(one, other)


@on_loop
async def test_names_are_looked_up_and_each_family_is_tried(loop):
    with udp_socket() as taken:
        port = taken.getsockname()[1]

        async def getaddrinfo(host, asked_port, **options):
            assert options["type"] == socket.SOCK_DGRAM
            return [
                (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
                (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
            ]

        loop.getaddrinfo = getaddrinfo
        transport, _ = await loop.create_datagram_endpoint(Recorder, local_addr=("here.example", port))
        assert transport.get_extra_info("sockname") == ("::1", port, 0, 0)
        await end(transport)


@on_loop
async def test_addresses_of_different_families_do_not_fit(loop):
    with pytest.raises(ValueError, match="can not get address information"):
        await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0), remote_addr=("::1", 1))


@on_loop
async def test_arguments_that_do_not_fit_together(loop):
    with pytest.raises(ValueError, match="unexpected address family"):
        await loop.create_datagram_endpoint(Recorder)
    for wrong in ("127.0.0.1:80", ("127.0.0.1",), ["127.0.0.1", 80]):
        with pytest.raises(TypeError, match="2-tuple"):
            await loop.create_datagram_endpoint(Recorder, local_addr=wrong)
    with pytest.raises(TypeError, match="string is expected"):
        await loop.create_datagram_endpoint(Recorder, family=socket.AF_UNIX, local_addr=("127.0.0.1", 0))
    with udp_socket() as sock, socket.socket() as stream:
        for option in (
            {"local_addr": ("127.0.0.1", 0)},
            {"remote_addr": ("127.0.0.1", 0)},
            {"family": 1},
            {"proto": 1},
            {"flags": 1},
            {"reuse_port": True},
            {"allow_broadcast": True},
        ):
            with pytest.raises(ValueError, match="can not be used"):
                await loop.create_datagram_endpoint(Recorder, sock=sock, **option)
        with pytest.raises(ValueError, match=r"[sS]ocket was expected"):
            await loop.create_datagram_endpoint(Recorder, sock=stream)


@on_loop
async def test_a_factory_that_raises_leaves_nothing_open(loop):
    before = open_descriptors()

    def factory():
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await loop.create_datagram_endpoint(factory, local_addr=("127.0.0.1", 0))
    assert opened_since(before) == set()


@on_loop
async def test_cancelled_before_it_is_ready(loop):
    before = open_descriptors()
    for turns in range(4):
        making = loop.create_task(loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0)))
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        try:
            transport, _ = await making
            await end(transport)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert opened_since(before) == set()
