"""Which transport has which descriptor, for one loop.

Whoever wants to watch a descriptor by hand (add_reader, sock_recv) must be told when a transport owns it, also while
that transport is paused and the poller knows nothing of it.  And a server finds its clients here, which saves every
connection an entry in a table of the server.

The references are borrowed, eight bytes for each descriptor: a transport that nobody holds any more must be free to
go (and to warn that it was never closed).  Each takes itself out when it closes, or in its finalizer, which runs
before anything of it is taken apart.
"""

import cython
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset


@cython.cclass
class Transports:
    """The transports of one loop, by descriptor."""

    def __dealloc__(self):
        free(self.table)

    def note(self, fd, transport):
        size: cython.int = self.size if self.size else 64
        if fd >= self.size:
            while size <= fd:
                size *= 2
            table = cython.cast(
                cython.pointer(cython.pointer(PyObject)),
                realloc(self.table, size * cython.sizeof(cython.pointer(PyObject))),
            )
            if table == cython.NULL:
                raise MemoryError()
            memset(table + self.size, 0, (size - self.size) * cython.sizeof(cython.pointer(PyObject)))
            self.table = table
            self.size = size
        self.table[fd] = cython.cast(cython.pointer(PyObject), transport)
        return 0

    def forget(self, fd, transport):
        if 0 <= fd < self.size and self.table[fd] == cython.cast(cython.pointer(PyObject), transport):
            self.table[fd] = cython.NULL
        return 0

    def of(self, fd):
        if 0 <= fd < self.size and self.table[fd] != cython.NULL:
            return cython.cast(object, self.table[fd])
        return None

    def get(self, fd: cython.int, default=None):
        """The transport that has the descriptor `fd`, else `default`."""
        transport = self.of(fd)
        return default if transport is None else transport

    def check(self, fd: cython.int):
        """Raise RuntimeError when a transport that is not closing has the descriptor `fd`."""
        transport = self.of(fd)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    def held(self):
        """All transports, in the order of their descriptors."""
        found: list = []
        fd: cython.int
        for fd in range(self.size):
            if self.table[fd] != cython.NULL:
                found.append(cython.cast(object, self.table[fd]))
        return found

    def __len__(self):
        return len(self.held())
