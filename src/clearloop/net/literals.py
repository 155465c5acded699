"""IP addresses that are written out: they need no resolver, and no thread to ask it.

`rows` gives what socket.getaddrinfo() gives for them, without its way through the C library and back through two
enumerations, as long as nothing unusual is asked for; the rest is the resolver's (net/resolver.py).  What C libraries
answer differs (musl names no raw sockets, and repeats the address as the canonical name), so this is glibc's only.
"""

import socket
import sys

import cython
from cython.cimports.clearloop.system.sockets import AF_INET, AF_INET6, IS_GLIBC, inet_ntop, inet_pton

_FOUR = cython.declare(object, socket.AF_INET)
_SIX = cython.declare(object, socket.AF_INET6)
_STREAM = cython.declare(object, socket.SOCK_STREAM)
_DATAGRAM = cython.declare(object, socket.SOCK_DGRAM)
_RAW = cython.declare(object, socket.SOCK_RAW)
STREAM = cython.declare(cython.int, int(socket.SOCK_STREAM))
DATAGRAM = cython.declare(cython.int, int(socket.SOCK_DGRAM))
TCP = cython.declare(cython.int, socket.IPPROTO_TCP)
UDP = cython.declare(cython.int, socket.IPPROTO_UDP)
# flags that change nothing about an address that is written out
HARMLESS = cython.declare(cython.int, socket.AI_PASSIVE | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
_audit = cython.declare(object, sys.audit)


@cython.cfunc
def canonical(host: str, family: cython.p_int) -> object:
    """The address as the C library writes it, and its family; None when `host` is no address."""
    raw: cython.char[16]
    text: cython.char[64]
    if not host.isascii():
        return None
    encoded: bytes = host.encode("ascii")
    if len(encoded) == 0 or len(encoded) > 45 or b"\0" in encoded:
        return None
    family[0] = AF_INET6 if b":" in encoded else AF_INET
    if family[0] == AF_INET and not 48 <= encoded[0] <= 57:
        return None  # a name: by far the likeliest
    if inet_pton(family[0], encoded, cython.cast(cython.p_void, raw)) != 1:
        return None
    inet_ntop(family[0], cython.cast(cython.p_void, raw), text, 64)
    return cython.cast(bytes, text).decode("ascii")


@cython.cfunc
@cython.exceptval(-2, check=False)
def port_number(port: object) -> cython.int:
    """The port, -1 when it is the name of a service or nothing usual."""
    number: cython.long
    if port is None:
        return 0
    if type(port) is str or type(port) is bytes:
        if not port.isdigit() or not port.isascii() or len(port) > 5:
            return -1
        number = int(port)
    elif type(port) is int and 0 <= port <= 65535:
        number = port
    else:
        return -1
    return number if number <= 65535 else -1


def rows(host, port, family, kind, proto, flags):
    """What socket.getaddrinfo() answers for an address that is written out; None: ask it."""
    found: cython.int = 0
    number: cython.int
    if not IS_GLIBC:
        return None
    if type(host) is not str or not (
        isinstance(family, int) and isinstance(kind, int) and isinstance(proto, int) and isinstance(flags, int)
    ):
        return None
    text = canonical(host, cython.address(found))
    if text is None or (flags and flags & ~HARMLESS) or (family != 0 and family != found):
        return None
    number = port_number(port)
    if number < 0:
        return None
    name = _FOUR if found == AF_INET else _SIX
    address = (text, number) if found == AF_INET else (text, number, 0, 0)
    result: list
    if kind == 0 and proto == 0:
        result = [
            (name, _STREAM, TCP, "", address),
            (name, _DATAGRAM, UDP, "", address),
            (name, _RAW, 0, "", address),
        ]
    elif (kind == STREAM or kind == 0) and (proto == TCP or (proto == 0 and kind != 0)):
        result = [(name, _STREAM, TCP, "", address)]
    elif (kind == DATAGRAM or kind == 0) and (proto == UDP or (proto == 0 and kind != 0)):
        result = [(name, _DATAGRAM, UDP, "", address)]
    else:
        return None
    _audit("socket.getaddrinfo", host, port, family, kind, proto)
    return result


def is_literal(host):
    """Whether `host` is the text of an IP address; an IPv6 one may have a scope, as in fe80::1%eth0."""
    family: cython.int = 0
    if type(host) is not str:
        return False
    if "%" in host:
        host, _, scope = host.partition("%")
        if not scope or ":" not in host:
            return False
    return canonical(host, cython.address(family)) is not None


def connect_address(host, port, family, flow=0, scope=0):
    """(family, address to connect or bind to) of an address that is written out; None: look it up.

    Nothing of it is checked beyond that, as nothing would be by the socket's own connect().
    """
    found: cython.int = 0
    number: object = port
    if type(host) is not str or canonical(host, cython.address(found)) is None:
        return None
    if family != 0 and family != found:
        return None
    if type(port) is not int:
        if isinstance(port, (str, bytes)) and not port:
            number = 0
        elif not isinstance(port, int):
            number = port_number(port)
            if number < 0:
                return None
    if found == AF_INET:
        return _FOUR, (host, number)
    return _SIX, (host, number, flow, scope)
