"""Steps of connections are recorded under the method of the protocol that takes what comes, in every transport."""

import asyncio
import socket

import pytest
from stream_tools import tcp_pair
from tls_tools import client_context, server_context

from clearloop.show import records
from recorded import called, how, new_loop, of, taken


@pytest.fixture(autouse=True)
def everything_recorded(monkeypatch):
    monkeypatch.delenv("CLEARLOOP_RECORD", raising=False)
    monkeypatch.setenv("CLEARLOOP_RECORD_ALL", "1")


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Answer(asyncio.Protocol):
    def __init__(self, done):
        self.done = done

    def connection_made(self, transport):
        transport.write(b"x")

    def data_received(self, data):
        self.done.set_result(data)


class Filling(asyncio.BufferedProtocol):
    def __init__(self, done):
        self.done = done
        self.room = bytearray(100)

    def get_buffer(self, hint):
        return self.room

    def buffer_updated(self, size):
        self.done.set_result(size)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, done):
        self.done = done

    def datagram_received(self, data, address):
        self.done.set_result(data)


def steps(main):
    """{(what the step is called, the type of its transport)} of the steps of descriptors."""
    with new_loop() as loop:
        loop.run_until_complete(asyncio.wait_for(main(), 60))
        found = of(records.STEP, taken(loop))
    return {(called(step.code), called(step.type)) for step in found if how(step) == records.DESCRIPTOR}


@pytest.mark.parametrize("secure", [False, True])
def test_what_a_connection_does_is_named_by_its_protocol(secure):
    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_context() if secure else None)
        async with server:
            options = {"ssl": client_context(), "server_hostname": "localhost"} if secure else {}
            address = server.sockets[0].getsockname()
            transport, _ = await loop.create_connection(lambda: Answer(done), *address, **options)
            assert await done == b"x"
            transport.close()

    found = steps(main)
    assert {("Echo.data_received", "StreamTransport"), ("Answer.data_received", "StreamTransport")} <= found


def test_a_buffered_protocol_and_datagrams():
    async def main():
        loop = asyncio.get_running_loop()
        filled, came = loop.create_future(), loop.create_future()
        near, far = tcp_pair()
        transport, _ = await loop.create_connection(lambda: Filling(filled), sock=near)
        far.send(b"x")
        assert await filled == 1
        transport.close()
        far.close()
        transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(came), ("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"d", transport.get_extra_info("sockname"))
            assert await came == b"d"
        transport.close()

    found = steps(main)
    assert ("Filling.buffer_updated", "StreamTransport") in found
    assert ("Datagrams.datagram_received", "DatagramTransport") in found


def test_a_class_that_writes_its_methods_in_another_way_is_named_itself():
    class Indirect(asyncio.Protocol):
        def __init__(self, done):
            self.done = done

        @property
        def data_received(self):
            return self.done.set_result

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        near, far = tcp_pair()
        transport, _ = await loop.create_connection(lambda: Indirect(done), sock=near)
        far.send(b"x")
        assert await done == b"x"
        transport.close()
        far.close()

    assert any(name.endswith("Indirect") for name, _ in steps(main))


def test_streams_are_named_by_their_protocol():
    async def main():
        near, far = tcp_pair()
        reader, writer = await asyncio.open_connection(sock=near)
        far.send(b"line\n")
        assert await reader.readline() == b"line\n"
        writer.close()
        far.close()

    assert any(name.endswith("StreamReaderProtocol") for name, _ in steps(main))
