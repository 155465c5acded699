# The interpreter calls a compiled method by its fast path only where the object is of the very type that has the method,
# not of one that inherits it.  own_methods() gives a type that inherits from compiled bases descriptors of its own, for
# the same functions; that saves 170 instructions in each call of an inherited method.
cdef extern from *:
    """
    static int clearloop_own_methods(PyObject *o) {
        PyTypeObject *type = (PyTypeObject *) o;
        for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(type->tp_mro); i++) {
            PyTypeObject *base = (PyTypeObject *) PyTuple_GET_ITEM(type->tp_mro, i);
            PyObject *name, *value;
            Py_ssize_t place = 0;
            if (base == &PyBaseObject_Type) {
                break; /* its dictionary is the interpreter's, and its methods are not for speed */
            }
            while (PyDict_Next(base->tp_dict, &place, &name, &value)) {
                if (Py_IS_TYPE(value, &PyMethodDescr_Type)) {
                    PyObject *own = PyDescr_NewMethod(type, ((PyMethodDescrObject *) value)->d_method);
                    if (own == NULL || PyDict_SetDefault(type->tp_dict, name, own) == NULL) {
                        Py_XDECREF(own);
                        return -1;
                    }
                    Py_DECREF(own);
                }
            }
        }
        PyType_Modified(type);
        return 0;
    }
    """
    int own_methods "clearloop_own_methods"(object type) except -1
