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

What one look makes of a loop is in stretch.pxd, all loops together in probe_list.pxd, and what is done with the GIL in
observing.py; here is the thread: when it looks, sleeps, begins and ends.

Who may do what: the list of probes, and what the watchdog has seen, belong to the lock; nobody waits for the GIL while
holding the lock.  A probe is freed by the thread, if there is one, since only the thread knows whether it looks at it.
"""

import atexit
import os
import sys

import cython
from cython.cimports.clearloop.system.capi import (
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyGILState_Ensure,
    PyGILState_Release,
    PyGILState_STATE,
    PyThreadState,
    PyThreadState_Get,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.inside import (
    in_main_interpreter,
    own_clock,
    own_interpreter,
    own_tid,
    run_delay,
)
from cython.cimports.clearloop.system.noted import Noted, note
from cython.cimports.clearloop.system.observing import facts, observe
from cython.cimports.clearloop.system.posix_thread import (
    Monitor,
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
from cython.cimports.clearloop.system.probe import RUNNING, STOPPED, Probe
from cython.cimports.clearloop.system.probe_list import (
    any_loop_runs,
    first_that_needs_the_gil,
    free_the_gone,
    look_at_all,
    park_all,
    park_unless_awake,
    stop_all,
    unlink_probe,
    unpark_all,
)
from cython.cimports.clearloop.system.stretch import descriptor_since, entry_since, step_held_since
from cython.cimports.cpython.exc import PyErr_WriteUnraisable
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free

# Answers to `clearloop ps` and its kin: started once a loop has run for a while, so never in a short program
LIVE = "clearloop.watch.live"
# CLEARLOOP_LIVE: 0 never, 1 with the first loop, else half a second after it; in nanoseconds, -1: never
_live = os.environ.get("CLEARLOOP_LIVE", "")
LIVE_AFTER = cython.declare(
    int64_t, -1 if _live in ("0", "no", "off", "false") else 0 if _live == "1" else 500_000_000
)

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
_rung = cython.declare(cython.bint, False)    # the bell has been rung: a condition alone forgets
_rounds = cython.declare(uint64_t, 0)         # how often the thread has looked at all loops
_waiting = cython.declare(cython.int, 0)      # stalls that have ended and that the observer has not heard of
_ended = cython.declare(list, [])
_numbers = cython.declare(cython.int, 0)
_threads = cython.declare(cython.int, 0)
_live_wanted = cython.declare(cython.bint, LIVE_AFTER >= 0)  # it has not been started, and nobody has switched it off
_live_at = cython.declare(int64_t, 0)              # when it shall be; 0: no loop has begun to run since
# A thread that Python does not know of enters the main interpreter: it cannot look into another one, and does not try
_enabled = cython.declare(
    cython.bint, os.environ.get("CLEARLOOP_WATCH", "1") not in ("0", "no", "off", "false") and in_main_interpreter()
)

_watch = cython.declare(Monitor)
_monitor = cython.declare(cython.pointer(Monitor), cython.address(_watch))
thread_init(_monitor)


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
    lock(_monitor)
    probe.activity = STOPPED
    probe.loop = cython.NULL
    probe.tail = cython.NULL
    probe.gone = True
    if probe.number >= 0 and _where != NONE:
        unlock(_monitor)  # the thread frees it
        return 0
    unlink_probe(cython.address(_probes), probe)
    unlock(_monitor)
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
    lock(_monitor)
    if probe.number < 0:
        probe.number = _numbers
        _numbers += 1
        probe.next = _probes
        _probes = probe
    unlock(_monitor)
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
    lock(_monitor)
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
                park_all(_probes)  # no thread to be had: the loops ask again when they next leave the kernel
            else:
                _threads += 1
    else:
        _rung = True
        ring_bell(_monitor)
    unlock(_monitor)


def facts_of(probe):
    """What is known of the stretch that holds the loop: a tuple, for the observer."""
    return facts(probe, _monitor)


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
    """Since when the entry at `place` of the ready ring was seen there; -1 when it was not."""
    lock(_monitor)
    found: int64_t = entry_since(probe, place, otherwise)
    unlock(_monitor)
    return found


def events_since(probe, otherwise):
    """Since when some descriptor of the loop was ready; -1 when none was seen to be."""
    lock(_monitor)
    found: int64_t = descriptor_since(probe, otherwise)
    unlock(_monitor)
    return found


def held_since(probe):
    """Since when the step that runs now has been running, as far as the watchdog has seen; 0 when it has not."""
    lock(_monitor)
    found: int64_t = step_held_since(probe)
    unlock(_monitor)
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
    lock(_monitor)
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
        free_the_gone(cython.address(_probes))
        tick = look_at_all(_probes, now, late)
        _rounds += 1
        wanted = first_that_needs_the_gil(_probes)
        if (wanted != cython.NULL or _waiting) and now >= _not_before:
            _where = OBSERVING
            unlock(_monitor)
            ask_observer(wanted)
            lock(_monitor)
            _where = AWAKE
            due = 0
            if not _waiting:
                ring_end(_monitor)
            continue
        if _rung:
            ring_end(_monitor)  # somebody may have asked for this round
        if _stop:
            break
        if _live_at != 0 and now >= _live_at:
            _live_at = 0
            if any_loop_runs(_probes):
                _where = OBSERVING
                unlock(_monitor)
                start_live()
                lock(_monitor)
                _where = AWAKE
                due = 0
                ring_end(_monitor)
                continue
        _rung = False
        if tick == 0 and _waiting:
            tick = _not_before - now  # what has ended is to be told all the same
        if tick == 0:
            if park_unless_awake(_probes):
                _where = PARKED
                while not _rung and not _stop:
                    if _live_at == 0:
                        wait_for_bell(_monitor, -1)
                        continue
                    tick = _live_at - monotonic_ns()
                    if tick <= 0:
                        break
                    wait_for_bell(_monitor, tick)
                _where = AWAKE
                unpark_all(_probes)
                asked = 0
            due = 0
            continue
        due = now + tick
        while not (_stop or _rung):
            now = monotonic_ns()
            tick = due - now
            if tick <= 0 or (_waiting and now >= _not_before):
                break
            wait_for_bell(_monitor, tick)
    free_the_gone(cython.address(_probes))
    unlock(_monitor)
    leave_python()
    lock(_monitor)
    _where = NONE
    _threads -= 1
    park_all(_probes)
    ring_end(_monitor)
    unlock(_monitor)
    return cython.NULL


# ---- the thread, with the GIL --------------------------------------------------------------------------------------

_noted = cython.declare(Noted)  # before we wait for the GIL
_gil = cython.declare(PyGILState_STATE)
_thread = cython.declare(cython.pointer(PyThreadState), cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ask_observer(probe: cython.pointer(Probe)) -> cython.void:
    """Take the GIL, with a thread state of our own that is made once, and let the observer do its work."""
    global _thread
    began: int64_t = monotonic_ns()
    note(cython.address(_noted), probe)
    enter_python()
    call_observer(probe, began)
    _thread = PyEval_SaveThread()


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
    global _not_before, _waiting
    if not observe(probe, _monitor, cython.address(_noted), began, _ended):
        _not_before = monotonic_ns() + PATIENCE
    _waiting = len(_ended)


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


# ---- forking and ending --------------------------------------------------------------------------------------------


def stop():
    """End the thread when it has told what it knows: before a fork, and when the interpreter ends."""
    global _stop, _tid
    state: cython.pointer(PyThreadState) = PyEval_SaveThread()
    left: int64_t = FAREWELL
    until: int64_t = monotonic_ns() + left
    lock(_monitor)
    while _where != NONE and left > 0:
        _stop = True  # again: another thread's fork may have withdrawn it
        ring_bell(_monitor)
        wait_for_end(_monitor, left if left < 50_000_000 else 50_000_000)
        left = until - monotonic_ns()
    ended: cython.bint = _where == NONE
    tid: cython.int = 0
    if ended:
        tid = _tid
        _tid = 0
    unlock(_monitor)
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
    lock(_monitor)
    before: uint64_t = _rounds
    while (_waiting or _where == OBSERVING or _rounds == before) and _where != NONE and left > 0:
        _rung = True
        ring_bell(_monitor)
        wait_for_end(_monitor, left if left < 10_000_000 else 10_000_000)
        left = until - monotonic_ns()
    done: cython.bint = not _waiting and _where != OBSERVING and (_rounds != before or _where == NONE)
    unlock(_monitor)
    PyEval_RestoreThread(state)
    return done


def want_live(delay: cython.double):
    """Start the live view (again), so many seconds after a loop was seen running; below 0: never by itself."""
    global _live_wanted, _live_at, _rung
    lock(_monitor)
    _live_wanted = delay >= 0
    _live_at = 0
    if _live_wanted:
        _live_at = monotonic_ns() + cython.cast(int64_t, delay * 1e9)
        _rung = True
        ring_bell(_monitor)
    unlock(_monitor)


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
    lock(_monitor)
    _stop = False  # of a thread that has not ended in time, and that may go on now
    if _where == NONE:
        park_all(_probes)  # the thread starts when a loop next leaves the kernel
    probe: cython.pointer(Probe) = _probes
    while probe != cython.NULL and probe.activity == STOPPED:
        probe = probe.next
    unlock(_monitor)
    if probe != cython.NULL and not WARNS_AFTER:
        wake(probe)


def _after_fork_in_child():
    """No thread came along, and the loops that the parent runs do not run here, unless one goes on: it says so."""
    global _where, _threads, _thread, _waiting, _ended, _live_wanted, _live_at
    thread_init(_monitor)
    _live_wanted = LIVE_AFTER >= 0
    _live_at = 0
    _where = NONE
    _threads = 0
    _thread = cython.NULL
    _waiting = 0
    _ended = []
    stop_all(_probes)


# 3.12 and the first of 3.13 count the threads after this hook, and warn
WARNS_AFTER = cython.declare(cython.bint, sys.version_info[:2] in ((3, 12), (3, 13)))

os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(_at_exit)
