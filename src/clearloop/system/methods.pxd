# Calling a method by its name with no bound method in between, and buffers by their place in memory.
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    # "raw": the result is a new reference or NULL with the error set; arguments[0] is the object, and counted
    PyObject* call_method_raw "PyObject_VectorcallMethod"(PyObject* name, PyObject** arguments, size_t count, PyObject* names)
    char* bytes_at "PyBytes_AS_STRING"(object o)
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(object o)
    object encode_for_system "PyUnicode_EncodeFSDefault"(object string)  # as os.fsencode() does
    # -1 with the error set, which is the caller's to propagate
    int get_buffer_raw "PyObject_GetBuffer"(PyObject* exporter, Py_buffer* view, int flags)
    PyObject* bytes_of_size_raw "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    # only while nobody else holds it; on failure NULL is left behind
    int resize_bytes "_PyBytes_Resize"(PyObject** data, Py_ssize_t size) except -1
