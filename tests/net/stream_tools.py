"""What the stream tests share: a loop per test, protocols that record, and sockets whose other end the test holds."""

import asyncio
import contextlib
import socket

import clearloop
from clearloop.net.transport import make_stream


def run(main, **options):
    """Run a coroutine on a fresh clearloop loop, with an end if it hangs."""

    async def limited():
        async with asyncio.timeout(20):
            return await main

    with asyncio.Runner(loop_factory=clearloop.new_event_loop, **options) as runner:
        return runner.run(limited())


class Recorder(asyncio.Protocol):
    """Keeps every callback in order; `lost` is done when the connection is."""

    def __init__(self):
        self.calls = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.keep_open = False

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data):
        assert type(data) is bytes
        self.calls.append("data")
        self.data += data

    def eof_received(self):
        self.calls.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, error):
        self.calls.append("lost")
        self.lost.set_result(error)


class BufferedRecorder(asyncio.BufferedProtocol):
    """The same, reading into a buffer of its own."""

    def __init__(self, size=4096):
        self.buffer = bytearray(size)
        self.calls = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.calls.append("data")
        self.data += self.buffer[:count]

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, error):
        self.calls.append("lost")
        self.lost.set_result(error)


async def over(sock, factory=Recorder):
    """A transport over one end of a connection that the test holds the other end of."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    waiter = loop.create_future()
    protocol = factory()
    transport = make_stream(loop, sock, protocol, waiter)
    await waiter
    return transport, protocol


async def packets(factory=Recorder):
    """A transport whose other end sees each system call that sends as a packet of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    return (*await over(ours, factory), theirs)


async def stream(factory=Recorder, send_buffer=None):
    """A transport over a UNIX stream, and the other end, which does not block."""
    ours, theirs = socket.socketpair()
    if send_buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    theirs.setblocking(False)
    return (*await over(ours, factory), theirs)


def tcp_pair():
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


async def until(condition):
    """Turn after turn until `condition()` holds; the test's limit ends it if it never does."""
    while not condition():
        await asyncio.sleep(0.001)


async def read_all(sock, size=65536):
    """Everything up to the end of the stream."""
    loop = asyncio.get_running_loop()
    parts = []
    while part := await loop.sock_recv(sock, size):
        parts.append(part)
    return b"".join(parts)


def is_closed_by_peer(sock):
    """Whether the other end has closed; one that had bytes left unread closes a UNIX stream with a reset."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def reports():
    """The contexts that the running loop's exception handler is given."""
    loop = asyncio.get_running_loop()
    found = []
    loop.set_exception_handler(lambda loop, context: found.append(context))
    yield found
    loop.set_exception_handler(None)
