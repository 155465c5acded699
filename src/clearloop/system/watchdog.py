"""The watchdog: one thread for all loops, which sees that a loop is held while it is held.

It is a thread of the C library, without the GIL, so that it runs while a call holds that.  It reads each loop's probe
(probe.pxd) every tenth of the loop's threshold: a step counter that has not moved for the threshold is a slow step, a
turn counter that has not moved while steps did is a slow turn.  Only then does it take the GIL, once, and calls the
observer, plain Python (clearloop.watch.watchdog), which is imported when there is something to observe.

The loops pay for this with stores into their own memory: no clock, no lock, no system call per step.  When every loop
has waited in the kernel for a whole tick the watchdog sleeps without an end (it is *parked*), and the first loop that
leaves its wait rings the bell.  So while nothing happens nobody wakes up.

Nothing ends the watching but the end of the interpreter.  What the observer raises is logged once and costs that
stall; a thread that cannot be had, or that ends for a fork, is started by the next loop that leaves the kernel, since
every loop believes it parked.

Who may do what: the list of probes, and what the watchdog has seen, belong to the lock; nobody waits for the GIL while
holding the lock.  A probe is freed by the thread, if there is one, since only the thread knows whether it looks at it.
"""

import atexit
import os
import sys

import cython
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_INCREF_raw,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyGILState_Ensure,
    PyGILState_Release,
    PyGILState_STATE,
    PyThreadState,
    PyThreadState_Get,
    reference_count,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.inside import (
    COLLECTING,
    FOR_GIL,
    IN_CALL,
    IN_FAULT,
    cpu_time,
    descriptor_ready,
    gil_holder,
    own_clock,
    own_interpreter,
    own_tid,
    run_delay,
    what_it_does,
)
from cython.cimports.clearloop.system.posix_thread import (
    lock,
    ring_bell,
    ring_end,
    see_off,
    start_thread,
    thread_init,
    unlock,
    wait_for_bell,
    wait_for_end,
)
from cython.cimports.clearloop.system.probe import (
    MARKS,
    RUNNING,
    SLOW_STEP,
    SLOW_TURN,
    STOPPED,
    WAITING,
    Probe,
    fence,
)
from cython.cimports.clearloop.system.unlocked import frames_unlocked, ident_unlocked, uintptr_t
from cython.cimports.cpython.exc import PyErr_SetObject, PyErr_WriteUnraisable
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free

# The observer, by name, since this room knows nobody above it
OBSERVER = "clearloop.watch.watchdog"
# Answers to `clearloop ps` and its kin: started once a loop has run for a while, so never in a short program
LIVE = "clearloop.watch.live"
# CLEARLOOP_LIVE: 0 never, 1 with the first loop, else half a second after it; in nanoseconds, -1: never
_live = os.environ.get("CLEARLOOP_LIVE", "")
LIVE_AFTER = cython.declare(
    int64_t, -1 if _live in ("0", "no", "off", "false") else 0 if _live == "1" else 500_000_000
)

SHORTEST_TICK = cython.declare(int64_t, 500_000)
LONGEST_TICK = cython.declare(int64_t, 100_000_000)
LATE_FROM = cython.declare(int64_t, 2_000_000)  # waking up that much too late is usual
REFRESH = cython.declare(int64_t, 100_000_000)   # how often we ask how long we ourselves waited for a processor
PATIENCE = cython.declare(int64_t, 100_000_000)  # after an observer that failed: the time until it is called again
# A last stall may still have to be told when the interpreter ends: that long, and no longer
FAREWELL = cython.declare(int64_t, 2_000_000_000)

# where the thread is
NONE = cython.declare(cython.int, 0)
AWAKE = cython.declare(cython.int, 1)
PARKED = cython.declare(cython.int, 2)
OBSERVING = cython.declare(cython.int, 3)  # it has or wants the GIL

_probes = cython.declare(cython.pointer(Probe), cython.NULL)
_where = cython.declare(cython.int, 0)
_stop = cython.declare(cython.bint, False)    # the thread shall end
_tid = cython.declare(cython.int, 0)          # of the thread, or of the last one
_barred = cython.declare(cython.bint, False)  # no thread shall be started: the interpreter ends
_not_before = cython.declare(int64_t, 0)      # when the observer may be called again
_failed = cython.declare(cython.bint, False)  # it was said that the observer has failed
_rung = cython.declare(cython.bint, False)    # the bell has been rung: a condition alone forgets
_rounds = cython.declare(uint64_t, 0)         # how often the thread has looked at all loops
_waiting = cython.declare(cython.int, 0)      # stalls that have ended and that the observer has not heard of
_ended = cython.declare(list, [])
_numbers = cython.declare(cython.int, 0)
_threads = cython.declare(cython.int, 0)
_observer = cython.declare(object, None)
_live_wanted = cython.declare(cython.bint, LIVE_AFTER >= 0)  # it has not been started, and nobody has switched it off
_live_at = cython.declare(int64_t, 0)              # when it shall be; 0: no loop has begun to run since
_enabled = cython.declare(cython.bint, os.environ.get("CLEARLOOP_WATCH", "1") not in ("0", "no", "off", "false"))

thread_init()


# ---- called by the engine, with the GIL ----------------------------------------------------------------------------


def new_probe(loop, tail):
    global _numbers
    probe: cython.pointer(Probe) = cython.cast(cython.pointer(Probe), calloc(1, cython.sizeof(Probe)))
    if probe == cython.NULL:
        raise MemoryError()
    probe.loop = loop
    probe.tail = tail
    probe.events_fd = -1
    probe.wake = wake
    probe.number = -1
    return probe


def release_probe(probe):
    """The loop is gone.  What its probe says stays readable for as long as the thread may look at it."""
    global _probes
    place: cython.pointer(cython.pointer(Probe))
    lock()
    probe.activity = STOPPED
    probe.loop = cython.NULL
    probe.tail = cython.NULL
    probe.gone = True
    if probe.number >= 0 and _where != NONE:
        unlock()  # the thread frees it
        return 0
    place = cython.address(_probes)
    while place[0] != cython.NULL:
        if place[0] == probe:
            place[0] = probe.next
            break
        place = cython.address(place[0].next)
    unlock()
    free(probe)
    return 0


def run_begins(probe):
    """The loop's thread begins to turn: from now on the loop is watched."""
    global _probes, _numbers
    probe.thread = PyThreadState_Get()
    probe.interpreter = own_interpreter()
    probe.tid = own_tid()
    probe.clock = own_clock()
    probe.slow = 0
    probe.epoch += 1
    probe.activity = RUNNING
    if not _enabled or probe.threshold == 0 or _barred:
        return 0
    watch(probe)
    return 0


@cython.cfunc
@cython.exceptval(-1)
def watch(probe: cython.pointer(Probe)) -> cython.int:
    global _probes, _numbers
    lock()
    if probe.number < 0:
        probe.number = _numbers
        _numbers += 1
        probe.next = _probes
        _probes = probe
    unlock()
    wake(probe)
    return 0


def run_ends(probe):
    probe.slow = 0
    probe.activity = STOPPED
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def wake(probe: cython.pointer(Probe)) -> cython.void:
    """Start the thread, or wake it if it is parked.  Needs no GIL."""
    global _where, _stop, _threads, _rung, _live_at
    lock()
    probe.parked = 0
    probe.looked = monotonic_ns()
    if _live_wanted and _live_at == 0:
        _live_at = probe.looked + LIVE_AFTER
    if _where == NONE:
        if not _barred:
            _stop = False
            _where = AWAKE
            if start_thread(body) != 0:
                _where = NONE
                park_all()  # no thread to be had: the loops ask again when they next leave the kernel
            else:
                _threads += 1
    else:
        _rung = True
        ring_bell()
    unlock()


def facts_of(probe):
    """What is known of the stretch that holds the loop: a tuple, for the observer."""
    lock()
    now: int64_t = monotonic_ns()
    delay: int64_t = run_delay(probe.tid)
    catch_up(probe, now)
    looked: cython.bint = probe.delay_since != 0 and probe.delay_first >= 0
    facts = (
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
    unlock()
    return facts


def stretch_ends(probe):
    """What held the loop has ended, and has been described: the time begins anew."""
    probe.slow = 0
    probe.epoch += 1
    return 0


def set_threshold(probe, nanoseconds):
    """0: not watched."""
    probe.threshold = nanoseconds
    if nanoseconds and probe.activity != STOPPED and probe.number < 0 and _enabled and not _barred:
        watch(probe)
    return 0


def hand_over(ended):
    global _waiting
    _ended.append(ended)
    _waiting = len(_ended)
    return 0


def ready_since(probe, place, otherwise):
    """Since when the entry at `place` of the ready ring was seen there; the lock is not needed, nor held."""
    number: cython.int
    lock()
    found: int64_t = -1
    for number in range(probe.mark_count):
        if place < probe.marks[number].tail:
            found = otherwise if number == 0 else probe.marks[number].time
            break
    unlock()
    return found


def events_since(probe, otherwise):
    """Since when some descriptor of the loop was ready; -1 when none was seen to be."""
    number: cython.int
    lock()
    found: int64_t = -1
    for number in range(probe.mark_count):
        if probe.marks[number].events:
            found = otherwise if number == 0 else probe.marks[number].time
            break
    unlock()
    return found


# ---- the thread, without the GIL -----------------------------------------------------------------------------------


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def body(argument: cython.p_void) -> cython.p_void:
    """The thread: look, sleep for a tick, look again."""
    global _where, _threads, _rung, _live_at, _tid, _rounds
    tick: int64_t
    due: int64_t = 0
    now: int64_t
    late: int64_t
    own_delay: int64_t
    known_delay: int64_t = 0
    asked: int64_t = 0
    tid: cython.int = own_tid()
    wanted: cython.pointer(Probe)
    lock()
    _tid = tid
    while True:
        now = monotonic_ns()
        late = now - due if due != 0 and now - due > LATE_FROM else 0
        if late > 0 or now - asked > REFRESH:
            # Too late since the machine was busy with others says nothing about the loops; too late without having
            # waited for a processor: nobody ran
            own_delay = run_delay(tid)
            if own_delay >= 0:
                late -= own_delay - known_delay
                known_delay = own_delay
            late = late if late > LATE_FROM else 0
            asked = now
        tick = look_at_all(now, late)
        _rounds += 1
        wanted = first_that_needs_the_gil()
        if (wanted != cython.NULL or _waiting) and now >= _not_before:
            _where = OBSERVING
            unlock()
            observe(wanted)
            lock()
            _where = AWAKE
            due = 0
            if not _waiting:
                ring_end()
            continue
        if _rung:
            ring_end()  # somebody may have asked for this round
        if _stop:
            break
        if _live_at != 0 and now >= _live_at:
            _live_at = 0
            if any_loop_runs():
                _where = OBSERVING
                unlock()
                start_live()
                lock()
                _where = AWAKE
                due = 0
                ring_end()
                continue
        _rung = False
        if tick == 0 and _waiting:
            tick = _not_before - now  # what has ended is to be told all the same
        if tick == 0:
            if park():
                _where = PARKED
                while not _rung and not _stop:
                    if _live_at == 0:
                        wait_for_bell(-1)
                        continue
                    tick = _live_at - monotonic_ns()
                    if tick <= 0:
                        break
                    wait_for_bell(tick)
                _where = AWAKE
                unpark()
                asked = 0
            due = 0
            continue
        due = now + tick
        while not (_stop or _rung):
            now = monotonic_ns()
            tick = due - now
            if tick <= 0 or (_waiting and now >= _not_before):
                break
            wait_for_bell(tick)
    free_the_gone()
    unlock()
    leave_python()
    lock()
    _where = NONE
    _threads -= 1
    park_all()
    ring_end()
    unlock()
    return cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def look_at_all(now: int64_t, late: int64_t) -> int64_t:
    """Look at every loop; return the time until the next look, 0 when all of them sleep."""
    tick: int64_t = 0
    own: int64_t
    free_the_gone()
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        if look_at(probe, now, late):
            own = probe.threshold // 10
            own = SHORTEST_TICK if own < SHORTEST_TICK else LONGEST_TICK if own > LONGEST_TICK else own
            if tick == 0 or own < tick:
                tick = own
        probe = probe.next
    return tick


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def look_at(probe: cython.pointer(Probe), now: int64_t, late: int64_t) -> cython.bint:
    """One sample of one loop; return whether it is awake."""
    activity: cython.int = probe.activity
    expected: uint64_t = probe.expected  # before the epoch, which moves before this is taken back
    turns: uint64_t = probe.turns
    steps: uint64_t = probe.steps
    epoch: uint64_t = probe.epoch
    was: cython.int = probe.seen_activity
    looked: int64_t = probe.looked
    own: int64_t
    probe.looked = now
    if late >= probe.threshold and was == RUNNING and late > probe.missed:
        probe.missed = late  # nobody ran: the process was stopped, or the machine was elsewhere
    probe.seen_activity = activity
    if activity != RUNNING or probe.threshold == 0:
        quiet: cython.bint = activity == STOPPED or (was == WAITING and turns == probe.seen_turns)
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


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def forget_stretch(probe: cython.pointer(Probe)) -> cython.void:
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
    probe.holder = cython.NULL
    probe.reported = False
    if probe.slow != 0 and probe.activity != RUNNING:
        probe.slow = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def not_its_fault(probe: cython.pointer(Probe)) -> int64_t:
    """How long the machine kept the thread from running, as far as that is known by now."""
    delay: int64_t = 0
    if probe.delay_since != 0 and probe.delay_first >= 0 and probe.delay_now > probe.delay_first:
        delay = probe.delay_now - probe.delay_first
    delay += probe.in_fault
    return delay if delay > probe.late else probe.late


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sample(probe: cython.pointer(Probe), now: int64_t) -> cython.void:
    """A stretch that lasts for more than a tick: what does the thread do, and who waits already?"""
    delay: int64_t
    passed: int64_t
    place: cython.int
    call: cython.long = -1
    if probe.delay_since == 0:
        probe.delay_first = probe.delay_now = run_delay(probe.tid)  # -1 when it cannot be read
        probe.delay_since = now
    elif now - probe.turn_since >= probe.threshold // 2:
        delay = run_delay(probe.tid)
        if delay >= 0:
            probe.delay_now = delay
    probe.kind = what_it_does(probe.interpreter, probe.thread, probe.tid, cython.address(call))
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
    if probe.tail != cython.NULL:
        probe.marks[probe.mark_count].time = now
        probe.marks[probe.mark_count].tail = probe.tail[0]
        probe.marks[probe.mark_count].events = descriptor_ready(probe.events_fd)
        probe.mark_count += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_up(probe: cython.pointer(Probe), passed: int64_t) -> cython.void:
    if probe.kind == FOR_GIL:
        probe.in_gil += passed
    elif probe.kind == IN_CALL:
        probe.in_call += passed
    elif probe.kind == COLLECTING:
        probe.in_gc += passed
    elif probe.kind == IN_FAULT:
        probe.in_fault += passed


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def vote(probe: cython.pointer(Probe), call: cython.long, passed: int64_t) -> cython.void:
    """The call to be told is the one that lasted, not the last one; a majority vote needs no list of them."""
    if call == probe.call:
        probe.call_time += passed
    elif probe.call_time <= passed:
        probe.call = call
        probe.call_time = passed - probe.call_time
    else:
        probe.call_time -= passed


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def catch_up(probe: cython.pointer(Probe), now: int64_t) -> cython.void:
    """We could not look for a while, since we waited for the GIL: the thread did what it was mostly seen doing."""
    passed: int64_t = now - probe.sampled
    seen: int64_t = probe.sampled - probe.delay_since
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


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def first_that_needs_the_gil() -> cython.pointer(Probe):
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        if probe.machine != 0:
            return probe
        if probe.slow != 0 and not probe.reported and probe.next_look != 0 and probe.sampled >= probe.next_look:
            return probe
        probe = probe.next
    return cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def park() -> cython.bint:
    """Tell every loop that we sleep, and look once more; False when one has woken up meanwhile."""
    probe: cython.pointer(Probe)
    park_all()
    fence()
    probe = _probes
    while probe != cython.NULL:
        if probe.activity == RUNNING and probe.threshold != 0:
            unpark()
            return False
        probe = probe.next
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def park_all() -> cython.void:
    """Nobody looks now: whichever loop leaves the kernel first rings, or starts the thread."""
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        probe.parked = 1
        probe = probe.next


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unpark() -> cython.void:
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        probe.parked = 0
        probe = probe.next


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def any_loop_runs() -> cython.bint:
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        if probe.activity != STOPPED and not probe.gone:
            return True
        probe = probe.next
    return False


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def free_the_gone() -> cython.void:
    place: cython.pointer(cython.pointer(Probe)) = cython.address(_probes)
    probe: cython.pointer(Probe)
    while place[0] != cython.NULL:
        probe = place[0]
        if probe.gone:
            place[0] = probe.next
            free(probe)
        else:
            place = cython.address(probe.next)


# ---- the thread, with the GIL --------------------------------------------------------------------------------------

# The frames of the thread that we wait for, as they stood before we waited: see unlocked.pxd
_spot_codes = cython.declare(uintptr_t[1000])
_spot_offsets = cython.declare(cython.int[1000])
_spots = cython.declare(cython.int, 0)
# and those of the thread that had it
_hog_codes = cython.declare(uintptr_t[50])
_hog_offsets = cython.declare(cython.int[50])
_hog_spots = cython.declare(cython.int, 0)
_hog = cython.declare(cython.ulong, 0)
SOON = cython.declare(int64_t, 10_000_000)  # two switch intervals: who gives the GIL back on request, does so by then

_gil = cython.declare(PyGILState_STATE)
_thread = cython.declare(cython.pointer(PyThreadState), cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def observe(probe: cython.pointer(Probe)) -> cython.void:
    """Take the GIL, with a thread state of our own that is made once, and let the observer do its work."""
    global _thread, _spots, _hog_spots, _hog
    began: int64_t = monotonic_ns()
    _spots = _hog_spots = 0
    _hog = 0
    if probe != cython.NULL and probe.activity == RUNNING:
        _spots = frames_unlocked(probe.thread, _spot_codes, _spot_offsets, 1000)
        if not still_held(probe):
            _spots = 0  # frames of whatever came next
        if probe.holder != cython.NULL and probe.holder != probe.thread:
            _hog = ident_unlocked(probe.holder)
            _hog_spots = frames_unlocked(probe.holder, _hog_codes, _hog_offsets, 50)
    enter_python()
    call_observer(probe, began)
    _thread = PyEval_SaveThread()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def still_held(probe: cython.pointer(Probe)) -> cython.bint:
    """Whether what the last look has found to be slow still goes on."""
    return (
        probe.slow != 0
        and probe.activity == RUNNING
        and probe.turns == probe.seen_turns
        and probe.epoch == probe.seen_epoch
        and (probe.slow == SLOW_TURN or probe.steps == probe.seen_steps)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def enter_python() -> cython.void:
    global _gil
    if _thread == cython.NULL:
        _gil = PyGILState_Ensure()
    else:
        PyEval_RestoreThread(_thread)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def start_live() -> cython.void:
    global _thread
    enter_python()
    call_live()
    _thread = PyEval_SaveThread()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def leave_python() -> cython.void:
    global _thread
    if _thread != cython.NULL:
        PyEval_RestoreThread(_thread)
        _thread = cython.NULL
        PyGILState_Release(_gil)


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def call_observer(probe: cython.pointer(Probe), began: int64_t) -> cython.void:
    global _observer, _not_before, _waiting, _ended
    kept: cython.bint = False
    place: cython.int
    spots: list = []
    hog: list = []
    waited: int64_t
    loop: cython.pointer(PyObject) = cython.NULL
    try:
        if _observer is None:
            _observer = __import__(OBSERVER, None, None, ["*"])
        for place in range(_spots):
            spots.append((_spot_codes[place], _spot_offsets[place]))
        for place in range(_hog_spots):
            hog.append((_hog_codes[place], _hog_offsets[place]))
        if _waiting:
            ended = _ended
            _ended = []
            _waiting = 0
            # what still goes on has another end than those
            of_ended: list = [] if probe != cython.NULL and still_held(probe) else spots
            _observer.ended(ended, probe.number if probe != cython.NULL else -1, of_ended, (_hog, hog))
        if probe != cython.NULL:
            # a loop whose last reference is gone may still run code while it dies: it must not be held again
            loop = probe.loop
            if loop != cython.NULL and reference_count(loop) > 0:
                Py_INCREF_raw(loop)
                kept = True
                # Had we the GIL soon, then the frames that stand there now tell more; the import may take long as well
                waited = monotonic_ns() - began
                look_closer(probe, cython.cast(object, loop), spots if waited > SOON else [], (_hog, hog))
    except BaseException as error:
        _not_before = monotonic_ns() + PATIENCE
        if _observer is not None:
            give_up(probe)
        if _observer is not None or not isinstance(error, OSError):  # no descriptor left to import it with: try again
            tell_failure(error)
    finally:
        if kept:
            Py_DECREF_raw(loop)


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def call_live() -> cython.void:
    """What fails in there says so itself; the watchdog goes on without it."""
    global _live_wanted
    _live_wanted = False
    try:
        __import__(LIVE, None, None, ["*"]).start()
    except OSError:
        pass  # no descriptor was left to import it with
    except BaseException:
        PyErr_WriteUnraisable(LIVE)


@cython.cfunc
@cython.exceptval(-1)
def look_closer(probe: cython.pointer(Probe), loop: object, spots: list, hog: tuple) -> cython.int:
    """The observer looks at the loop, now that we have the GIL, unless what held it has ended meanwhile."""
    machine: int64_t = probe.machine
    if machine != 0:
        probe.machine = 0
        _observer.descheduled(probe.number, machine)
        return 0
    lock()
    catch_up(probe, monotonic_ns())
    same: cython.bint = still_held(probe)
    probe.looks += 1
    looks: cython.int = probe.looks
    # at 1, 2, 3, 4, 6, 8, 12, 16 ... thresholds: few looks, however long it lasts
    step: int64_t = probe.threshold
    while step * 4 < probe.sampled - probe.turn_since:
        step *= 2
    probe.next_look = probe.sampled + step
    unlock()
    if not same:
        return 0
    stalled = _observer.noticed(loop, probe.number, facts_of(probe), looks, spots, hog)
    if not stalled:
        lock()
        if probe.seen_epoch == probe.epoch and probe.seen_turns == probe.turns:
            probe.reported = True
            probe.slow = 0
        unlock()
    return 0


@cython.cfunc
@cython.exceptval(-1)
def tell_failure(error: object) -> cython.int:
    """Once; it goes on all the same."""
    global _failed
    if _failed:
        return 0
    _failed = True
    if _observer is None:
        PyErr_SetObject(type(error), error)
        PyErr_WriteUnraisable(OBSERVER)
        return 0
    try:
        _observer.failed(error)
    except BaseException:
        pass  # a logging handler of the program's: there is nobody left to tell
    return 0


@cython.cfunc
@cython.exceptval(-1)
def give_up(probe: cython.pointer(Probe)) -> cython.int:
    """Nothing more is said of the stretch at which the observer failed."""
    if probe != cython.NULL:
        lock()
        probe.reported = True
        unlock()
    return 0


# ---- forking and ending --------------------------------------------------------------------------------------------


def stop():
    """End the thread when it has told what it knows: before a fork, and when the interpreter ends."""
    global _stop, _tid
    state: cython.pointer(PyThreadState) = PyEval_SaveThread()
    left: int64_t = FAREWELL
    until: int64_t = monotonic_ns() + left
    lock()
    while _where != NONE and left > 0:
        _stop = True  # again: another thread's fork may have withdrawn it
        ring_bell()
        wait_for_end(left if left < 50_000_000 else 50_000_000)
        left = until - monotonic_ns()
    ended: cython.bint = _where == NONE
    tid: cython.int = 0
    if ended:
        tid = _tid
        _tid = 0
    unlock()
    see_off(tid)
    PyEval_RestoreThread(state)
    return ended


def flush(seconds: cython.double = 2.0):
    """Wait, at most that long, until every stall that has ended was handed over; return whether that is so.

    The thread looks once more for it: that the machine did not run the process is only known after the fact.
    """
    global _rung
    state: cython.pointer(PyThreadState) = PyEval_SaveThread()
    left: int64_t = cython.cast(int64_t, seconds * 1e9)
    until: int64_t = monotonic_ns() + left
    lock()
    before: uint64_t = _rounds
    while (_waiting or _where == OBSERVING or _rounds == before) and _where != NONE and left > 0:
        _rung = True
        ring_bell()
        wait_for_end(left if left < 10_000_000 else 10_000_000)
        left = until - monotonic_ns()
    done: cython.bint = not _waiting and _where != OBSERVING and (_rounds != before or _where == NONE)
    unlock()
    PyEval_RestoreThread(state)
    return done


def want_live(delay: cython.double):
    """Start the live view (again), so many seconds after a loop was seen running; below 0: never by itself."""
    global _live_wanted, _live_at, _rung
    lock()
    _live_wanted = delay >= 0
    _live_at = 0
    if _live_wanted:
        _live_at = monotonic_ns() + cython.cast(int64_t, delay * 1e9)
        _rung = True
        ring_bell()
    unlock()


def held_since(probe):
    """Since when the step that runs now has been running, as far as the watchdog has seen; 0 when it has not."""
    since: int64_t = 0
    lock()
    if (
        probe.activity == RUNNING
        and probe.seen_activity == RUNNING
        and probe.turns == probe.seen_turns
        and probe.epoch == probe.seen_epoch
        and probe.steps == probe.seen_steps
    ):
        since = probe.step_since
    unlock()
    return since


def threads():
    """How many watchdogs there are: 0 or 1."""
    return _threads


def _at_exit():
    global _barred
    _barred = True
    stop()


def _before_fork():
    # A child has no threads, and a parent with threads is warned of forking: there is none while it forks.  One that is
    # observing may wait for a lock that the forking thread holds already, so it is not waited for.
    if _where != OBSERVING:
        stop()


def _after_fork_in_parent():
    global _stop
    lock()
    _stop = False  # of a thread that has not ended in time, and that may go on now
    if _where == NONE:
        park_all()  # the thread starts when a loop next leaves the kernel
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL and probe.activity == STOPPED:
        probe = probe.next
    unlock()
    if probe != cython.NULL and not WARNS_AFTER:
        wake(probe)


def _after_fork_in_child():
    """No thread came along, and the loops that the parent runs do not run here, unless one goes on: it says so."""
    global _where, _threads, _thread, _waiting, _ended, _live_wanted, _live_at
    thread_init()
    _live_wanted = LIVE_AFTER >= 0
    _live_at = 0
    _where = NONE
    _threads = 0
    _thread = cython.NULL
    _waiting = 0
    _ended = []
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL:
        probe.slow = 0
        probe.activity = STOPPED
        probe.seen_activity = STOPPED
        probe.parked = 1
        probe = probe.next


# 3.12 counts the threads after this hook, and warns
WARNS_AFTER = cython.declare(cython.bint, sys.version_info[:2] == (3, 12))

os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(_at_exit)
