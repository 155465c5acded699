# What kind of callable an object is, and what it calls: read from its structure, so that no code of the program runs.
from cpython.ref cimport PyObject


cdef struct NamedBy:
    void* key
    void* witness
    unsigned int id


cdef extern from *:
    """
    #define clearloop_method_name(method) ((void *) ((PyMethodDef *) (method))->ml_name)
    #define clearloop_cfunction_method(o) ((void *) ((PyCFunctionObject *) (o))->m_ml)
    #define clearloop_descriptor_method(o) ((void *) ((PyMethodDescrObject *) (o))->d_method)
    #define clearloop_cfunction_self(o) (((PyCFunctionObject *) (o))->m_self)
    #define clearloop_is_static(o) (!(((PyTypeObject *) (o))->tp_flags & Py_TPFLAGS_HEAPTYPE))
    #define clearloop_type_ident(o) ((void *) ((PyTypeObject *) (o))->tp_name)

    /* The method of that name in an object's class if it is a Python function, else the object; NULL for None. */
    static PyObject *clearloop_handler(PyObject *o, PyObject *name) {
        PyObject *found = o == Py_None ? NULL : _PyType_Lookup(Py_TYPE(o), name);
        if (found != NULL && PyFunction_Check(found)) {
            return found;
        }
        return o == Py_None ? NULL : o;
    }
    """
    bint is_function "PyFunction_Check"(PyObject* o) noexcept
    bint is_method "PyMethod_Check"(PyObject* o) noexcept
    bint is_cfunction "PyCFunction_Check"(PyObject* o) noexcept
    PyObject* function_code "PyFunction_GET_CODE"(PyObject* o) noexcept
    PyObject* method_function "PyMethod_GET_FUNCTION"(PyObject* o) noexcept
    void* method_name "clearloop_method_name"(void* method) noexcept
    void* cfunction_method "clearloop_cfunction_method"(PyObject* o) noexcept
    void* descriptor_method "clearloop_descriptor_method"(PyObject* o) noexcept
    PyObject* cfunction_self "clearloop_cfunction_self"(PyObject* o) noexcept
    void* type_ident "clearloop_type_ident"(PyObject* type) noexcept
    PyObject* handler_in "clearloop_handler"(PyObject* o, object name) noexcept  # borrowed
    bint is_static_type "clearloop_is_static"(PyObject* type) noexcept
