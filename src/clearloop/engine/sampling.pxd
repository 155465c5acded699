from cpython.ref cimport PyObject

cdef PyObject* innermost(object ident)
cdef PyObject* outward(PyObject* frame, object code)
cdef object described(object handle)
cdef object waiter_of(object handle)
cdef object coroutine_of(object task)
cdef object local(PyObject* frame, object name)
cdef object attribute(object owner, object name)
