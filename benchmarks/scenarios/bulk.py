"""Bytes without end, one way, on four connections: what a mebibyte costs."""

import asyncio

from catalog import SERVER, Scenario

CHUNK = bytes(64 * 1024)
BACKLOG = 64


class Pourer(asyncio.Protocol):
    """Writes until it is told to pause, and goes on when it is told to resume."""

    def connection_made(self, transport):
        self.transport = transport
        self.flowing = True
        self.pour()

    def pour(self):
        while self.flowing and not self.transport.is_closing():
            self.transport.write(CHUNK)

    def pause_writing(self):
        self.flowing = False

    def resume_writing(self):
        self.flowing = True
        self.pour()


class Drain(asyncio.Protocol):
    def __init__(self):
        self.count = 0

    def data_received(self, data):
        self.count += len(data)


class BufferedDrain(asyncio.BufferedProtocol):
    def __init__(self):
        self.count = 0
        self.view = memoryview(bytearray(256 * 1024))

    def get_buffer(self, sizehint):
        return self.view

    def buffer_updated(self, nbytes):
        self.count += nbytes


def served_by(factory):
    async def body(bench):
        return await bench.loop.create_server(factory, "127.0.0.1", 0, backlog=BACKLOG)

    return body


async def pour(reader, writer):
    try:
        while True:
            writer.write(CHUNK)
            await writer.drain()
    except ConnectionError:
        writer.close()


async def drain(reader, writer):
    try:
        while await reader.read(len(CHUNK)):
            pass
    except ConnectionError:
        pass
    writer.close()


def streamed_by(handler):
    async def body(bench):
        return await bench.api.start_server(handler, "127.0.0.1", 0, backlog=BACKLOG)

    return body


def _row(name, load, body):
    return Scenario(name, SERVER, body, load=load, connections=4, note="per MiB")


SCENARIOS = [
    _row("bulk send, Protocol", "drain", served_by(Pourer)),
    _row("bulk send, streams", "drain", streamed_by(pour)),
    _row("bulk receive, Protocol", "pour", served_by(Drain)),
    _row("bulk receive, BufferedProtocol", "pour", served_by(BufferedDrain)),
    _row("bulk receive, streams", "pour", streamed_by(drain)),
]
