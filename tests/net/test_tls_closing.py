"""How a TLS connection ends: both alerts, one, none, too late, or in the middle of something."""

import asyncio
import os
import socket

import pytest
from stream_tools import Recorder, read_all, reports, run, until
from tls_tools import both_kinds, client_context, held_descriptors, kind, raw_peer, server_context, tls_pair, versions

import clearloop
from descriptors import opened_since

__all__ = ["kind"]
pytestmark = both_kinds


@versions
def test_close_sends_what_is_written_then_close_notify(version):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        payload = os.urandom(3_000_000)
        transport.write(payload[:10])
        transport.write(payload[10:])
        transport.close()
        assert transport.is_closing()
        transport.write(b"too late")
        transport.writelines([b"too", b"late"])
        transport.close()
        assert await peer.read_to_close() == payload
        assert not protocol.lost.done()  # it waits for ours
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        assert protocol.calls in (["made", "lost"], ["made", "pause", "resume", "lost"], ["made", "pause", "lost"])
        peer.close()

    run(main())


def test_data_and_close_notify_of_one_turn_leave_in_one_packet():
    async def main():
        transport, protocol, peer = await raw_peer()
        transport.write(b"last words")
        transport.close()
        await peer.more()
        assert peer.tls.read(100) == b"last words"
        assert peer.tls.read(100) == b""
        peer.close()
        assert await protocol.lost is None

    run(main())


@versions
def test_what_comes_after_close_is_nobodys(version):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        transport.close()
        await peer.send(b"data" * 100_000)
        assert await peer.read_to_close() == b""
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        assert protocol.calls == ["made", "lost"]
        peer.close()

    run(main())


@versions
def test_close_while_unread_data_is_there(version):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        transport.pause_reading()
        await peer.send(b"never read" * 10_000)
        transport.close()
        assert await peer.read_to_close() == b""
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        assert protocol.calls == ["made", "lost"]
        peer.close()

    run(main())


@pytest.mark.parametrize("unread", [False, True])
def test_close_from_inside_data_received(unread):
    class Closer(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"bye")
            self.transport.close()

    async def main():
        transport, protocol, peer = await raw_peer(Closer)
        said = peer.records(b"one")
        if unread:
            said += b"".join(peer.records(b"x" * 16_000) for _ in range(40))  # more than one reading takes
        await peer.send_raw(said)
        assert await peer.read_to_close() == b"bye"
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        assert protocol.calls == ["made", "data", "lost"]
        peer.close()

    run(main())


@versions
@pytest.mark.parametrize("end", ["close_notify", "end of the stream", "both"])
def test_the_peers_end_is_ours_as_well(version, end):
    class LastWords(Recorder):
        def eof_received(self):
            self.transport.write(b"last words")
            return super().eof_received()

    async def main():
        transport, protocol, peer = await raw_peer(LastWords, version=version)
        if end != "end of the stream":
            await peer.send_raw(peer.goodbye())
        if end != "close_notify":
            peer.end()
        try:
            assert await peer.read_to_close() == b"last words"
            assert end != "end of the stream"
        except EOFError:
            assert end == "end of the stream"
        assert await protocol.lost is None
        assert protocol.calls == ["made", "eof", "lost"]
        peer.close()

    run(main())


def test_keeping_a_connection_open_is_not_possible(caplog):
    class Keeping(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        transport, protocol, peer = await raw_peer(Keeping)
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        peer.close()

    run(main())
    assert "returning true from eof_received() has no effect when using ssl" in caplog.text


@pytest.mark.parametrize("end", ["close_notify", "end of the stream"])
def test_what_is_queued_is_sent_although_the_peer_has_ended(end):
    """It has only said that it will send no more: it may well read."""

    async def main():
        transport, protocol, peer = await raw_peer()
        payload = os.urandom(8_000_000)
        transport.write(payload)
        if end == "close_notify":
            await peer.send_raw(peer.goodbye())
        else:
            peer.end()
        await protocol.ended
        assert not protocol.lost.done()
        try:
            assert await peer.read_to_close() == payload
            assert end == "close_notify"
        except EOFError:
            assert end == "end of the stream"
        assert await protocol.lost is None
        peer.close()

    run(main())


def test_what_comes_behind_a_close_notify_is_dropped_and_costs_no_memory():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await raw_peer()
        payload = os.urandom(8_000_000)
        transport.write(payload)
        await peer.send_raw(peer.goodbye())
        await protocol.ended
        for _ in range(40):
            await loop.sock_sendall(peer.sock, bytes(100_000))
            await asyncio.sleep(0)
        assert transport.get_read_buffer_size() == 0
        assert not protocol.lost.done()  # the rest is still to be sent
        try:
            assert await peer.read_to_close() == payload
        except ConnectionResetError:
            pass  # what was not read of it when the socket closed: TCP's own answer
        assert await protocol.lost is None
        peer.close()

    run(main())


def test_both_close_at_the_same_time():
    async def main():
        (client, near), (server, far) = await tls_pair()
        client.write(b"a")
        server.write(b"b")
        client.close()
        server.close()
        assert await near.lost is None
        assert await far.lost is None

    run(main())


def test_both_close_notifies_and_the_end_in_any_order():
    async def main():
        for order in (("bye", "end"), ("end",), ("data", "bye"), ("bye", "reset"), ("data", "end"), ("reset",)):
            transport, protocol, peer = await raw_peer()
            transport.close()
            for step in order:
                if step == "bye":
                    await peer.send_raw(peer.goodbye())
                elif step == "data":
                    await peer.send(b"data")
                elif step == "end":
                    peer.end()
                else:
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    peer.close()
            error = await protocol.lost
            assert error is None or ("reset" in order and isinstance(error, ConnectionResetError))
            assert protocol.calls == ["made", "lost"]
            peer.close()

    run(main())


# ---- abort -----------------------------------------------------------------------------------------------------------


def test_abort_says_no_goodbye():
    async def main():
        transport, protocol, peer = await raw_peer()
        transport.write(b"written before")
        transport.abort()
        assert transport.is_closing()
        with pytest.raises((EOFError, ConnectionResetError)):
            await peer.read_to_close()
        assert await protocol.lost is None
        assert protocol.calls == ["made", "lost"]
        transport.abort()
        transport.close()
        peer.close()

    run(main())


def test_abort_does_not_wait_for_a_peer_that_does_not_read():
    async def main():
        transport, protocol, peer = await raw_peer()
        transport.write(bytes(20_000_000))
        assert protocol.calls == ["made", "pause"]
        transport.close()
        transport.abort()
        assert await protocol.lost is None
        assert transport.get_write_buffer_size() == 0
        peer.close()

    run(main())


# ---- timeouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [True, False], ids=["it reads", "it does not read"])
def test_a_peer_that_never_says_goodbye_is_given_up(reads):
    async def main():
        transport, protocol, peer = await raw_peer(ssl_shutdown_timeout=0.05)
        if not reads:
            transport.write(bytes(20_000_000))
        transport.close()
        error = await protocol.lost
        assert isinstance(error, TimeoutError)
        assert str(error) == "SSL shutdown timed out"
        peer.close()

    run(main())


def test_a_slow_reader_is_no_dead_one():
    async def main():
        """Its shutdown lasts five timeouts, but it takes what is sent."""
        limit = 0.3
        transport, protocol, peer = await raw_peer(ssl_shutdown_timeout=limit)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        payload = bytes(2_000_000)
        transport.write(payload)
        transport.close()
        loop = asyncio.get_running_loop()
        ends = loop.time() + 5 * limit
        left = len(payload)
        while left > 600_000:
            left -= len(await peer.read(20_000))
            # as slow as it takes to get to the last part when five limits are over
            await asyncio.sleep(max(0, ends - loop.time()) / (left / 20_000))
        await peer.read(left)
        assert loop.time() > ends - 2 * limit
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        peer.close()

    run(main())


# ---- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_closes_its_clients_with_all_that_belongs_to_it():
    async def main():
        loop = asyncio.get_running_loop()
        protocols = []

        def factory():
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        reader, writer = await clearloop.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(), server_hostname="localhost"
        )
        await until(lambda: protocols and protocols[0].calls == ["made"])
        server.close()
        server.close_clients()
        assert protocols[0].transport.is_closing()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await server.wait_closed()
        assert await protocols[0].lost is None

    run(main())


def test_a_server_aborts_its_clients_in_the_handshake_as_well():
    async def main():
        loop = asyncio.get_running_loop()
        before = held_descriptors()
        protocols = []

        def factory():
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        with socket.create_connection(address) as silent:
            silent.setblocking(False)
            transport, protocol = await loop.create_connection(
                Recorder, *address, ssl=client_context(), server_hostname="localhost"
            )
            await until(lambda: len(protocols) == 2 and ["made"] in [one.calls for one in protocols])
            server.close()
            server.abort_clients()
            await server.wait_closed()
            assert await read_all(silent) == b""
            assert await protocol.lost is None
            assert sorted(one.calls for one in protocols) == [[], ["made", "lost"]]
        assert opened_since(before) == set()

    run(main())


# ---- protocols -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_what_a_callback_raises_is_reported_and_ends_its_connection(method):
    class Raising(Recorder):
        pass

    def fail(self, *args):
        getattr(Recorder, method)(self, *args)
        raise ZeroDivisionError(method)

    setattr(Raising, method, fail)

    async def main():
        before = held_descriptors()
        with reports() as found:
            if method == "connection_made":
                with pytest.raises(ZeroDivisionError):
                    await tls_pair(Raising)
            else:
                transport, protocol, peer = await raw_peer(Raising)
                if method == "data_received":
                    await peer.send(b"data")
                elif method == "eof_received":
                    await peer.send_raw(peer.goodbye())
                else:
                    transport.close()
                    peer.end()
                error = await protocol.lost
                assert error is None if method == "connection_lost" else isinstance(error, ZeroDivisionError)
                peer.close()
            await until(lambda: not opened_since(before))
        assert [type(context["exception"]) for context in found] == [ZeroDivisionError]

    run(main())


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_what_the_flow_callbacks_raise_is_reported_and_ends_nothing(method):
    class Raising(Recorder):
        pass

    def fail(self):
        getattr(Recorder, method)(self)
        raise ZeroDivisionError

    setattr(Raising, method, fail)

    async def main():
        with reports() as found:
            transport, protocol, peer = await raw_peer(Raising)
            transport.write(bytes(10_000_000))
            assert len(await peer.read(10_000_000)) == 10_000_000
            await until(lambda: protocol.calls == ["made", "pause", "resume"])
            transport.close()
            assert await peer.read_to_close() == b""
            peer.close()
            await protocol.lost
        assert [context["message"] for context in found] == [f"protocol.{method}() failed"]
        assert found[0]["transport"] is transport
        assert found[0]["protocol"] is protocol

    run(main())


@pytest.mark.parametrize(
    "method", ["connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"]
)
@pytest.mark.parametrize("action", ["close", "abort", "pause_reading", "write", "switch", "everything"])
def test_whatever_a_protocol_does_in_whichever_callback(method, action):
    """Nothing hangs, crashes or is reported; connection_lost comes once, last."""

    class Meddling(Recorder):
        acted = False

    def act(self, *args):
        answer = getattr(Recorder, method)(self, *args)
        if not self.acted:
            self.acted = True
            transport = self.transport
            if action in ("pause_reading", "everything"):
                transport.pause_reading()
                transport.resume_reading()
                transport.pause_reading()
            if action in ("write", "everything"):
                transport.write(bytes(2_000_000))
                transport.set_write_buffer_limits(0)
                transport.get_write_buffer_size()
            if action in ("switch", "everything"):
                transport.set_protocol(Recorder())
                transport.set_protocol(self)
            if action in ("close", "everything"):
                transport.close()
            if action in ("abort", "everything"):
                transport.abort()
        return answer

    setattr(Meddling, method, act)

    async def main():
        before = held_descriptors()
        with reports() as found:
            transport, protocol, peer = await raw_peer(Meddling)
            reading = asyncio.create_task(drain(peer))
            transport.write(bytes(1_000_000))
            try:
                await peer.send(b"data" * 1000)
                await peer.send_raw(peer.goodbye())
                peer.end()
            except OSError:
                pass  # it has been aborted
            for _ in range(20):
                await asyncio.sleep(0)
            transport.resume_reading()
            if not transport.is_closing() and action == "pause_reading":
                transport.close()
            await protocol.lost
            assert protocol.calls.count("lost") == 1
            assert protocol.calls[-1] == "lost"
            assert protocol.calls[0] == "made"
            await reading
            peer.close()
            await until(lambda: not opened_since(before))
        assert found == []

    async def drain(peer):
        try:
            while await asyncio.get_running_loop().sock_recv(peer.sock, 65536):
                pass
        except OSError:
            pass

    run(main())


def test_system_exit_in_a_callback_ends_the_loop():
    class Leaving(Recorder):
        def data_received(self, data):
            raise SystemExit(3)

    async def main():
        transport, protocol, peer = await raw_peer(Leaving)
        await peer.send(b"go")
        await asyncio.sleep(10)

    with pytest.raises(SystemExit):
        run(main())
