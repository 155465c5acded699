from clearloop.engine.recorder cimport Recorder


cdef class Engine(Recorder):
    cdef object task_factory
    cdef bint eager_tasks
    cdef public bint create_task_replaced  # by a subclass, or on this very instance
