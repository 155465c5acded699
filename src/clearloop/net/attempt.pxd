from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler
from clearloop.net.address cimport Address


cdef class Attempt(Source):
    cdef Scheduler loop
    cdef readonly int fd      # -1 once it was given away or closed
    cdef readonly int family
    cdef readonly int proto
    cdef bint watched
    cdef Address peer
    cdef Future answer        # what the caller awaits
    cdef int unwatch(self) except -1
