cdef int set_current(object loop, object task) except -1
cdef int clear_current(object loop) except -1
cdef object swap_current(object loop, object task)
