"""What is over is let go of: no transport, protocol, buffer or descriptor outlives its connection."""

import asyncio
import gc
import sys
import tracemalloc
import weakref

import pytest
from stream_tools import BufferedRecorder, Recorder, over, run, stream, tcp_pair, until

from descriptors import open_descriptors, opened_since


@pytest.mark.parametrize("end", ["close", "abort", "peer"])
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
def test_a_finished_connection_is_let_go_of_without_the_collector(factory, end):
    async def main():
        gc.disable()
        try:
            transport, protocol, peer = await stream(factory)
            transport.write(b"x" * 10)
            peer.send(b"y" * 10)
            await asyncio.sleep(0.001)
            if end == "peer":
                peer.close()
            else:
                getattr(transport, end)()
            while transport.get_protocol() is not None:
                await asyncio.sleep(0)
            gone = weakref.ref(transport), weakref.ref(protocol)
            protocol.__dict__.clear()  # what it kept of the transport is its own affair
            del transport, protocol
            await asyncio.sleep(0)
            assert [reference() for reference in gone] == [None, None]
            peer.close()
        finally:
            gc.enable()

    run(main())


def test_a_server_keeps_no_client_alive_that_nobody_reads():
    async def main():
        loop = asyncio.get_running_loop()
        made = []

        class Forgotten(asyncio.Protocol):
            def connection_made(self, transport):
                transport.pause_reading()
                made.append(weakref.ref(transport))

        server = await loop.create_server(Forgotten, "127.0.0.1", 0)
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            _, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
            await protocol.lost
        assert made[0]() is None
        server.close()
        await server.wait_closed()

    run(main())


def test_a_chunk_is_let_go_of_once_it_is_sent_or_dropped():
    async def main():
        transport, protocol, peer = await stream(send_buffer=1)
        chunk = bytes(300_000)
        before = sys.getrefcount(chunk)
        transport.writelines([chunk, chunk, chunk])
        assert sys.getrefcount(chunk) == before + 3
        got = 0
        while got < 300_001:
            got += len(await asyncio.get_running_loop().sock_recv(peer, 50_000))
        await asyncio.sleep(0)
        assert sys.getrefcount(chunk) == before + 2
        transport.abort()
        assert sys.getrefcount(chunk) == before
        await protocol.lost
        peer.close()

    run(main())


def test_many_requests_leave_nothing_behind():
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data[:5])
            self.transport.writelines([bytearray(data[5:])])

    async def main():
        ours, theirs = tcp_pair()
        transport, _ = await over(ours, Echo)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()

        async def requests(count):
            for _ in range(count):
                await loop.sock_sendall(theirs, b"0123456789")
                assert await loop.sock_recv(theirs, 100) == b"0123456789"
            gc.collect()

        await requests(50)
        tracemalloc.start()
        await requests(50)
        grown = []
        while not grown or (grown[-1] >= 8 * 2000 and len(grown) < 5):  # a log record of the watchdog's comes but once
            before = tracemalloc.get_traced_memory()[0]
            await requests(2000)
            grown.append(tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.stop()
        assert grown[-1] < 8 * 2000, "less than the smallest object for each"
        transport.close()
        theirs.close()

    run(main())


def test_connections_that_come_and_go_leave_no_descriptor():
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        before = open_descriptors()
        for number in range(60):
            transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
            transport.write(b"x" * number)
            (transport.abort, transport.close, transport.write_eof)[number % 3]()
            await protocol.lost
        await until(lambda: not server._connections)
        assert opened_since(before) == set()
        server.close()
        await server.wait_closed()

    run(main())


def test_with_the_collector_running_at_every_allocation():
    async def main():
        loop = asyncio.get_running_loop()

        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                self.cycle = self

            def data_received(self, data):
                self.transport.write(data)
                self.transport.write(bytearray(data))
                self.transport.writelines([data, data])

        server = await loop.create_server(Echo, "127.0.0.1", 0)
        before = gc.get_threshold()
        gc.set_threshold(1)
        try:

            async def client(number):
                factory = Recorder if number % 2 else lambda: BufferedRecorder(100)
                transport, protocol = await loop.create_connection(factory, *server.sockets[0].getsockname())
                protocol.cycle = protocol
                for turn in range(1, 4):
                    transport.write(b"x" * 300)
                    await until(lambda size=turn * 1200: len(protocol.data) == size)
                (transport.abort, transport.close, transport.write_eof)[number % 3]()
                await protocol.lost

            await asyncio.gather(*[client(number) for number in range(12)])
            server.close()
            await server.wait_closed()
        finally:
            gc.set_threshold(*before)

    run(main())
