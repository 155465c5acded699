"""sock_recv, sock_sendall and the rest: the loop's methods for sockets that the user handles himself.

They become methods of EventLoop, so `self` is the loop.  Each is one plain coroutine over the compiled attempts of
net/sockops.py: try, and while the socket is not ready await the turn and try again.

https://docs.python.org/3/library/asyncio-eventloop.html#working-with-socket-objects-directly
"""

import asyncio
import socket

from clearloop.net.resolver import is_name, resolve
from clearloop.net.sockops import (
    Turn,
    blocked,
    check,
    connect_outcome,
    connect_result,
    connecting,
    line_up,
    receive,
    receive_into,
    send_all,
    send_more,
)

# How long connecting to a UNIX listener with a full backlog waits before it tries again; nothing announces a place
FIRST_PAUSE = 0.001  # seconds
LONGEST_PAUSE = 0.05


async def sock_recv(self, sock, nbytes):
    """Receive up to `nbytes` bytes from a non-blocking socket; b"" is the end of the stream.

    Several tasks may wait for the same socket: they are served in the order in which they came.  A call that is
    cancelled has received nothing.  Raises OSError as the socket does, ValueError for a blocking socket in debug mode,
    RuntimeError when a transport has the descriptor.
    """
    got = receive(self, sock, nbytes, None)
    if type(got) is not Turn:
        if got is NotImplemented:
            return await _attempt(self, sock, False, "recv", nbytes)
        return got
    try:
        while type(got) is Turn:
            turn = got
            await turn
            got = receive(self, sock, nbytes, turn)
        return got
    except BaseException:
        turn.leave()
        raise


async def sock_recv_into(self, sock, buf):
    """Receive from a non-blocking socket into the writable buffer `buf`; return the number of bytes.

    Order, cancellation and errors as in sock_recv.
    """
    got = receive_into(self, sock, buf, None)
    if type(got) is not Turn:
        if got is NotImplemented:
            return await _attempt(self, sock, False, "recv_into", buf)
        return got
    try:
        while type(got) is Turn:
            turn = got
            await turn
            got = receive_into(self, sock, buf, turn)
        return got
    except BaseException:
        turn.leave()
        raise


async def sock_recvfrom(self, sock, bufsize):
    """Receive one datagram of up to `bufsize` bytes; return (bytes, address)."""
    return await _attempt(self, sock, False, "recvfrom", bufsize)


async def sock_recvfrom_into(self, sock, buf, nbytes=0):
    """Receive one datagram of up to `nbytes` bytes (0: what fits) into `buf`; return (number of bytes, address)."""
    return await _attempt(self, sock, False, "recvfrom_into", buf, nbytes or len(buf))


async def sock_sendall(self, sock, data):
    """Send all of `data`, a bytes-like object, which must not change before the call returns.

    After an error or a cancellation nobody knows how much was sent.  Several tasks that send on the same socket do so
    one after the other, in the order in which they came.  Errors as in sock_recv.
    """
    turn = send_all(self, sock, data)
    if turn is None:
        return
    if turn is NotImplemented:
        return await _send_by_method(self, sock, memoryview(data).cast("B"))
    try:
        while turn is not None:
            waiting = turn
            await turn
            turn = send_more(turn, sock)
    except BaseException:
        waiting.leave()
        raise


async def sock_sendto(self, sock, data, address):
    """Send one datagram to `address`; return the number of bytes sent.

    A host name in the address is looked up by the loop's getaddrinfo.
    """
    if (sock.family == socket.AF_INET or sock.family == socket.AF_INET6) and is_name(address):
        found = await resolve(self, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = found[0][4]
    return await _attempt(self, sock, True, "sendto", data, address)


async def sock_sendfile(self, sock, file, offset=0, count=None, *, fallback=True):
    """Send `file`, a file object opened in binary mode, over a connected stream socket; return the number of bytes.

    `offset` is where in the file to begin, `count` how many bytes to send (None: to its end).  Uses os.sendfile();
    where that cannot be had the file is read and sent, or SendfileNotAvailableError raised if `fallback` is false.
    The file's position is behind what was sent, also after an error.  Raises ValueError for other kinds of files and
    sockets, TypeError and ValueError for numbers that are none.
    https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.sock_sendfile
    """
    from clearloop.net import sendfile

    check(self, sock)
    sendfile.check_arguments(file, offset, count)
    sendfile.check_socket(sock)
    try:
        return await self._sock_sendfile_native(sock, file, offset, count)
    except asyncio.SendfileNotAvailableError:
        if not fallback:
            raise
    return await self._sock_sendfile_fallback(sock, file, offset, count)


async def sock_accept(self, sock):
    """Accept a connection on a listening socket; return (non-blocking connection, address of the peer)."""
    connection, address = await _attempt(self, sock, False, "accept")
    connection.setblocking(False)
    return connection, address


async def sock_connect(self, sock, address):
    """Connect a socket to `address`; a host name in it is looked up by the loop's getaddrinfo.

    Raises OSError when the connection cannot be made: ConnectionRefusedError, for one.
    """
    check(self, sock)
    if sock.family == socket.AF_INET or sock.family == socket.AF_INET6:
        resolved = await resolve(self, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = resolved[0][4]
    pause = FIRST_PAUSE
    while True:
        try:
            return sock.connect(address)
        except InterruptedError:
            break
        except BlockingIOError:
            if sock.family != socket.AF_UNIX:
                break
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    error = connect_outcome(sock)  # a peer on this machine has answered by now
    if error < 0:
        turn = connecting(self, sock)
        try:
            while error < 0:
                await turn
                error = connect_result(sock, turn)
        finally:
            turn.leave()
    if error:
        raise OSError(error, f"Connect call failed {address}")


async def _attempt(self, sock, writing, name, *args):
    """Call the socket's method `name`, now and whenever its direction may be ready, until it does not block."""
    turn = line_up(self, sock, writing)
    try:
        while True:
            if turn is not None:
                await turn
            try:
                return getattr(sock, name)(*args)
            except (BlockingIOError, InterruptedError):
                turn = blocked(self, sock, writing, turn)
    finally:
        if turn is not None:
            turn.leave()


async def _send_by_method(self, sock, view):
    """sendall for what only looks like a socket; holds its place until all is sent."""
    turn = line_up(self, sock, True)
    try:
        while view:
            if turn is not None:
                await turn
            try:
                view = view[sock.send(view) :]
            except (BlockingIOError, InterruptedError):
                turn = blocked(self, sock, True, turn)
    finally:
        if turn is not None:
            turn.leave()
