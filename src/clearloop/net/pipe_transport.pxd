from cpython.ref cimport PyObject

from clearloop.engine.scheduler cimport Scheduler
from clearloop.net.transport cimport StreamTransport


cdef class Pipe(StreamTransport):
    cdef object pipe    # the program's file object; None for a descriptor of our own until somebody asks for one
    cdef object raw     # the same, or what it buffers, if it is read how it is closed; else None
    cdef object mark    # net/nonblocking.py: what to restore; or None
    cdef bint own_fd    # fd is a duplicate: `pipe` does not close it
    cdef bint elastic   # a child's pipe that may be widened
    cdef bint wide      # it was
    cdef int widen(self) except -1
    cdef int take(self, Scheduler loop, object pipe, object protocol, object waiter, object extra) except -1
    cdef int live(self) except -2
    cdef object file_object(self)
    cdef str mode(self)


cdef enum:
    MOST_PARTS = 32           # some 8 MiB


cdef class Collector:
    cdef list parts           # bytes of PART_SIZE, which nobody else has seen; what comes goes to the last
    cdef Py_ssize_t[MOST_PARTS] filled  # how much of each of the others is
    cdef PyObject* whole      # instead of the parts: the bytes object that grows, owned; or NULL
    cdef char* place          # of the last part, or of the whole
    cdef Py_ssize_t size      # how much of it is filled
    cdef Py_ssize_t capacity
    cdef int make_room(self) except -1
    cdef int grow(self, Py_ssize_t capacity) except -1
    cdef Py_ssize_t total(self) except -1
    cdef PyObject* join(self, Py_ssize_t capacity) except NULL
    cdef int become_whole(self, Py_ssize_t more) except -1


cdef class ReadPipe(Pipe):
    cdef Collector collector  # what comes goes there, not to the protocol; or None
    cdef int collect(self) except -1


cdef class WritePipe(Pipe):
    cdef bint notices         # the poller tells when the reader goes: of pipes and sockets, not of terminals
    cdef int reader_gone(self) except -1

