from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from clearloop.net.outlet cimport Outlet
from clearloop.system.sockets cimport iovec


cdef void drop_bytes(PyObject* data) noexcept


cdef class Receiver:
    cdef bint direct               # received() stands for data_received()
    cdef int received(self, object data) except -1
    cdef object awaited(self, bint reading)


cdef class Layer(Outlet):
    # a transport that is the protocol of the one below it: TLS
    cdef int readable(self) except -1    # the transport below has bytes: receive_up() gives them
    cdef int room(self) except -1        # it has sent everything that transmit_down() left
    cdef int lower_ended(self) except -1 # its peer has sent its last byte


cdef class StreamReading(Outlet):
    cdef bint buffered             # an asyncio.BufferedProtocol
    cdef bint paused               # pause_reading
    cdef bint ended                # the peer has sent its last byte
    cdef bint flooded              # the last read was a large one
    cdef Receiver receiver         # the protocol, if it takes data by received()
    cdef Layer layer               # the protocol, if it is a transport on top of this one

    # what it is given: -1 with errno; -2 with an exception
    cdef Py_ssize_t receive(self, void* buffer, Py_ssize_t size) except? -2
    cdef Py_ssize_t receive_many(self, iovec* vector, Py_ssize_t count) except? -2
    cdef int watch(self, uint32_t events) except -1

    cdef bint reading(self) noexcept
    cdef bint enter(self) except -1
    cdef int read_ready(self) except -1
    cdef int read_short(self) except -1
    cdef PyObject* filled(self, PyObject* fresh, Py_ssize_t size, Py_ssize_t count) except? NULL
    cdef int begin_flood(self) except -1
    cdef int read_nothing(self, Py_ssize_t count, int error) except -1
    cdef bint deliver(self, object data) except -1
    cdef int read_into_protocol(self) except -1
    cdef int peer_ended(self) except -1
    cdef Py_ssize_t receive_up(self, char* buffer, Py_ssize_t size) except -1
