"""The session that calls OpenSSL itself, on the very SSL that the user's ssl.SSLObject holds.

The object is made by `SSLContext.wrap_bio`, so all of the context is honoured; the SSL inside it then gets a BIO of our
own (system/openssl.pxd), which reads from the memory that the transport lends and writes to a buffer that it sends
from.  A record so costs one call and no Python object.  Handshakes go through the object's own `do_handshake`: the
callbacks of the context (SNI and its kin) run as they always do, and a handshake is worth giving up the GIL for.
Records are not: 16 KiB take 5 µs.

Errors are left where OpenSSL puts them, in its queue, and the object's own method, called next, finds a connection that
has failed and raises what it would have raised in the first place: the same class, reason and text.

Not for every connection.  Callbacks that may come at any time, to log keys and messages, expect _ssl around them; a
context that has them is debugged, not fast.  A subclass of SSLObject has a mind of its own.  `refusal` says so, and
kinds.py takes the other session.

The SSL belongs to `socket`.  This class has no tp_clear, so a garbage collection in progress never takes it away.
"""

import _ssl
import ssl

import cython
from cython.cimports.clearloop.net.tls.limits import MOST_IDLE, flood_of_records
from cython.cimports.clearloop.net.tls.session import CLOSED, DONE, WANT_READ, WANT_WRITE, Session
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size
from cython.cimports.clearloop.system.openssl import (
    AUTO_RETRY,
    MOVING_WRITE_BUFFER,
    RELEASE_BUFFERS,
    SSL_ERROR_WANT_READ,
    SSL_ERROR_WANT_WRITE,
    SSL_ERROR_ZERO_RETURN,
    SSL_RECEIVED_SHUTDOWN,
    SSL_SENT_SHUTDOWN,
    Layout,
    SSL_get_error,
    SSL_get_shutdown,
    SSL_read,
    SSL_set_mode,
    SSL_set_shutdown,
    SSL_shutdown,
    SSL_write,
    connect_wire,
    cut_wire,
    find_layout,
    find_openssl,
    flooded,
    forget_errors,
    forget_key_share,
    logs_keys,
    ssl_of,
)
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.limits import UINT_MAX
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

_SSLObject = cython.declare(object, ssl.SSLObject)
_SSLSocket = cython.declare(object, _ssl._SSLSocket)
_WantRead = cython.declare(object, ssl.SSLWantReadError)
_WantWrite = cython.declare(object, ssl.SSLWantWriteError)

ENOUGH = cython.declare(cython.Py_ssize_t, 128 * 1024)  # plaintext per write; with so much outgoing none is taken

# Outgoing buffers that nobody uses, for whoever writes next; used under the GIL only.  A step that writes takes one and
# its end gives it back, so a busy loop goes round in one warm buffer, and an idle connection has none.
POOLED = cython.declare(cython.Py_ssize_t, 4)
LARGEST_POOLED = cython.declare(cython.size_t, 512 * 1024)
_buffers = cython.declare(cython.p_char[4])
_capacities = cython.declare(cython.size_t[4])
_pooled = cython.declare(cython.Py_ssize_t, 0)
POOLED_AT_MOST = POOLED * LARGEST_POOLED

# What is known of _ssl: one for the process, since there is one OpenSSL behind it
_layout = cython.declare(Layout)
_library = cython.declare(object, None)  # None: not looked for; "": found; else why not
_known = cython.declare(cython.bint, False)


@cython.no_gc_clear
@cython.final
@cython.cclass
class NativeSession(Session):
    """See session.py for what each method promises."""

    def __dealloc__(self):
        if self.bio != cython.NULL:
            cut_wire(self.bio)
        free(self.wire.kept)
        free(self.wire.out)

    # ---- ciphertext comes in ---------------------------------------------------------------------------------------

    def feed(self, data, size):
        both: cython.p_char
        if self.wire.lent_size:
            both = cython.cast(cython.p_char, malloc(self.wire.lent_size + size))
            if both == cython.NULL:
                raise MemoryError("no memory for what came over TLS")
            memcpy(both, self.wire.lent, self.wire.lent_size)
            memcpy(both + self.wire.lent_size, data, size)
            free(self.wire.kept)
            self.wire.kept = both
            self.wire.lent = both
            self.wire.lent_size += size
        else:
            if self.wire.kept != cython.NULL:
                free(self.wire.kept)
                self.wire.kept = cython.NULL
            self.wire.lent = data
            self.wire.lent_size = size
        return 0

    def allow(self, records):
        self.wire.records.budget = records
        return 0

    def lent_left(self):
        return self.wire.lent_size

    def keep(self):
        if self.wire.lent_size == 0:
            if self.wire.kept != cython.NULL:
                free(self.wire.kept)
                self.wire.kept = cython.NULL
        elif self.wire.kept == cython.NULL:
            self.wire.kept = cython.cast(cython.p_char, malloc(self.wire.lent_size))
            if self.wire.kept == cython.NULL:
                self.wire.lent_size = 0
                raise MemoryError("no memory for what came over TLS")
            memcpy(self.wire.kept, self.wire.lent, self.wire.lent_size)
            self.wire.lent = self.wire.kept
        return 0

    def unread(self):
        return self.wire.lent_size + self.pending

    # ---- the state machine -----------------------------------------------------------------------------------------

    def handshake(self):
        self.take_buffer()
        self.pending = True
        try:
            # Not SSL_do_handshake: what the record layer finds wrong is told once; a second call waits for more
            self.ssl_object.do_handshake()
        except _WantRead:
            return WANT_READ
        except _WantWrite:
            return WANT_WRITE
        self.wire.records.most_idle = MOST_IDLE
        self.wire.records.idle = 0
        forget_key_share(self.ssl)
        return DONE

    def read(self, buffer, size):
        count: cython.size_t = 0
        if self.wire.lent_size == 0 and not self.pending:
            return CLOSED if self.ended else WANT_READ
        forget_errors()
        if SSL_read(self.ssl, buffer, size, cython.address(count)) > 0:
            # A call gives one record or, if the buffer is too small, a part of it; nothing is read ahead of that
            self.pending = cython.cast(cython.Py_ssize_t, count) == size
            self.wire.records.idle = 0
            return count
        return self.not_read(size, buffer)

    def not_read(self, size, buffer):
        count: cython.Py_ssize_t
        error: cython.int = SSL_get_error(self.ssl, 0)
        self.pending = False
        if error == SSL_ERROR_WANT_READ:
            if self.wire.lent_size and flooded(cython.address(self.wire.records)):
                raise flood_of_records()
            return WANT_READ
        if error == SSL_ERROR_ZERO_RETURN:
            self.ended = True
            return CLOSED
        if error == SSL_ERROR_WANT_WRITE:
            self.pending = True
            return WANT_WRITE
        if self.wire.out_of_memory:
            raise MemoryError("no memory for what goes out over TLS")
        # A few errors of the record layer would not come again; from a connection that was shut down nothing is read
        SSL_set_shutdown(self.ssl, SSL_get_shutdown(self.ssl) | SSL_RECEIVED_SHUTDOWN)
        try:
            data = self.ssl_object.read(size)
        except _WantRead:
            return WANT_READ
        count = bytes_size(data)  # so it was no failure: never seen
        memcpy(buffer, bytes_at(data), count)
        self.pending = True
        self.ended = count == 0
        return count if count else CLOSED

    def write(self, data, size):
        count: cython.size_t = 0
        if size > ENOUGH:
            size = ENOUGH
        if self.wire.out == cython.NULL:
            self.take_buffer()
        elif self.wire.out_end - self.wire.out_start >= cython.cast(cython.size_t, ENOUGH):
            return WANT_WRITE
        forget_errors()
        if SSL_write(self.ssl, data, size, cython.address(count)) > 0:
            return count
        return self.not_written(data, size)

    def not_written(self, data, size):
        error: cython.int = SSL_get_error(self.ssl, 0)
        if error == SSL_ERROR_WANT_READ:
            self.pending = True
            return WANT_READ
        if error == SSL_ERROR_WANT_WRITE:
            return WANT_WRITE
        if self.wire.out_of_memory:
            raise MemoryError("no memory for what goes out over TLS")
        try:
            return self.ssl_object.write(PyBytes_FromStringAndSize(data, size))
        except _WantRead:
            self.pending = True
            return WANT_READ

    def shutdown(self):
        result: cython.int = SSL_get_shutdown(self.ssl)
        if result & SSL_SENT_SHUTDOWN:
            # a second SSL_shutdown would take what the peer still sends for an error
            return DONE if result & SSL_RECEIVED_SHUTDOWN else WANT_READ
        self.take_buffer()
        forget_errors()
        result = SSL_shutdown(self.ssl)
        if result >= 0:
            return DONE if result else WANT_READ
        if SSL_get_error(self.ssl, result) == SSL_ERROR_WANT_READ:
            return WANT_READ
        self.ssl_object.unwrap()
        return DONE

    # ---- ciphertext goes out ---------------------------------------------------------------------------------------

    def outgoing(self, data):
        data[0] = self.wire.out + self.wire.out_start
        return self.wire.out_end - self.wire.out_start

    def sent(self, count):
        self.wire.out_start += count
        if self.wire.out_start >= self.wire.out_end:
            self.give_buffer()
        return 0

    def take_buffer(self):
        global _pooled
        if self.wire.out == cython.NULL and _pooled:
            _pooled -= 1
            self.wire.out = _buffers[_pooled]
            self.wire.out_capacity = _capacities[_pooled]
        return 0

    def give_buffer(self):
        global _pooled
        if self.wire.out != cython.NULL:
            if _pooled < POOLED and self.wire.out_capacity <= LARGEST_POOLED:
                _buffers[_pooled] = self.wire.out
                _capacities[_pooled] = self.wire.out_capacity
                _pooled += 1
            else:
                free(self.wire.out)
            self.wire.out = cython.NULL
        self.wire.out_start = 0
        self.wire.out_end = 0
        self.wire.out_capacity = 0
        return 0

    def end(self):
        self.give_buffer()
        free(self.wire.kept)
        self.wire.kept = cython.NULL
        self.wire.lent = cython.NULL
        self.wire.lent_size = 0
        self.pending = False
        return 0


# ---- whether it can be done ----------------------------------------------------------------------------------------


def look_for_openssl():
    """The empty text, or why the OpenSSL of _ssl cannot be called."""
    why: cython.p_char
    global _library
    if _library is None:
        extension = getattr(_ssl, "__file__", None)
        file = extension.encode() if extension else b""
        version = ssl.OPENSSL_VERSION.encode()
        why = cython.cast(
            cython.p_char,
            find_openssl(bytes_at(file) if extension else cython.NULL, bytes_at(version)),
        )
        _library = "" if why == cython.NULL else cython.cast(bytes, why).decode()
    return _library


def refusal(incoming, outgoing, ssl_object):
    """None, or why the connection that wrap_bio(incoming, outgoing) made of `ssl_object` is left to the ssl module."""
    why: cython.p_char
    global _known
    if look_for_openssl():
        return _library
    if type(ssl_object) is not _SSLObject:
        return "an SSLObject of the context's own class"
    socket = ssl_object._sslobj
    if type(socket) is not _SSLSocket:
        return "an SSLObject without an _SSLSocket"
    context = socket.context
    if context._msg_callback is not None:
        return "the context has a message callback"
    if not _known:
        why = cython.cast(
            cython.p_char, find_layout(socket, incoming, outgoing, context, cython.address(_layout))
        )
        if why != cython.NULL:
            return cython.cast(bytes, why).decode()
        _known = True
    place: cython.p_void = ssl_of(socket, incoming, outgoing, context, cython.address(_layout))
    if place == cython.NULL:
        return "an _SSLSocket of another layout"
    if logs_keys(place):
        return "the context logs keys"
    return None


def make_native_session(incoming, outgoing, ssl_object):
    """A session of the SSL in `ssl_object`, for which refusal() gave None."""
    session: NativeSession = NativeSession.__new__(NativeSession)
    socket = ssl_object._sslobj
    place: cython.p_void = ssl_of(socket, incoming, outgoing, socket.context, cython.address(_layout))
    if place == cython.NULL:
        raise SystemError("a TLS session that was not asked about")
    session.ssl_object = ssl_object
    session.wire.records.budget = UINT_MAX
    session.kind = "native"
    session.socket = socket
    session.ssl = place
    session.bio = connect_wire(place, cython.address(session.wire))
    if session.bio == cython.NULL:
        raise MemoryError("no memory for a TLS connection")
    SSL_set_mode(place, MOVING_WRITE_BUFFER | AUTO_RETRY | RELEASE_BUFFERS)
    return session


def layout_of(socket, incoming, outgoing, context):
    """Where the SSL, the BIO and the SSL_CTX stand in such objects, in bytes; or, as text, why they were not found."""
    found: Layout
    if look_for_openssl():
        return _library
    why: cython.p_char = cython.cast(
        cython.p_char, find_layout(socket, incoming, outgoing, context, cython.address(found))
    )
    if why != cython.NULL:
        return cython.cast(bytes, why).decode()
    return (found.ssl, found.bio, found.context)
