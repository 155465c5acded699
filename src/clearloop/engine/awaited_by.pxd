cdef object NOTED
cdef object _FUTURE
cdef int note(object future, object waiter, bint awaits) except -1
