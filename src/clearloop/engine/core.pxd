from clearloop.engine.scheduler cimport Scheduler


cdef class Engine(Scheduler):
    cdef object task_factory
    cdef bint eager_tasks
