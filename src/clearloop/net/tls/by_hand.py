"""A session driven from Python, call by call, with no socket or transport around it: for tests and for the curious."""

import cython
from cython.cimports.clearloop.net.tls.session import CLOSED, DONE, WANT_READ, WANT_WRITE, Session
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

OUTCOMES = {DONE: "DONE", WANT_READ: "WANT_READ", WANT_WRITE: "WANT_WRITE", CLOSED: "CLOSED"}


@cython.cclass
class HandDriven:
    """The methods of Session with bytes for pointers, and an Outcome's name where that is the answer."""

    def __init__(self, session):
        if not isinstance(session, Session):
            raise TypeError(f"a session is needed, not {type(session).__name__}")
        self.session = session

    @property
    def ssl_object(self):
        """The ssl.SSLObject."""
        return self.session.ssl_object

    @property
    def kind(self):
        """What get_extra_info("clearloop.tls") says of such a connection."""
        return self.session.kind

    def feed(self, data: bytes):
        """Ciphertext that came; a copy of it is kept."""
        self.session.feed(bytes_at(data), bytes_size(data))
        self.session.keep()

    def unread(self):
        """Whether, or how much of, what was fed is not consumed."""
        return self.session.unread()

    def handshake(self):
        """DONE, WANT_READ or WANT_WRITE."""
        return OUTCOMES[self.session.handshake()]

    def read(self, size):
        """Plaintext, or WANT_READ, WANT_WRITE, CLOSED."""
        buffer: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
        count: cython.Py_ssize_t = self.session.read(bytes_at(buffer), size)
        return OUTCOMES[count] if count <= 0 else buffer[:count]

    def write(self, data: bytes):
        """How much of `data` was encrypted, or WANT_READ, WANT_WRITE."""
        count: cython.Py_ssize_t = self.session.write(bytes_at(data), bytes_size(data))
        return OUTCOMES[count] if count < 0 else count

    def shutdown(self):
        """DONE, WANT_READ or WANT_WRITE."""
        return OUTCOMES[self.session.shutdown()]

    def take(self):
        """The ciphertext to send."""
        place: cython.p_char = cython.NULL
        taken: list = []
        while True:
            size: cython.Py_ssize_t = self.session.outgoing(cython.address(place))
            if size <= 0:
                return b"".join(taken)
            taken.append(PyBytes_FromStringAndSize(place, size))
            self.session.sent(size)

    def end(self):
        """Free the buffers; nothing else is called afterwards."""
        self.session.end()
