from clearloop.engine.future cimport Future

cdef object _FUTURE
cdef object _add
cdef object _discard
cdef int add_another(Future future, object waiter) except -1
