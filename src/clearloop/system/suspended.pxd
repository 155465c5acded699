# Where a task waits: the innermost suspended coroutine at the end of its chain of awaits, read from the interpreter's
# own structures, since asking for `cr_await` and `cr_frame` makes objects.  Nothing runs and nothing is allocated.
#
# The chain ends at what is neither a coroutine nor a generator: a future, an asynchronous generator's step, a coroutine
# of another make.
from cpython.ref cimport PyObject

cdef enum:
    WITHIN = 0x20  # in `how` of a STEP: `other` is the code of the function of clearloop's or asyncio's that waits

cdef extern from *:
    """
    #if !defined(Py_BUILD_CORE)
    #define Py_BUILD_CORE 1
    #endif
    #undef _PyGC_FINALIZED
    #include "internal/pycore_frame.h"
    #if PY_VERSION_HEX < 0x030D0000
    #include <opcode.h>
    #endif
    #if PY_VERSION_HEX >= 0x030E0000
    #include "internal/pycore_interpframe.h"
    #include "internal/pycore_stackref.h"
    #endif

    #define CLEARLOOP_DEEPEST 1000
    #define CLEARLOOP_NEAR 8 /* frames at the end of a chain that are remembered: a power of two */

    static inline _PyInterpreterFrame *clearloop_gen_frame(PyObject *gen) {
        return (_PyInterpreterFrame *) &((PyGenObject *) gen)->gi_iframe;
    }

    static inline PyCodeObject *clearloop_gen_code(PyObject *gen) {
    #if PY_VERSION_HEX >= 0x030D0000
        return _PyFrame_GetCode(clearloop_gen_frame(gen));
    #else
        return clearloop_gen_frame(gen)->f_code;
    #endif
    }

    /* What a suspended coroutine awaits: borrowed, NULL when it is something else than another frame. */
    static inline PyObject *clearloop_awaited(PyObject *gen, _PyInterpreterFrame *frame) {
        PyObject *next = NULL;
    #if PY_VERSION_HEX >= 0x030F0000
        /* above what is awaited lies a number, or nothing, for iterators that are no objects */
        _PyStackRef top = _PyFrame_StackPeek(frame, 2);
        next = PyStackRef_IsNull(top) || PyStackRef_IsTaggedInt(top) ? NULL : PyStackRef_AsPyObjectBorrow(top);
    #elif PY_VERSION_HEX >= 0x030E0000
        next = PyStackRef_AsPyObjectBorrow(_PyFrame_StackPeek(frame));
    #elif PY_VERSION_HEX >= 0x030D0000
        next = _PyFrame_StackPeek(frame);
    #else
        next = _PyFrame_StackPeek(frame);
    #endif
        return next != NULL && (PyCoro_CheckExact(next) || PyGen_CheckExact(next)) ? next : NULL;
    }

    static inline int clearloop_suspended(PyObject *gen) {
        int state = ((PyGenObject *) gen)->gi_frame_state;
    #if PY_VERSION_HEX >= 0x030D0000
        return FRAME_STATE_SUSPENDED(state);
    #else
        return state == FRAME_SUSPENDED;
    #endif
    }

    /* Whether it is suspended in an await (or yield from), so that the top of its stack is what it awaits. */
    static inline int clearloop_awaits(PyObject *gen, _PyInterpreterFrame *frame) {
    #if PY_VERSION_HEX >= 0x030F0000
        int state = ((PyGenObject *) gen)->gi_frame_state;
        return state == FRAME_SUSPENDED_YIELD_FROM || state == FRAME_SUSPENDED_YIELD_FROM_LOCKED;
    #elif PY_VERSION_HEX >= 0x030D0000
        return ((PyGenObject *) gen)->gi_frame_state == FRAME_SUSPENDED_YIELD_FROM;
    #elif PY_VERSION_HEX >= 0x030C0000
        _Py_CODEUNIT next = frame->prev_instr[1];
        return (next.op.code == RESUME || next.op.code == INSTRUMENTED_RESUME) && next.op.arg >= 2;
    #else
        _Py_CODEUNIT next = frame->prev_instr[1];
        return (_Py_OPCODE(next) == RESUME || _Py_OPCODE(next) == RESUME_QUICK) && _Py_OPARG(next) >= 2;
    #endif
    }

    /* The folders of what is no program of the user's: clearloop's own and asyncio's. */
    static char clearloop_folders[2][1024];
    static size_t clearloop_folder_sizes[2];

    static void clearloop_set_folder(int which, const char *path) {
        size_t size = strlen(path);
        if (size < sizeof(clearloop_folders[0])) {
            memcpy(clearloop_folders[which], path, size);
            clearloop_folder_sizes[which] = size;
        }
    }

    static inline int clearloop_is_library(PyObject *gen) {
        PyObject *file = clearloop_gen_code(gen)->co_filename;
        if (!PyUnicode_IS_COMPACT_ASCII(file)) {
            return 0;
        }
        size_t size = (size_t) PyUnicode_GET_LENGTH(file);
        for (int i = 0; i < 2; i++) {
            size_t most = clearloop_folder_sizes[i];
            if (most != 0 && size > most && memcmp(PyUnicode_1BYTE_DATA(file), clearloop_folders[i], most) == 0) {
                return 1;
            }
        }
        return 0;
    }

    /* The code (borrowed) and the byte offset of the innermost suspended frame of the program; NULL when there is none.
       Where that has called something of clearloop's or asyncio's that waits inside, `library` is the code of that. */
    static PyObject *clearloop_innermost(PyObject *coro, int *offset, PyObject **library) {
        PyObject *near[CLEARLOOP_NEAR];
        PyObject *found = NULL;
        int depth = 0, inner = 0;
        *library = NULL;
        while (coro != NULL && (PyCoro_CheckExact(coro) || PyGen_CheckExact(coro)) && clearloop_suspended(coro)) {
            _PyInterpreterFrame *frame = clearloop_gen_frame(coro);
            found = near[depth % CLEARLOOP_NEAR] = coro;
            if (++depth == CLEARLOOP_DEEPEST || !clearloop_awaits(coro, frame)) {
                break;
            }
            coro = clearloop_awaited(coro, frame);
        }
        if (found == NULL) {
            return NULL;
        }
        while (inner < depth && inner < CLEARLOOP_NEAR && clearloop_is_library(near[(depth - 1 - inner) % CLEARLOOP_NEAR])) {
            inner++;
        }
        if (inner > 0 && inner < depth && inner < CLEARLOOP_NEAR) {
            *library = (PyObject *) clearloop_gen_code(found);
            found = near[(depth - 1 - inner) % CLEARLOOP_NEAR];
        }
        *offset = _PyInterpreterFrame_LASTI(clearloop_gen_frame(found)) * (int) sizeof(_Py_CODEUNIT);
        return (PyObject *) clearloop_gen_code(found);
    }

    /* The code of a coroutine or generator (borrowed), which it keeps when it has ended; NULL when it is neither. */
    static PyObject *clearloop_coro_code(PyObject *coro) {
        if (!PyCoro_CheckExact(coro) && !PyGen_CheckExact(coro)) {
            return NULL;
        }
    #if PY_VERSION_HEX >= 0x030C0000
        return (PyObject *) clearloop_gen_code(coro);
    #else
        return (PyObject *) ((PyGenObject *) coro)->gi_code;
    #endif
    }
    """
    PyObject* innermost_frame "clearloop_innermost"(PyObject* coro, int* offset, PyObject** library) noexcept
    void set_library_folder "clearloop_set_folder"(int which, const char* path) noexcept
    PyObject* coroutine_code "clearloop_coro_code"(PyObject* coro) noexcept
