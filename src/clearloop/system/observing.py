"""What the watchdog does with the GIL: it calls the observer, and outlives whatever that raises.

The observer is plain Python (clearloop.watch.watchdog), and imported when there is something to observe.

The observer is told three things: what has ended, that the machine did not run us, and what holds a loop just now.  The
loop is kept alive meanwhile, but the probe is not looked at without the lock of the watchdog, whose loop's thread goes
on as soon as the observer lets go of the GIL.
"""

import cython
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, Py_INCREF_raw, reference_count
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.noted import Noted, noted_frames, noted_holder
from cython.cimports.clearloop.system.posix_thread import Monitor, lock, unlock
from cython.cimports.clearloop.system.probe import Probe
from cython.cimports.clearloop.system.stretch import begin_look, no_stall, still_held, stretch_facts
from cython.cimports.cpython.exc import PyErr_SetObject, PyErr_WriteUnraisable
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import int64_t

# The observer, by name, since this room knows nobody above it
OBSERVER = "clearloop.watch.watchdog"
SOON = cython.declare(int64_t, 10_000_000)  # two switch intervals: who gives the GIL back on request, does so by then

_observer = cython.declare(object, None)
_failed = cython.declare(cython.bint, False)  # it was said that the observer has failed


@cython.cfunc
@cython.exceptval(check=False)
def observe(
    probe: cython.pointer(Probe),
    monitor: cython.pointer(Monitor),
    noted: cython.pointer(Noted),
    began: int64_t,
    ended: list,
) -> cython.bint:
    """Tell the observer of `ended`, which it empties, and of `probe`, if any; False when that has failed.

    `began`: when we asked for the GIL; `noted`: what stood on the stacks then.
    """
    global _observer
    kept: cython.bint = False
    well: cython.bint = True
    frames: list
    of_ended: list
    loop: cython.pointer(PyObject) = cython.NULL
    try:
        if _observer is None:
            _observer = __import__(OBSERVER, None, None, ["*"])
        frames = noted_frames(noted)
        if ended:
            taken = ended[:]
            ended.clear()
            # what still goes on has another end than those
            of_ended = [] if probe != cython.NULL and still_held(probe) else frames
            _observer.ended(taken, probe.number if probe != cython.NULL else -1, of_ended, noted_holder(noted))
        if probe != cython.NULL and probe.machine != 0:
            tell_machine(probe)  # of a loop that dies as well: else we would be asked again and again until it is gone
        elif probe != cython.NULL:
            # a loop whose last reference is gone may still run code while it dies: it must not be held again
            loop = probe.loop
            if loop != cython.NULL and reference_count(loop) > 0:
                Py_INCREF_raw(loop)
                kept = True
                # Had we the GIL soon, then the frames that stand there now tell more; the import may take long as well
                if monotonic_ns() - began <= SOON:
                    frames = []
                look_closer(probe, monitor, cython.cast(object, loop), frames, noted_holder(noted))
    except BaseException as error:
        well = False
        if _observer is not None:
            give_up(probe, monitor)
        if _observer is not None or not isinstance(error, OSError):  # no descriptor left to import it with: try again
            tell_failure(error)
    finally:
        if kept:
            Py_DECREF_raw(loop)
    return well


@cython.cfunc
@cython.exceptval(-1)
def tell_machine(probe: cython.pointer(Probe)) -> cython.int:
    """The machine did not run us for a while."""
    machine: int64_t = probe.machine
    probe.machine = 0
    _observer.descheduled(probe.number, machine)
    return 0


@cython.cfunc
@cython.exceptval(-1)
def look_closer(
    probe: cython.pointer(Probe), monitor: cython.pointer(Monitor), loop: object, frames: list, holder: tuple
) -> cython.int:
    """The observer looks at the loop, now that we have the GIL, unless what held it has ended meanwhile."""
    lock(monitor)
    looks: cython.int = begin_look(probe, monotonic_ns())
    unlock(monitor)
    if looks == 0:
        return 0
    if not _observer.noticed(loop, probe.number, facts(probe, monitor), looks, frames, holder):
        lock(monitor)
        no_stall(probe)
        unlock(monitor)
    return 0


@cython.cfunc
def facts(probe: cython.pointer(Probe), monitor: cython.pointer(Monitor)) -> tuple:
    lock(monitor)
    found: tuple = stretch_facts(probe, monotonic_ns())
    unlock(monitor)
    return found


@cython.cfunc
@cython.exceptval(-1)
def give_up(probe: cython.pointer(Probe), monitor: cython.pointer(Monitor)) -> cython.int:
    """Nothing more is said of the stretch at which the observer failed."""
    if probe != cython.NULL:
        lock(monitor)
        probe.reported = True
        unlock(monitor)
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
