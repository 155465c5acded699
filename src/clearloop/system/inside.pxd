# What a thread does right now, seen from outside and without the GIL: what the kernel says of it in /proc, and three
# fields of the interpreter (who holds the GIL, where the GIL lies in memory, whether garbage is being collected).
# Reading those needs CPython's internal headers; the values are only compared, never followed, until the GIL is held.
from libc.stdint cimport int64_t

from clearloop.system.capi cimport PyThreadState


cdef enum Kind:
    UNKNOWN = 0
    ON_CPU = 1        # running, or ready to run
    IN_CALL = 2       # waiting in a system call
    FOR_GIL = 3       # waiting for the GIL
    COLLECTING = 4    # collecting garbage
    IN_FAULT = 5      # blocked outside any system call: its memory has to come from somewhere first


cdef extern from *:
    """
    #if !defined(Py_BUILD_CORE)
    #define Py_BUILD_CORE 1
    #endif
    #undef _PyGC_FINALIZED
    #include "internal/pycore_interp.h"
    #include "internal/pycore_runtime.h"
    #if PY_VERSION_HEX >= 0x030C0000
    #include "internal/pycore_gil.h"
    #define clearloop_gil(interpreter) ((interpreter)->ceval.gil)
    #else
    #define clearloop_gil(interpreter) (&_PyRuntime.ceval.gil)
    #endif
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <time.h>
    #include <unistd.h>
    #if defined(__linux__)
    #include <sys/syscall.h>
    #endif

    static void *clearloop_interpreter(void) { return PyInterpreterState_Get(); }
    static int clearloop_in_main(void) { return PyInterpreterState_Get() == PyInterpreterState_Main(); }

    static PyThreadState *clearloop_holder(void *where) {
        PyInterpreterState *interpreter = where;
        (void) interpreter;  /* up to 3.11 the GIL is the runtime's */
        if (*(volatile int *) &clearloop_gil(interpreter)->locked != 1) {
            return NULL;
        }
        {
            void *holder;
            memcpy(&holder, (const void *) &clearloop_gil(interpreter)->last_holder, sizeof holder);
            return holder;
        }
    }

    static int clearloop_collecting(void *where) {
        return *(volatile int *) &((PyInterpreterState *) where)->gc.collecting != 0;
    }

    static int clearloop_own_tid(void) {
    #if defined(__linux__)
        return (int) syscall(SYS_gettid);
    #else
        return 0;
    #endif
    }

    static int clearloop_own_clock(void) {
    #if defined(__linux__)
        clockid_t clock;
        return pthread_getcpuclockid(pthread_self(), &clock) == 0 ? (int) clock : CLOCK_THREAD_CPUTIME_ID;
    #else
        return 0;
    #endif
    }

    static int64_t clearloop_cpu(int clock) {
    #if defined(__linux__)
        struct timespec now;
        if (clock != 0 && clock_gettime((clockid_t) clock, &now) == 0) {
            return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
        }
    #endif
        return 0;
    }

    #if defined(__linux__)
    static int clearloop_read(int tid, const char *name, char *text, size_t room) {
        char path[64];
        int fd;
        ssize_t size;
        snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return -1;
        }
        size = read(fd, text, room - 1);
        close(fd);
        text[size > 0 ? size : 0] = 0;
        return size > 0 ? 0 : -1;
    }
    #endif

    /* How long the thread has waited for a processor so far, in ns; -1: unknown. */
    static int64_t clearloop_run_delay(int tid) {
    #if defined(__linux__)
        char text[128];
        unsigned long long ran, waited;
        if (clearloop_read(tid, "schedstat", text, sizeof text) == 0 && sscanf(text, "%llu %llu", &ran, &waited) == 2) {
            return (int64_t) waited;
        }
    #endif
        return -1;
    }

    /* What the thread does; *call: the system call of the program's that it waits in, or -1. */
    static int clearloop_kind(void *where, PyThreadState *thread, int tid, long *call) {
        PyInterpreterState *interpreter = where;
        *call = -1;
        if (*(volatile int *) &interpreter->gc.collecting && clearloop_holder(where) == thread) {
            return 4;
        }
    #if defined(__linux__)
        {
            char text[256];
            char *rest;
            unsigned long first;
            if (clearloop_read(tid, "syscall", text, sizeof text) < 0) {
                return 0;
            }
            if (text[0] == 'r') {
                return 1;
            }
            *call = strtol(text, &rest, 10);
            if (*call < 0) {
                return 5;
            }
            first = strtoul(rest, NULL, 16);
            if (*call == SYS_futex
                && first >= (unsigned long) clearloop_gil(interpreter)
                && first < (unsigned long) clearloop_gil(interpreter) + sizeof *clearloop_gil(interpreter)) {
                *call = -1;  /* not a call of the program's: who is told of a block would look for it in vain */
                return 3;
            }
            return 2;
        }
    #else
        return 0;
    #endif
    }

    /* Whether a descriptor of those that the poll descriptor stands for is ready; nothing is consumed. */
    #include <poll.h>
    static int clearloop_ready(int fd) {
        struct pollfd asked = {fd, POLLIN, 0};
        return fd >= 0 && poll(&asked, 1, 0) > 0 && (asked.revents & POLLIN) != 0;
    }

    /* Wait so long, or until a descriptor is readable. */
    static void clearloop_wait_for_descriptor(int fd, int64_t nanoseconds) {
        struct pollfd asked = {fd, POLLIN, 0};
        poll(&asked, 1, (int) ((nanoseconds + 999999) / 1000000));
    }
    """
    void* own_interpreter "clearloop_interpreter"()
    bint in_main_interpreter "clearloop_in_main"()
    PyThreadState* gil_holder "clearloop_holder"(void* interpreter) nogil
    bint collecting "clearloop_collecting"(void* interpreter) nogil
    int own_tid "clearloop_own_tid"() nogil
    int own_clock "clearloop_own_clock"() nogil
    int64_t cpu_time "clearloop_cpu"(int clock) nogil
    int64_t run_delay "clearloop_run_delay"(int tid) nogil
    int what_it_does "clearloop_kind"(void* interpreter, PyThreadState* thread, int tid, long* call) nogil
    void wait_for "clearloop_wait_for_descriptor"(int fd, int64_t nanoseconds) nogil
    bint descriptor_ready "clearloop_ready"(int fd) nogil
