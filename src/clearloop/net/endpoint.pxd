from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler


cdef enum Phase:
    STARTING = 0  # connection_made is scheduled; nothing is read yet
    OPEN = 1
    CLOSING = 2   # close() was called; what is queued is still being sent, nothing is read
    LOST = 3      # connection_lost is scheduled; nothing is sent
    CLOSED = 4    # connection_lost has run; the descriptor is closed


cdef class Endpoint(Source):
    cdef unsigned char phase
    cdef Scheduler loop
    cdef object protocol
    cdef object context            # the protocol's
    cdef int use_protocol(self, object protocol) except -1
    cdef int schedule(self, object callback, object argument) except -1
    cdef int schedule_end(self, object error) except -1
    cdef int report(self, object error, str message) except -1
    cdef int fail(self, int error, str message) except -1
    cdef int fatal(self, object error, str message) except -1
    cdef int lose(self, object error) except -1
    cdef int release(self) except -1
