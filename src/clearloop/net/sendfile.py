"""Files to sockets: loop.sendfile and loop.sock_sendfile.

Both try os.sendfile first, which lets the kernel copy from the file's pages to the socket.  It does not work for
everything that has a `read` (a BytesIO, a pipe, some file systems), nor through TLS; there the file is read in a thread
and written.  Which way it went the caller sees only by `fallback=False`.

One call sends at most PORTION: a reader that keeps up would otherwise keep the system call, and with it the loop, busy
for the whole file.

The file's position afterwards is behind the last byte that was handed to the socket, whatever ended the call, since
that is how callers learn how far an interrupted transfer came.
"""

import asyncio
import errno
import os
import socket
from asyncio import SendfileNotAvailableError
from asyncio.constants import _SendfileMode

from clearloop.net.sockops import blocked, hold, rest

PORTION = 1024 * 1024  # bytes
READ_SIZE = 256 * 1024  # bytes, where the file is read

# os.sendfile's ways to say that this file or this socket is not for it
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ESPIPE, errno.EOVERFLOW, errno.EBADF}


def check_arguments(file, offset, count):
    """Raise TypeError or ValueError for what cannot be sent."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")


def check_socket(sock):
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")


class _Progress:
    """How far a file has been sent, and how much of it is still to go."""

    def __init__(self, file, offset, count):
        self.file = file
        self.offset = offset
        self.count = count
        self.sent = 0

    def next_size(self, portion):
        """How many bytes to send next; 0 when that was all."""
        return portion if self.count is None else min(portion, self.count - self.sent)

    def go_to_start(self):
        """For reading: begin at the offset; what cannot be positioned is read from where it stands."""
        if self.offset or _seekable(self.file):
            self.file.seek(self.offset)

    def keep_position(self):
        """Leave the file behind what was sent."""
        if _seekable(self.file):
            self.file.seek(self.offset + self.sent)


def _seekable(file):
    seekable = getattr(file, "seekable", None)
    return hasattr(file, "seek") if seekable is None else seekable()


# ---- by os.sendfile --------------------------------------------------------------------------------------------------


def _descriptor_to_send(file):
    """The file's descriptor; SendfileNotAvailableError when it has none, or is no file."""
    if not hasattr(os, "sendfile"):
        raise SendfileNotAvailableError("os.sendfile() is not available")
    try:
        fd = file.fileno()
        os.fstat(fd)
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
        raise SendfileNotAvailableError("not a regular file") from None
    return fd


def _send_some(to, fd, progress):
    """One os.sendfile: the bytes sent, 0 at the end of the file or the count, -1 when the socket takes none."""
    size = progress.next_size(PORTION)
    if size <= 0:
        return 0
    try:
        sent = os.sendfile(to, fd, progress.offset + progress.sent, size)
    except (BlockingIOError, InterruptedError):
        return -1
    except OSError as error:
        if progress.sent == 0 and error.errno in _UNABLE:
            raise SendfileNotAvailableError("os.sendfile() cannot send this file") from error
        raise
    progress.sent += sent
    return sent


async def sock_send_native(loop, sock, file, offset, count):
    """sock_sendfile by os.sendfile, or SendfileNotAvailableError."""
    fd = _descriptor_to_send(file)
    progress = _Progress(file, offset, count)
    turn = hold(loop, sock, True)
    try:
        while True:
            await turn
            sent = _send_some(sock.fileno(), fd, progress)
            if sent == 0:
                return progress.sent
            turn = blocked(loop, sock, True, turn) if sent < 0 else rest(turn)
    finally:
        turn.leave()
        progress.keep_position()


async def send_native(transport, file, offset, count):
    """loop.sendfile by os.sendfile, or SendfileNotAvailableError; for our own stream transports."""
    fd = _descriptor_to_send(file)
    progress = _Progress(file, offset, count)
    transport._begin_file()
    reading = transport.is_reading()
    transport.pause_reading()
    try:
        refused = False
        while True:
            to = transport._file_turn(refused)
            if type(to) is not int:
                await to
                refused = False
                continue
            sent = _send_some(to, fd, progress)
            if sent == 0:
                return progress.sent
            refused = sent < 0
            if not refused:
                await asyncio.sleep(0)
    finally:
        progress.keep_position()
        transport._end_file()
        if reading:
            transport.resume_reading()


# ---- by reading ------------------------------------------------------------------------------------------------------


async def _portions(loop, progress):
    """The file's contents, each portion valid until the next is asked for; whoever sent one adds it to `sent`."""
    buffer = bytearray(READ_SIZE)
    progress.go_to_start()
    while (size := progress.next_size(READ_SIZE)) > 0:
        view = memoryview(buffer)[:size]
        read = await loop.run_in_executor(None, progress.file.readinto, view)
        if not read:
            break
        yield view[:read]


async def sock_send_by_reading(loop, sock, file, offset, count):
    """sock_sendfile for what os.sendfile cannot send."""
    progress = _Progress(file, offset, count)
    portions = _portions(loop, progress)
    try:
        async for portion in portions:
            await loop.sock_sendall(sock, portion)
            progress.sent += len(portion)
        return progress.sent
    finally:
        await portions.aclose()
        progress.keep_position()


async def send_by_reading(loop, transport, file, offset, count):
    """loop.sendfile for any transport that writes and pauses its protocol: TLS, or files without a descriptor."""
    progress = _Progress(file, offset, count)
    portions = _portions(loop, progress)
    stand_in = _StandIn(loop, transport)
    try:
        await stand_in.room()
        async for portion in portions:
            stand_in.check_open()
            transport.write(bytes(portion))
            progress.sent += len(portion)
            await stand_in.room()
        return progress.sent
    finally:
        await portions.aclose()
        progress.keep_position()
        stand_in.withdraw()


def closed_meanwhile():
    return ConnectionError("the connection was closed while a file was being sent")


class _StandIn(asyncio.Protocol):
    """Stands in for the transport's protocol while a file is written: back pressure is the file's affair then."""

    def __init__(self, loop, transport):
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._reading = transport.is_reading()
        self._paused_before = transport._protocol_paused
        self._resumed = loop.create_future() if self._paused_before else None
        self._lost = None
        transport.pause_reading()
        transport.set_protocol(self)

    def check_open(self):
        if self._lost is not None:
            raise self._lost
        if self._transport.is_closing():
            raise closed_meanwhile()

    async def room(self):
        """Wait until the transport takes more."""
        self.check_open()
        if self._resumed is not None:
            await self._resumed
        self.check_open()

    def withdraw(self):
        """Give the transport back to its protocol."""
        if self._lost is not None:
            return  # it has heard the last
        self._transport.set_protocol(self._protocol)
        if self._reading:
            self._transport.resume_reading()
        if self._resumed is None:
            if self._paused_before:
                self._protocol.resume_writing()
        else:
            self._resumed.cancel()
            if not self._paused_before:
                self._protocol.pause_writing()

    # ---- as the protocol ----

    def connection_made(self, transport):
        raise RuntimeError("the connection is made already")

    def connection_lost(self, exc):
        self._lost = exc if exc is not None else closed_meanwhile()
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        self._protocol.connection_lost(exc)

    def pause_writing(self):
        if self._resumed is None:
            self._resumed = self._loop.create_future()

    def resume_writing(self):
        if self._resumed is not None:
            if not self._resumed.done():
                self._resumed.set_result(None)
            self._resumed = None

    def data_received(self, data):
        raise RuntimeError("reading should be paused while a file is sent")

    def eof_received(self):
        raise RuntimeError("reading should be paused while a file is sent")


# ---- which way -------------------------------------------------------------------------------------------------------


async def send(loop, transport, file, offset, count, fallback):
    """See EventLoop.sendfile.  A transport says by its `_sendfile_compatible` what it can."""
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", _SendfileMode.UNSUPPORTED)
    if mode is _SendfileMode.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    check_arguments(file, offset, count)
    if mode is _SendfileMode.TRY_NATIVE:
        try:
            return await loop._sendfile_native(transport, file, offset, count)
        except SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    return await loop._sendfile_fallback(transport, file, offset, count)
