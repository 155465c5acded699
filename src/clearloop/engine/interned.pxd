from cpython.ref cimport PyObject


cdef unsigned int code_id(PyObject* code) noexcept
cdef unsigned int type_id(PyObject* type) noexcept
cdef unsigned int callable_id(PyObject* callable) noexcept
