from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Runnable
from clearloop.engine.scheduler cimport Scheduler


cdef class Job(Runnable):
    cdef Scheduler loop
    cdef Future future
    cdef object func
    cdef object args
    cdef object outcome
    cdef bint raised


cdef class ThreadPool:
    cdef object reference     # weak, for the workers
    cdef object jobs          # queue.SimpleQueue of Job, or of whatever else has execute(); None ends a worker
    cdef readonly set threads
    cdef readonly int limit
    cdef readonly str name    # what the threads are called, with a number
    cdef readonly int idle    # workers that wait, less the jobs that are promised to them
    cdef int started
    cdef readonly bint down
    cdef object __weakref__
    cdef int give(self, object job) except -1
