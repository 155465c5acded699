"""Names to addresses.

The C library's resolver blocks, so it is asked from a thread.  The threads are the loop's own and for this alone: a
name server that does not answer holds each for seconds, and must hold no other work (run_in_executor) meanwhile.  What
needs no resolver, an IP address as text, is answered on the spot: a thread would cost more than the connection.
"""

import socket
import time
from asyncio.log import logger

from clearloop.net.literals import connect_address, is_literal

THREADS = 16  # names that are looked up at the same time, per loop; more wait in line


def is_name(address):
    """Whether the host in an address tuple is one that somebody would have to look up."""
    if type(address) is not tuple or len(address) < 2 or type(address[0]) is not str:
        return False
    host = address[0]
    return host not in ("", "<broadcast>") and not is_literal(host)


def _is_number(port):
    return port is None or isinstance(port, int) or (isinstance(port, (str, bytes)) and (not port or port.isdigit()))


async def getaddrinfo(loop, host, port, family, type, proto, flags):
    """socket.getaddrinfo, without blocking the loop; raises what it raises."""
    if _is_number(port):
        if is_literal(host):
            return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        if host is None:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
    ask = _timed(loop, socket.getaddrinfo) if loop.get_debug() else socket.getaddrinfo
    return await loop._resolve_in_thread(ask, host, port, family, type, proto, flags)


async def getnameinfo(loop, sockaddr, flags):
    """socket.getnameinfo, without blocking the loop; raises what it raises."""
    if flags & socket.NI_NUMERICHOST and flags & socket.NI_NUMERICSERV and is_literal(sockaddr[0]):
        return socket.getnameinfo(sockaddr, flags)
    return await loop._resolve_in_thread(socket.getnameinfo, sockaddr, flags)


def _timed(loop, ask):
    """For debug mode: say how long it took, aloud if that is longer than a callback may take."""

    def timed(host, port, *options):
        began = time.monotonic()
        try:
            return ask(host, port, *options)
        finally:
            took = time.monotonic() - began
            say = logger.info if took >= loop.slow_callback_duration else logger.debug
            say("Getting the addresses of %r, port %r, took %.3f ms", host, port, took * 1e3)

    return timed


async def resolve(loop, address, *, family=0, type=socket.SOCK_STREAM, proto=0, flags=0):
    """getaddrinfo rows for an address tuple; names go to `loop.getaddrinfo`, which users may have replaced."""
    host, port = address[:2]
    found = connect_address(host, port, family, *address[2:])
    if found is None:
        return await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
    if not proto:
        if type == socket.SOCK_STREAM:
            proto = socket.IPPROTO_TCP
        elif type == socket.SOCK_DGRAM:
            proto = socket.IPPROTO_UDP
    return [(found[0], type, proto, "", found[1])]
