# What Cython leaves out of a type's slots, for the few types of which a program makes millions.
#
# A pool keeps freed objects of exactly one type for the next allocation: no allocator, no garbage collector's count.
# One pool per compiled module (the C below is compiled into each module that cimports it).  The limits are sized for
# bursts: a full pool of handles keeps 3 MiB, all pools together stay under 6 MiB.  Objects of an untracked pool are not
# shown to the collector; their type says why no cycle can survive through them.
#
# A guarded finalizer: Cython runs __del__ for each dying object of a type that has it, which costs more than the rest
# of the object's end.  The guard, a C function, is asked first; it also frees what Cython does not know of.
#
# Extra references: fields that hold raw pointers are shown to the garbage collector by a visit function of our own.
from cpython.ref cimport PyObject

cdef extern from *:
    """
    static PyTypeObject *clearloop_pool_type = NULL;
    static int clearloop_pool_tracks = 1;
    static PyObject **clearloop_pool = NULL;
    static int clearloop_pool_size = 0;
    static int clearloop_pool_limit = 0;

    #ifdef Py_GIL_DISABLED
    #define CLEARLOOP_GC_HEAD 0
    #else
    #define CLEARLOOP_GC_HEAD (2 * sizeof(uintptr_t))  /* PyGC_Head, before the object */
    #endif

    /* An object that the collector may be shown later, but that does not bring its next run nearer: a burst of a
       hundred thousand handles would make it look at everything young again and again, and find nothing. */
    static PyObject *clearloop_alloc_uncounted(PyTypeObject *type) {
        char *memory = PyObject_Calloc(1, CLEARLOOP_GC_HEAD + type->tp_basicsize);
        if (memory == NULL) {
            return PyErr_NoMemory();
        }
        return PyObject_Init((PyObject *) (memory + CLEARLOOP_GC_HEAD), type);
    }

    static PyObject *clearloop_pool_alloc(PyTypeObject *type, Py_ssize_t items) {
        PyObject *o;
        if (type != clearloop_pool_type) {
            return PyType_GenericAlloc(type, items);
        }
        if (clearloop_pool_size == 0) {
            return clearloop_pool_tracks ? PyType_GenericAlloc(type, items) : clearloop_alloc_uncounted(type);
        }
        o = clearloop_pool[--clearloop_pool_size];
        memset((char *) o + sizeof(PyObject), 0, type->tp_basicsize - sizeof(PyObject));
        PyObject_Init(o, type);
        if (clearloop_pool_tracks) {
            PyObject_GC_Track(o);
        }
        return o;
    }

    static void clearloop_pool_free(void *p) {
        PyObject *o = (PyObject *) p;
        /* the collector remembers for good that an object was finalized: such a one cannot live twice */
        if (Py_TYPE(o) == clearloop_pool_type && clearloop_pool_size < clearloop_pool_limit &&
            !PyObject_GC_IsFinalized(o)) {
            clearloop_pool[clearloop_pool_size++] = o;
        } else if (Py_TYPE(o) == clearloop_pool_type && !clearloop_pool_tracks) {
            PyObject_Free((char *) o - CLEARLOOP_GC_HEAD);
        } else {
            PyObject_GC_Del(o);
        }
    }

    static void clearloop_install_pool(PyObject *type, int limit, int tracks) {
        clearloop_pool = malloc(limit * sizeof(PyObject *));
        clearloop_pool_limit = clearloop_pool == NULL ? 0 : limit;
        clearloop_pool_type = (PyTypeObject *) type;
        clearloop_pool_tracks = tracks;
        clearloop_pool_type->tp_alloc = clearloop_pool_alloc;
        clearloop_pool_type->tp_free = clearloop_pool_free;
    }

    typedef int (*clearloop_guard)(PyObject *);
    static clearloop_guard clearloop_may_die_silently;
    static destructor clearloop_guarded_dealloc;
    typedef int (*clearloop_clearer)(PyObject *);
    static clearloop_clearer clearloop_clear_extra;

    static void clearloop_dealloc(PyObject *o) {
        if (clearloop_may_die_silently(o) == 0) {
            if (PyObject_CallFinalizerFromDealloc(o) < 0) {
                return;
            }
            if (clearloop_clear_extra != NULL) {
                clearloop_clear_extra(o); /* the finalizer may have needed it */
            }
        }
        clearloop_guarded_dealloc(o);
    }

    static void clearloop_install_guard(PyObject *type, clearloop_guard guard) {
        clearloop_may_die_silently = guard;
        clearloop_guarded_dealloc = ((PyTypeObject *) type)->tp_dealloc;
        ((PyTypeObject *) type)->tp_dealloc = clearloop_dealloc;
    }

    typedef int (*clearloop_visitor)(PyObject *, visitproc, void *);
    static clearloop_visitor clearloop_visit_extra;
    static traverseproc clearloop_base_traverse;
    static inquiry clearloop_base_clear;

    static int clearloop_traverse(PyObject *o, visitproc visit, void *argument) {
        int stop = clearloop_visit_extra(o, visit, argument);
        return stop ? stop : clearloop_base_traverse(o, visit, argument);
    }

    static int clearloop_clear(PyObject *o) {
        clearloop_clear_extra(o);
        return clearloop_base_clear != NULL ? clearloop_base_clear(o) : 0;
    }

    static void clearloop_install_extra(PyObject *type, clearloop_visitor visit, clearloop_clearer clear) {
        clearloop_visit_extra = visit;
        clearloop_clear_extra = clear;
        clearloop_base_traverse = ((PyTypeObject *) type)->tp_traverse;
        clearloop_base_clear = ((PyTypeObject *) type)->tp_clear;
        ((PyTypeObject *) type)->tp_traverse = clearloop_traverse;
        ((PyTypeObject *) type)->tp_clear = clearloop_clear;
    }

    /* Shows an object of an untracked pool to the collector after all. */
    static void clearloop_track(PyObject *o) {
        if (PyObject_IS_GC(o) && !PyObject_GC_IsTracked(o)) {
            PyObject_GC_Track(o);
        }
    }

    static void clearloop_install_attributes(PyObject *type, Py_ssize_t offset) {
        ((PyTypeObject *) type)->tp_dictoffset = offset;
        PyType_Modified((PyTypeObject *) type);
    }
    """
    ctypedef int (*visitproc)(PyObject* o, void* argument) noexcept
    ctypedef int (*guard_function "clearloop_guard")(PyObject* o) noexcept
    ctypedef int (*visitor_function "clearloop_visitor")(PyObject* o, visitproc visit, void* argument) noexcept
    ctypedef int (*clearer_function "clearloop_clearer")(PyObject* o) noexcept

    void install_pool "clearloop_install_pool"(object type, int limit, bint tracks)
    void install_guard "clearloop_install_guard"(object type, guard_function may_die_silently)
    void install_extra "clearloop_install_extra"(object type, visitor_function visit, clearer_function clear)
    void track "clearloop_track"(PyObject* o) noexcept
    void install_attributes "clearloop_install_attributes"(object type, Py_ssize_t offset)

cdef extern from "Python.h":
    object PyObject_GenericGetDict(object o, void* context)
    int set_attribute "PyObject_GenericSetAttr"(object o, object name, PyObject* value) except -1  # NULL: delete it
    Py_ssize_t refcount "Py_REFCNT"(PyObject* o)
