# The monotonic clock in nanoseconds, as time.monotonic() counts it (22 ns a read), and its coarse twin, which moves
# once per scheduler tick of the kernel (1 to 4 ms) and costs 3 ns: enough to bound how long a poll is put off.  Where
# there is no coarse clock, the fine one is divided into ticks.
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <time.h>
    #ifdef __APPLE__
    #define CLEARLOOP_CLOCK CLOCK_UPTIME_RAW
    #define CLEARLOOP_COARSE CLOCK_UPTIME_RAW_APPROX
    #else
    #define CLEARLOOP_CLOCK CLOCK_MONOTONIC
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE)
    #define CLEARLOOP_COARSE CLOCK_MONOTONIC_COARSE
    #elif defined(CLOCK_MONOTONIC_FAST)
    #define CLEARLOOP_COARSE CLOCK_MONOTONIC_FAST
    #else
    #define CLEARLOOP_COARSE -1
    #endif
    #endif
    """
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now) nogil
    int CLOCK "CLEARLOOP_CLOCK"
    int COARSE "CLEARLOOP_COARSE"

cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec

cdef inline int64_t coarse_ns() noexcept nogil:
    cdef timespec now
    if COARSE == -1:
        return monotonic_ns() >> 22 << 22  # 4 ms
    clock_gettime(COARSE, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec
