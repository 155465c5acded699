from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler


cdef class Dial(Source):
    cdef Scheduler loop
    cdef int fd
    cdef bint watching
    cdef object address
    cdef readonly Future future
