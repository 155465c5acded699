cdef class ThreadPool:
    cdef object reference     # weak, for the workers
    cdef object jobs          # queue.SimpleQueue of Call, or of whatever else has execute(); None ends a worker
    cdef readonly set threads
    cdef readonly int limit
    cdef readonly str name    # what the threads are called, with a number
    cdef readonly int idle    # workers that wait, less the jobs that are promised to them
    cdef readonly int behind  # jobs that found no worker, and that nobody has come to yet
    cdef int started
    cdef readonly bint down
    cdef readonly object crowd
    cdef object __weakref__
    cdef int give(self, object job) except -1
