"""Streams: reading and writing connections with `async`/`await`, as asyncio's newest release documents them.

What runs per packet is compiled (net/stream_core.py); here are the coroutine methods, which suspend only when they
must, and what runs per connection.  On a loop that is not clearloop's all of it works over the ordinary protocol
interface.
"""

import asyncio
import socket
import warnings
from asyncio import coroutines
from asyncio.log import logger

from clearloop.net.stream_core import DEFAULT_LIMIT, ProtocolCore, ReaderCore, WriterCore
from clearloop.tasks import sleep
from clearloop.through import fallback

__all__ = ["StreamReader", "StreamReaderProtocol", "StreamWriter", "open_connection", "start_server"]
if hasattr(socket, "AF_UNIX"):
    __all__ += ["open_unix_connection", "start_unix_server"]


__getattr__ = fallback(__name__)


# ---- connections and servers -----------------------------------------------------------------------------------------


async def open_connection(host=None, port=None, *, limit=DEFAULT_LIMIT, **options):
    """Connect to `host` and `port` and return (StreamReader, StreamWriter).

    `limit` is the reader's, in bytes; `options` are those of loop.create_connection(), which also says what is raised.
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_connection
    """
    loop = asyncio.get_running_loop()
    return await _open(loop, limit, loop.create_connection, host, port, **options)


async def open_unix_connection(path=None, *, limit=DEFAULT_LIMIT, **options):
    """Connect to the UNIX socket at `path` and return (StreamReader, StreamWriter).

    `options` are those of loop.create_unix_connection().
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_unix_connection
    """
    loop = asyncio.get_running_loop()
    return await _open(loop, limit, loop.create_unix_connection, path, **options)


async def start_server(client_connected_cb, host=None, port=None, *, limit=DEFAULT_LIMIT, **options):
    """Listen on `host` and `port`, call `client_connected_cb(reader, writer)` for each connection; return a Server.

    The callback is a plain function or a coroutine function, which then runs as a task; what it raises goes to the
    loop's exception handler and ends the connection.  `options` are those of loop.create_server().
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_server
    """
    loop = asyncio.get_running_loop()
    factory = _factory(loop, client_connected_cb, limit)
    return await loop.create_server(factory, host, port, **options)


async def start_unix_server(client_connected_cb, path=None, *, limit=DEFAULT_LIMIT, **options):
    """Listen on the UNIX socket at `path`; else as start_server(), with the options of loop.create_unix_server().

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_unix_server
    """
    loop = asyncio.get_running_loop()
    factory = _factory(loop, client_connected_cb, limit)
    return await loop.create_unix_server(factory, path, **options)


async def _open(loop, limit, connect, *address, **options):
    reader = StreamReader(limit, loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(lambda: protocol, *address, **options)
    return reader, StreamWriter(transport, protocol, reader, loop)


def _factory(loop, client_connected_cb, limit):
    return lambda: StreamReaderProtocol(StreamReader(limit, loop), client_connected_cb, loop)


# ---- reading ---------------------------------------------------------------------------------------------------------


class StreamReader(ReaderCore):
    """The bytes that a connection receives: https://docs.python.org/3/library/asyncio-stream.html#streamreader

    `limit` (bytes) is how long a line, or what readuntil() finds, may be; the transport is paused when more than twice
    as much is unread.  One task at a time can wait for data: a second gets RuntimeError.  Whoever is cancelled while
    waiting leaves the data to the next read.
    """

    async def read(self, n=-1):
        """Return up to `n` bytes as soon as there are any; all until the end of the stream if `n` is negative.

        Returns b"" at the end of the stream.
        """
        data = self._read(n, True)
        while type(data) is not bytes:
            await data
            data = self._read(n, False)
        return data

    async def readexactly(self, n):
        """Return exactly `n` bytes.

        Raises IncompleteReadError, with what there was as `partial`, when the stream ends before, and ValueError for a
        negative `n`.
        """
        data = self._read_exactly(n, True)
        while type(data) is not bytes:
            await data
            data = self._read_exactly(n, False)
        return data

    async def readline(self):
        r"""Return the bytes up to and with the next b"\n"; what is left when the stream ends before it.

        Raises ValueError for a line longer than the limit, and drops it, or what has come of it.
        """
        line = self._read_line(True)
        while type(line) is not bytes:
            await line
            line = self._read_line(False)
        return line

    async def readuntil(self, separator=b"\n"):
        """Return the bytes up to and with `separator`, or, of a tuple of separators, the one that ends first.

        Raises IncompleteReadError when the stream ends before, with what there was as `partial`; LimitOverrunError
        when that is longer than the limit, which leaves the data to be read; ValueError when there is no separator
        or an empty one.
        """
        data = self._read_until(separator, True)
        while type(data) is not bytes:
            await data
            data = self._read_until(separator, False)
        return data

    async def _wait_for_data(self, func_name):
        await self._join(func_name)

    def __aiter__(self):
        return self

    async def __anext__(self):
        line = self._read_line(True)
        while type(line) is not bytes:
            await line
            line = self._read_line(False)
        if not line:
            raise StopAsyncIteration
        return line


# ---- writing ---------------------------------------------------------------------------------------------------------


class StreamWriter(WriterCore):
    """A transport to write to, with back pressure that can be awaited.

    https://docs.python.org/3/library/asyncio-stream.html#streamwriter
    """

    def __repr__(self):
        info = [type(self).__name__, f"transport={self._transport!r}"]
        if self._reader is not None:
            info.append(f"reader={self._reader!r}")
        return f"<{' '.join(info)}>"

    def writelines(self, data):
        """Send all chunks of the iterable `data`, without waiting."""
        self._transport.writelines(data)

    def write_eof(self):
        """Close our side for writing, once what is written is sent."""
        return self._transport.write_eof()

    def can_write_eof(self):
        """Return whether write_eof() is possible."""
        return self._transport.can_write_eof()

    def close(self):
        """Close the connection, once what is written is sent; follow it with `await wait_closed()`."""
        return self._transport.close()

    def is_closing(self):
        """Return whether the connection is closed or being closed."""
        return self._transport.is_closing()

    async def wait_closed(self):
        """Wait until the connection is closed; raises the error that has ended it, if one has."""
        await self._protocol._get_close_waiter(self)

    def get_extra_info(self, name, default=None):
        """Return what the transport knows of itself: 'peername', 'sockname', 'socket' …"""
        return self._transport.get_extra_info(name, default)

    async def drain(self):
        """Wait while too much is written and not sent yet.

        Raises the connection's error, or ConnectionResetError when it is closed.
        https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamWriter.drain
        """
        if self._calm():
            return
        if self._reader is not None:
            error = self._reader.exception()
            if error is not None:
                raise error
        if self._transport.is_closing():
            # Let connection_lost() run: whoever writes and drains in a loop would not see the end otherwise
            await sleep(0)
        await self._protocol._drain_helper()

    async def start_tls(
        self, sslcontext, *, server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ):
        """Go on over TLS: https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamWriter.start_tls"""
        protocol = self._protocol
        await self.drain()
        transport = await self._loop.start_tls(
            self._transport,
            protocol,
            sslcontext,
            server_side=protocol._client_connected_cb is not None,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._transport = transport
        protocol._replace_transport(transport)

    def __del__(self, warnings=warnings):
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._loop.is_closed():
            warnings.warn("loop is closed", ResourceWarning, source=self)
        else:
            self.close()
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)


# ---- the protocol ----------------------------------------------------------------------------------------------------


class StreamReaderProtocol(ProtocolCore, asyncio.Protocol):
    """What a transport calls: it feeds `stream_reader`, and holds back drain() while the transport is full.

    With `client_connected_cb` it makes a StreamWriter for the connection and calls `client_connected_cb(reader,
    writer)`, as start_server() says.
    """

    def __init__(self, stream_reader, client_connected_cb=None, loop=None):
        super().__init__(stream_reader, loop)
        self._client_connected_cb = client_connected_cb
        self._transport = None
        self._task = None
        self._over_ssl = False
        self._drain_waiters = []
        self._close_waiters = []
        self._error = None  # what has ended the connection

    def connection_made(self, transport):
        """The connection stands: tell the reader and, on a server, the program."""
        self._use_transport(transport)
        reader = self._stream_reader
        if reader is not None:
            reader.set_transport(transport)
        if self._client_connected_cb is None:
            return
        writer = StreamWriter(transport, self, reader, self._loop)
        try:
            answer = self._client_connected_cb(reader, writer)
        except Exception as error:
            self._client_failed(transport, error)
            return
        if coroutines.iscoroutine(answer):
            self._task = self._loop.create_task(answer)
            self._task.add_done_callback(lambda task: self._client_done(transport, task))

    def _use_transport(self, transport):
        self._transport = transport
        self._over_ssl = transport.get_extra_info("sslcontext") is not None

    def _replace_transport(self, transport):
        self._use_transport(transport)
        if self._stream_reader is not None:
            self._stream_reader._replace_transport(transport)

    def _client_done(self, transport, task):
        if task.cancelled():
            transport.close()
        elif (error := task.exception()) is not None:
            self._client_failed(transport, error)

    def _client_failed(self, transport, error):
        self._loop.call_exception_handler(
            {"message": "Unhandled exception in client_connected_cb", "exception": error, "transport": transport}
        )
        transport.close()

    def eof_received(self):
        """The peer has ended its side; ours stays open, except over TLS, which knows no half-closed connections."""
        if self._stream_reader is not None:
            self._stream_reader.feed_eof()
        return not self._over_ssl

    def connection_lost(self, exc):
        """The connection is over: whoever reads, drains or waits for the end is woken."""
        reader = self._stream_reader
        if reader is not None:
            if exc is None:
                reader.feed_eof()
            else:
                reader.set_exception(exc)
        self._connection_lost = True
        self._error = exc
        _settle(self._close_waiters, exc)
        if self._paused:
            _settle(self._drain_waiters, exc)
        self._stream_reader = None
        self._transport = None
        self._task = None

    # ---- back pressure ---------------------------------------------------------------------------------------------

    def pause_writing(self):
        """Too much is written and not sent: drain() waits from now on."""
        self._paused = True
        if self._loop.get_debug():
            logger.debug("%r pauses writing", self)

    def resume_writing(self):
        """Enough is sent: drain() waits no longer."""
        self._paused = False
        if self._loop.get_debug():
            logger.debug("%r resumes writing", self)
        _settle(self._drain_waiters, None)

    async def _drain_helper(self):
        if self._connection_lost:
            raise ConnectionResetError("Connection lost")
        if self._paused:
            await self._new_waiter(self._drain_waiters)

    def _get_close_waiter(self, stream):
        """What wait_closed() awaits: each call its own, so that one who is cancelled cancels nobody else."""
        waiter = self._new_waiter(self._close_waiters)
        if self._connection_lost:
            _settle(self._close_waiters, self._error)
        return waiter

    def _new_waiter(self, waiters):
        waiter = self._loop.create_future()
        waiters.append(waiter)
        waiter.add_done_callback(lambda done: waiter in waiters and waiters.remove(waiter))
        return waiter


def _settle(waiters, error):
    settled, waiters[:] = waiters[:], []
    for waiter in settled:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
