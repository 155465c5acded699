from clearloop.system.capi cimport PyThreadState


cdef list walk(PyThreadState* thread, object end)
