from clearloop.engine.scheduler cimport Scheduler


cdef class Engine(Scheduler):
    cdef object task_factory
    cdef bint eager_tasks
    cdef public bint create_task_replaced  # by a subclass, or on this very instance
