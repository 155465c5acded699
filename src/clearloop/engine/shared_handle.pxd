from clearloop.engine.handle cimport Handle


cdef class SharedHandle(Handle):
    cdef unsigned long runner  # the thread that runs the callback now, or 0
    cdef object over           # set when the callback has run: made by whoever waits for that


cdef Handle new_shared_handle(object loop, object callback, object args, object context)
