"""Whatever makes, takes or uses a connection is cancelled at every turn of its life: no descriptor and no task is left.

Each operation is first let run for no turn at all, then for one, two, and so on until it ends before it is cancelled.
"""

import asyncio
import gc
import socket
import tempfile
import warnings

import pytest
from stream_tools import run

import clearloop
from descriptors import left_open, open_descriptors

MOST = 400  # turns; an operation that needs more hangs


class Peer:
    """A listener of the test's own, which accepts nothing: the kernel connects all the same."""

    def __init__(self, family=socket.AF_INET):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.folder = tempfile.TemporaryDirectory()
        self.path = self.folder.name + "/socket"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        self.unix.listen(1000)

    def close(self):
        self.listener.close()
        self.unix.close()
        self.folder.cleanup()

    def refresh(self):
        """Take what has connected off the queues."""
        for listener in (self.listener, self.unix):
            listener.setblocking(False)
            try:
                while True:
                    listener.accept()[0].close()
            except BlockingIOError:
                pass


async def by_literal(loop, peer):
    transport, _ = await loop.create_connection(asyncio.Protocol, *peer.address)
    return transport


async def by_name(loop, peer):
    transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", peer.address[1], family=socket.AF_INET)
    return transport


async def with_happy_eyeballs(loop, peer):
    async def getaddrinfo(host, port, **options):
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 3

    loop.getaddrinfo = getaddrinfo
    transport, _ = await loop.create_connection(
        asyncio.Protocol, "some.test", peer.address[1], happy_eyeballs_delay=0.0001
    )
    return transport


async def from_a_local_address(loop, peer):
    transport, _ = await loop.create_connection(asyncio.Protocol, *peer.address, local_addr=("127.0.0.1", 0))
    return transport


async def over_a_socket(loop, peer):
    sock = socket.create_connection(peer.address)
    try:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    except BaseException:
        sock.close()  # cancelled before its first step, the call has not had it
        raise
    return transport


async def accepted_elsewhere(loop, peer):
    sock = socket.create_connection(peer.address)
    try:
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock)
    except BaseException:
        sock.close()
        raise
    return transport


async def by_path(loop, peer):
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, peer.path)
    return transport


async def by_streams(loop, peer):
    _, writer = await clearloop.open_connection(*peer.address)
    return writer


async def datagrams(loop, peer):
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0), remote_addr=("localhost", 9), family=socket.AF_INET
    )
    return transport


async def a_server(loop, peer):
    return await loop.create_server(asyncio.Protocol, ["127.0.0.1", "localhost"], 0, family=socket.AF_INET)


async def a_unix_server(loop, peer):
    return await loop.create_unix_server(asyncio.Protocol, peer.folder.name + "/server")


async def a_server_that_serves_for_ever(loop, peer):
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    try:
        client = socket.create_connection(server.sockets[0].getsockname())
        loop.call_later(0.002, server.close)
        with client:
            await server.serve_forever()
    except asyncio.CancelledError:
        if server.is_serving():
            raise
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()
    return server


async def sock_connect(loop, peer):
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("localhost", peer.address[1]))


async def sock_accept(loop, peer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with socket.socket() as client:
            client.setblocking(False)
            loop.call_later(0.001, client.connect_ex, listener.getsockname())
            accepted, _ = await loop.sock_accept(listener)
            accepted.close()


async def sock_exchange(loop, peer):
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.sock_sendall(one, b"x" * 500_000))
            left = 500_000
            while left:
                left -= len(await loop.sock_recv(other, 100_000))


async def sock_sendfile(loop, peer):
    one, other = socket.socketpair()
    with one, other, tempfile.TemporaryFile() as file:
        file.truncate(500_000)
        one.setblocking(False)
        other.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.sock_sendfile(one, file))
            left = 500_000
            while left:
                left -= len(await loop.sock_recv(other, 100_000))


async def sendfile(loop, peer):
    one, other = socket.socketpair()
    with one, other, tempfile.TemporaryFile() as file:
        file.truncate(500_000)
        other.setblocking(False)
        one.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(loop.sendfile(transport, file))
                left = 500_000
                while left:
                    left -= len(await loop.sock_recv(other, 100_000))
        finally:
            transport.abort()


async def a_name(loop, peer):
    await loop.getaddrinfo("localhost", 80)


OPERATIONS = [
    by_literal, by_name, with_happy_eyeballs, from_a_local_address, over_a_socket, accepted_elsewhere, by_path,
    by_streams, datagrams, a_server, a_unix_server, a_server_that_serves_for_ever, sock_connect, sock_accept,
    sock_exchange, sock_sendfile, sendfile, a_name,
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_at_every_turn(operation, twice):
    """`twice`: cancelled again at each turn after the first time, as by a caller in a hurry."""

    async def main():
        loop = asyncio.get_running_loop()
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        peer = Peer()
        await operation_once(loop, peer, MOST, False)  # what is loaded and started once is no leak
        peer.refresh()
        before = open_descriptors()
        cancelled = 0
        for turns in range(MOST):
            ended = await operation_once(loop, peer, turns, twice)
            peer.refresh()
            assert left_open(before) == set(), f"after {turns} turns"
            assert asyncio.all_tasks() == {asyncio.current_task()}, f"after {turns} turns"
            assert reports == [], f"after {turns} turns"
            if ended:
                break
            cancelled += 1
        else:
            raise AssertionError(f"{operation.__name__} does not end")
        peer.close()
        assert cancelled > 1

    async def operation_once(loop, peer, turns, twice):
        """Whether it ended by itself within so many turns."""
        task = asyncio.create_task(operation(loop, peer))
        for _ in range(turns):
            if task.done():
                break
            loop._run_once()  # one turn by hand, which waits for the kernel when nothing is ready
        ended = task.done()
        task.cancel()
        while twice and not task.done():
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            made = task.result()
            if hasattr(made, "close"):
                made.close()
            if hasattr(made, "wait_closed"):
                await made.wait_closed()
        if "getaddrinfo" in vars(loop):
            del loop.getaddrinfo
        for _ in range(4):  # what was closed is given back in the next turns
            await asyncio.sleep(0)
        return ended

    with warnings.catch_warnings(record=True) as caught:  # of sockets that only their finalizers have closed
        warnings.simplefilter("always")
        run(main())
        gc.collect()
    assert [str(one.message) for one in caught] == []
