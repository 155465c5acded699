"""Socket addresses, kept as the kernel gives them until somebody asks.

Few connections are ever asked for their names, and two tuples with two strings would be a third of an idle
connection's memory.  What the tuples hold is what the socket module's getsockname() gives.
"""

import cython
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    getpeername,
    getsockname,
    inet_ntop,
    ntohl,
    ntohs,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    socklen_t,
)
from cython.cimports.libc.string import memcpy


def keep_address(kept, given, size):
    """Keep an address of one of the IP families; others stay unknown."""
    kept.known = False
    if given.ss_family == AF_INET or given.ss_family == AF_INET6:
        memcpy(kept.raw, given, cython.sizeof(kept.raw))
        kept.known = True
    return 0


def ask_address(kept, fd, peer):
    """Ask the kernel for the socket's own name or its peer's."""
    given: sockaddr_storage
    size: socklen_t = cython.sizeof(sockaddr_storage)
    answer: cython.int
    if peer:
        answer = getpeername(fd, cython.cast(cython.pointer(sockaddr), cython.address(given)), cython.address(size))
    else:
        answer = getsockname(fd, cython.cast(cython.pointer(sockaddr), cython.address(given)), cython.address(size))
    if answer == 0:
        keep_address(kept, cython.address(given), size)
    return 0


def address_tuple(kept):
    """(host, port), or (host, port, flow, scope) for IPv6; None when it is not known."""
    text: cython.char[64]
    if not kept.known:
        return None
    if cython.cast(cython.pointer(sockaddr), kept.raw).sa_family == AF_INET:
        four = cython.cast(cython.pointer(sockaddr_in), kept.raw)
        inet_ntop(AF_INET, cython.address(four.sin_addr), text, 64)
        return (cython.cast(bytes, text).decode("ascii"), ntohs(four.sin_port))
    six = cython.cast(cython.pointer(sockaddr_in6), kept.raw)
    inet_ntop(AF_INET6, cython.address(six.sin6_addr), text, 64)
    return (
        cython.cast(bytes, text).decode("ascii"),
        ntohs(six.sin6_port),
        ntohl(six.sin6_flowinfo),
        six.sin6_scope_id,
    )
