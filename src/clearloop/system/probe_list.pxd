# The list of all probes that the watchdog looks at, through their own `next`: for whoever has its lock.
#
# Only the thread takes a probe out of it while there is a thread, since only the thread knows whether it looks at it.
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from clearloop.system.probe cimport RUNNING, STOPPED, Probe, fence
from clearloop.system.stretch cimport look_at, needs_the_gil

cdef enum:
    SHORTEST_TICK = 500_000  # ns
    LONGEST_TICK = 100_000_000


cdef inline void unlink_probe(Probe** place, Probe* probe) noexcept nogil:
    while place[0] != NULL:
        if place[0] == probe:
            place[0] = probe.next
            return
        place = &place[0].next


cdef inline void free_the_gone(Probe** place) noexcept nogil:
    cdef Probe* probe
    while place[0] != NULL:
        probe = place[0]
        if probe.gone:
            place[0] = probe.next
            free(probe)
        else:
            place = &probe.next


cdef inline int64_t look_at_all(Probe* probe, int64_t now, int64_t late) noexcept nogil:
    """Look at every loop; return the time until the next look, 0 when all of them sleep."""
    cdef int64_t tick = 0
    cdef int64_t own
    while probe != NULL:
        if look_at(probe, now, late):
            own = probe.threshold // 10
            own = SHORTEST_TICK if own < SHORTEST_TICK else LONGEST_TICK if own > LONGEST_TICK else own
            if tick == 0 or own < tick:
                tick = own
        probe = probe.next
    return tick


cdef inline Probe* first_that_needs_the_gil(Probe* probe) noexcept nogil:
    while probe != NULL and not needs_the_gil(probe):
        probe = probe.next
    return probe


cdef inline bint any_loop_runs(Probe* probe) noexcept nogil:
    while probe != NULL:
        if probe.activity != STOPPED and not probe.gone:
            return True
        probe = probe.next
    return False


cdef inline void park_all(Probe* probe) noexcept nogil:
    """Nobody looks now: whichever loop leaves the kernel first rings, or starts the thread."""
    while probe != NULL:
        probe.parked = 1
        probe = probe.next


cdef inline void unpark_all(Probe* probe) noexcept nogil:
    while probe != NULL:
        probe.parked = 0
        probe = probe.next


cdef inline bint park_unless_awake(Probe* first) noexcept nogil:
    """Tell every loop that we sleep, and look once more; False when one has woken up meanwhile."""
    cdef Probe* probe = first
    park_all(first)
    fence()
    while probe != NULL:
        if probe.activity == RUNNING and probe.threshold != 0:
            unpark_all(first)
            return False
        probe = probe.next
    return True


cdef inline void stop_all(Probe* probe) noexcept nogil:
    """In a forked child: none of these loops runs here, unless one goes on, and says so."""
    while probe != NULL:
        probe.slow = 0
        probe.activity = STOPPED
        probe.seen_activity = STOPPED
        probe.parked = 1
        probe = probe.next
