cdef class Shield:
    cdef object inner
    cdef object outer
