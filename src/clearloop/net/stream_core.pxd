from clearloop.engine.future cimport Future
from clearloop.net.outlet cimport Outlet
from clearloop.net.stream_reading cimport Receiver
from clearloop.system.capi cimport PySendResult
from cpython.ref cimport PyObject


cdef enum Want:
    ANY = 0    # read(n): whatever comes
    COUNT = 1  # readexactly(n)
    MATCH = 2  # readuntil(), readline(): a separator, or too much without one
    END = 3    # read(): the end of the stream


cdef class Reading(Future):
    cdef ReaderCore reader  # while somebody waits; else None
    cdef int leave(self) except -1


cdef class ReaderCore:
    # what came and was not read yet
    cdef object head            # the oldest chunk (bytes), or None
    cdef Py_ssize_t offset      # how much of it was read
    cdef list more              # the chunks behind it, or None
    cdef Py_ssize_t size        # bytes in all
    cdef bint eof
    cdef object error

    # who waits for more
    cdef object waiter          # the Reading that data will wake, or None
    cdef Reading own            # the one that is used again and again
    cdef Want want
    cdef Py_ssize_t need        # COUNT: how much
    cdef object sought          # MATCH: what was given as separator
    cdef object separators      # MATCH: the same as bytes, or as a list of bytes, the shortest first
    cdef Py_ssize_t scanned     # MATCH: up to here no match begins

    cdef object loop
    cdef bint native            # loop is a Scheduler
    cdef bint paused            # the transport was told to pause
    cdef object transport
    cdef object limit_          # as it was given
    cdef Py_ssize_t limit
    cdef object source_traceback

    cdef int feed(self, object data) except -1
    cdef int append(self, object data) except -1
    cdef int data_came(self) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef object wait_for(self, str method, Want want)
    cdef int check_alone(self, str method) except -1
    cdef object take(self, Py_ssize_t count)
    cdef object take_across(self, Py_ssize_t count)
    cdef int append_all(self, object data, object behind) except -1
    cdef int next_chunk(self) except -1
    cdef object gather(self, Py_ssize_t start, Py_ssize_t end)
    cdef int forget(self) except -1
    cdef Py_ssize_t find(self, object separator, Py_ssize_t start) except -2
    cdef Py_ssize_t find_any(self, object separators, Py_ssize_t start, Py_ssize_t* match) except -1
    cdef object until(self, str method, object separator, bint fresh)
    cdef object line_too_long(self, Py_ssize_t consumed, str message)


cdef class ProtocolCore(Receiver):
    cdef object loop
    cdef object reader
    cdef ReaderCore core   # the same, when it is ours and feed_data is not overridden
    cdef bint paused       # pause_writing() was called
    cdef bint lost         # connection_lost() was called
    cdef int received(self, object data) except -1
    cdef object awaited(self, bint reading)


cdef class WriterCore:
    cdef object transport_
    cdef object protocol
    cdef object reader
    cdef object loop
    cdef Outlet stream           # the three again, when they are ours
    cdef ProtocolCore flow
    cdef ReaderCore core


cdef PySendResult send_to_reading(PyObject* iterator, PyObject* value, PyObject** result) noexcept
