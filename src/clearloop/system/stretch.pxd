# A stretch: the time for which one loop is held, as its watchdog sees it, tick by tick, in the probe (probe.pxd).
#
# Nothing here takes the GIL, a lock or memory.  All of it is for whoever has the lock of the watchdog (watchdog.py),
# still_held() excepted, which only compares.
from libc.stdint cimport int64_t, uint64_t

from clearloop.system.inside cimport (
    COLLECTING,
    FOR_GIL,
    IN_CALL,
    IN_FAULT,
    cpu_time,
    descriptor_ready,
    gil_holder,
    run_delay,
    what_it_does,
)
from clearloop.system.probe cimport MARKS, RUNNING, SLOW_STEP, SLOW_TURN, STOPPED, WAITING, Probe


# ---- each tick -----------------------------------------------------------------------------------------------------


cdef inline bint look_at(Probe* probe, int64_t now, int64_t late) noexcept nogil:
    """One sample of one loop; return whether it is awake.  `late`: the watchdog itself ran that much too late."""
    cdef int activity = probe.activity
    cdef uint64_t expected = probe.expected  # before the epoch, which moves before this is taken back
    cdef uint64_t turns = probe.turns
    cdef uint64_t steps = probe.steps
    cdef uint64_t epoch = probe.epoch
    cdef int was = probe.seen_activity
    cdef int64_t looked = probe.looked
    cdef int64_t own
    cdef bint quiet
    probe.looked = now
    if late >= probe.threshold and was == RUNNING and late > probe.missed:
        probe.missed = late  # nobody ran: the process was stopped, or the machine was elsewhere
    probe.seen_activity = activity
    if activity != RUNNING or probe.threshold == 0:
        quiet = activity == STOPPED or (was == WAITING and turns == probe.seen_turns)
        probe.seen_turns = turns
        forget_stretch(probe)
        return not quiet and probe.threshold != 0
    if was != RUNNING or turns != probe.seen_turns or epoch != probe.seen_epoch:
        # the loop has been to the kernel, or what held it is known: all begins anew
        forget_stretch(probe)
        probe.seen_turns = turns
        probe.seen_epoch = epoch
        probe.seen_steps = steps
        probe.turn_steps = steps
        probe.turn_since = probe.step_since = now
        if probe.polled > looked and probe.polled < now:
            looked = probe.polled
        probe.turn_began = probe.step_began = looked
        probe.turn_cpu = probe.step_cpu = cpu_time(probe.clock)
        return True
    if steps != probe.seen_steps:
        probe.seen_steps = steps
        probe.step_since = now
        probe.step_began = looked
        probe.step_cpu = cpu_time(probe.clock)
    if late > 0:
        probe.late += late
    sample(probe, now)
    if expected == steps + 1 or probe.reported:
        return True
    own = now - probe.turn_since - not_its_fault(probe)
    if own < probe.threshold:
        if now - probe.turn_since >= probe.threshold:
            probe.missed = now - probe.turn_since
        return True
    probe.missed = 0
    if probe.slow == 0:
        own = now - probe.step_since - not_its_fault(probe)
        probe.looks = 0
        probe.next_look = now
        probe.slow_steps = steps
        probe.slow_turns = turns
        # last: the loop's thread acts on it
        probe.slow = SLOW_STEP if own >= probe.threshold else SLOW_TURN
    return True


cdef inline void forget_stretch(Probe* probe) noexcept nogil:
    if probe.missed != 0 and probe.machine == 0:
        probe.machine = probe.missed
    probe.missed = 0
    probe.late = probe.in_gil = probe.in_call = probe.in_gc = probe.in_fault = 0
    probe.delay_since = probe.sampled = probe.next_look = 0
    probe.mark_count = probe.mark_skip = 0
    probe.mark_stride = 1
    probe.looks = 0
    probe.call = -1
    probe.call_time = 0
    probe.kind = 0
    probe.holder = NULL
    probe.reported = False
    if probe.slow != 0 and probe.activity != RUNNING:
        probe.slow = 0


cdef inline int64_t not_its_fault(Probe* probe) noexcept nogil:
    """How long the machine kept the thread from running, as far as that is known by now."""
    cdef int64_t delay = 0
    if probe.delay_since != 0 and probe.delay_first >= 0 and probe.delay_now > probe.delay_first:
        delay = probe.delay_now - probe.delay_first
    delay += probe.in_fault
    return delay if delay > probe.late else probe.late


cdef inline void sample(Probe* probe, int64_t now) noexcept nogil:
    """A stretch that lasts for more than a tick: what does the thread do, and who waits already?"""
    cdef int64_t delay
    cdef int64_t passed
    cdef int place
    cdef long call = -1
    if probe.delay_since == 0:
        probe.delay_first = probe.delay_now = run_delay(probe.tid)  # -1 when it cannot be read
        probe.delay_since = now
    elif now - probe.turn_since >= probe.threshold // 2:
        delay = run_delay(probe.tid)
        if delay >= 0:
            probe.delay_now = delay
    probe.kind = what_it_does(probe.interpreter, probe.thread, probe.tid, &call)
    passed = now - probe.sampled if probe.sampled != 0 else 0
    probe.sampled = now
    add_up(probe, passed)
    if call >= 0:
        vote(probe, call, passed)
    if probe.kind == FOR_GIL:
        probe.holder = gil_holder(probe.interpreter)
    # who waits: thinned out when the block lasts, so that the marks spread over all of it
    if probe.mark_skip > 0:
        probe.mark_skip -= 1
        return
    if probe.mark_count == MARKS:
        for place in range(MARKS // 2):
            probe.marks[place] = probe.marks[2 * place]
        probe.mark_count = MARKS // 2
        probe.mark_stride *= 2
    probe.mark_skip = probe.mark_stride - 1
    if probe.tail != NULL:
        probe.marks[probe.mark_count].time = now
        probe.marks[probe.mark_count].tail = probe.tail[0]
        probe.marks[probe.mark_count].events = descriptor_ready(probe.events_fd)
        probe.mark_count += 1


cdef inline void add_up(Probe* probe, int64_t passed) noexcept nogil:
    if probe.kind == FOR_GIL:
        probe.in_gil += passed
    elif probe.kind == IN_CALL:
        probe.in_call += passed
    elif probe.kind == COLLECTING:
        probe.in_gc += passed
    elif probe.kind == IN_FAULT:
        probe.in_fault += passed


cdef inline void vote(Probe* probe, long call, int64_t passed) noexcept nogil:
    """The call to be told is the one that lasted, not the last one; a majority vote needs no list of them."""
    if call == probe.call:
        probe.call_time += passed
    elif probe.call_time <= passed:
        probe.call = call
        probe.call_time = passed - probe.call_time
    else:
        probe.call_time -= passed


cdef inline void catch_up(Probe* probe, int64_t now) noexcept nogil:
    """We could not look for a while, since we waited for the GIL: the thread did what it was mostly seen doing."""
    cdef int64_t passed = now - probe.sampled
    cdef int64_t seen = probe.sampled - probe.delay_since
    if probe.sampled == 0:
        return
    if 2 * probe.in_gil > seen:
        probe.in_gil += passed
    elif 2 * probe.in_call > seen:
        probe.in_call += passed
    elif 2 * probe.in_gc > seen:
        probe.in_gc += passed
    else:
        add_up(probe, passed)
    probe.sampled = now


# ---- past the threshold --------------------------------------------------------------------------------------------


cdef inline bint needs_the_gil(Probe* probe) noexcept nogil:
    """Whether there is something to tell, which Python has to do."""
    if probe.machine != 0:
        return True
    return probe.slow != 0 and not probe.reported and probe.next_look != 0 and probe.sampled >= probe.next_look


cdef inline bint still_held(Probe* probe) noexcept nogil:
    """Whether what the last look has found to be slow still goes on."""
    return (
        probe.slow != 0
        and probe.activity == RUNNING
        and probe.turns == probe.seen_turns
        and probe.epoch == probe.seen_epoch
        and (probe.slow == SLOW_TURN or probe.steps == probe.seen_steps)
    )


cdef inline int begin_look(Probe* probe, int64_t now) noexcept nogil:
    """Its number, from 1; 0: what held the loop has ended meanwhile."""
    cdef bint same
    cdef int64_t step = probe.threshold
    catch_up(probe, now)
    same = still_held(probe)
    probe.looks += 1
    # at 1, 2, 3, 4, 6, 8, 12, 16 ... thresholds: few looks, however long it lasts
    while step * 4 < probe.sampled - probe.turn_since:
        step *= 2
    probe.next_look = probe.sampled + step
    return probe.looks if same else 0


cdef inline void no_stall(Probe* probe) noexcept nogil:
    """Who has looked says that it is none, and nothing more is told of it."""
    if probe.seen_epoch == probe.epoch and probe.seen_turns == probe.turns:
        probe.reported = True
        probe.slow = 0


cdef inline tuple stretch_facts(Probe* probe, int64_t now):
    """What is known of it: the numbers that clearloop.watch.facts names."""
    cdef int64_t delay = run_delay(probe.tid)
    cdef bint looked
    catch_up(probe, now)
    looked = probe.delay_since != 0 and probe.delay_first >= 0
    return (
        now,
        probe.step_since,
        probe.step_began,
        probe.turn_since,
        probe.turn_began,
        cpu_time(probe.clock),
        probe.step_cpu,
        probe.turn_cpu,
        probe.late,
        delay - probe.delay_first if looked and delay >= 0 else 0,
        now - probe.delay_since if looked else 0,
        probe.in_gil,
        probe.in_gc,
        probe.in_fault,
        probe.kind,
        probe.call,
        probe.steps - probe.turn_steps,
        probe.slow,
        probe.threshold,
        probe.in_call,
    )


# ---- who waits -----------------------------------------------------------------------------------------------------


cdef inline int64_t entry_since(Probe* probe, uint64_t place, int64_t otherwise) noexcept nogil:
    """Since when the entry at `place` of the ready ring was seen there; -1 when it was not."""
    cdef int number
    for number in range(probe.mark_count):
        if place < probe.marks[number].tail:
            return otherwise if number == 0 else probe.marks[number].time
    return -1


cdef inline int64_t descriptor_since(Probe* probe, int64_t otherwise) noexcept nogil:
    """Since when some descriptor of the loop was ready; -1 when none was seen to be."""
    cdef int number
    for number in range(probe.mark_count):
        if probe.marks[number].events:
            return otherwise if number == 0 else probe.marks[number].time
    return -1


cdef inline int64_t step_held_since(Probe* probe) noexcept nogil:
    """Since when the step that runs now has been seen running; 0 when it has not."""
    if (
        probe.activity == RUNNING
        and probe.seen_activity == RUNNING
        and probe.turns == probe.seen_turns
        and probe.epoch == probe.seen_epoch
        and probe.steps == probe.seen_steps
    ):
        return probe.step_since
    return 0
