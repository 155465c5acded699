"""What was written before a sudden end, in the same step, still reaches the peer: nothing was in its way."""

import asyncio
import socket

import pytest
from stream_tools import run


class Speaker(asyncio.Protocol):
    def __init__(self, end):
        self.end = end
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"last ")
        self.transport.write(b"words")
        self.end(self.transport)

    def connection_lost(self, error):
        self.lost.set_result(error)


def raise_an_error(transport):
    raise LookupError("in data_received")


@pytest.mark.parametrize("end", [lambda transport: transport.abort(), raise_an_error], ids=["abort", "raise"])
def test_last_words(end):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, protocol = await loop.connect_accepted_socket(lambda: Speaker(end), ours)
        await loop.sock_sendall(theirs, b"?")
        error = await protocol.lost
        heard = b""
        while data := await loop.sock_recv(theirs, 100):
            heard += data
        theirs.close()
        assert heard == b"last words"
        assert isinstance(error, LookupError) == (end is raise_an_error)

    run(main())
