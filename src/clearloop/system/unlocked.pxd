# The frames of a thread that holds the GIL and does not give it back: read as memory, without the GIL.
#
# Most calls that hold the GIL let the interpreter look around when they return, and who waits for the GIL finds the
# frame on the calling line.  Operators do not (7 ** 10_000_000, `x in long_list`): by then the frame has moved on, or is
# gone.  So the watchdog notes (address of the code, instruction) of each frame before it waits for the GIL.  The kernel
# copies the memory (process_vm_readv): an address that is not mapped any more is an error there, not a crash.  Nothing
# here is followed as a pointer by us; whoever uses the addresses compares them with those of living code objects.
from clearloop.system.capi cimport PyThreadState

cdef extern from *:
    """
    #if !defined(Py_BUILD_CORE)
    #define Py_BUILD_CORE 1
    #endif
    #undef _PyGC_FINALIZED
    #include "internal/pycore_frame.h"
    #if PY_VERSION_HEX >= 0x030E0000
    #include "internal/pycore_interpframe.h"
    #endif
    #include <stddef.h>
    #include <stdint.h>
    #if defined(__linux__)
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>
    #endif

    static int clearloop_peek(const void *from, void *to, size_t size) {
    #if defined(__linux__) && defined(SYS_process_vm_readv)
        struct iovec local = {to, size}, remote = {(void *) from, size};
        return syscall(SYS_process_vm_readv, (long) getpid(), &local, 1L, &remote, 1L, 0L) == (long) size ? 0 : -1;
    #else
        return -1;
    #endif
    }

    static int clearloop_spots(PyThreadState *thread, uintptr_t *codes, int *offsets, int room) {
        PyThreadState state;
        _PyInterpreterFrame frame;
        const _PyInterpreterFrame *next;
        int count = 0, steps = 0;
        if (clearloop_peek(thread, &state, sizeof state) < 0) {
            return 0;
        }
    #if PY_VERSION_HEX >= 0x030D0000
        next = state.current_frame;
    #else
        {
            _PyCFrame inner;
            if (clearloop_peek(state.cframe, &inner, sizeof inner) < 0) {
                return 0;
            }
            next = inner.current_frame;
        }
    #endif
        while (next != NULL && count < room && steps++ < 2 * room) {
            uintptr_t code, instruction;
            ptrdiff_t offset;
            if (clearloop_peek(next, &frame, offsetof(_PyInterpreterFrame, localsplus)) < 0) {
                break;
            }
    #if PY_VERSION_HEX >= 0x030E0000
            memcpy(&code, &frame.f_executable, sizeof code);
            code &= ~(uintptr_t) 7;  /* the tags of a stack reference */
            instruction = (uintptr_t) frame.instr_ptr;
    #elif PY_VERSION_HEX >= 0x030D0000
            code = (uintptr_t) frame.f_executable;
            instruction = (uintptr_t) frame.instr_ptr;
    #else
            code = (uintptr_t) frame.f_code;
            instruction = (uintptr_t) frame.prev_instr;
    #endif
            offset = (ptrdiff_t) (instruction - code - offsetof(PyCodeObject, co_code_adaptive));
            if (code != 0 && offset >= 0 && offset < (1 << 24)) {
                codes[count] = code;
                offsets[count++] = (int) offset;
            }
            next = frame.previous;
        }
        return count;
    }

    /* The ident of the thread, 0 when its state is gone. */
    static unsigned long clearloop_ident(PyThreadState *thread) {
        PyThreadState state;
        return clearloop_peek(thread, &state, sizeof state) < 0 ? 0 : state.thread_id;
    }
    """
    unsigned long ident_unlocked "clearloop_ident"(PyThreadState* thread) nogil
    ctypedef size_t uintptr_t
    int frames_unlocked "clearloop_spots"(PyThreadState* thread, uintptr_t* codes, int* offsets, int room) nogil
