"""What StreamReader, StreamWriter and their protocol do per packet; their coroutine methods are in streams.py.

Received bytes stay the objects that the transport made, in a list of chunks: read(n) and readexactly(n) that want just
what came get that very object, and nothing is copied into a buffer first.  What spans chunks is joined when it is read.

A read that has to wait is woken when what it wants is there, not by every packet.  Nothing is handed over at that
moment: the task takes its bytes when it resumes.  One that was cancelled meanwhile so leaves them to the next reader.

What a reader waits for is a Reading, a future that is its own iterator.  Nobody sees it but the task that waits, so
each reader needs only one and uses it again.

The transport of our own loop calls `ProtocolCore.received` straight; on any other loop `data_received` does the same.
"""

import asyncio
import sys
from asyncio import events, exceptions, format_helpers

import cython
from cython.cimports.clearloop.engine.future import (
    BY_ITERATOR,
    CANCELLED,
    PENDING,
    RETURNED,
    Future,
    future_may_die_silently,
)
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.net.endpoint import CLOSING
from cython.cimports.clearloop.net.outlet import Outlet
from cython.cimports.clearloop.net.pipe_transport import ReadPipe
from cython.cimports.clearloop.net.stream_reading import Receiver
from cython.cimports.clearloop.system.capi import (
    PYGEN_ERROR,
    PYGEN_NEXT,
    PYGEN_RETURN,
    Py_INCREF_raw,
    install_send,
    set_error,
    type_of,
)
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size
from cython.cimports.clearloop.system.slots import install_guard
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.string import memchr, memcpy

_READER = cython.declare(object, asyncio.StreamReader)
_WRITER = cython.declare(object, asyncio.StreamWriter)
_PROTOCOL = cython.declare(object, asyncio.StreamReaderProtocol)
_IncompleteReadError = cython.declare(object, exceptions.IncompleteReadError)
_LimitOverrunError = cython.declare(object, exceptions.LimitOverrunError)
_NEWLINE = cython.declare(bytes, b"\n")
_NOTHING = cython.declare(bytes, b"")

DEFAULT_LIMIT = 64 * 1024
LARGEST = cython.declare(cython.Py_ssize_t, sys.maxsize // 4)
SMALL = cython.declare(cython.Py_ssize_t, 16 * 1024)  # chunks up to this size are joined as they come


# ---- waiting for bytes -----------------------------------------------------------------------------------------------


@cython.cclass
class Reading(Future):
    """The wait of one read; done, with no result, when the reader has what it wants."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise SystemError("replaced by send_to_reading")

    def send(self, value):
        return next(self)

    def throw(self, kind, value=None, traceback=None):
        if value is None:
            value = kind if isinstance(kind, BaseException) else kind()
        elif not isinstance(value, BaseException):
            value = kind(value)
        self.leave()
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        self.leave()

    def _standing(self):
        """What a task waits for that awaits this: for the live view, from any thread."""
        reader: ReaderCore = self.reader
        peer = None
        if reader is not None and isinstance(reader.transport, Outlet):
            peer = reader.transport.get_extra_info("peername")
        return {"kind": "socket", "operation": "reading", "peer": peer, "fd": None}

    def leave(self):
        """The wait is over, however it ended."""
        reader: ReaderCore = self.reader
        self.log_traceback = False
        if reader is not None:
            self.reader = None
            if reader.waiter is self:
                reader.waiter = None
        return 0


def send_to_reading(iterator, value, result):
    """The am_send slot: yields the future once, then ends."""
    waiting: Reading = cython.cast(Reading, iterator)
    error: object
    result[0] = cython.NULL
    if waiting.state == PENDING:
        if waiting.blocking:
            error = RuntimeError("await wasn't used with future")
            set_error(
                type_of(cython.cast(cython.pointer(PyObject), error)), cython.cast(cython.pointer(PyObject), error)
            )
            return PYGEN_ERROR
        waiting.blocking = BY_ITERATOR
        result[0] = iterator
        Py_INCREF_raw(iterator)
        return PYGEN_NEXT
    if waiting.state == RETURNED:
        waiting.leave()
        result[0] = cython.cast(cython.pointer(PyObject), None)
        Py_INCREF_raw(result[0])
        return PYGEN_RETURN
    error = waiting.make_cancelled_error() if waiting.state == CANCELLED else waiting.value
    waiting.leave()
    set_error(type_of(cython.cast(cython.pointer(PyObject), error)), cython.cast(cython.pointer(PyObject), error))
    return PYGEN_ERROR


# ---- the reader ------------------------------------------------------------------------------------------------------


@cython.cclass
class ReaderCore:
    """The bytes that came and were not read yet, and who waits for more.

    The methods that begin with _read give bytes, or a Reading to await before they are called again, no longer
    `fresh`: what has come is then given even when an error has come behind it.
    """

    def __init__(self, limit=DEFAULT_LIMIT, loop=None):
        if limit <= 0:
            raise ValueError("Limit cannot be <= 0")
        self._limit = limit
        if loop is None:
            loop = events.get_event_loop()
        self.loop = loop
        self.native = isinstance(loop, Scheduler)
        if loop.get_debug():
            self.source_traceback = format_helpers.extract_stack()

    @property
    def __class__(self):
        # So that isinstance(reader, asyncio.StreamReader) holds
        return _READER

    # ---- bytes come in ---------------------------------------------------------------------------------------------

    def feed_data(self, data):
        """Add `data`, any bytes-like object, to what can be read; AssertionError after feed_eof()."""
        if type(data) is not bytes:
            if isinstance(data, (bytes, bytearray, memoryview)):
                data = bytes(data)
            else:
                buffer = bytearray()
                buffer.extend(data)  # takes what asyncio's buffer takes, and refuses the rest in the same words
                data = bytes(buffer)
        self.feed(data)

    def feed(self, data):
        if self.eof:
            raise AssertionError("feed_data after feed_eof")
        if not bytes_size(data):
            return 0
        if self.head is None:
            self.head = data
            self.size = bytes_size(data)
        else:
            self.append(data)
        if self.waiter is not None:
            self.data_came()
        if self.size > 2 * self.limit and not self.paused and self.waiter is None and self.transport is not None:
            self.pause()
        return 0

    def append(self, data):
        more: list = self.more
        self.size += bytes_size(data)
        if more is None:
            self.more = [data]
            return 0
        # Small chunks grow together, each with one at least half as long, so that there are never many of them
        while more and bytes_size(more[len(more) - 1]) <= 2 * bytes_size(data) and bytes_size(data) <= SMALL:
            data = more.pop() + data
        more.append(data)
        return 0

    def feed_eof(self):
        """No more data will come."""
        self.eof = True
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def set_exception(self, exc):
        """Let the read that waits, and all that are called from now on, raise `exc`."""
        self.error = exc
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_exception(exc)
                if isinstance(waiter, Future):
                    # whoever was waiting may be cancelled before it sees it: nothing to report, the reader keeps it
                    cython.cast(Future, waiter).log_traceback = False

    def data_came(self):
        """Wake the waiting read if it has what it wants."""
        match: cython.Py_ssize_t = 0
        scanned: cython.Py_ssize_t
        waiter = self.waiter
        if type(waiter) is not Reading:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)
            return 0
        if cython.cast(Reading, waiter).state == PENDING:
            if self.want == COUNT:
                if self.size < self.need:
                    return 0
            elif self.want == MATCH:
                if self.size - self.scanned < shortest(self.separators):
                    return 0
                if self.find_any(self.separators, self.scanned, cython.address(match)) == 0:
                    scanned = self.size + 1 - longest(self.separators)
                    if scanned <= self.limit:
                        if scanned > 0:
                            self.scanned = scanned
                        return 0
            elif self.want == END:
                return 0
            self.waiter = None
            cython.cast(Reading, waiter).settle(RETURNED, None)
        else:
            self.waiter = None
        return 0

    # ---- back pressure ---------------------------------------------------------------------------------------------

    def set_transport(self, transport):
        """Set the transport that is paused while too much is unread; it can be set once."""
        if self.transport is not None:
            raise AssertionError("Transport already set")
        self.transport = transport

    def _replace_transport(self, transport):
        if self.transport is None:
            raise AssertionError("Transport not set")
        self.transport = transport

    def pause(self):
        try:
            self.transport.pause_reading()
        except NotImplementedError:
            self.transport = None  # cannot be paused, so it need not be asked again
        else:
            self.paused = True
        return 0

    def resume(self):
        self.paused = False
        self.transport.resume_reading()
        return 0

    def _take_all(self):
        """Everything that is unread, for whoever reads the connection from now on."""
        data = self.gather(0, self.size)
        self.forget()
        self._maybe_resume_transport()
        return data

    def _maybe_resume_transport(self):
        if self.paused and self.size <= self.limit:
            self.resume()

    # ---- bytes go out ----------------------------------------------------------------------------------------------

    def _read(self, n, fresh: cython.bint):
        """See StreamReader.read."""
        count: cython.Py_ssize_t
        if fresh and self.error is not None:
            raise self.error
        try:
            count = n
        except OverflowError:
            count = LARGEST if n > 0 else -1
        if count == 0:
            return _NOTHING
        if self.want == END:
            self.check_alone("read")
        if count < 0:
            if self.eof:
                return self.take(self.size) if self.size else _NOTHING
            if not fresh and self.error is not None:
                raise self.error
            return self.wait_for("read", END)
        if self.size:
            return self.take(count if count < self.size else self.size)
        if self.eof:
            self._maybe_resume_transport()
            return _NOTHING
        if not fresh and self.error is not None:
            raise self.error
        return self.wait_for("read", ANY)

    def _read_exactly(self, n, fresh: cython.bint):
        """See StreamReader.readexactly."""
        count: cython.Py_ssize_t
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        if fresh and self.error is not None:
            raise self.error
        try:
            count = n
        except OverflowError:
            count = LARGEST
        if count == 0:
            return _NOTHING
        if self.want == END:
            self.check_alone("readexactly")
        if self.size >= count:
            return self.take(count)
        if self.eof:
            partial = self.gather(0, self.size)
            self.forget()
            raise _IncompleteReadError(partial, n)
        if not fresh and self.error is not None:
            raise self.error
        waiting = self.wait_for("readexactly", COUNT)
        self.need = count
        return waiting

    def _read_until(self, separator, fresh: cython.bint):
        """See StreamReader.readuntil."""
        return self.until("readuntil", separator, fresh)

    def _read_line(self, fresh: cython.bint):
        """See StreamReader.readline."""
        try:
            return self.until("readline", _NEWLINE, fresh)
        except _IncompleteReadError as error:
            return error.partial
        except _LimitOverrunError as error:
            message, consumed = error.args[0], error.consumed
        self.line_too_long(consumed, message)

    def line_too_long(self, consumed, message):
        """Drop the line with its end, or all there is when the end has not come."""
        if self.find(_NEWLINE, consumed) == consumed:
            self.take(consumed + 1)
        else:
            self.forget()
            self._maybe_resume_transport()
        raise ValueError(message)

    def until(self, method, separator, fresh):
        match: cython.Py_ssize_t = 0
        scanned: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        separators = separator if type(separator) is bytes else sorted_separators(separator)
        if fresh:
            if shortest(separators) == 0:
                raise ValueError("Separator should be at least one-byte string")
            if self.error is not None:
                raise self.error
        elif self.sought is separator and type(separator) is bytes:
            scanned = self.scanned
        if self.want == END:
            self.check_alone(method)
        if self.size - scanned >= shortest(separators):
            end = self.find_any(separators, scanned, cython.address(match))
            if end > 0:
                if match > self.limit:
                    raise _LimitOverrunError("Separator is found, but chunk is longer than limit", match)
                return self.take(end)
            scanned = self.size + 1 - longest(separators)
            if scanned < 0:
                scanned = 0
            if scanned > self.limit:
                raise _LimitOverrunError("Separator is not found, and chunk exceed the limit", scanned)
        if self.eof:
            partial = self.gather(0, self.size)
            self.forget()
            raise _IncompleteReadError(partial, None)
        if not fresh and self.error is not None:
            raise self.error
        waiting = self.wait_for(method, MATCH)
        self.sought = separator
        self.separators = separators
        self.scanned = scanned
        return waiting

    def wait_for(self, method, want):
        """What a read awaits that did not find what it wants."""
        waiting: Reading = self.own
        self.check_alone(method)
        if self.paused:
            self.resume()  # or what is waited for would never come
        if waiting is None or waiting.reader is not None:
            # none yet, or one whose task was woken but has not run
            waiting = Reading.__new__(Reading)
            waiting.loop = self.loop
            waiting.native = self.native
            waiting.plain = True
            self.own = waiting
        else:
            waiting.state = PENDING
            waiting.blocking = False
            waiting.log_traceback = False
            waiting.value = None
            waiting.error_detail = None
        waiting.reader = self
        self.want = want
        self.waiter = waiting
        return waiting

    def check_alone(self, method):
        if self.waiter is not None:
            raise RuntimeError(f"{method}() called while another coroutine is already waiting for incoming data")
        return 0

    def _join(self, method):
        return self.wait_for(method, ANY)

    # ---- the chunks ------------------------------------------------------------------------------------------------

    def take(self, count):
        """The oldest `count` bytes, of which there are as many."""
        head = self.head
        left: cython.Py_ssize_t = bytes_size(head) - self.offset
        if count == left:
            if self.offset:
                head = PyBytes_FromStringAndSize(bytes_at(head) + self.offset, count)
            self.next_chunk()
        elif count < left:
            head = PyBytes_FromStringAndSize(bytes_at(head) + self.offset, count)
            self.offset += count
        else:
            head = self.take_across(count)
        self.size -= count
        self.scanned = 0
        if self.paused and self.size <= self.limit:
            self.resume()
        return head

    def take_across(self, count):
        taken = self.gather(0, count)
        left: cython.Py_ssize_t
        while True:
            left = bytes_size(self.head) - self.offset
            if count < left:
                self.offset += count
                break
            count -= left
            self.next_chunk()
            if count == 0:
                break
        return taken

    def _take_all(self):
        """What was not read yet."""
        return self.take(self.size) if self.size else _NOTHING

    def _put_back(self, data: bytes):
        """Let `data` be read first, also behind the end."""
        if data:
            self.append_all(data, self._take_all())

    def append_all(self, data, behind):
        self.head = data
        self.size = bytes_size(data)
        self.scanned = 0
        if bytes_size(behind):
            self.append(behind)
        return 0

    def next_chunk(self):
        self.offset = 0
        if self.more is None:
            self.head = None
        else:
            self.head = self.more.pop(0)
            if not self.more:
                self.more = None
        return 0

    def gather(self, start, end):
        """A copy of the bytes from `start` to `end`."""
        result: bytes
        out: cython.p_char
        base: cython.Py_ssize_t = 0  # where the chunk begins, counted from the first unread byte
        first: cython.Py_ssize_t
        last: cython.Py_ssize_t
        place: cython.Py_ssize_t = -1
        skip: cython.Py_ssize_t = self.offset
        if start >= end:
            return _NOTHING
        result = PyBytes_FromStringAndSize(cython.NULL, end - start)
        out = bytes_at(result)
        chunk = self.head
        while True:
            first = start if start > base else base
            last = base + bytes_size(chunk) - skip
            if last > end:
                last = end
            if first < last:
                memcpy(out, bytes_at(chunk) + skip + first - base, last - first)
                out += last - first
            base += bytes_size(chunk) - skip
            if base >= end:
                return result
            skip = 0
            place += 1
            chunk = self.more[place]

    def forget(self):
        """Drop what is unread."""
        self.head = None
        self.more = None
        self.offset = 0
        self.size = 0
        self.scanned = 0
        return 0

    def find(self, separator, start):
        """Where the first `separator` at or behind `start` begins; -1 for none."""
        length: cython.Py_ssize_t = bytes_size(separator)
        base: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        first: cython.Py_ssize_t
        found: cython.Py_ssize_t
        place: cython.Py_ssize_t = -1
        skip: cython.Py_ssize_t = self.offset
        origin: cython.p_char
        hit: cython.p_char
        chunk = self.head
        while chunk is not None:
            end = base + bytes_size(chunk) - skip
            first = start if start > base else base
            if first < end:
                origin = bytes_at(chunk) + skip - base
                if length == 1:
                    hit = cython.cast(cython.p_char, memchr(origin + first, bytes_at(separator)[0], end - first))
                    if hit != cython.NULL:
                        return hit - origin
                else:
                    found = chunk.find(separator, first + skip - base)
                    if found >= 0:
                        return found - skip + base
            place += 1
            if self.more is None or place >= len(self.more):
                break
            if length > 1 and start < end:
                # over the end of this chunk
                first = end - length + 1
                if first < start:
                    first = start
                if first < 0:
                    first = 0
                found = end + length - 1
                window: bytes = self.gather(first, found if found < self.size else self.size)
                found = window.find(separator)
                if found >= 0:
                    return first + found
            base = end
            skip = 0
            chunk = self.more[place]
        return -1

    def find_any(self, separators, start, match):
        """Where the match ends that ends first, or 0; where it begins is left in `match`."""
        best: cython.Py_ssize_t = 0
        found: cython.Py_ssize_t
        if type(separators) is bytes:
            found = self.find(separators, start)
            if found < 0:
                return 0
            match[0] = found
            return found + bytes_size(separators)
        for separator in separators:
            found = self.find(separator, start)
            if found >= 0 and (best == 0 or found + bytes_size(separator) < best):
                match[0] = found
                best = found + bytes_size(separator)
        return best

    # ---- what is asked for -----------------------------------------------------------------------------------------

    def exception(self):
        """Return what set_exception() was given, or None."""
        return self.error

    def at_eof(self):
        """Return whether the end has come and all is read."""
        return self.eof and self.size == 0

    def __repr__(self):
        info = ["StreamReader"]
        if self.size:
            info.append(f"{self.size} bytes")
        if self.eof:
            info.append("eof")
        if self.limit_ != DEFAULT_LIMIT:
            info.append(f"limit={self.limit_}")
        if self.waiter is not None:
            info.append(f"waiter={self.waiter!r}")
        if self.error is not None:
            info.append(f"exception={self.error!r}")
        if self.transport is not None:
            info.append(f"transport={self.transport!r}")
        if self.paused:
            info.append("paused")
        return f"<{' '.join(info)}>"

    @property
    def _limit(self):
        return self.limit_

    @_limit.setter
    def _limit(self, limit):
        self.limit_ = limit
        self.limit = LARGEST if limit > LARGEST else limit

    @property
    def _buffer(self):
        return self.gather(0, self.size)

    @property
    def _eof(self):
        return bool(self.eof)

    @property
    def _paused(self):
        return bool(self.paused)

    @property
    def _exception(self):
        return self.error

    @property
    def _loop(self):
        return self.loop

    @property
    def _source_traceback(self):
        return self.source_traceback

    @property
    def _transport(self):
        return self.transport

    @_transport.setter
    def _transport(self, transport):
        self.transport = transport

    @property
    def _waiter(self):
        return self.waiter

    @_waiter.setter
    def _waiter(self, waiter):
        self.waiter = waiter


@cython.cfunc
@cython.exceptval(-1)
def shortest(separators: object) -> cython.Py_ssize_t:
    return bytes_size(separators) if type(separators) is bytes else len(separators[0])


@cython.cfunc
@cython.exceptval(-1)
def longest(separators: object) -> cython.Py_ssize_t:
    return bytes_size(separators) if type(separators) is bytes else len(separators[len(separators) - 1])


def sorted_separators(separator):
    """A tuple of separators, or one that is not plain bytes, as a list of bytes, the shortest first."""
    if not isinstance(separator, tuple):
        return [bytes(memoryview(separator))]
    if not separator:
        raise ValueError("Separator should contain at least one element")
    return sorted([bytes(memoryview(one)) for one in separator], key=len)


# ---- the protocol and the writer -------------------------------------------------------------------------------------


@cython.cclass
class ProtocolCore(Receiver):
    """Between a transport and a reader, and what drain() has to know of the transport."""

    def __init__(self, reader, loop):
        self.loop = events.get_event_loop() if loop is None else loop
        self._stream_reader = reader

    @property
    def __class__(self):
        return _PROTOCOL

    def received(self, data):
        if self.core is not None:
            self.core.feed(data)
        else:
            self.data_received(data)
        return 0

    def awaited(self, reading):
        if reading and self.core is not None and self.core.waiter is not None:
            return self.core.waiter
        waiters = getattr(self, "_drain_waiters", None)
        return waiters[0] if type(waiters) is list and waiters else None

    def data_received(self, data):
        """Hand `data` to the reader."""
        if self.reader is not None:
            self.reader.feed_data(data)

    @property
    def _stream_reader(self):
        return self.reader

    @_stream_reader.setter
    def _stream_reader(self, reader):
        self.reader = reader
        self.core = None
        if isinstance(reader, ReaderCore) and type(reader).feed_data is ReaderCore.feed_data:
            self.core = reader
        self.direct = self.core is not None and type(self).data_received is ProtocolCore.data_received

    @property
    def _loop(self):
        return self.loop

    @property
    def _paused(self):
        return bool(self.paused)

    @_paused.setter
    def _paused(self, paused):
        self.paused = paused

    @property
    def _connection_lost(self):
        return bool(self.lost)

    @_connection_lost.setter
    def _connection_lost(self, lost):
        self.lost = lost


@cython.cclass
class WriterCore:
    """A transport to write to, with the way to our own transports cut short."""

    def __init__(self, transport, protocol, reader, loop):
        self.protocol = protocol
        self.reader = reader
        self.loop = loop
        self._transport = transport
        if isinstance(protocol, ProtocolCore) and (reader is None or isinstance(reader, ReaderCore)):
            self.flow = protocol
            self.core = reader

    @property
    def __class__(self):
        return _WRITER

    def write(self, data):
        """Send `data`, a bytes-like object, without waiting; follow it with `await drain()`.

        https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamWriter.write
        """
        stream: Outlet = self.stream
        if (
            stream is not None
            and type(data) is bytes
            and bytes_size(data)
            and not stream.no_write
            and not stream.write_replaced
        ):
            stream.append(data)
        else:
            self.transport_.write(data)

    def _calm(self):
        """Whether drain() has nothing to wait for and nothing to raise."""
        if self.stream is None or self.flow is None or (self.core is not None and self.core.error is not None):
            return False
        return self.stream.phase < CLOSING and not self.flow.paused and not self.flow.lost

    @property
    def transport(self):
        """The transport that is written to."""
        return self.transport_

    @property
    def _transport(self):
        return self.transport_

    @_transport.setter
    def _transport(self, transport):
        self.transport_ = transport
        self.stream = transport if isinstance(transport, Outlet) and not isinstance(transport, ReadPipe) else None

    @property
    def _protocol(self):
        return self.protocol

    @property
    def _reader(self):
        return self.reader

    @property
    def _loop(self):
        return self.loop


install_guard(Reading, future_may_die_silently)
install_send(Reading, send_to_reading)
