"""start_tls: what begins in plain text goes on over TLS, on either side, with bytes already on their way."""

import asyncio
import os
import socket
import ssl

import pytest
from stream_tools import Recorder, reports, run, stream, tcp_pair, until
from tls_tools import Peer, both_kinds, client_context, held_descriptors, kind, server_context

import clearloop
from descriptors import opened_since

__all__ = ["kind"]
pytestmark = both_kinds


async def plain(factory=Recorder):
    """A plain transport of ours and a non-blocking socket, the two ends of one connection."""
    loop = asyncio.get_running_loop()
    ours, theirs = tcp_pair()
    transport, protocol = await loop.create_connection(factory, sock=ours)
    theirs.setblocking(False)
    return transport, protocol, theirs


@pytest.mark.parametrize("side", ["client", "server"])
def test_either_side(side):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, sock = await plain()
        transport.write(b"plain")
        assert await loop.sock_recv(sock, 100) == b"plain"
        peer = Peer(sock, side == "client")
        shaking = loop.create_task(peer.handshake())
        if side == "client":
            upgraded = await loop.start_tls(transport, protocol, client_context(), server_hostname="localhost")
        else:
            upgraded = await loop.start_tls(transport, protocol, server_context(), server_side=True)
        await shaking
        assert upgraded is not transport
        assert upgraded.get_protocol() is protocol
        assert upgraded.get_extra_info("peername") == transport.get_extra_info("peername")
        upgraded.write(b"over TLS")
        assert await peer.read(8) == b"over TLS"
        await peer.send(b"answer")
        await until(lambda: protocol.data == b"answer")
        upgraded.close()
        assert await peer.read_to_close() == b""
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        assert protocol.calls == ["made", "data", "lost"]  # made once, in plain text
        peer.close()

    run(main())


def test_what_is_queued_in_plain_text_goes_first():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, sock = await plain()
        text = os.urandom(6_000_000)
        transport.write(text)
        peer = Peer(sock, True)

        async def other_side():
            got = b""
            while len(got) < len(text):
                got += await loop.sock_recv(sock, len(text) - len(got))
            assert got == text
            await peer.handshake()

        answers = await asyncio.gather(
            loop.start_tls(transport, protocol, client_context(), server_hostname="localhost"), other_side()
        )
        answers[0].write(b"secret")
        assert await peer.read(6) == b"secret"
        answers[0].abort()
        await protocol.lost
        peer.close()

    run(main())


def test_a_client_that_does_not_wait_for_the_answer():
    """Its command and the beginning of its handshake come in one packet: the stream's reader has both."""

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        async def answer(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            await writer.start_tls(server_context())
            writer.write(b"welcome")
            await writer.drain()
            done.set_result(await reader.readexactly(5))
            writer.close()

        server = await clearloop.start_server(answer, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        peer = Peer(sock, False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await peer.send_raw(b"STARTTLS\n" + peer.outgoing.read())
        await peer.handshake()
        await peer.send(b"early")
        assert await done == b"early"
        assert await peer.read_to_close() == b"welcome"
        peer.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_plain_text_that_somebody_has_put_in_is_not_taken_for_the_servers():
    """What a client has got before its own handshake stays plain text; TLS begins with what comes later."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        reader, writer = await clearloop.open_connection(sock=ours)
        peer = Peer(theirs, True)
        await peer.send_raw(b"220 ready\nput in\n")
        assert await reader.readline() == b"220 ready\n"
        shaking = loop.create_task(peer.handshake())
        await writer.start_tls(client_context(), server_hostname="localhost")
        await shaking
        await peer.send(b"secret\n")
        assert await reader.readline() == b"put in\n"
        assert await reader.readline() == b"secret\n"
        writer.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("streams", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_streams_on_both_sides(streams):
    async def main():
        async def answer(reader, writer):
            await reader.readline()
            writer.write(b"go\n")
            await writer.drain()
            await writer.start_tls(server_context())
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        server = await streams.start_server(answer, "127.0.0.1", 0)
        reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
        writer.write(b"starttls\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(client_context(), server_hostname="localhost")
        assert writer.get_extra_info("cipher")
        writer.write(b"x" * 60_000 + b"\n")
        assert await reader.readline() == b"X" * 60_000 + b"\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_a_paused_transport_is_read_again():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, sock = await plain()
        transport.pause_reading()
        peer = Peer(sock, True)
        shaking = loop.create_task(peer.handshake())
        upgraded = await loop.start_tls(transport, protocol, client_context(), server_hostname="localhost")
        await shaking
        await peer.send(b"data")
        await until(lambda: protocol.data == b"data")
        upgraded.abort()
        await protocol.lost
        peer.close()

    run(main())


def test_what_cannot_be_upgraded():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, other = await stream()
        with pytest.raises(TypeError, match="sslcontext is expected to be an instance of"):
            await loop.start_tls(transport, protocol, None)
        with pytest.raises(TypeError, match="is not supported by start_tls"):
            await loop.start_tls(object(), protocol, client_context())
        with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number"):
            await loop.start_tls(transport, protocol, client_context(), ssl_handshake_timeout=0)
        transport.write(b"still plain")
        assert await loop.sock_recv(other, 100) == b"still plain"
        transport.close()
        await protocol.lost
        other.close()

    run(main())


def test_a_handshake_that_fails_ends_the_connection():
    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        with reports() as found:
            transport, protocol, sock = await plain()
            sock.send(b"500 what?\r\n")
            with pytest.raises(ssl.SSLError):
                await loop.start_tls(transport, protocol, client_context(), server_hostname="localhost")
            assert isinstance(await protocol.lost, ssl.SSLError)
            assert protocol.calls == ["made", "lost"]
            sock.close()
        assert found == []
        assert opened_since(before) == set()

    run(main())


@pytest.mark.parametrize("turns", range(6))
def test_cancelled(turns):
    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        transport, protocol, sock = await plain()
        task = loop.create_task(loop.start_tls(transport, protocol, client_context(), server_hostname="localhost"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if turns:
            assert await protocol.lost is None
        else:
            transport.close()
            await protocol.lost
        sock.close()
        assert opened_since(before) == set()

    run(main())


def test_a_server_closes_clients_that_were_upgraded():
    async def main():
        loop = asyncio.get_running_loop()
        upgraded = loop.create_future()

        async def answer(reader, writer):
            await writer.start_tls(server_context())
            upgraded.set_result(writer)
            await reader.read()

        server = await clearloop.start_server(answer, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        peer = Peer(sock, False)
        await peer.handshake()
        writer = await upgraded
        server.close()
        server.close_clients()
        assert writer.is_closing()
        assert await peer.read_to_close() == b""  # with its close_notify
        peer.close()
        await server.wait_closed()

    run(main())
