from cpython.ref cimport PyObject

from clearloop.system.capi cimport PyThreadState


cdef list walk(PyThreadState* thread, object end)
cdef object resolve_in(PyObject* frame, Py_ssize_t depth, object code, int lasti, tuple names)
