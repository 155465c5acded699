from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler


cdef class Exit(Source):
    cdef Scheduler loop
    cdef int fd           # the child's process descriptor; -1 once it was reaped
    cdef object ended     # what is called, with the exit code
    cdef int let_go(self) except -1
