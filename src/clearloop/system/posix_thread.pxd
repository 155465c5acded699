# A thread that Python does not know of, a lock and a bell: what the watchdog is made of.
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

    static pthread_mutex_t clearloop_mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t clearloop_bell;
    static pthread_cond_t clearloop_end;  /* the thread says that it has ended, or that nothing is left to hand over */

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
    static int clearloop_thread_init(void) {
        static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
        clearloop_mutex = fresh;
        return clearloop_bell_init(&clearloop_bell) || clearloop_bell_init(&clearloop_end) ? -1 : 0;
    }
    static void clearloop_lock(void) { pthread_mutex_lock(&clearloop_mutex); }
    static void clearloop_unlock(void) { pthread_mutex_unlock(&clearloop_mutex); }

    /* Waits for the bell; `nanoseconds` < 0: without end.  The lock is held before and after. */
    static void clearloop_wait_until(pthread_cond_t *bell, int64_t nanoseconds) {
        struct timespec until;
        if (nanoseconds < 0) {
            pthread_cond_wait(bell, &clearloop_mutex);
            return;
        }
    #if defined(__APPLE__)
        until.tv_sec = nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        pthread_cond_timedwait_relative_np(bell, &clearloop_mutex, &until);
    #else
        clock_gettime(CLOCK_MONOTONIC, &until);
        nanoseconds += until.tv_nsec;
        until.tv_sec += nanoseconds / 1000000000;
        until.tv_nsec = nanoseconds % 1000000000;
        pthread_cond_timedwait(bell, &clearloop_mutex, &until);
    #endif
    }
    static void clearloop_wait_for_bell(int64_t nanoseconds) { clearloop_wait_until(&clearloop_bell, nanoseconds); }
    static void clearloop_wait_for_end(int64_t nanoseconds) { clearloop_wait_until(&clearloop_end, nanoseconds); }
    static void clearloop_ring_bell(void) { pthread_cond_signal(&clearloop_bell); }
    static void clearloop_ring_end(void) { pthread_cond_broadcast(&clearloop_end); }

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
    int thread_init "clearloop_thread_init"() nogil
    void lock "clearloop_lock"() nogil
    void unlock "clearloop_unlock"() nogil
    void wait_for_bell "clearloop_wait_for_bell"(int64_t nanoseconds) nogil
    void wait_for_end "clearloop_wait_for_end"(int64_t nanoseconds) nogil
    void ring_bell "clearloop_ring_bell"() nogil
    void ring_end "clearloop_ring_end"() nogil
    int start_thread "clearloop_start"(void* (*body)(void*) noexcept nogil) nogil
    void see_off "clearloop_see_off"(int tid) nogil
