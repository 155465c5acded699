"""What comes in reaches the protocol whole, in order, in the transport's context, and not while it is paused."""

import asyncio
import contextvars
import ctypes
import random

import pytest
from stream_tools import (
    BufferedRecorder,
    Recorder,
    is_closed_by_peer,
    over,
    reports,
    run,
    stream,
    tcp_pair,
    until,
)

import clearloop


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder, lambda: BufferedRecorder(7)])
def test_everything_arrives_in_order(factory):
    async def main():
        chance = random.Random(3)
        transport, protocol, peer = await stream(factory)
        data = chance.randbytes(300_000)
        await asyncio.get_running_loop().sock_sendall(peer, data)
        peer.close()
        assert await protocol.lost is None
        assert protocol.data == data
        assert protocol.calls[-2:] == ["eof", "lost"]

    run(main())


def test_a_read_larger_than_the_read_buffer():
    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours)
        theirs.setblocking(False)
        data = bytes(range(256)) * 12_000
        await asyncio.get_running_loop().sock_sendall(theirs, data)
        theirs.close()
        await protocol.lost
        assert protocol.data == data

    run(main())


def test_a_flood_comes_in_large_pieces_and_what_follows_it_comes_whole():
    class Counting(Recorder):
        largest = 0

        def data_received(self, data):
            self.largest = max(self.largest, len(data))
            super().data_received(data)

    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours, Counting)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        chance = random.Random(8)
        sent = b""

        async def arrive(count):
            await until(lambda: len(protocol.data) == count)

        for size in (3_000_000, 1, 65_536, 65_537, 1, 500_000, 10, 20):
            data = chance.randbytes(size)
            sent += data
            await loop.sock_sendall(theirs, data)
            await arrive(len(sent))
        assert protocol.data == sent
        assert protocol.largest > 65_536
        theirs.close()
        assert await protocol.lost is None

    run(main())


@pytest.mark.parametrize("limit", [1000, 65_536, 10_000_000])
def test_a_flood_reaches_the_reader_of_a_stream_in_order(limit):
    async def main():
        ours, theirs = tcp_pair()
        ours.setblocking(False)
        theirs.setblocking(False)
        reader, writer = await clearloop.open_connection(sock=ours, limit=limit)
        loop = asyncio.get_running_loop()
        chance = random.Random(9)
        data = chance.randbytes(5_000_000)

        async def pour():
            await loop.sock_sendall(theirs, data)
            theirs.close()

        pouring = asyncio.create_task(pour())
        got = []
        while piece := await reader.read(chance.choice([1, 70_000, 65_536, 65_536, 1_000_000])):
            got.append(piece)
            if chance.random() < 0.1:
                await asyncio.sleep(0)
        assert b"".join(got) == data
        await pouring
        writer.close()
        await writer.wait_closed()

    run(main())


def test_nothing_arrives_while_reading_is_paused_and_nothing_is_lost():
    async def main():
        transport, protocol, peer = await stream()
        loop = asyncio.get_running_loop()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        peer.send(b"waits")
        await asyncio.sleep(0.01)
        before = loop._step_count()
        await asyncio.sleep(0.01)
        assert loop._step_count() - before < 10  # nor does the loop turn in circles
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: protocol.data)
        assert protocol.data == b"waits"
        transport.close()
        assert not transport.is_reading()
        transport.resume_reading()
        await protocol.lost
        peer.close()

    run(main())


def test_pausing_in_the_middle_of_a_large_read():
    class Sipping(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main():
        transport, protocol, peer = await stream(Sipping)
        await asyncio.get_running_loop().sock_sendall(peer, b"s" * 1_000_000)
        peer.close()
        await protocol.lost
        assert len(protocol.data) == 1_000_000

    run(main())


def test_paused_from_the_start():
    class Later(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        transport, protocol, peer = await stream(Later)
        peer.send(b"x")
        await asyncio.sleep(0.01)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        await until(lambda: protocol.data)
        transport.close()
        peer.close()

    run(main())


def test_a_peer_that_hangs_up_while_reading_is_paused_does_not_keep_the_loop_busy():
    async def main():
        ours, theirs = tcp_pair()
        transport, protocol = await over(ours)
        loop = asyncio.get_running_loop()
        transport.pause_reading()
        theirs.send(b"last words")
        theirs.close()
        await asyncio.sleep(0.01)
        before = loop._step_count()
        await asyncio.sleep(0.01)
        assert loop._step_count() - before < 10
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"last words"

    run(main())


def test_switching_the_protocol_between_two_reads_and_between_the_kinds():
    async def main():
        transport, first, peer = await stream()
        peer.send(b"one")
        await until(lambda: first.data)
        second = BufferedRecorder(2)
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        peer.send(b"two")
        await until(lambda: second.data == b"two")
        third = Recorder()
        transport.set_protocol(third)
        peer.send(b"three")
        peer.close()
        await third.lost
        assert (first.data, second.data, third.data) == (b"one", b"two", b"three")
        assert "lost" not in first.calls + second.calls

    run(main())


def test_switching_the_protocol_inside_of_a_callback():
    class Switching(BufferedRecorder):
        def buffer_updated(self, count):
            super().buffer_updated(count)
            transports[0].set_protocol(self.next)

    class SwitchingBack(Recorder):
        def data_received(self, data):
            super().data_received(data)
            transports[0].set_protocol(self.next)

    transports = []

    async def main():
        transport, buffered, peer = await stream(lambda: Switching(3))
        transports.append(transport)
        buffered.next = plain = SwitchingBack()
        plain.next = buffered
        peer.send(b"abcdefg")  # three bytes fill the buffer; the rest is read for the other protocol
        await until(lambda: plain.data)
        assert (buffered.data, plain.data) == (b"abc", b"defg")
        peer.send(b"hij")
        await until(lambda: buffered.data == b"abchij")
        peer.close()
        await plain.lost
        assert plain.calls == ["data", "eof", "lost"]

    run(main())


def test_methods_replaced_on_the_instance_are_obeyed():
    async def main():
        transport, protocol, peer = await stream()
        got = []
        peer.send(b"first")
        await until(lambda: protocol.data)
        protocol.data_received = got.append
        peer.send(b"second")
        await until(lambda: got)
        assert (protocol.data, got) == (b"first", [b"second"])
        transport.close()
        peer.close()

    run(main())


@pytest.mark.parametrize(
    ("factory", "method"),
    [(Recorder, "data_received"), (BufferedRecorder, "get_buffer"), (BufferedRecorder, "buffer_updated")],
)
@pytest.mark.parametrize("error", [ZeroDivisionError("in a callback"), asyncio.CancelledError(), GeneratorExit()])
def test_a_callback_that_raises_is_reported_and_ends_the_connection(factory, method, error):
    async def main():
        def fail(*arguments):
            raise error

        transport, protocol, peer = await stream(factory)
        setattr(protocol, method, fail)
        with reports() as found:
            peer.send(b"x")
            assert await protocol.lost is error
        assert len(found) == 1
        assert found[0]["message"] == f"Fatal error: protocol.{method}() call failed."
        assert found[0]["exception"] is error
        assert found[0]["transport"] is transport and found[0]["protocol"] is protocol
        await asyncio.sleep(0)
        assert is_closed_by_peer(peer)
        peer.close()

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_the_loop(error):
    async def main():
        transport, protocol, peer = await stream()

        def fail(data):
            raise error

        protocol.data_received = fail
        peer.send(b"x")
        try:
            await protocol.lost
        finally:
            transport.abort()
            await asyncio.sleep(0)
            peer.close()

    with pytest.raises(error):
        run(main())


@pytest.mark.parametrize(
    ("buffer", "error"), [(bytearray(), RuntimeError), (b"read-only", BufferError), (None, TypeError)]
)
def test_a_useless_buffer_is_reported(buffer, error):
    async def main():
        transport, protocol, peer = await stream(BufferedRecorder)
        protocol.buffer = buffer
        with reports() as found:
            peer.send(b"x")
            assert isinstance(await protocol.lost, error)
        assert found[0]["message"] == "Fatal error: protocol.get_buffer() call failed."
        peer.close()

    run(main())


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
@pytest.mark.parametrize("end", ["close", "abort", "pause_reading"])
def test_a_buffered_protocol_that_ends_it_in_its_callbacks(method, end):
    async def main():
        transport, protocol, peer = await stream(lambda: BufferedRecorder(2))
        original = getattr(protocol, method)

        def ending(argument):
            getattr(transport, end)()
            return original(argument)

        setattr(protocol, method, ending)
        peer.send(b"four")
        if end == "pause_reading":
            await until(lambda: not transport.is_reading())
            await asyncio.sleep(0)
            del protocol.__dict__[method]
            transport.resume_reading()
            peer.close()
            await protocol.lost
            assert protocol.data == b"four"
        else:
            assert await protocol.lost is None
            assert protocol.data == (b"fo" if method == "buffer_updated" else b"")
            peer.close()

    run(main())


def test_callbacks_run_in_the_context_that_the_transport_was_made_in():
    name = contextvars.ContextVar("name", default="nobody")

    class Asking(Recorder):
        def __init__(self):
            super().__init__()
            self.seen = []

        def connection_made(self, transport):
            super().connection_made(transport)
            self.seen.append(name.get())
            name.set(name.get() + "+")

        def data_received(self, data):
            super().data_received(data)
            self.seen.append(name.get())

        def eof_received(self):
            self.seen.append(name.get())

        def connection_lost(self, error):
            self.seen.append(name.get())
            super().connection_lost(error)

    async def connection(mine):
        name.set(mine)
        transport, protocol, peer = await stream(Asking)
        name.set("changed later")
        peer.send(b"x")
        await until(lambda: protocol.data)
        peer.close()
        await protocol.lost
        assert name.get() == "changed later"
        return protocol.seen

    async def main():
        one, two = await asyncio.gather(connection("one"), connection("two"))
        assert one == ["one", "one+", "one+", "one+"]
        assert two == ["two", "two+", "two+", "two+"]
        assert name.get() == "nobody"

    run(main())


def test_memory_that_is_read_into_again_was_nobodys():
    """What somebody holds never changes; what is new has the content, the end and the hash that bytes have."""
    chance = random.Random(11)
    held = []

    class Keeping(asyncio.Protocol):
        count = 0

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.count += 1
            copy = bytes(bytearray(data))
            if self.count % 4 == 0:
                held.append((data, copy))
            elif self.count % 4 == 1:
                held.append((memoryview(data), copy))
            elif self.count % 4 == 2:
                assert hash(data) == hash(copy)
                assert ctypes.string_at(data) == copy.split(b"\0")[0]
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        transport, _, peer = await stream(Keeping)
        for _ in range(2000):
            message = chance.randbytes(chance.choice([1, 512, 513, 700, 1024, 1400, 2048, 2049, 5000]))
            await loop.sock_sendall(peer, message)
            answer = b""
            while len(answer) < len(message):
                answer += await loop.sock_recv(peer, 65536)
            assert answer == message
        transport.close()
        peer.close()

    run(main())
    assert len(held) >= 1000
    for data, copy in held:
        assert data == copy
