"""sock_connect and sock_accept: connected, refused, out of reach, on the way, cancelled."""

import asyncio
import errno
import os
import resource
import socket

import pytest
from socket_tools import on_loop, turns, unused_port

from descriptors import open_descriptors, opened_since


def non_blocking(family=socket.AF_INET):
    sock = socket.socket(family)
    sock.setblocking(False)
    return sock


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


@on_loop
async def test_connects_and_accepts(loop, listener):
    accepting = loop.create_task(loop.sock_accept(listener))
    await turns()
    with non_blocking() as client:
        assert await loop.sock_connect(client, listener.getsockname()) is None
        connection, address = await accepting
        with connection:
            assert address == client.getsockname()
            assert connection.gettimeout() == 0
            assert type(connection) is socket.socket
            receiving = loop.create_task(loop.sock_recv(client, 10))
            await turns()
            await loop.sock_sendall(connection, b"hello")
            assert await receiving == b"hello"


@on_loop
async def test_accepts_everyone_who_came_at_once(loop, listener):
    accepting = loop.create_task(loop.sock_accept(listener))
    await turns()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    accepted = [await accepting] + [await loop.sock_accept(listener) for _ in range(4)]
    assert [address for _, address in accepted] == [client.getsockname() for client in clients]
    for sock in clients + [connection for connection, _ in accepted]:
        sock.close()


@on_loop
async def test_several_tasks_accept_on_one_listener(loop, listener):
    accepting = [loop.create_task(loop.sock_accept(listener)) for _ in range(3)]
    await turns()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    accepted = await asyncio.gather(*accepting)
    assert [address for _, address in accepted] == [client.getsockname() for client in clients]
    for sock in clients + [connection for connection, _ in accepted]:
        sock.close()


@on_loop
async def test_a_host_name_is_resolved_by_the_loops_own_getaddrinfo(loop, listener):
    asked = []

    async def getaddrinfo(host, port, **options):
        asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    loop.getaddrinfo = getaddrinfo
    with non_blocking() as client:
        await loop.sock_connect(client, ("somewhere.example", 80))
        assert client.getpeername() == listener.getsockname()
    assert asked == [("somewhere.example", 80)]


@on_loop
async def test_ipv6(loop):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener, non_blocking(socket.AF_INET6) as client:
        await loop.sock_connect(client, listener.getsockname()[:2])
        assert client.getpeername() == listener.getsockname()


@on_loop
async def test_refused(loop):
    address = ("127.0.0.1", unused_port())
    with non_blocking() as client:
        with pytest.raises(ConnectionRefusedError) as raised:
            await loop.sock_connect(client, address)
        assert raised.value.errno == errno.ECONNREFUSED
        assert str(address) in str(raised.value)


@on_loop
async def test_out_of_reach(loop):
    with non_blocking() as client:
        with pytest.raises(OSError) as raised:
            await loop.sock_connect(client, ("255.255.255.255", 1))
        assert raised.value.errno in (errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH)


@on_loop
async def test_a_refused_socket_can_try_again(loop):
    with socket.socket() as listener, non_blocking() as client:
        listener.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(client, listener.getsockname())
        listener.listen()
        with pytest.raises(ConnectionAbortedError):
            await loop.sock_connect(client, listener.getsockname())  # Linux tells of the failure a second time
        await loop.sock_connect(client, listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            receiving = loop.create_task(loop.sock_recv(client, 10))
            await turns()
            assert not receiving.done()
            connection.send(b"made it")
            assert await receiving == b"made it"


@on_loop
async def test_on_the_way_until_the_listener_has_room(loop):
    """A full backlog keeps the handshake waiting: the connection attempt is really in progress."""
    before = open_descriptors()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first = socket.create_connection(listener.getsockname())
        with first, non_blocking() as client:
            connecting = loop.create_task(loop.sock_connect(client, listener.getsockname()))
            await turns(10)
            assert not connecting.done()
            connecting.cancel()
            await asyncio.wait([connecting])
            assert connecting.cancelled()
    assert opened_since(before) == set()


@on_loop
async def test_a_timeout_while_connecting(loop):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()), non_blocking() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await loop.sock_connect(client, listener.getsockname())


@on_loop
async def test_a_full_unix_listener_is_waited_for(loop, tmp_path):
    path = str(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        clients = [non_blocking(socket.AF_UNIX) for _ in range(3)]
        connecting = [loop.create_task(loop.sock_connect(client, path)) for client in clients]
        await turns(5)
        accepted = []
        listener.setblocking(False)
        for _ in clients:
            accepted.append((await loop.sock_accept(listener))[0])
        await asyncio.gather(*connecting)
        for sock in clients + accepted:
            sock.close()


@on_loop
async def test_unix(loop, tmp_path):
    path = os.fsencode(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as listener, non_blocking(socket.AF_UNIX) as client:
        with pytest.raises(FileNotFoundError):
            await loop.sock_connect(client, path)
        listener.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(client, path)
        listener.listen()
        listener.setblocking(False)
        await loop.sock_connect(client, path)
        connection, address = await loop.sock_accept(listener)
        with connection:
            assert address == ""


@on_loop
async def test_a_listener_closed_while_it_is_waited_for_lets_its_task_be_cancelled(loop):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    accepting = loop.create_task(loop.sock_accept(listener))
    await turns()
    listener.close()
    accepting.cancel()
    await asyncio.wait([accepting])
    assert accepting.cancelled()


@on_loop
async def test_no_descriptor_left_for_a_connection_is_an_error_and_no_loss(loop, listener):
    accepting = loop.create_task(loop.sock_accept(listener))
    await turns()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(listener.getsockname()) as client:
        lowest = os.dup(client.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            with pytest.raises(OSError) as raised:
                await accepting
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert raised.value.errno == errno.EMFILE
        connection, address = await loop.sock_accept(listener)
        connection.close()
        assert address == client.getsockname()
