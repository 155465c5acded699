"""The session over ssl.MemoryBIO and ssl.SSLObject: nothing but the ssl module's public interface, so it works on every
build of Python, whatever TLS library lies below.

A MemoryBIO never gives memory back, so `incoming` is filled by small pieces, each only when OpenSSL has used up the one
before, and the outgoing one is emptied after each record, which is smaller than TLS allows: what they keep for good is
a PIECE each, not a whole burst of the network's.
"""

import ssl

import cython
from cython.cimports.clearloop.net.tls.limits import MOST_IDLE, flood_of_records
from cython.cimports.clearloop.net.tls.session import CLOSED, DONE, WANT_READ, WANT_WRITE, Session
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size
from cython.cimports.clearloop.system.openssl import flooded, next_piece
from cython.cimports.cpython.buffer import PyBUF_READ, PyBUF_WRITE
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.memoryview import PyMemoryView_FromMemory
from cython.cimports.libc.limits import UINT_MAX

_WantRead = cython.declare(object, ssl.SSLWantReadError)
_WantWrite = cython.declare(object, ssl.SSLWantWriteError)
_ZeroReturn = cython.declare(object, ssl.SSLZeroReturnError)
_SSLError = cython.declare(object, ssl.SSLError)

PIECE = cython.declare(cython.Py_ssize_t, 8 * 1024)
ENOUGH = cython.declare(cython.Py_ssize_t, 128 * 1024)  # with so much outgoing, write() takes no more


@cython.final
@cython.cclass
class ObjectSession(Session):
    """See session.py for what each method promises."""

    def feed(self, data, size):
        if self.lent_size and self.kept is None:
            self.keep()
        if self.kept is not None:
            self.kept = self.kept[self.kept_from :] + PyBytes_FromStringAndSize(data, size)
            self.kept_from = 0
            self.lent = bytes_at(self.kept)
            self.lent_size = bytes_size(self.kept)
        else:
            self.lent = data
            self.lent_size = size
        return 0

    def allow(self, records):
        self.records.budget = records
        return 0

    def lent_left(self):
        return self.lent_size

    def keep(self):
        if self.lent_size and self.kept is None:
            self.kept = PyBytes_FromStringAndSize(self.lent, self.lent_size)
            self.kept_from = 0
            self.lent = bytes_at(self.kept)
        return 0

    def unread(self):
        return self.lent_size + self.incoming.pending + self.ssl_object.pending()

    def refill(self):
        """Give OpenSSL the next piece; false when there is none."""
        room: cython.Py_ssize_t = self.lent_size
        count: cython.Py_ssize_t = 0
        part: cython.size_t
        if room > PIECE:
            room = PIECE
        while count < room:
            part = next_piece(cython.address(self.records), self.lent + count, room - count)
            if part == 0:
                break
            count += part
        if count == 0:
            return False
        self.incoming.write(PyMemoryView_FromMemory(cython.cast(cython.p_char, self.lent), count, PyBUF_READ))
        self.lent += count
        self.lent_size -= count
        if self.kept is not None:
            self.kept_from += count
            if self.lent_size == 0:
                self.kept = None
        return True

    def handshake(self):
        while True:
            try:
                self.ssl_object.do_handshake()
                self.records.most_idle = MOST_IDLE
                self.records.idle = 0
                return DONE
            except _WantRead:
                pass
            except _WantWrite:
                return WANT_WRITE
            if not self.refill():
                return WANT_READ

    def read(self, buffer, size):
        count: cython.Py_ssize_t
        if self.ended:
            return CLOSED
        if self.incoming.pending == 0 and self.ssl_object.pending() == 0 and not self.refill():
            return self.starved()  # as OpenSSL would say, by an exception
        view = PyMemoryView_FromMemory(buffer, size, PyBUF_WRITE)
        while True:
            try:
                count = self.ssl_object.read(size, view)
                if count > 0:
                    self.records.idle = 0
                    return count
                self.ended = True
                return CLOSED
            except _WantRead:
                pass
            except _WantWrite:
                return WANT_WRITE
            except _ZeroReturn:
                self.ended = True
                return CLOSED
            if not self.refill():
                return self.starved()

    def starved(self):
        """OpenSSL has nothing more to read."""
        if self.lent_size and flooded(cython.address(self.records)):
            raise flood_of_records()
        return WANT_READ

    def write(self, data, size):
        count: cython.Py_ssize_t
        if self.waiting >= ENOUGH:
            return WANT_WRITE
        if size > PIECE:
            size = PIECE
        view = PyMemoryView_FromMemory(cython.cast(cython.p_char, data), size, PyBUF_READ)
        while True:
            try:
                count = self.ssl_object.write(view)
                self.collect()
                return count
            except _WantRead:
                pass
            except _WantWrite:
                return WANT_WRITE
            if not self.refill():
                return WANT_READ

    def shutdown(self):
        try:
            self.ssl_object.unwrap()
        except _WantRead:
            return DONE if self.ended else WANT_READ
        except _WantWrite:
            return WANT_WRITE
        except _SSLError as error:
            if error.reason != "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
                raise
            return WANT_READ  # ours is out; that the peer still sends is no error
        self.ended = True
        return DONE

    def collect(self):
        """Empty the outgoing BIO."""
        piece = self.outgoing_.read()
        if bytes_size(piece):
            if self.pieces is None:
                self.pieces = []
            self.pieces.append(piece)
            self.waiting += bytes_size(piece)
        return 0

    def outgoing(self, data):
        if self.out is None:
            if self.outgoing_.pending:
                self.collect()
            if self.pieces is None:
                return 0
            self.out = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
            self.out_from = 0
            self.pieces = None
            self.waiting = 0
        data[0] = bytes_at(self.out) + self.out_from
        return bytes_size(self.out) - self.out_from

    def sent(self, count):
        self.out_from += count
        if self.out is not None and self.out_from >= bytes_size(self.out):
            self.out = None
        return 0

    def end(self):
        self.lent = cython.NULL
        self.lent_size = 0
        self.kept = None
        self.out = None
        self.pieces = None
        self.incoming = None
        self.outgoing_ = None
        return 0


def make_object_session(incoming, outgoing, ssl_object, why="asked for"):
    """A session of `ssl_object`, which wrap_bio(incoming, outgoing) has made; `why` there is no faster one."""
    session: ObjectSession = ObjectSession.__new__(ObjectSession)
    session.incoming = incoming
    session.outgoing_ = outgoing
    session.ssl_object = ssl_object
    session.records.budget = UINT_MAX
    session.kind = f"object: {why}"
    return session
