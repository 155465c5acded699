# Whether a context binds what the current one binds, without making a copy of that first.
#
# A context keeps its bindings in an immutable mapping that copies share: as long as the two point at the same one, they
# are equal.  Where a context keeps the pointer is found by asking it for what it refers to; where that has no answer,
# nothing is ever the same.
from cpython.ref cimport PyObject

cdef extern from *:
    """
    #include <string.h>

    static Py_ssize_t clearloop_bindings_at = 0;

    static int clearloop_visit_bindings(PyObject *o, void *found) {
        if (strcmp(Py_TYPE(o)->tp_name, "hamt") == 0) {
            *(PyObject **) found = o;
        }
        return 0;
    }

    static int clearloop_find_bindings(void) {
        PyObject *bindings = NULL;
        PyObject *context = PyContext_CopyCurrent();
        Py_ssize_t at;
        if (context == NULL) {
            return -1;
        }
        if (Py_TYPE(context)->tp_traverse != NULL) {
            Py_TYPE(context)->tp_traverse(context, clearloop_visit_bindings, &bindings);
        }
        for (at = sizeof(PyObject); bindings != NULL && at < Py_TYPE(context)->tp_basicsize; at += sizeof(PyObject *)) {
            if (*(PyObject **) ((char *) context + at) == bindings) {
                clearloop_bindings_at = at;
                break;
            }
        }
        Py_DECREF(context);
        return 0;
    }

    static int clearloop_binds_the_same(PyObject *context) {
        PyObject *current = PyThreadState_Get()->context;
        Py_ssize_t at = clearloop_bindings_at;
        return at != 0 && current != NULL &&
            *(PyObject **) ((char *) current + at) == *(PyObject **) ((char *) context + at);
    }
    """
    int find_bindings "clearloop_find_bindings"() except -1
    bint binds_the_same "clearloop_binds_the_same"(PyObject* context) noexcept
