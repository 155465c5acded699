from clearloop.engine.runnable cimport Runnable


# Of a context that call_soon has copied and nobody has seen yet: of this handle alone, or of several in a row
cdef enum:
    ALONE = 1
    COMMON = 2


cdef class Handle(Runnable):
    cdef object callback
    cdef object args
    cdef object context
    cdef object loop
    cdef object note  # None for a callback that runs once; else [source traceback, repr at cancellation]
    cdef unsigned char snapshot
    cdef object __weakref__
    cdef int release(self) except -1
    cdef int own_context(self) except -1


cdef Handle new_handle(object loop, object callback, object args, object context)
cdef int keep(Handle handle) except -1
