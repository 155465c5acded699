# The frames of a thread, read from another one that holds the GIL.  A local variable is read without building the dict
# that `frame.f_locals` would build and, up to Python 3.12, keep: that would change how long the program's objects live.
from cpython.ref cimport PyObject

from clearloop.system.capi cimport PyThreadState

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030C0000
    #if !defined(Py_BUILD_CORE)
    #define Py_BUILD_CORE 1
    #endif
    #undef _PyGC_FINALIZED
    #include "internal/pycore_frame.h"
    #include "internal/pycore_code.h"
    #endif

    #define clearloop_frame_back(frame) ((PyObject *) PyFrame_GetBack((PyFrameObject *) (frame)))
    #define clearloop_frame_code(frame) ((PyObject *) PyFrame_GetCode((PyFrameObject *) (frame)))
    #define clearloop_frame_globals(frame) PyFrame_GetGlobals((PyFrameObject *) (frame))
    #define clearloop_frame_lasti(frame) PyFrame_GetLasti((PyFrameObject *) (frame))

    /* The value of a local variable of a suspended frame: a new reference, or NULL without an error. */
    static PyObject *clearloop_local(PyObject *frame, PyObject *name) {
        PyObject *value = NULL;
    #if PY_VERSION_HEX >= 0x030C0000
        value = PyFrame_GetVar((PyFrameObject *) frame, name);
        if (value == NULL) {
            PyErr_Clear();
        }
    #else
        _PyInterpreterFrame *inner = ((PyFrameObject *) frame)->f_frame;
        PyCodeObject *code = inner->f_code;
        int place;
        for (place = 0; place < code->co_nlocalsplus; place++) {
            if (PyUnicode_Compare(PyTuple_GET_ITEM(code->co_localsplusnames, place), name) == 0) {
                value = inner->localsplus[place];
                if (value != NULL
                    && (_PyLocals_GetKind(code->co_localspluskinds, place) & (CO_FAST_CELL | CO_FAST_FREE))
                    && PyCell_Check(value)) {
                    value = PyCell_GET(value);
                }
                break;
            }
        }
        Py_XINCREF(value);
    #endif
        return value;
    }

    /* An attribute as object.__getattribute__ finds it, if that runs no code of the program; else NULL, no error. */
    static PyObject *clearloop_attribute(PyObject *o, PyObject *name) {
        PyTypeObject *type = Py_TYPE(o);
        PyObject *found, *value;
        if (PyModule_Check(o)) {
            value = PyDict_GetItemWithError(PyModule_GetDict(o), name);
            PyErr_Clear();
            Py_XINCREF(value);
            return value;
        }
        if (PyType_Check(o)) {
            value = _PyType_Lookup((PyTypeObject *) o, name);
            Py_XINCREF(value);
            return value;
        }
        found = _PyType_Lookup(type, name);
        if (found != NULL && Py_TYPE(found)->tp_descr_get != NULL) {
            PyTypeObject *kind = Py_TYPE(found);
            if (kind == &PyFunction_Type || kind == &PyMethodDescr_Type || kind == &PyClassMethodDescr_Type
                || kind == &PyStaticMethod_Type || kind == &PyClassMethod_Type || kind == &PyWrapperDescr_Type) {
                Py_INCREF(found);
                return found;
            }
            if (kind != &PyMemberDescr_Type) {
                return NULL;  /* a property, or something that only looks like one */
            }
        }
        value = PyObject_GenericGetAttr(o, name);
        if (value == NULL) {
            PyErr_Clear();
        }
        return value;
    }
    """
    PyObject* thread_frame "(PyObject *) PyThreadState_GetFrame"(PyThreadState* thread)
    PyObject* frame_back "clearloop_frame_back"(PyObject* frame)
    object frame_code "clearloop_frame_code"(PyObject* frame)
    object frame_globals "clearloop_frame_globals"(PyObject* frame)
    int frame_lasti "clearloop_frame_lasti"(PyObject* frame)
    PyObject* frame_local "clearloop_local"(PyObject* frame, object name)
    PyObject* attribute_raw "clearloop_attribute"(PyObject* o, object name)
    bint PyGC_Disable()
    bint PyGC_Enable()

