"""create_datagram_endpoint: from addresses to a bound, connected, configured socket with its transport.

It becomes a method of EventLoop, so `self` is the loop.
"""

import os
import socket
import stat
import sys
from asyncio.log import logger

from clearloop.net.resolver import resolve

_EXPECTED = "A datagram socket" if sys.version_info >= (3, 12) else "A UDP Socket"  # as this Python's asyncio says it


async def create_datagram_endpoint(
    self,
    protocol_factory,
    local_addr=None,
    remote_addr=None,
    *,
    family=0,
    proto=0,
    flags=0,
    reuse_port=None,
    allow_broadcast=None,
    sock=None,
):
    """See EventLoop.create_datagram_endpoint."""
    from clearloop.net.datagram_transport import DatagramTransport

    self._check_closed()
    remote = None
    if sock is not None:
        _check_given(
            sock,
            local_addr=local_addr,
            remote_addr=remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
        )
        sock.setblocking(False)
    else:
        candidates = await _candidates(self, local_addr, remote_addr, family, proto, flags)
        errors = []
        for kind, local, remote in candidates:
            try:
                sock = await _open(self, kind, local, remote, reuse_port, allow_broadcast)
                break
            except OSError as error:
                errors.append(error)
        else:
            try:
                raise errors[0]
            finally:
                errors.clear()  # so that the error does not hold the frame that holds the error
    try:
        protocol = protocol_factory()
        waiter = self.create_future()
        transport = DatagramTransport(self, sock, protocol, remote, waiter)
    except BaseException:
        sock.close()
        raise
    if self.get_debug():
        logger.info("Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
                    local_addr, remote_addr, transport, protocol)  # fmt: skip
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    return transport, protocol


def _check_given(sock, **options):
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"{_EXPECTED} was expected, got {sock!r}")
    if any(options.values()):
        given = ", ".join(f"{name}={value}" for name, value in options.items() if value)
        raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({given})")


async def _candidates(loop, local_addr, remote_addr, family, proto, flags):
    """[((family, proto), local address, remote address)], in the order in which to try them."""
    if not (local_addr or remote_addr):
        if family == 0:
            raise ValueError("unexpected address family")
        return [((family, proto), None, None)]
    if family == socket.AF_UNIX:
        for path in (local_addr, remote_addr):
            if path is not None and not isinstance(path, str):
                raise TypeError("string is expected")
        if local_addr and local_addr[0] != "\0":
            _remove_stale(local_addr)
        return [((family, proto), local_addr, remote_addr)]
    found = {}
    for place, address in enumerate((local_addr, remote_addr)):
        if address is None:
            continue
        if not (isinstance(address, tuple) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        infos = await resolve(
            loop, address, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags
        )
        if not infos:
            raise OSError("getaddrinfo() returned empty list")
        for found_family, _, found_proto, _, resolved in infos:
            found.setdefault((found_family, found_proto), [None, None])[place] = resolved
    complete = [
        (kind, local, remote)
        for kind, (local, remote) in found.items()
        if not (local_addr and local is None) and not (remote_addr and remote is None)
    ]
    if not complete:
        raise ValueError("can not get address information")
    return complete


def _remove_stale(path):
    """A socket file that a server before us has left would keep us from binding."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # the directory may allow making a socket only; bind will tell
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, error)


async def _open(loop, kind, local, remote, reuse_port, allow_broadcast):
    """A socket for one candidate."""
    family, proto = kind
    sock = socket.socket(family=family, type=socket.SOCK_DGRAM, proto=proto)
    try:
        if reuse_port:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError:
                raise ValueError(
                    "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
                ) from None
        if allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        if local:
            sock.bind(local)
        if remote and not allow_broadcast:
            # a socket that may broadcast stays unconnected, to hear whoever answers
            await loop.sock_connect(sock, remote)
        return sock
    except BaseException:
        sock.close()
        raise
