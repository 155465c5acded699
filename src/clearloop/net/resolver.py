"""Names to addresses.

The C library's resolver blocks, so it is asked from a thread of the default executor.  What needs no resolver, an IP
address as text, is answered on the spot: a thread would cost more than the connection.
"""

import socket


def is_literal(host):
    """Whether `host` is the text of an IP address, which no resolver needs to see."""
    if not isinstance(host, str) or not host or host[0] not in "0123456789abcdefABCDEF:":
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True


def _is_number(port):
    return port is None or isinstance(port, int) or (isinstance(port, (str, bytes)) and (not port or port.isdigit()))


async def getaddrinfo(loop, host, port, family, type, proto, flags):
    """socket.getaddrinfo, without blocking the loop; raises what it raises."""
    if _is_number(port):
        if is_literal(host):
            return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        if host is None:
            return socket.getaddrinfo(host, port, family, type, proto, flags)
    return await loop.run_in_executor(None, socket.getaddrinfo, host, port, family, type, proto, flags)


async def getnameinfo(loop, sockaddr, flags):
    """socket.getnameinfo, without blocking the loop; raises what it raises."""
    if flags & socket.NI_NUMERICHOST and flags & socket.NI_NUMERICSERV and is_literal(sockaddr[0]):
        return socket.getnameinfo(sockaddr, flags)
    return await loop.run_in_executor(None, socket.getnameinfo, sockaddr, flags)


def literal_addresses(host, port, family, type, proto, flow=0, scope=0):
    """The one getaddrinfo row of an IP literal, or None when `host` is none, or is one of another family."""
    if not is_literal(host):
        return None
    if isinstance(port, (str, bytes)):
        if port and not port.isdigit():
            return None  # the name of a service
        port = int(port or 0)
    elif port is None:
        port = 0
    elif not isinstance(port, int):
        return None
    found = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family not in (socket.AF_UNSPEC, found):
        return None
    if type == socket.SOCK_STREAM:
        proto = proto or socket.IPPROTO_TCP
    elif type == socket.SOCK_DGRAM:
        proto = proto or socket.IPPROTO_UDP
    address = (host, port) if found == socket.AF_INET else (host, port, flow, scope)
    return [(found, type, proto, "", address)]


async def resolve(loop, address, *, family=0, type=socket.SOCK_STREAM, proto=0, flags=0):
    """getaddrinfo rows for an address tuple; names go to `loop.getaddrinfo`, which users may have replaced."""
    host, port = address[:2]
    rows = literal_addresses(host, port, family, type, proto, *address[2:])
    if rows is not None:
        return rows
    return await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
