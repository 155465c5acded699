from libc.stdint cimport int64_t, uint32_t

from clearloop.system.poller cimport Poller


cdef class SelectorPoller(Poller):
    cdef object selector    # None: closed
    cdef object make        # makes a fresh one; None when the program gave us the selector
    cdef int wake_end       # written to; the other end, alarm_end, is registered
    cdef int alarm_end
    cdef int gate           # the selector's descriptor, if it can be waited for; else -1
    cdef int idle           # waits in a row that came back empty before their time
    cdef int take(self, object selector) except -1
    cdef int knock(self, int64_t timeout) except -1
    cdef uint32_t look_closer(self, int fd) except? 0xFFFFFFFF
    cdef int register(self, int fd) except -1
    cdef int forget(self, int fd) except -1
    cdef int drain(self) except -1
    cdef int drop_closed(self) except -1
    cdef int rebuild(self) except -1
