from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Runnable
from clearloop.engine.scheduler cimport Scheduler


cdef class _GatheringFuture(Future):
    cdef list children
    cdef Py_ssize_t left
    cdef bint keep_errors
    cdef bint cancel_requested
    cdef object cancel_message
    cdef list watch_all(self, tuple awaitables, dict made, bint own)
    cdef int watch(self, object child) except -1
    cdef int child_done(self, object child) except -1
    cdef int finish(self) except -1


cdef class ChildDone(Runnable):
    cdef _GatheringFuture outer
    cdef object child


cdef object future_for(object awaitable, object loop)
cdef bint waits_natively(object future, object loop) except -1
