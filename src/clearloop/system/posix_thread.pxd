# A thread that Python does not know of, and a monitor: a lock, and two conditions to wait for while one has it.  What
# the watchdog is made of; it owns the one monitor that there is (watchdog.py), and lends it by pointer.
#
# The thread takes no signals, so that Python's handlers run where they always ran.
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <pthread.h>
    #include <signal.h>
    #include <time.h>
    #if defined(__linux__)
    #include <sys/syscall.h>
    #include <unistd.h>
    #endif

    typedef struct {
        pthread_mutex_t mutex;
        pthread_cond_t bell;
        pthread_cond_t end;  /* the thread says that it has ended, or that nothing is left to hand over */
    } clearloop_monitor;

    static int clearloop_bell_init(pthread_cond_t *bell) {
    #if defined(__APPLE__)
        return pthread_cond_init(bell, NULL);
    #else
        pthread_condattr_t attributes;
        int failed = pthread_condattr_init(&attributes);
        if (!failed) {
            failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
            if (!failed) {
                failed = pthread_cond_init(bell, &attributes);
            }
            pthread_condattr_destroy(&attributes);
        }
        return failed;
    #endif
    }
    /* Also after a fork, in the child: nobody else is left who could hold the lock. */
    static int clearloop_thread_init(clearloop_monitor *monitor) {
        static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
        monitor->mutex = fresh;
        return clearloop_bell_init(&monitor->bell) || clearloop_bell_init(&monitor->end) ? -1 : 0;
    }
    static void clearloop_lock(clearloop_monitor *monitor) { pthread_mutex_lock(&monitor->mutex); }
    static void clearloop_unlock(clearloop_monitor *monitor) { pthread_mutex_unlock(&monitor->mutex); }

    /* Waits for the bell; `nanoseconds` < 0: without end.  The lock is held before and after. */
    static void clearloop_wait_until(clearloop_monitor *monitor, pthread_cond_t *bell, int64_t nanoseconds) {
        struct timespec until;
        if (nanoseconds < 0) {
            pthread_cond_wait(bell, &monitor->mutex);
            return;
        }
    #if defined(__APPLE__)
        until.tv_sec = nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        pthread_cond_timedwait_relative_np(bell, &monitor->mutex, &until);
    #else
        clock_gettime(CLOCK_MONOTONIC, &until);
        nanoseconds += until.tv_nsec;
        until.tv_sec += nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        pthread_cond_timedwait(bell, &monitor->mutex, &until);
    #endif
    }
    static void clearloop_wait_for_bell(clearloop_monitor *monitor, int64_t nanoseconds) {
        clearloop_wait_until(monitor, &monitor->bell, nanoseconds);
    }
    static void clearloop_wait_for_end(clearloop_monitor *monitor, int64_t nanoseconds) {
        clearloop_wait_until(monitor, &monitor->end, nanoseconds);
    }
    static void clearloop_ring_bell(clearloop_monitor *monitor) { pthread_cond_signal(&monitor->bell); }
    static void clearloop_ring_end(clearloop_monitor *monitor) { pthread_cond_broadcast(&monitor->end); }

    static int clearloop_start(void *(*body)(void *)) {
        pthread_t thread;
        pthread_attr_t attributes;
        sigset_t all, before;
        int failed = pthread_attr_init(&attributes);
        if (failed) {
            return failed;
        }
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&thread, &attributes, body, NULL);
    #if defined(__linux__)
        if (!failed) {
            pthread_setname_np(thread, "clearloop-watch");  /* it cannot have ended yet: it wants the lock first */
        }
    #endif
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        return failed;
    }

    /* A thread that has run its last line is there for some more microseconds, and fork counts it; 20 ms at most. */
    static void clearloop_see_off(int tid) {
    #if defined(__linux__)
        const struct timespec moment = {0, 20000};
        int left = 1000;
        while (tid > 0 && left-- > 0 && syscall(SYS_tgkill, getpid(), tid, 0) == 0) {
            nanosleep(&moment, NULL);
        }
    #else
        (void) tid;
    #endif
    }
    """
    ctypedef struct Monitor "clearloop_monitor":
        pass
    int thread_init "clearloop_thread_init"(Monitor* monitor) nogil
    void lock "clearloop_lock"(Monitor* monitor) nogil
    void unlock "clearloop_unlock"(Monitor* monitor) nogil
    void wait_for_bell "clearloop_wait_for_bell"(Monitor* monitor, int64_t nanoseconds) nogil
    void wait_for_end "clearloop_wait_for_end"(Monitor* monitor, int64_t nanoseconds) nogil
    void ring_bell "clearloop_ring_bell"(Monitor* monitor) nogil
    void ring_end "clearloop_ring_end"(Monitor* monitor) nogil
    int start_thread "clearloop_start"(void* (*body)(void*) noexcept nogil) nogil
    void see_off "clearloop_see_off"(int tid) nogil
