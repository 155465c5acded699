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
    int enter_context "PyContext_Enter"(object context) noexcept  # negative: the error is set, and the caller takes it
    int PyContext_Exit(object context) except -1

    # "raw": the result is a new reference or NULL with the error set; the caller owns both outcomes
    PyObject* vectorcall_raw "PyObject_Vectorcall"(PyObject* callable, PyObject** args, size_t nargs, PyObject* names)
    PyObject* call_raw "PyObject_Call"(PyObject* callable, PyObject* args, PyObject* kwargs)
    PyObject* call_no_args_raw "PyObject_CallNoArgs"(PyObject* callable)
    PyObject* call_one_arg_raw "PyObject_CallOneArg"(PyObject* callable, PyObject* arg)
    PyObject** tuple_items "&PyTuple_GET_ITEM"(PyObject* t, int zero)

    void PyObject_GC_UnTrack(object o)
    bint PyCoro_CheckExact(object candidate)
    bint PyGen_CheckExact(object candidate)
    int PyErr_CheckSignals() except -1
    void set_error "PyErr_SetObject"(PyObject* kind, PyObject* value)
    void set_traceback "PyException_SetTraceback"(PyObject* error, PyObject* traceback)
    PyObject* type_of "(PyObject *) Py_TYPE"(PyObject* o)
    # borrowed, or NULL.  Not sys._getframe(): called from C while a frame is being cleared, that one crashes
    PyObject* PyEval_GetFrame "(PyObject *) PyEval_GetFrame"()
    PyObject* PyErr_Occurred()
    void PyErr_Clear()
    unsigned long PyThread_get_thread_ident() nogil

    ctypedef struct PyThreadState:
        pass
    unsigned long native_thread_id "clearloop_native_thread_id"()  # kept by the interpreter: no system call
    PyThreadState* PyEval_SaveThread() nogil
    void PyEval_RestoreThread(PyThreadState* state) nogil
    PyThreadState* PyThreadState_Get() nogil
    ctypedef int PyGILState_STATE
    PyGILState_STATE PyGILState_Ensure() nogil
    void PyGILState_Release(PyGILState_STATE state) nogil
    Py_ssize_t reference_count "Py_REFCNT"(PyObject* o)
    void Py_DECREF_raw "Py_DECREF"(PyObject* o)
    void Py_XDECREF_raw "Py_XDECREF"(PyObject* o)
    void Py_INCREF_raw "Py_INCREF"(PyObject* o)
    int PY_VERSION_HEX

    size_t tuple_size "PyTuple_GET_SIZE"(object t)


cdef extern from *:
    """
    #include <pthread.h>

    /* PyThread_get_thread_ident(), inline: on every system that has pthreads this is what it gives. */
    static inline unsigned long clearloop_this_thread(void) {
        return (unsigned long) pthread_self();
    }
    """
    unsigned long this_thread "clearloop_this_thread"() noexcept nogil


cdef extern from *:
    """
    #define clearloop_native_thread_id() (PyThreadState_Get()->native_thread_id)

    /* Whether the interpreter ends: what dies now may find the modules that it needs taken apart already. */
    #if PY_VERSION_HEX >= 0x030D0000
    #define clearloop_exiting() Py_IsFinalizing()
    #else
    #define clearloop_exiting() _Py_IsFinalizing()
    #endif
    """
    bint exiting "clearloop_exiting"() noexcept


cdef extern from *:
    """
    /* Turns an error that C code has left set into a Cython exception: declared `except -1`, it always fails. */
    static int clearloop_propagate(void) { return -1; }
    """
    int propagate "clearloop_propagate"() except -1


cdef extern from *:
    """
    /* `await` resumes what it waits for through tp_iternext, PyIter_Send through am_send.  Cython fills in no am_send for
       extension types, and its tp_iternext raises StopIteration the slow way, traceback included.  This gives a type
       both slots, from one send function; the type must have an async method, for the table. */
    static PyObject *clearloop_iternext(PyObject *self) {
        PyObject *result = NULL;
        switch (Py_TYPE(self)->tp_as_async->am_send(self, Py_None, &result)) {
        case PYGEN_NEXT:
            return result;
        case PYGEN_RETURN:
            if (result == Py_None) {
                Py_DECREF(result);  /* ending without an exception means: with None */
            } else if (!PyTuple_Check(result) && !PyExceptionInstance_Check(result)) {
                PyErr_SetObject(PyExc_StopIteration, result);
                Py_DECREF(result);
            } else {
                /* a bare tuple or exception would be taken for the arguments or for the error itself */
                PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
                Py_DECREF(result);
                if (stop != NULL) {
                    PyErr_SetObject(PyExc_StopIteration, stop);
                    Py_DECREF(stop);
                }
            }
            return NULL;
        default:
            return NULL;
        }
    }
    static void clearloop_install_send(PyObject *type, sendfunc send) {
        ((PyTypeObject *) type)->tp_as_async->am_send = send;
        ((PyTypeObject *) type)->tp_iternext = clearloop_iternext;
        PyType_Modified((PyTypeObject *) type);
    }
    """
    ctypedef PySendResult (*sendfunc)(PyObject* iterator, PyObject* value, PyObject** result) noexcept
    void install_send "clearloop_install_send"(object type, sendfunc send)


cdef extern from *:
    """
    /* Hands a new reference from C code to Cython, which then owns it. */
    #define clearloop_steal(o) (o)
    """
    object steal "clearloop_steal"(PyObject* o)


cdef extern from *:
    """
    /* Takes the error that C code has left set, as an exception object with its traceback: what `except` would bind,
       but without a line of ours in the traceback. */
    static PyObject *clearloop_take_error(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *kind, *error, *traceback;
        PyErr_Fetch(&kind, &error, &traceback);
        PyErr_NormalizeException(&kind, &error, &traceback);
        if (traceback != NULL) {
            PyException_SetTraceback(error, traceback);
        }
        Py_XDECREF(kind);
        Py_XDECREF(traceback);
        return error;
    #endif
    }
    /* The reverse: leaves `error` set, for a caller that returns an error value. */
    static int clearloop_raise(PyObject *error) {
        PyErr_SetObject((PyObject *) Py_TYPE(error), error);
        return -1;
    }
    """
    object take_error "clearloop_take_error"()
    int reraise "clearloop_raise"(object error) except -1
    PyObject* call_method_raw "PyObject_CallMethodOneArg"(PyObject* o, PyObject* name, PyObject* argument)
