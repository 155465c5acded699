# The few functions of CPython's C API that Cython's own cpython package does not declare, or declares with reference
# handling that the hot path cannot use.
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    PySendResult PyIter_Send(PyObject* iterator, PyObject* value, PyObject** result)

    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

    # "raw": the result is a new reference or NULL with the error set; the caller owns both outcomes
    PyObject* vectorcall_raw "PyObject_Vectorcall"(PyObject* callable, PyObject** args, size_t nargs, PyObject* names)
    PyObject* call_raw "PyObject_Call"(PyObject* callable, PyObject* args, PyObject* kwargs)
    PyObject* call_no_args_raw "PyObject_CallNoArgs"(PyObject* callable)
    PyObject* call_one_arg_raw "PyObject_CallOneArg"(PyObject* callable, PyObject* arg)
    PyObject** tuple_items "&PyTuple_GET_ITEM"(PyObject* t, int zero)

    bint PyCoro_CheckExact(object candidate)
    bint PyGen_CheckExact(object candidate)
    int PyErr_CheckSignals() except -1
    void set_error "PyErr_SetObject"(PyObject* kind, PyObject* value)
    void set_traceback "PyException_SetTraceback"(PyObject* error, PyObject* traceback)
    PyObject* type_of "(PyObject *) Py_TYPE"(PyObject* o)
    PyObject* PyErr_Occurred()
    void PyErr_Clear()
    unsigned long PyThread_get_thread_ident() nogil

    ctypedef struct PyThreadState:
        pass
    PyThreadState* PyEval_SaveThread() nogil
    void PyEval_RestoreThread(PyThreadState* state) nogil
    void Py_DECREF_raw "Py_DECREF"(PyObject* o)
    void Py_XDECREF_raw "Py_XDECREF"(PyObject* o)
    void Py_INCREF_raw "Py_INCREF"(PyObject* o)
    int PY_VERSION_HEX

    size_t tuple_size "PyTuple_GET_SIZE"(object t)


cdef extern from *:
    """
    /* Turns an error that C code has left set into a Cython exception: declared `except -1`, it always fails. */
    static int clearloop_propagate(void) { return -1; }
    """
    int propagate "clearloop_propagate"() except -1


cdef extern from *:
    """
    /* Cython fills in no am_send for extension types.  Without it the interpreter resumes an awaited iterator through
       tp_iternext and a StopIteration object for each result; the type must have an async method for the table. */
    static void clearloop_install_am_send(PyObject *type, sendfunc send) {
        ((PyTypeObject *) type)->tp_as_async->am_send = send;
        PyType_Modified((PyTypeObject *) type);
    }
    """
    ctypedef PySendResult (*sendfunc)(PyObject* iterator, PyObject* value, PyObject** result) noexcept
    void install_am_send "clearloop_install_am_send"(object type, sendfunc send)


cdef extern from *:
    """
    /* Hands a new reference from C code to Cython, which then owns it. */
    #define clearloop_steal(o) (o)
    """
    object steal "clearloop_steal"(PyObject* o)
