"""Making servers: from host names or a path to listening sockets."""

import asyncio
import collections.abc
import errno
import os
import socket
import stat
from asyncio.log import logger

from clearloop.net.connect import (
    bind_error,
    check_plain_socket,
    check_stream_socket,
    check_tls_options,
    check_unix_socket,
    server_tls,
)
from clearloop.net.resolver import resolve
from clearloop.net.server import Server


async def create_server(
    loop,
    protocol_factory,
    host,
    port,
    *,
    family,
    flags,
    sock,
    backlog,
    ssl,
    reuse_address,
    reuse_port,
    keep_alive,
    ssl_handshake_timeout,
    ssl_shutdown_timeout,
    start_serving,
):
    """See EventLoop.create_server."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    check_tls_options(ssl, ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout)
    tls = server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        check_plain_socket(sock)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        rows = await _all_addresses(loop, _hosts(host), port, family, flags)
        options = _socket_options(True if reuse_address is None else reuse_address, keep_alive)
        sockets = _bind_all(loop, rows, options, reuse_port)
    else:
        if sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        check_stream_socket(sock)
        sockets = [sock]
    return await _serve(loop, sockets, protocol_factory, backlog, start_serving, tls)


async def _serve(loop, sockets, protocol_factory, backlog, start_serving, tls, socket_files=()):
    for sock in sockets:
        sock.setblocking(False)
    server = Server(loop, sockets, protocol_factory, backlog, tls, socket_files)
    if start_serving:
        try:
            server._start_serving()
            await asyncio.sleep(0)
        except BaseException:
            server.close()  # nobody else knows of it, and it would go on accepting
            raise
    if loop.get_debug():
        logger.info("%r is serving", server)
    return server


def _hosts(host):
    if host == "":
        return [None]
    if isinstance(host, str) or not isinstance(host, collections.abc.Iterable):
        return [host]
    return host


async def _all_addresses(loop, hosts, port, family, flags):
    found = await asyncio.gather(
        *[resolve(loop, (host, port), family=family, type=socket.SOCK_STREAM, flags=flags) for host in hosts]
    )
    for host, rows in zip(hosts, found, strict=True):
        if not rows:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
    return list(dict.fromkeys(row for rows in found for row in rows))


def _socket_options(reuse_address, keep_alive):
    options = []
    if reuse_address:
        options.append(socket.SO_REUSEADDR)
    if keep_alive:
        options.append(socket.SO_KEEPALIVE)
    return options


def _bind_all(loop, rows, options, reuse_port):
    sockets = []
    try:
        for family, kind, proto, _, address in rows:
            try:
                sock = socket.socket(family, kind, proto)
            except OSError:
                if loop.get_debug():
                    logger.warning(
                        "create_server() failed to create socket.socket(%r, %r, %r)", family, kind, proto, exc_info=True
                    )
                continue  # the kernel has no such family
            sockets.append(sock)
            for option in options:
                sock.setsockopt(socket.SOL_SOCKET, option, True)
            if reuse_port and family in (socket.AF_INET, socket.AF_INET6):
                set_reuse_port(sock)
            if family == socket.AF_INET6:
                # One socket per family: this one would take the other's port as well
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    sockets.pop().close()  # a family that this machine has switched off
                    if loop.get_debug():
                        logger.warning(str(bind_error(error, address)))
                    continue
                raise bind_error(error, address) from None
        if not sockets:
            raise OSError(f"could not bind on any address out of {[row[4] for row in rows]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def set_reuse_port(sock):
    """Let several sockets listen on one port; raises ValueError where the system cannot."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


async def create_unix_server(
    loop,
    protocol_factory,
    path,
    *,
    sock,
    backlog,
    ssl,
    ssl_handshake_timeout,
    ssl_shutdown_timeout,
    start_serving,
    cleanup_socket,
):
    """See EventLoop.create_unix_server."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    check_tls_options(ssl, ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout)
    tls = server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        path = os.fspath(path)
        sock = _bind_path(path)
    else:
        if sock is None:
            raise ValueError("path was not specified, and no sock specified")
        check_unix_socket(sock)
        path = sock.getsockname()
    files = []
    if cleanup_socket and path and path[0] not in (0, "\x00"):
        try:
            files.append((path, os.stat(path).st_ino))
        except FileNotFoundError:
            pass  # somebody has renamed it: nothing to clean up
    return await _serve(loop, [sock], protocol_factory, backlog, start_serving, tls, files)


def _bind_path(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if path[0] not in (0, "\x00"):  # the abstract namespace has no files
        try:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("Unable to check or remove stale UNIX socket %r: %r", path, error)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock
