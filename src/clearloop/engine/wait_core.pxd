from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Runnable


cdef class Gate(Future):
    cdef Py_ssize_t left
    cdef bint on_first
    cdef bint on_error
    cdef object alarm
    cdef list children
    cdef list arrivals       # (child, what waits in it): to take it out again
    cdef int begin(self, object loop, list children, object timeout, object return_when) except -1
    cdef int watch(self, object child) except -1
    cdef int arrived(self, object child) except -1


cdef class Arrival(Runnable):
    cdef Gate gate
    cdef Future child
