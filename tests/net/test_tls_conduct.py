"""Protocols over TLS that close, pause, switch or raise in each of their callbacks: what follows is what asyncio does.

As test_protocol_conduct.py, with a peer that speaks TLS without a loop, and with both kinds of session.
"""

import asyncio
import socket
import ssl
import sys

import pytest
from tls_tools import both_kinds, client_context, kind, server_context

from conduct import ACTIONS, EVERY_PLACE, Peer, on_both_loops

__all__ = ["kind"]
pytestmark = both_kinds


class TlsPeer(Peer):
    def __init__(self, sock):
        super().__init__(sock)
        self.coming, self.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = client_context().wrap_bio(self.coming, self.going, server_hostname="localhost")
        self.greeted = False
        self.shake_hands()

    def shake_hands(self):
        try:
            self.session.do_handshake()
            self.greeted = True
        except ssl.SSLWantReadError:
            pass
        self.send()

    def send(self):
        if data := self.going.read():
            super().say(data)

    def opened(self, data):
        self.coming.write(data)
        text = bytearray()
        try:
            if not self.greeted:
                self.shake_hands()
            while self.greeted and (part := self.session.read(65536)):
                text += part
        except ssl.SSLError:
            pass
        self.send()
        return text

    def say(self, data):
        try:
            self.session.write(data)
        except ssl.SSLError:
            pass
        self.send()

    def end(self):
        try:
            self.session.unwrap()
        except ssl.SSLError:
            pass
        self.send()
        super().end()


def connected():
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer = TlsPeer(theirs)

    async def connect(factory, log):
        loop = asyncio.get_running_loop()
        made = loop.create_task(loop.connect_accepted_socket(factory, ours, ssl=server_context()))
        while not made.done():
            peer.hear(log)
            await asyncio.sleep(0.0003)
        await made

    return connect, peer


@pytest.mark.parametrize("act", ACTIONS, ids=lambda act: act.__name__)
@pytest.mark.parametrize(("factory", "where"), EVERY_PLACE)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's, where it trips
def test_it_ends_as_on_asyncio(factory, where, act):
    theirs, ours = on_both_loops(connected, factory, where, act)
    if where == "connection_lost" and sys.version_info < (3, 11, 4):
        theirs[1][:] = [error for error in theirs[1] if error != "AttributeError"]  # its transport trips over a close()
    assert told(ours, where) == told(theirs, where)


def told(seen, where):
    """What both loops have to agree on.

    How often a BufferedProtocol is asked for memory is OpenSSL's affair, and after a switch in get_buffer asyncio reads
    into the old protocol's and tells the new one.  What the peer still sends after our close is an error on asyncio.
    """
    calls, reports, received = seen
    noted = []
    for call in calls:
        if call == "SSLError":
            call = "NoneType"
        elif call[1] == "get_buffer" or (where == "get_buffer" and call[1] == "buffer_updated"):
            continue
        if noted[-1:] != [call] or call[1] not in ("data_received", "buffer_updated"):
            noted.append(call)
    return noted, reports, received
