"""Making connections: from a name to a connected socket to a transport with its protocol.

Names are asked of `loop.getaddrinfo` and connections of `loop.sock_connect`, which users may have replaced.
"""

import asyncio
import itertools
import os
import socket
import sys
from asyncio.log import logger

from clearloop.net import attempt
from clearloop.net.literals import connect_address
from clearloop.net.resolver import resolve
from clearloop.net.transport import adopt, make_stream


async def attach(loop, sock, protocol_factory, tls=None):
    """A transport and a protocol of `protocol_factory` over a connected socket; `tls` makes a layer between the two.

    `sock` is a socket, or an Attempt that has succeeded.  It is closed when the factory fails, also when the user has
    given it: asyncio does so since 2026.
    """
    make = adopt
    if type(sock) is not attempt.Attempt:
        make = make_stream
        if sock.gettimeout() != 0:
            sock.setblocking(False)
    waiter = loop.create_future()
    try:
        protocol = protocol_factory()
        layer = None if tls is None else tls(loop, protocol, waiter)
    except BaseException:
        sock.close()
        raise
    if layer is None:
        transport = make(loop, sock, protocol, waiter)
    else:
        transport = layer
        make(loop, sock, layer)
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    return transport, protocol


def client_tls(ssl, server_hostname, handshake_timeout, shutdown_timeout):
    """What attach() makes a client's TLS transport with; None without TLS."""
    if not ssl:
        return None
    from clearloop.net.tls import start  # imports ssl

    options = start.prepare(ssl, handshake_timeout, shutdown_timeout, False, server_hostname)
    return lambda loop, protocol, waiter: start.client_layer(loop, protocol, options, waiter, server_hostname)


def server_tls(ssl, handshake_timeout, shutdown_timeout):
    """The same for connections that were accepted."""
    if not ssl:
        return None
    from clearloop.net.tls import start

    options = start.prepare(ssl, handshake_timeout, shutdown_timeout, True)
    return lambda loop, protocol, waiter=None: start.server_layer(loop, protocol, options, waiter)


def check_tls_options(ssl, **options):
    for name, value in options.items():
        if value is not None and not ssl:
            raise ValueError(f"{name} is only meaningful with ssl")


def check_plain_socket(sock):
    ssl = sys.modules.get("ssl")  # nobody has such a socket before it is imported
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


def check_stream_socket(sock):
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


# ---- TCP -------------------------------------------------------------------------------------------------------------


async def create_connection(
    loop,
    protocol_factory,
    host,
    port,
    *,
    ssl,
    family,
    proto,
    flags,
    sock,
    local_addr,
    server_hostname,
    ssl_handshake_timeout,
    ssl_shutdown_timeout,
    happy_eyeballs_delay,
    interleave,
    all_errors,
):
    """See EventLoop.create_connection."""
    check_tls_options(
        ssl,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    if ssl and server_hostname is None:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    tls = client_tls(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        check_plain_socket(sock)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        only = None if local_addr is not None or all_errors else connect_address(host, port, family)
        if only is not None and attempt.can_connect(loop):
            sock = attempt.connect(loop, only[0], socket.SOCK_STREAM, proto or socket.IPPROTO_TCP, only[1])
            if error := sock.outcome():
                await _answer(sock, error, only[1])
        else:
            rows = await _lookup(loop, (host, port), family, proto, flags)
            local_rows = None
            if local_addr is not None:
                local_rows = await _lookup(loop, local_addr, family, proto, flags)
            if happy_eyeballs_delay is not None and interleave is None:
                interleave = 1
            if interleave:
                rows = interleaved(rows, interleave)
            sock = await _connect_any(loop, rows, local_rows, happy_eyeballs_delay, all_errors)
    elif sock is None:
        raise ValueError("host and port was not specified and no sock specified")
    else:
        check_stream_socket(sock)
    transport, protocol = await attach(loop, sock, protocol_factory, tls)
    if loop.get_debug():
        sock = transport.get_extra_info("socket")
        logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
    return transport, protocol


async def _lookup(loop, address, family, proto, flags):
    rows = await resolve(loop, address, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags)
    if not rows:
        raise OSError("getaddrinfo() returned empty list")
    return rows


def interleaved(rows, first_family_count=1):
    """Order addresses so that families alternate (RFC 8305, section 4), the first one's lead given by the count."""
    by_family = {}
    for row in rows:
        by_family.setdefault(row[0], []).append(row)
    groups = list(by_family.values())
    lead = groups[0][: first_family_count - 1]
    del groups[0][: first_family_count - 1]
    return lead + [row for turn in itertools.zip_longest(*groups) for row in turn if row is not None]


async def _connect_any(loop, rows, local_rows, delay, all_errors):
    """The socket, or Attempt, of the first address that answers; raises what the others' errors come to."""
    failures = []
    if delay is None:
        for row in rows:
            try:
                return await _connect_one(loop, row, local_rows)
            except OSError as error:
                failures.append(error)
    else:
        sock = await _race(loop, rows, local_rows, delay, failures)
        if sock is not None:
            return sock
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", failures)
        texts = {str(error) for error in failures}
        if len(texts) == 1:
            raise failures[0]
        raise OSError("Multiple exceptions: {}".format(", ".join(str(error) for error in failures)))
    finally:
        failures = None  # they hold this frame


async def _connect_one(loop, row, local_rows):
    family, kind, proto, _, address = row
    if local_rows is None and attempt.can_connect(loop):
        sock = attempt.connect(loop, family, kind, proto, address)
        if error := sock.outcome():
            await _answer(sock, error, address)
        return sock
    sock = socket.socket(family=family, type=kind, proto=proto)
    try:
        sock.setblocking(False)
        if local_rows is not None:
            _bind_to_one(sock, family, local_rows)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _answer(connecting, error, address):
    """Wait until the attempt, whose outcome is `error` so far, has succeeded; raises what it failed with."""
    try:
        while error < 0:
            await connecting.wait()
            error = connecting.outcome()
        if error:
            raise attempt.refusal(error, address)
    except BaseException:
        connecting.close()
        raise


def _bind_to_one(sock, family, local_rows):
    failure = None
    try:
        for local_family, _, _, _, address in local_rows:
            if local_family != family:
                continue  # it could never reach a peer of this family
            try:
                sock.bind(address)
                return
            except OSError as error:
                failure = bind_error(error, address)
        raise failure or OSError(f"no matching local address with {family=} found")
    finally:
        failure = None


def bind_error(error, address):
    """The error with the address that it is about."""
    return OSError(error.errno, f"error while attempting to bind on address {address!r}: {str(error).lower()}")


async def _race(loop, rows, local_rows, delay, failures):
    """Happy eyeballs (RFC 8305, section 5): the next address is tried when the last has failed or taken `delay` s.

    The first that connects wins, and the others are given up.
    """
    won = None
    over = False
    running = set()
    waiting = list(rows)

    async def attempt(row):
        nonlocal won
        sock = await _connect_one(loop, row, local_rows)
        if over or won is not None:
            sock.close()
        else:
            won = sock

    try:
        while won is None and (waiting or running):
            newest = None
            if waiting:
                newest = loop.create_task(attempt(waiting.pop(0)))
                running.add(newest)
            began = loop.time()
            while won is None and running and (newest is None or not newest.done()):
                left = max(0, began + delay - loop.time()) if waiting else None
                done, running = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if isinstance(error, OSError):
                        failures.append(error)
                    elif error is not None:
                        raise error
                if not done:
                    break
        return won
    except BaseException:
        if won is not None:
            won.close()
        raise
    finally:
        over = True
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for task in running:
            if not task.cancelled():
                task.exception()  # fetched: nobody needs to hear of those who came late


async def connect_accepted_socket(loop, protocol_factory, sock, *, ssl, ssl_handshake_timeout, ssl_shutdown_timeout):
    """See EventLoop.connect_accepted_socket."""
    check_stream_socket(sock)
    check_tls_options(ssl, ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout)
    check_plain_socket(sock)
    tls = server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    transport, protocol = await attach(loop, sock, protocol_factory, tls)
    if loop.get_debug():
        logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
    return transport, protocol


# ---- UNIX ------------------------------------------------------------------------------------------------------------


async def create_unix_connection(
    loop, protocol_factory, path, *, ssl, sock, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout
):
    """See EventLoop.create_unix_connection."""
    if ssl and server_hostname is None:
        raise ValueError("you have to pass server_hostname when using ssl")
    check_tls_options(
        ssl,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    tls = client_tls(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, os.fspath(path))
        except BaseException:
            sock.close()
            raise
    else:
        if sock is None:
            raise ValueError("no path and sock were specified")
        check_unix_socket(sock)
    return await attach(loop, sock, protocol_factory, tls)


def check_unix_socket(sock):
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
