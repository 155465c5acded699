# What a program sets on an object of ours, beside its fields: few ever do.  Cython makes the dictionary for that
# together with the object.  It would be a sixth of an idle connection's memory, and the interpreter finds methods by
# its fast path only where there is none: transport.write() costs 130 instructions more else.
cdef extern from *:
    """
    static inline void clearloop_attributes_later(PyObject *o) {
        Py_ssize_t offset = Py_TYPE(o)->tp_dictoffset;
        if (offset > 0) {
            Py_CLEAR(*(PyObject **) ((char *) o + offset));
        }
    }
    """
    # in __cinit__: no dictionary before somebody sets an attribute
    void attributes_later "clearloop_attributes_later"(object o) noexcept
