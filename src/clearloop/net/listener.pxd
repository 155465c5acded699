from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler
from clearloop.system.sockets cimport sockaddr_storage, socklen_t


cdef class Listener(Source):
    cdef Scheduler loop
    cdef int fd
    cdef int family
    cdef int proto
    cdef int batch
    cdef bint accepting   # until stop()
    cdef bint watched     # the poller knows it; not so while descriptors are short
    cdef object sock
    cdef object server
    cdef object factory
    cdef object context
    cdef object tls       # makes the TLS transport for a connection's protocol; or None
    cdef int welcome(self, int fd, sockaddr_storage* address, socklen_t size) except -1
    cdef int make(self, int fd, sockaddr_storage* address, socklen_t size, object context) except -1
    cdef int refused(self, int error) except -1
    cdef int rest(self) except -1
