"""Much at once: back pressure in both directions, bounded memory, cheap idle connections, hostile collectors."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from stream_tools import BufferedRecorder, Recorder, reports, run, until
from tls_tools import both_kinds, certificates, client_context, kind, raw_peer, server_context, tls_pair

import clearloop

__all__ = ["kind"]
pytestmark = both_kinds

MB = 1_000_000


class Counter(Recorder):
    """Counts instead of keeping, and checks the pattern."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def data_received(self, data):
        assert data[0] == self.count % 251
        assert data[-1] == (self.count + len(data) - 1) % 251
        self.count += len(data)


PATTERN = bytes(range(251)) * 4000


def pattern(start, size):
    start %= 251
    return PATTERN[start : start + size]


class Pump(Counter):
    """Writes `total` bytes as fast as back pressure lets it."""

    total = 50 * MB
    highest = 0

    def connection_made(self, transport):
        super().connection_made(transport)
        self.written = 0
        self.flowing = True

    def start(self):
        self.pump()

    def pump(self):
        while self.flowing and self.written < self.total:
            part = pattern(self.written, min(100_000, self.total - self.written))
            self.transport.write(part)
            self.written += len(part)
            self.highest = max(self.highest, self.transport.get_write_buffer_size())

    def pause_writing(self):
        self.calls.append("pause")
        self.flowing = False

    def resume_writing(self):
        self.calls.append("resume")
        self.flowing = True
        asyncio.get_running_loop().call_soon(self.pump)


def test_fifty_megabytes_both_ways_at_once():
    async def main():
        (client, near), (server, far) = await tls_pair(Pump, Pump)
        near.start()
        far.start()
        await until(lambda: near.count == far.count == Pump.total)
        for one in (near, far):
            assert one.calls.count("pause") == one.calls.count("resume") >= 2
            assert one.highest < 2 * MB
        client.close()
        assert await near.lost is None
        assert await far.lost is None

    run(main())


def test_a_reader_that_pauses_holds_the_writer_back_and_gets_all():
    async def main():
        (client, near), (server, far) = await tls_pair(Pump, Counter)
        near.total = 20 * MB
        server.pause_reading()
        assert not server.is_reading()
        near.start()
        for _ in range(100):
            await asyncio.sleep(0)
        assert "pause" in near.calls
        written = near.written
        assert far.count == 0
        for _ in range(100):
            await asyncio.sleep(0)
        assert near.written == written  # it stands still
        while far.count < near.total:
            server.resume_reading()
            assert server.is_reading()
            before = far.count
            await until(lambda: far.count > before)  # noqa: B023
            server.pause_reading()
            now = far.count
            for _ in range(5):
                await asyncio.sleep(0)
            assert far.count == now  # nothing is handed over while it is paused
        client.abort()
        await near.lost
        server.resume_reading()
        await far.lost

    run(main())


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder], ids=["protocol", "buffered"])
def test_pausing_in_the_middle_of_what_came(factory):
    """What was read and decrypted, or not yet, waits, in order."""

    class Pausing(factory):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

        def buffer_updated(self, count):
            super().buffer_updated(count)
            self.transport.pause_reading()

    async def main():
        transport, protocol, peer = await raw_peer(Pausing)
        payload = os.urandom(600_000)
        sending = asyncio.create_task(peer.send(payload))
        rounds = 0
        while len(protocol.data) < len(payload):
            got = len(protocol.data)
            transport.resume_reading()
            await until(lambda: len(protocol.data) > got)  # noqa: B023
            rounds += 1
        assert protocol.data == payload
        assert rounds >= 2
        await sending
        transport.resume_reading()
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        peer.close()

    run(main())


@pytest.mark.parametrize("end", ["close_notify", "end of the stream"])
def test_the_end_waits_behind_what_a_paused_reader_has_not_taken(end):
    async def main():
        transport, protocol, peer = await raw_peer()
        transport.pause_reading()
        await peer.send(b"first" * 1000)
        if end == "close_notify":
            await peer.send_raw(peer.goodbye())
        else:
            peer.end()
        for _ in range(10):
            await asyncio.sleep(0)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"first" * 1000
        assert protocol.calls[-2:] == ["eof", "lost"]
        peer.close()

    run(main())


def test_a_large_write_is_kept_once():
    """50 MB for a peer that does not read: they are neither copied nor encrypted in advance."""

    async def main():
        import tracemalloc

        transport, protocol, peer = await raw_peer()
        payload = bytes(50 * MB)
        before = resident()
        tracemalloc.start()
        transport.write(payload)
        for _ in range(10):
            await asyncio.sleep(0)
        assert transport.get_write_buffer_size() > 40 * MB
        assert tracemalloc.get_traced_memory()[1] < 2 * MB
        tracemalloc.stop()
        assert resident() - before < 4 * MB
        transport.abort()
        await protocol.lost
        peer.close()

    run(main())


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_idle_connections_cost_little(kind):
    """500 that were busy once: at most half of 53 KiB for one end; the whole with the ssl module's own buffers."""
    count = 500
    most = 53 * 1024 if kind == "object" else 53 * 1024 / 2

    async def main():
        server = await asyncio.get_running_loop().create_server(
            Quiet, "127.0.0.1", 0, ssl=server_context(), backlog=600
        )
        port = server.sockets[0].getsockname()[1]
        context = client_context()
        loop = asyncio.get_running_loop()

        async def one():
            transport, protocol = await loop.create_connection(
                Quiet, "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            transport.write(bytes(20_000))  # and each was busy once
            await until(lambda: protocol.count == 20_000)
            return transport, protocol

        held = [await one() for _ in range(20)]  # warm
        gc.collect()
        before = resident()
        held += [await one() for _ in range(count)]
        gc.collect()
        each = (resident() - before) / count / 2
        assert each < most
        for transport, _ in held:
            transport.abort()
        server.close()
        server.abort_clients()
        await server.wait_closed()

    class Quiet(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            self.count = 0
            self.server = transport.get_extra_info("ssl_object").server_side

        def data_received(self, data):
            self.count += len(data)
            if self.server:
                self.transport.write(data)

    run(main())


def test_streams_over_small_limits():
    """A reader whose limit is far smaller than a record pauses and resumes all the time."""

    async def main():
        payload = os.urandom(400_000)

        async def answer(reader, writer):
            writer.write(payload)
            await writer.drain()
            writer.close()

        server = await clearloop.start_server(answer, "127.0.0.1", 0, ssl=server_context())
        reader, writer = await clearloop.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(), server_hostname="localhost", limit=1000
        )
        got = b""
        while part := await reader.read(777):
            got += part
        assert got == payload
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_water_marks():
    async def main():
        transport, protocol, peer = await raw_peer()
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.write(bytes(900))
        assert transport.get_write_buffer_size() == 900
        assert protocol.calls == ["made"]
        transport.write(bytes(10 * MB))
        assert protocol.calls == ["made", "pause"]
        assert len(await peer.read(10 * MB + 900)) == 10 * MB + 900
        await until(lambda: protocol.calls == ["made", "pause", "resume"])
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits(high=0)
        transport.write(b"x")  # the kernel takes it: nothing is left above the mark
        assert protocol.calls == ["made", "pause", "resume"]
        transport.abort()
        await protocol.lost
        peer.close()

    run(main())


HOSTILE = """
    import asyncio, gc, sys
    sys.path[:0] = {tests!r}
    import pathlib, tls_tools
    tls_tools.certificates = lambda: pathlib.Path({folder!r})
    import clearloop
    from tls_tools import tls_pair, raw_peer, client_context, server_context
    from stream_tools import Recorder

    gc.set_threshold(1)

    async def once(size):
        (client, near), (server, far) = await tls_pair()
        client.write(bytes(size))
        server.write(bytes(size))
        while len(near.data) < size or len(far.data) < size:
            await asyncio.sleep(0)
        client.close()
        await near.lost
        await far.lost
        transport, protocol, peer = await raw_peer()
        transport.pause_reading()
        await peer.send(bytes(1000))
        transport.write(bytes(3_000_000))
        await asyncio.sleep(0)
        transport.abort()
        await protocol.lost
        peer.close()

    async def main():
        await asyncio.gather(*[once(size) for size in (1, 10, 1000, 20_000, 100_000, 300_000)])

    clearloop.run(main())
    print("survived")
"""


def test_a_hostile_collector_and_a_checking_allocator(kind):
    tests = [str(folder) for folder in Path(__file__).parents[:2]]
    program = textwrap.dedent(HOSTILE).format(tests=tests, folder=str(certificates()))
    environment = {**os.environ, "PYTHONMALLOC": "debug", "CLEARLOOP_TLS": kind, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program], env=environment, capture_output=True, timeout=100
    )
    assert done.stdout == b"survived\n", done.stderr.decode()


def test_nothing_leaks_over_many_connections():
    async def main():
        with reports() as found:
            for _ in range(30):
                (client, near), (server, far) = await tls_pair()
                client.write(bytes(30_000))
                await until(lambda: len(far.data) == 30_000)  # noqa: B023
                client.close()
                await near.lost
                await far.lost
            gc.collect()
            before = resident()
            for _ in range(300):
                (client, near), (server, far) = await tls_pair()
                client.write(bytes(30_000))
                await until(lambda: len(far.data) == 30_000)  # noqa: B023
                client.close()
                await near.lost
                await far.lost
            gc.collect()
            assert resident() - before < 4 * MB
        assert found == []

    run(main())
