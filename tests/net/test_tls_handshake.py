"""Handshakes that never end, are given up, or fail: no descriptor is left, and whoever waits is told."""

import asyncio
import errno
import os
import re
import socket
import ssl

import pytest
from stream_tools import Recorder, reports, run, tcp_pair, until
from tls_tools import Peer, both_kinds, certificates, client_context, held_descriptors, kind, server_context

import clearloop
from descriptors import opened_since

__all__ = ["kind"]
pytestmark = both_kinds


def making(loop, side, sock, factory=Recorder, **options):
    if side == "client":
        return loop.create_connection(
            factory, sock=sock, ssl=client_context(), server_hostname="localhost", **options
        )
    return loop.connect_accepted_socket(factory, sock, ssl=server_context(), **options)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("says", [b"", b"\x16", b"\x16\x03\x01\x40\x00"], ids=["nothing", "a byte", "a header"])
def test_a_peer_that_falls_silent(side, says):
    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        theirs.send(says)
        with reports() as found:
            with pytest.raises(ConnectionAbortedError, match=r"taking longer than 0\.05 seconds"):
                await making(loop, side, ours, ssl_handshake_timeout=0.05)
            await until(lambda: ours.fileno() == -1)
        assert found == []
        theirs.close()
        assert opened_since(before) == set()

    run(main())


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_peer_that_goes_away(side, how):
    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        task = loop.create_task(making(loop, side, ours))
        await asyncio.sleep(0.01)
        if how == "reset":
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(ConnectionResetError):
            await task
        await until(lambda: not opened_since(before))

    run(main())


def test_a_silent_client_is_no_report_of_the_server_and_its_descriptor_comes_back():
    async def main():
        before = held_descriptors()
        with reports() as found:
            server = await clearloop.start_server(
                lambda r, w: None, "127.0.0.1", 0, ssl=server_context(), ssl_handshake_timeout=0.05
            )
            with socket.create_connection(server.sockets[0].getsockname()) as silent:
                silent.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(silent, 1) == b""
            server.close()
            await server.wait_closed()
        assert found == []
        assert opened_since(before) == set()

    run(main())


class Scripted:
    """The other side of a handshake, one flight at a time."""

    def __init__(self, sock, server_side):
        self.peer = Peer(sock, server_side)

    async def steps(self, count):
        for _ in range(count):
            try:
                self.peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            else:
                await self.peer.flush()
                return
            await self.peer.flush()
            await self.peer.more()


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("flights", [0, 1, 2])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
def test_cancelled_at_every_flight(side, flights, turns):
    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        with reports() as found:
            ours, theirs = tcp_pair()
            task = loop.create_task(making(loop, side, ours))
            other = loop.create_task(Scripted(theirs, side == "client").steps(flights))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                transport, protocol = await task
            except asyncio.CancelledError:
                if turns == 0:
                    ours.close()  # it has not even begun, so the socket is still ours
            else:
                transport.abort()
                await protocol.lost
            other.cancel()
            await asyncio.gather(other, return_exceptions=True)
            theirs.close()
            await until(lambda: not opened_since(before))
        assert found == []

    run(main())


@pytest.mark.parametrize("turns", range(14))
def test_open_connection_cancelled_at_every_turn(turns):
    """From the name's look-up to the end of the handshake."""

    async def main():
        loop = asyncio.get_running_loop()
        protocols = []

        def factory():
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        before = held_descriptors()
        task = loop.create_task(
            clearloop.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname="localhost")
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            _, writer = await task
            writer.close()
            await writer.wait_closed()
        except asyncio.CancelledError:
            pass
        await until(lambda: not opened_since(before))
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("side", ["client", "server"])
def test_every_byte_of_the_handshake_broken_once(side):
    """Whatever is broken, it ends in an error or in a connection that works, and nothing is left."""

    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        outcomes = set()
        with reports() as found:
            for place in (*range(12), *range(40, 400, 40), *range(400, 1200, 200)):
                ours, theirs = tcp_pair()
                task = loop.create_task(making(loop, side, ours, ssl_handshake_timeout=0.05))
                peer = Peer(theirs, side == "client")
                broken = Breaker(place)
                try:
                    while True:
                        try:
                            peer.tls.do_handshake()
                            break
                        except ssl.SSLWantReadError:
                            if peer.outgoing.pending:
                                await peer.send_raw(broken(peer.outgoing.read()))
                            await peer.more()
                    await peer.send_raw(broken(peer.outgoing.read()))
                except (OSError, EOFError):
                    pass
                try:
                    transport, protocol = await task
                except OSError as error:
                    outcomes.add(type(error))
                else:
                    outcomes.add("works")
                    transport.abort()
                    await protocol.lost
                peer.close()
        assert found == []
        assert ssl.SSLError in outcomes
        await until(lambda: not opened_since(before))

    class Breaker:
        def __init__(self, place):
            self.place = place

        def __call__(self, data):
            data = bytearray(data)
            if 0 <= self.place < len(data):
                data[self.place] ^= 0x55
            self.place -= len(data)
            return data

    run(main())


def test_a_loop_that_ends_in_the_middle_of_handshakes():
    async def main():
        loop = asyncio.get_running_loop()
        server = await clearloop.start_server(lambda r, w: None, "127.0.0.1", 0, ssl=server_context())
        silent = socket.create_connection(server.sockets[0].getsockname())
        ours, theirs = tcp_pair()
        task = loop.create_task(making(loop, "client", ours))
        for _ in range(5):
            await asyncio.sleep(0)
        return silent, theirs, task

    before = held_descriptors()
    for one in run(main())[:2]:
        one.close()
    import gc

    gc.collect()
    assert opened_since(before) == set()


def test_a_context_that_fails_for_each_connection_reports_and_goes_on():
    class Broken:
        """No context at all."""

    async def main():
        with reports() as found:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=Broken())
            for _ in range(2):
                with socket.create_connection(server.sockets[0].getsockname()) as sock:
                    sock.setblocking(False)
                    assert await loop.sock_recv(sock, 1) == b""
            server.close()
            await server.wait_closed()
        assert [type(context["exception"]) for context in found] == [AttributeError] * 2

    run(main())


def test_many_handshakes_at_once():
    async def main():
        before = held_descriptors()

        async def answer(reader, writer):
            writer.write(await reader.readexactly(5))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await clearloop.start_server(answer, "127.0.0.1", 0, ssl=server_context(), backlog=200)
        port = server.sockets[0].getsockname()[1]
        context = client_context()

        async def ask(number):
            reader, writer = await clearloop.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            writer.write(b"%05d" % number)
            assert await reader.read() == b"%05d" % number
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*[ask(number) for number in range(150)])
        server.close()
        await server.wait_closed()
        assert opened_since(before) == set()

    run(main())


@pytest.mark.parametrize("name", ["EMFILE"])
def test_no_descriptors_left(name):
    import resource

    async def main():
        server = await clearloop.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        context = client_context()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))
        try:
            while True:
                try:
                    held.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
            with pytest.raises(OSError, match=re.escape(os.strerror(errno.EMFILE))):
                await clearloop.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        finally:
            for fd in held:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reader, writer = await clearloop.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    certificates()
    run(main())
