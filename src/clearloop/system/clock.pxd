# The monotonic clock in nanoseconds, as time.monotonic() counts it (22 ns a read), and its coarse twin, which moves
# once per scheduler tick of the kernel (1 to 4 ms) and costs 3 ns: enough to bound how long a poll is put off.
from libc.stdint cimport int64_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now)
    int CLOCK_MONOTONIC
    int CLOCK_MONOTONIC_COARSE

cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec

cdef inline int64_t coarse_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec
