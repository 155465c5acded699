"""TLS as a transport: it is the protocol of the transport below, and what the program writes to and is called by.

What a request costs is one recv, one decryption, one encryption and one send:

- Ciphertext is read into a buffer that all connections of a loop share, decrypted into another, and handed on as the
  stream transport would: `bytes` of their exact size, memory of a BufferedProtocol's, or a compiled receiver.
- What a turn of the loop writes stays plain until it ends; then it is encrypted, small chunks joined into one record,
  and leaves by one send.  Past the high-water mark it goes at once.
- The session encrypts no more than the kernel takes and one batch beyond that.  The rest waits as plaintext, so nothing
  grows behind a slow peer, and the water marks count both.

`phase` is STARTING during the handshake; CLOSING from close(), or from the peer's end, until both close_notify alerts
are through; LOST from then on, until the transport below says connection_lost.

The end, in either direction, ends both, as asyncio documents it for TLS.  close() encrypts what is queued and then our
close_notify, throws away what still comes, and closes the transport below when the peer's close_notify, its end or the
shutdown timeout has come.  A peer that just ends its stream, with no close_notify, counts as one that has closed.

Callbacks run in the context that the transport below was made in.  When that is entered already, by a handle of ours or
by a callback that turns the loop by hand, they run in what is current: nothing that was decrypted may be lost.
"""

import asyncio
import asyncio.sslproto
import ssl
from asyncio.log import logger

import cython
from cython.cimports.clearloop.net.endpoint import CLOSED, CLOSING, LOST, OPEN, STARTING
from cython.cimports.clearloop.net.stream_reading import Layer, Receiver
from cython.cimports.clearloop.net.tls.limits import MOST_UNASKED, RECORDS_PER_STEP, flood_of_answers
from cython.cimports.clearloop.net.tls.scratch import ROOM, Scratch, scratch_of
from cython.cimports.clearloop.net.tls.session import CLOSED as NOTIFIED
from cython.cimports.clearloop.net.tls.session import DONE, RECORD, WANT_READ, WANT_WRITE, Session
from cython.cimports.clearloop.net.transport import StreamTransport
from cython.cimports.clearloop.system.attributes import attributes_later
from cython.cimports.clearloop.system.callables import handler_in
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    PyContext_Exit,
    PyErr_Clear,
    enter_context,
)
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size, call_method_raw, get_buffer_raw
from cython.cimports.clearloop.system.own_methods import own_methods
from cython.cimports.cpython.buffer import PyBUF_WRITABLE, PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.string import memcpy

from clearloop.net.tls.kinds import new_session

# What isinstance() is told: programs look for this very class, or for "ssl" in its name, to see whether a connection is
# encrypted. It is an asyncio.Transport.
_TRANSPORT = cython.declare(object, asyncio.sslproto._SSLProtocolTransport)
_BUFFERED = cython.declare(object, asyncio.BufferedProtocol)
_data_received = cython.declare(object, "data_received")
_get_buffer = cython.declare(object, "get_buffer")
_buffer_updated = cython.declare(object, "buffer_updated")
_any_size = cython.declare(object, -1)

READS_PER_EVENT = cython.declare(cython.int, 8)  # full reads, before the other sockets have their turn
BATCH = cython.declare(cython.Py_ssize_t, 256 * 1024)  # plaintext that is encrypted before the kernel is asked
HIGH_WATER = cython.declare(cython.Py_ssize_t, 512 * 1024)  # asyncio's for TLS


@cython.final
@cython.cclass
class TLSTransport(Layer):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.Transport, over TLS."""

    _start_tls_compatible = True
    _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK  # the kernel cannot encrypt a file for us

    def __cinit__(self):
        attributes_later(self)

    @property
    def __class__(self):
        return _TRANSPORT

    def subject(self):
        return handler_in(
            cython.cast(cython.pointer(PyObject), self.protocol), _buffer_updated if self.buffered else _data_received
        )

    # ---- the transport below calls ---------------------------------------------------------------------------------

    def connection_made(self, transport):
        """The connection below stands: begin the handshake."""
        self.lower = transport
        if isinstance(transport, StreamTransport):
            self.stream = transport
            self.context = self.stream.context
        if self.phase != STARTING:  # given up before it began
            transport.abort()
            return
        if self.loop.debug:
            logger.debug("%r starts the TLS handshake", self)
        self.timer = self.loop.call_later(self.handshake_timeout, self._handshake_timed_out)
        if not self.server_side:
            self.shake()  # a server has nothing to say before the client does

    def data_received(self, data):
        """Ciphertext, from a transport that is not ours."""
        if self.phase >= LOST or not len(data):
            return
        kept: bytes = bytes(data)
        scratch: Scratch = self.borrow()
        if self.stream is not None:
            self.session.allow(RECORDS_PER_STEP)  # another transport could not be held back
        try:
            self.take_in(bytes_at(kept), bytes_size(kept), scratch)
        finally:
            scratch.busy = False

    def eof_received(self):
        """The end, from a transport that is not ours; it stays open until we close it."""
        self.lower_ended()
        return True

    def pause_writing(self):
        """A transport that is not ours is full."""
        self.lower_paused = True

    def resume_writing(self):
        """It has room again."""
        self.lower_paused = False
        self.room()

    def connection_lost(self, exc):
        """The connection below is over."""
        if self.phase == CLOSED:
            return
        session: Session = self.session
        protocol = self.protocol
        error = exc if self.error is None else self.error
        shaking: cython.bint = self.phase == STARTING
        self.phase = CLOSED
        self.no_write = True
        self.stop_timer()
        self.forget_queue()
        if self.waiter is not None:
            self.settle(error or ConnectionAbortedError("the TLS handshake was given up"))
        if shaking and not self.made and self.loop.debug:
            logger.debug("%r: the connection was lost during the TLS handshake", self)
        self.session = None
        if not self.working:
            session.end()
        try:
            if self.made:
                protocol.connection_lost(error)
        finally:
            self.protocol = None
            self.receiver = None

    def readable(self):
        count: cython.Py_ssize_t
        reads: cython.int = READS_PER_EVENT
        scratch: Scratch
        if self.working or self.phase >= LOST or self.resuming:
            return 0
        scratch = self.borrow()
        self.session.allow(RECORDS_PER_STEP)
        try:
            while True:
                count = self.stream.receive_up(scratch.cipher, ROOM)
                if count <= 0 or self.phase >= LOST:
                    break
                self.take_in(scratch.cipher, count, scratch)
                reads -= 1
                if count < ROOM or reads == 0 or self.phase >= LOST or self.resuming or not self.stream.reading():
                    break
        finally:
            scratch.busy = False
        return 0

    def lower_ended(self):
        if self.ended or self.phase >= LOST:
            return 0
        self.ended = True
        if self.loop.debug:
            logger.debug("%r received EOF", self)
        if self.phase == STARTING:
            self.session_failed(ConnectionResetError("the peer has closed the connection during the TLS handshake"))
        elif self.phase == CLOSING:
            self.wind_down()
        elif not self.paused and not self.left_over():
            self.peer_is_done()
        return 0

    def room(self):
        """The transport below has sent everything: encrypt more."""
        if self.phase >= LOST or self.phase == STARTING:
            return 0
        if self.phase == CLOSING:
            return self.wind_down()
        self.encrypt()
        self.pause_when_full()
        if self.protocol_paused and self.phase < LOST and self.unsent() <= self.low:
            self.resume_protocol()
        return 0

    # ---- what came -------------------------------------------------------------------------------------------------

    def borrow(self):
        """The loop's buffers; if somebody below us on the stack has them, a pair for this once."""
        scratch: Scratch = self.scratch
        if scratch.busy:
            scratch = Scratch()
        scratch.busy = True
        return scratch

    def take_in(self, data, size, scratch):
        session: Session = self.session
        if self.peer_closed:
            return 0  # what comes behind a close_notify is nobody's
        session.feed(data, size)
        try:
            self.advance(scratch)
        finally:
            if self.session is not None:
                session.keep()  # the memory is the next one's
        return 0

    def advance(self, scratch):
        """Do all that what was fed allows."""
        if self.phase == STARTING:
            self.shake()
        if self.phase == OPEN and not self.paused:
            self.deliver_all(scratch)
        if self.phase == CLOSING:
            self.discard(scratch)
        if self.phase < LOST and not self.working and not self.dirty:
            self.answer()
            if self.size and self.phase == OPEN and not self.congested():
                self.encrypt()  # it may have waited for the peer
                self.pause_when_full()
                if self.protocol_paused and self.phase == OPEN and self.unsent() <= self.low:
                    self.resume_protocol()
        if self.phase < LOST and (not self.paused or self.phase == CLOSING) and self.left_over():
            self.deliver_later()
        return 0

    def left_over(self):
        """Whether ciphertext waits only for the next step."""
        return self.session.lent_left() > 0 and not self.peer_closed

    def deliver_later(self):
        if not self.resuming:
            self.resuming = True
            self.loop.call_soon(self._deliver_again, context=self.context)
        return 0

    def answer(self):
        """Send what TLS itself has to say: new keys, tickets."""
        data: cython.p_char = cython.NULL
        self.unasked = self.unasked + self.session.outgoing(cython.address(data)) if self.congested() else 0
        self.transmit_outgoing()
        if self.unasked > MOST_UNASKED and self.phase < LOST:
            self.unasked = 0
            self.session_failed(flood_of_answers())
        return 0

    def shake(self):
        """Go on with the handshake."""
        session: Session = self.session
        failure = None
        outcome: cython.Py_ssize_t = WANT_READ
        if self.working:
            return 0
        entered: cython.bint = self.enter()
        self.working = True
        try:
            outcome = session.handshake()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = error
        finally:
            self.working = False
            if entered:
                PyContext_Exit(self.context)
        if self.phase != STARTING:
            return 0  # a callback has given it up
        if failure is not None:
            return self.session_failed(failure)
        if outcome == DONE:
            self.established()  # its last words leave together with the first that are written: see advance()
        else:
            self.transmit_outgoing()
        return 0

    def established(self):
        """The handshake is complete."""
        failure = None
        self.stop_timer()
        self.phase = OPEN
        self.ssl_object = self.session.ssl_object
        if self.loop.debug:
            logger.debug("%r has completed the TLS handshake", self)
        if not self.made:
            self.made = True
            entered: cython.bint = self.enter()
            try:
                self.protocol.connection_made(self)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                failure = error
            finally:
                if entered:
                    PyContext_Exit(self.context)
        if failure is not None:
            self.offer_queue()
            self.settle(failure)
            return self.fatal(failure, "Fatal error: protocol.connection_made() call failed.")
        self.settle(None)
        if self.size and not self.dirty and self.phase == OPEN:
            self.encrypt()  # written before there were keys
            self.pause_when_full()
        return 0

    def deliver_all(self, scratch):
        count: cython.Py_ssize_t
        last: cython.Py_ssize_t = 0
        if self.working:
            return 0
        while self.phase == OPEN and not self.paused and last != WANT_READ:
            if self.buffered:
                if self.session.unread() == 0 or self.deliver_into_protocol() == 0:
                    break
                continue
            count = self.decrypt(scratch.plain, ROOM, cython.address(last))
            if count:
                self.deliver(PyBytes_FromStringAndSize(scratch.plain, count))
            if last == NOTIFIED:
                self.peer_closed = True
                if self.phase == OPEN:
                    self.peer_is_done()
                return 0
            if self.error is not None and self.phase == OPEN:
                error = self.error  # met behind what was delivered
                self.error = None
                return self.session_failed(error)
            if last == WANT_WRITE:
                self.transmit_outgoing()
        if self.ended and self.phase == OPEN and not self.paused and not self.left_over():
            self.peer_is_done()
        return 0

    def decrypt(self, buffer, room, last):
        """Read up to `room` bytes; in `last`, why it ended: the session's answer, or 0 when there is no more room.

        A failure is kept in `error`, behind the bytes that came before it.
        """
        session: Session = self.session
        got: cython.Py_ssize_t = 0
        count: cython.Py_ssize_t = 0
        self.working = True
        try:
            while got < room:
                count = session.read(buffer + got, room - got)
                if count <= 0:
                    break
                got += count
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.error = error
            count = WANT_READ
        finally:
            self.working = False
        last[0] = count if count < 0 else 0
        return got

    def deliver(self, data):
        arguments: cython.pointer(PyObject)[2]
        result: cython.pointer(PyObject)
        receiver: Receiver = self.receiver
        if receiver is not None:
            try:
                receiver.received(data)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.fatal(error, "Fatal error: protocol.data_received() call failed.")
            return 0
        protocol = self.protocol
        arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
        arguments[1] = cython.cast(cython.pointer(PyObject), data)
        entered: cython.bint = self.enter()
        result = call_method_raw(cython.cast(cython.pointer(PyObject), _data_received), arguments, 2, cython.NULL)
        if entered:
            PyContext_Exit(self.context)
        if result == cython.NULL:
            return self.protocol_raised("data_received")
        Py_DECREF_raw(result)
        return 0

    def deliver_into_protocol(self):
        """Decrypt into the memory that a BufferedProtocol gives; 0 when there is no more to come."""
        arguments: cython.pointer(PyObject)[2]
        result: cython.pointer(PyObject)
        buffer: cython.pointer(PyObject)
        view: Py_buffer
        count: cython.Py_ssize_t = 0
        last: cython.Py_ssize_t = WANT_READ
        room: cython.Py_ssize_t
        protocol = self.protocol
        arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
        arguments[1] = cython.cast(cython.pointer(PyObject), _any_size)
        entered: cython.bint = self.enter()
        buffer = call_method_raw(cython.cast(cython.pointer(PyObject), _get_buffer), arguments, 2, cython.NULL)
        if buffer == cython.NULL or get_buffer_raw(buffer, cython.address(view), PyBUF_WRITABLE) < 0:
            if buffer != cython.NULL:
                Py_DECREF_raw(buffer)
            if entered:
                PyContext_Exit(self.context)
            return self.protocol_raised("get_buffer")
        room = view.len
        try:
            if room and self.phase == OPEN and not self.paused:  # get_buffer() may have ended or paused it
                count = self.decrypt(cython.cast(cython.p_char, view.buf), room, cython.address(last))
        finally:
            PyBuffer_Release(cython.address(view))
            Py_DECREF_raw(buffer)
            if entered:
                PyContext_Exit(self.context)
        if room == 0:
            failure = RuntimeError("get_buffer() returned an empty buffer")
            self.offer_queue()
            return self.fatal(failure, "Fatal error: protocol.get_buffer() call failed.")
        if count and self.phase != CLOSED:
            received: object = count
            arguments[1] = cython.cast(cython.pointer(PyObject), received)
            entered = self.enter()
            result = call_method_raw(cython.cast(cython.pointer(PyObject), _buffer_updated), arguments, 2, cython.NULL)
            if entered:
                PyContext_Exit(self.context)
            if result == cython.NULL:
                return self.protocol_raised("buffer_updated")
            Py_DECREF_raw(result)
        if last == NOTIFIED:
            self.peer_closed = True
            if self.phase == OPEN:
                self.peer_is_done()
            return 0
        if self.error is not None and self.phase == OPEN:
            error = self.error
            self.error = None
            return self.session_failed(error)
        if last == WANT_WRITE:
            self.transmit_outgoing()
        return 0 if last == WANT_READ else 1

    def discard(self, scratch):
        """After close(): what still comes is nobody's."""
        last: cython.Py_ssize_t = 0
        if self.working:
            return 0
        while self.phase == CLOSING and not self.peer_closed and last != WANT_READ:
            self.decrypt(scratch.plain, ROOM, cython.address(last))
            if last == NOTIFIED:
                self.peer_closed = True
            elif self.error is not None:
                error = self.error
                self.error = None
                return self.session_failed(error)
            elif last == WANT_WRITE:
                self.transmit_outgoing()
        if self.phase == CLOSING:
            self.wind_down()
        return 0

    # ---- the end ---------------------------------------------------------------------------------------------------

    def peer_is_done(self):
        """The peer will send no more: tell the protocol, then close our side as well."""
        failure = None
        keep_open = False
        if not self.told:
            self.told = True
            entered: cython.bint = self.enter()
            try:
                keep_open = bool(self.protocol.eof_received())
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                failure = error
            finally:
                if entered:
                    PyContext_Exit(self.context)
        if failure is not None:
            self.offer_queue()
            if self.phase >= LOST and self.error is None:
                self.error = failure  # it has closed first, and all was said: connection_lost() is still to come
            if isinstance(failure, asyncio.CancelledError):
                return self.lose(failure)  # in silence, as on asyncio
            return self.fatal(failure, "Fatal error: protocol.eof_received() call failed.")
        if keep_open:
            logger.warning("returning true from eof_received() has no effect when using ssl")
        if self.phase == OPEN:
            self.start_shutdown()
        return 0

    def start_shutdown(self):
        self.phase = CLOSING
        self.no_write = True
        if self.paused and not self.ended:
            self.lower.resume_reading()  # or the peer's close_notify would never be seen
        self.wind_down()
        if self.phase == CLOSING:  # most often the peer was first, and all is over
            self.left = self.unsent()
            self.timer = self.loop.call_later(self.shutdown_timeout, self._shutdown_timed_out)
        return 0

    def wind_down(self):
        """Closing: the rest, our close_notify, then wait for the peer's."""
        session: Session = self.session
        outcome: cython.Py_ssize_t
        if self.working or self.phase != CLOSING:
            return 0
        self.encrypt()
        if self.size or self.phase != CLOSING:
            return 0
        if not self.notified and not (self.ended and not self.peer_closed):
            self.notified = True
            self.working = True
            try:
                outcome = session.shutdown()
                if outcome == WANT_WRITE:
                    self.notified = False
                elif outcome == DONE:
                    self.peer_closed = True
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.error = error
            finally:
                self.working = False
            if self.error is not None and self.phase == CLOSING:
                error = self.error
                self.error = None
                return self.session_failed(error)
            self.transmit_outgoing()
        if self.phase == CLOSING and (self.peer_closed or self.ended):
            self.finish()
        return 0

    def finish(self):
        """Both sides are done: the transport below sends what it has, and closes."""
        self.phase = LOST
        self.stop_timer()
        self.lower.close()
        return 0

    def offer_queue(self):
        if self.phase == OPEN and self.size:
            self.encrypt()
        return 0

    def close(self):
        """Close the transport: what is written is still sent, then close_notify; nothing more is received.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.close
        """
        if self.phase == STARTING:
            self.lose(None)
        elif self.phase == OPEN:
            self.start_shutdown()

    def lose(self, error):
        """The connection is over; the transport below will tell the protocol, in the next turn."""
        if self.phase >= LOST:
            return 0
        if not self.working:
            self.transmit_outgoing()  # of the handshake: the peer's is not complete without it
        if self.phase >= LOST:
            return 0
        self.phase = LOST
        self.no_write = True
        self.error = error
        self.stop_timer()
        self.forget_queue()
        if self.lower is not None:
            self.lower.abort()
        return 0

    def session_failed(self, error):
        """TLS has failed, and has left an alert for the peer."""
        message: str
        if self.phase != STARTING:
            message = "Fatal error on TLS connection"
        elif isinstance(error, ssl.SSLCertVerificationError):
            message = "TLS handshake failed on verifying the certificate"
        else:
            message = "TLS handshake failed"
        self.transmit_outgoing()
        self.fatal(error, message)
        self.settle(error)
        return 0

    def settle(self, error):
        """Tell who waits for the handshake."""
        waiter = self.waiter
        self.waiter = None
        if waiter is None or waiter.done():
            return 0
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
        return 0

    # ---- timeouts --------------------------------------------------------------------------------------------------

    def stop_timer(self):
        timer = self.timer
        if timer is not None:
            self.timer = None
            timer.cancel()
        return 0

    def _handshake_timed_out(self):
        self.timer = None
        if self.phase == STARTING:
            error = ConnectionAbortedError(
                f"SSL handshake is taking longer than {self.handshake_timeout} seconds: aborting the connection"
            )
            self.fatal(error, "TLS handshake timed out")
            self.settle(error)

    def _shutdown_timed_out(self):
        self.timer = None
        if self.phase != CLOSING:
            return
        left: cython.Py_ssize_t = self.unsent()
        if left < self.left:  # slow, but the peer takes what is sent
            self.left = left
            self.timer = self.loop.call_later(self.shutdown_timeout, self._shutdown_timed_out)
        else:
            self.lose(TimeoutError("SSL shutdown timed out"))

    # ---- the protocol ----------------------------------------------------------------------------------------------

    def enter(self):
        """Enter the protocol's context; true when the caller has to leave it."""
        if self.context is None:
            return False
        if enter_context(self.context) < 0:
            PyErr_Clear()
            return False
        return True

    def use_protocol(self, protocol):
        Layer.use_protocol(self, protocol)
        self.buffered = isinstance(protocol, _BUFFERED)
        self.receiver = protocol if isinstance(protocol, Receiver) and cython.cast(Receiver, protocol).direct else None
        return 0

    def is_reading(self):
        """Return whether data may come in: neither paused nor closing."""
        return self.phase < CLOSING and not self.paused

    def pause_reading(self):
        """Hand no data to the protocol until resume_reading(); the peer feels it soon."""
        if self.phase >= CLOSING or self.paused:
            return
        self.paused = True
        if self.lower is not None:
            self.lower.pause_reading()
        if self.loop.debug:
            logger.debug("%r pauses reading", self)

    def resume_reading(self):
        """Hand data to the protocol again."""
        if self.phase >= CLOSING or not self.paused:
            return
        self.paused = False
        if self.loop.debug:
            logger.debug("%r resumes reading", self)
        if self.lower is not None and not self.ended:
            self.lower.resume_reading()
        if self.ended or self.session.unread():
            self.deliver_later()

    def _deliver_again(self):
        scratch: Scratch
        self.resuming = False
        if self.phase >= LOST or self.working:
            return
        scratch = self.borrow()
        if self.stream is not None:
            self.session.allow(RECORDS_PER_STEP)
        try:
            self.advance(scratch)
        finally:
            scratch.busy = False

    def get_read_buffer_size(self):
        """Return how many bytes have come that were not handed to the protocol."""
        return 0 if self.session is None else self.session.unread()

    # ---- writing ---------------------------------------------------------------------------------------------------

    def complaint(self):
        return "SSL connection is closed"

    def flush(self):
        """The turn ended: send what was written in it."""
        self.dirty = False
        if self.size and self.phase == OPEN:
            self.encrypt()
            self.pause_when_full()
        if self.phase < LOST and not self.working:
            self.answer()
        return 0

    def push(self):
        """More is queued than the high-water mark allows."""
        self.encrypt()
        self.pause_when_full()
        return 0

    def congested(self):
        """Whether the transport below would only queue what it gets."""
        if self.stream is not None:
            return self.stream.size > 0 or self.stream.phase >= CLOSING
        return self.lower_paused

    def encrypt(self):
        """Encrypt and send as much as the transport below takes."""
        count: cython.Py_ssize_t
        batch: cython.Py_ssize_t
        if self.working or (self.phase != OPEN and self.phase != CLOSING):
            return 0
        while self.size and not self.congested():
            batch = BATCH
            count = 0
            while self.size and batch > 0:
                count = self.encrypt_piece(batch)
                if count < 0:
                    break
                self.drop_sent(count)
                batch -= count
            if self.phase >= LOST:
                break  # a callback of OpenSSL's has ended it
            if self.error is not None:
                error = self.error
                self.error = None
                return self.session_failed(error)
            self.transmit_outgoing()
            if count == WANT_READ or self.phase >= LOST:
                break
        return 0

    def encrypt_piece(self, limit):
        """Encrypt what stands first, small chunks joined to one record; a count or the session's answer."""
        joined: cython.char[16384]
        session: Session = self.session
        data: cython.p_char = bytes_at(self.chunk) + self.sent
        size: cython.Py_ssize_t = bytes_size(self.chunk) - self.sent
        part: cython.Py_ssize_t
        place: cython.Py_ssize_t
        answer: cython.Py_ssize_t = WANT_READ
        held = self.chunk  # a callback of OpenSSL's may let the queue go
        if size < RECORD and self.more is not None:
            memcpy(joined, data, size)
            data = joined
            for place in range(self.first, len(self.more)):
                chunk = self.more[place]
                part = bytes_size(chunk)
                if part > RECORD - size:
                    part = RECORD - size
                memcpy(joined + size, bytes_at(chunk), part)
                size += part
                if size == RECORD:
                    break
        elif size > limit and limit >= RECORD:
            size = limit
        self.working = True
        try:
            answer = session.write(data, size)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.error = error
        finally:
            self.working = False
        return answer if held is not None else 0

    def transmit_outgoing(self):
        """Give the transport below what the session has encrypted."""
        session: Session = self.session
        data: cython.p_char = cython.NULL
        size: cython.Py_ssize_t
        if session is None or self.lower is None:
            return 0
        while True:
            size = session.outgoing(cython.address(data))
            if size <= 0:
                return 0
            if self.stream is not None:
                self.stream.transmit_down(data, size)
                session.sent(size)
            else:
                piece = PyBytes_FromStringAndSize(data, size)
                session.sent(size)
                self.lower.write(piece)
                if self.session is None:
                    return 0

    def write_eof(self):
        """Raises NotImplementedError: TLS has no half-closed connections."""
        raise NotImplementedError("TLS has no half-closed connections")

    def can_write_eof(self):
        """Return False."""
        return False

    # ---- water marks -----------------------------------------------------------------------------------------------

    def unsent(self):
        """Plaintext that is not encrypted, and ciphertext that is not sent."""
        if self.stream is not None:
            return self.size + self.stream.size
        return self.size + (0 if self.lower is None else self.lower.get_write_buffer_size())

    def usual_high(self):
        return HIGH_WATER

    def marks_moved(self):
        self.offer = self.high
        if self.size:
            self.encrypt()
        return self.pause_when_full()

    def resume_protocol(self):
        entered: cython.bint = self.enter()
        try:
            Layer.resume_protocol(self)
        finally:
            if entered:
                PyContext_Exit(self.context)
        return 0

    # ---- what is asked for -----------------------------------------------------------------------------------------

    def get_extra_info(self, name, default=None):
        """Return what TLS knows ('ssl_object', 'sslcontext', 'peercert', 'cipher', 'compression', 'clearloop.tls'), or
        what the transport below does ('socket', 'peername', 'sockname'); else `default`.

        'clearloop.tls' is "native" where OpenSSL is called directly, else "object: " and the reason.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.get_extra_info
        """
        if name == "sslcontext":
            return self.sslcontext
        if name == "clearloop.tls":
            return self.kind
        if self.ssl_object is not None:
            if name == "ssl_object":
                return self.ssl_object
            if name == "peercert" or name == "cipher" or name == "compression":
                if self.known is None:
                    self.known = {}
                if name not in self.known:
                    self.known[name] = (
                        self.ssl_object.getpeercert() if name == "peercert" else getattr(self.ssl_object, name)()
                    )
                return self.known[name]
        return default if self.lower is None else self.lower.get_extra_info(name, default)

    @property
    def _outermost(self):
        return self.protocol._outermost if isinstance(self.protocol, TLSTransport) else self

    @property
    def _ssl_protocol(self):
        return self  # transport and protocol are one here; the names below are those of asyncio's protocol

    @property
    def _transport(self):
        return self.lower

    @property
    def _app_protocol(self):
        return self.protocol

    @property
    def _app_reading_paused(self):
        return bool(self.paused)

    @property
    def _waited_for(self):
        if isinstance(self.protocol, TLSTransport):
            return self.protocol
        return cython.cast(Receiver, self.protocol).awaited(True) if isinstance(self.protocol, Receiver) else None

    def _force_close(self, exc):
        self.lose(exc)

    def __repr__(self):
        info = [type(self).__name__]
        if self.phase == STARTING:
            info.append("handshake")
        elif self.phase == CLOSED:
            info.append("closed")
        elif self.phase >= CLOSING:
            info.append("closing")
        if self.stream is not None:
            info.append(f"fd={self.stream.fd}")
        if self.phase < LOST:
            info.append("read=idle" if self.paused else "read=polling")
            info.append(f"write=<bufsize={self.unsent()}>")
        return f"<{' '.join(info)}>"


own_methods(TLSTransport)


def make_tls(
    loop, protocol, options, waiter=None, server_side=False, server_hostname=None, made=False
):
    """A TLS transport for `protocol`, to be the protocol of the transport below.

    `options` are (ssl.SSLContext, handshake timeout, shutdown timeout), the times in seconds.  `made`: the protocol has
    had its connection_made.  `waiter` gets None after the handshake and connection_made, else what went wrong.
    """
    transport: TLSTransport = TLSTransport.__new__(TLSTransport)
    transport.loop = loop
    transport.sslcontext = options[0]
    transport.handshake_timeout = options[1]
    transport.shutdown_timeout = options[2]
    transport.session = new_session(options[0], server_side, None if server_side else server_hostname or None)
    transport.kind = transport.session.kind
    transport.server_side = server_side
    transport.scratch = scratch_of(loop)
    transport.waiter = waiter
    transport.made = made
    transport.use_usual_marks()
    transport.offer = transport.high
    transport.use_protocol(protocol)
    return transport
