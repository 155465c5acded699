# The memory of `bytes` objects that nobody holds any more, for those that are read next.
#
# Beyond 512 bytes Python's own allocator hands on to the C library's, which takes 340 instructions to give a block of 1 KiB
# and take it back: an eighth of what an echoed request costs beside the kernel.  What was read for one request is mostly
# let go of before the next one is read.
from cpython.ref cimport PyObject

cdef extern from *:
    """
    #define CLEARLOOP_SPARE_LEAST 512
    #define CLEARLOOP_SPARE_MOST 2048
    #define CLEARLOOP_SPARES 64  /* as many as are read in one go: 128 KiB at most */
    static PyObject *clearloop_spares[CLEARLOOP_SPARES];
    static int clearloop_spare_count = 0;

    /* `size` bytes from `data`, as PyBytes_FromStringAndSize() makes them. */
    static PyObject *clearloop_new_bytes(const char *data, Py_ssize_t size) {
        if (clearloop_spare_count > 0 && size > CLEARLOOP_SPARE_LEAST && size <= CLEARLOOP_SPARE_MOST) {
            PyObject *spare = clearloop_spares[--clearloop_spare_count];
            Py_ssize_t room = PyBytes_GET_SIZE(spare);
            if (size == room || (size < room && 2 * size >= room)) {
                char *bytes = PyBytes_AS_STRING(spare);
                memcpy(bytes, data, size);
                bytes[size] = 0;
                Py_SET_SIZE((PyVarObject *) spare, size);
                _Py_COMP_DIAG_PUSH
                _Py_COMP_DIAG_IGNORE_DEPR_DECLS
                ((PyBytesObject *) spare)->ob_shash = -1;
                _Py_COMP_DIAG_POP
                return spare;
            }
            Py_DECREF(spare);
        }
        return PyBytes_FromStringAndSize(data, size);
    }

    /* Give up a reference to `bytes`: if it was the last one, the memory is kept. */
    static void clearloop_drop_bytes(PyObject *bytes) {
        if (Py_REFCNT(bytes) == 1 && PyBytes_CheckExact(bytes) && clearloop_spare_count < CLEARLOOP_SPARES &&
            PyBytes_GET_SIZE(bytes) > CLEARLOOP_SPARE_LEAST && PyBytes_GET_SIZE(bytes) <= CLEARLOOP_SPARE_MOST) {
            clearloop_spares[clearloop_spare_count++] = bytes;
        } else {
            Py_DECREF(bytes);
        }
    }
    """
    PyObject* new_bytes_raw "clearloop_new_bytes"(const char* data, Py_ssize_t size) except NULL
    void drop_bytes_raw "clearloop_drop_bytes"(PyObject* data) noexcept
