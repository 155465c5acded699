"""Looking, from another thread, at a loop that is asyncio's own: nothing in it is patched, and nothing runs in it.

asyncio's loop says in its frames what it does: each turn is one call of `BaseEventLoop._run_once`, whose local
variables hold when the turn began (`end_time`), which entry of the batch runs (`i` of `ntodo`) and its handle; a frame
of `Handle._run` above it is a step.  So two looks that find the same turn and the same place have seen the same step.

As in looking.py each function runs in one go, with the GIL: what it sees is true at one moment, it runs no code of the
program and gives back code objects, positions, strings and numbers.  It keeps no frame: one that was kept would have
the program's objects die later, and in this thread.
"""

import asyncio
import sys
import types

import cython
from cython.cimports.clearloop.engine.looking import resolve_in
from cython.cimports.clearloop.engine.names import task_behind
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyThreadState,
    steal,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.frames import (
    attribute_raw,
    frame_back,
    frame_code,
    frame_globals,
    frame_lasti,
    frame_local,
)
from cython.cimports.clearloop.system.inside import (
    COLLECTING,
    ON_CPU,
    collecting,
    own_interpreter,
    wait_for,
    what_it_does,
)
from cython.cimports.cpython.ref import Py_INCREF, PyObject
from cython.cimports.libc.stdint import int64_t

from clearloop.engine.names import callback_name, coroutine_name, task_name, type_name

MOST = cython.declare(cython.Py_ssize_t, 3000)  # frames
_current_frames = cython.declare(object, sys._current_frames)
_LOOPS = cython.declare(cython.int, 16)  # looked at before the GIL is taken
_TASK = cython.declare(object, asyncio.Task)
_FUTURE = cython.declare(object, asyncio.Future)
_SLEPT = cython.declare(object, asyncio.futures._set_result_unless_cancelled)


def pause(seconds: float, bell: cython.int, threads: tuple):
    """Sleep, then see what the threads do before this one asks for the GIL, since that would change it.

    The sleep ends early when the descriptor `bell` is readable.  `threads` are kernel thread ids.  Returns
    ([(kind, system call)...], when the sleep ended, when the GIL was there); see system/inside.pxd for the kinds.
    """
    tids: cython.int[16]
    kinds: cython.int[16]
    calls: cython.long[16]
    count: cython.int = min(len(threads), _LOOPS)
    place: cython.int
    for place in range(count):
        tids[place] = threads[place]
    interpreter: cython.p_void = own_interpreter()
    rest: int64_t = cython.cast(int64_t, seconds * 1e9)
    woke: int64_t
    state: cython.pointer(PyThreadState) = PyEval_SaveThread()
    wait_for(bell, rest)
    woke = monotonic_ns()
    for place in range(count):
        kinds[place] = what_it_does(interpreter, cython.NULL, tids[place], cython.address(calls[place]))
        if kinds[place] == ON_CPU and collecting(interpreter):
            kinds[place] = COLLECTING
    PyEval_RestoreThread(state)
    return [(kinds[place], calls[place]) for place in range(count)], woke, monotonic_ns()


def innermost(ident):
    """The innermost frame of a thread: a new reference, or NULL."""
    frames: dict = _current_frames()
    frame = frames.get(ident)
    if frame is None:
        return cython.cast(cython.pointer(PyObject), cython.NULL)
    Py_INCREF(frame)
    return cython.cast(cython.pointer(PyObject), frame)


def threads_in(code):
    """[(thread, loop)] of the threads in which a frame runs `code`, the innermost one that does; `self` is the loop."""
    found: list = []
    frame: cython.pointer(PyObject)
    loop: cython.pointer(PyObject)
    for ident in list(_current_frames()):
        frame = outward(innermost(ident), code)
        if frame == cython.NULL:
            continue
        loop = frame_local(frame, "self")
        Py_DECREF_raw(frame)
        if loop != cython.NULL:
            found.append((ident, steal(loop)))
    return found


def outward(frame: cython.pointer(PyObject), code):
    """The first frame from `frame` (which it takes) outwards that runs `code`: a new reference, or NULL."""
    back: cython.pointer(PyObject)
    depth: cython.Py_ssize_t = 0
    while frame != cython.NULL:
        if frame_code(frame) is code:
            return frame
        back = frame_back(frame) if depth < MOST else cython.NULL
        Py_DECREF_raw(frame)
        frame = back
        depth += 1
    return frame


def step_of(ident, turn, run, keep: cython.bint):
    """What a thread does in a turn of asyncio's loop; None when it is in none.

    `turn` is the code of `_run_once`, `run` that of `Handle._run`.  Returns (when the turn began in seconds of the
    loop's clock or None, place in the batch or None, size of the batch, task, callback, frames): place is None between
    steps and while the loop waits.  The names, and the frames as looking.frames_of() gives them, only if `keep`.
    """
    frame: cython.pointer(PyObject) = innermost(ident)
    back: cython.pointer(PyObject)
    found: list = []
    running: cython.bint = False
    task = callback = frames = None
    depth: cython.Py_ssize_t = 0
    while frame != cython.NULL:
        code = frame_code(frame)
        if code is turn:
            break
        running = code is run
        if not running and keep:
            found.append((code, frame_lasti(frame), frame_globals(frame)))
        elif running and keep:
            frames = found  # only what is above it; nested loops begin anew
            found = []
        back = frame_back(frame) if depth < MOST else cython.NULL
        Py_DECREF_raw(frame)
        frame = back
        depth += 1
    if frame == cython.NULL:
        return None
    try:
        began = local(frame, "end_time")
        if not running:
            return began, None, 0, None, None, None
        if keep:
            task, callback = described(local(frame, "handle"))
        return began, local(frame, "i"), local(frame, "ntodo"), task, callback, frames
    finally:
        Py_DECREF_raw(frame)


def resolve(ident, depth: cython.Py_ssize_t, code, lasti: cython.int, names: tuple):
    """As looking.resolve(), in the thread `ident`."""
    return resolve_in(innermost(ident), depth, code, lasti, names)


def local(frame: cython.pointer(PyObject), name):
    value: cython.pointer(PyObject) = frame_local(frame, name)
    return steal(value) if value != cython.NULL else None


def attribute(owner, name):
    value: cython.pointer(PyObject) = attribute_raw(cython.cast(cython.pointer(PyObject), owner), name)
    return steal(value) if value != cython.NULL else None


def described(handle):
    """(name of the task or None, what runs in words or None) of one of asyncio's handles."""
    if handle is None:
        return None, None
    callback = attribute(handle, "_callback")
    if callback is None:
        return None, None  # cancelled
    task = task_behind(callback)
    if task is not None:
        # A task in C keeps its coroutine behind a getter, which runs nothing of the program's
        return task_name(task), coroutine_name(coroutine_of(task))
    if callback is _SLEPT:  # asyncio.sleep(): a future whose waiter is the task
        task = waiter_of(handle)
        if task is not None:
            return task_name(task), coroutine_name(coroutine_of(task))
    return None, callback_name(callback)


def waiter_of(handle):
    arguments = attribute(handle, "_args")
    if type(arguments) is not tuple or not arguments:
        return None
    future = arguments[0]
    if type(future) is not _FUTURE:
        return None
    waiters = future._callbacks
    if type(waiters) is not list:
        return None
    for waiter in waiters:
        task = task_behind(waiter[0])
        if task is not None:
            return task
    return None


def coroutine_of(task):
    if type(task) is _TASK:
        return task.get_coro()
    return attribute(task, "_coro")


def waiting_in(loop, now: float, began: float, before: cython.Py_ssize_t, known: dict, most: cython.Py_ssize_t):
    """Who waits for a loop of asyncio's that is held up: (how many, [(task, callback, since when)...]).

    `now` and `began`, of the block, are of the loop's clock; the first `before` of the ready ones stood there when it
    began.  `known` maps the id of an entry to when it was first seen, and is kept from look to look.
    """
    found: list = []
    count: cython.Py_ssize_t = 0
    place: cython.Py_ssize_t = 0
    ready = attribute(loop, "_ready")
    if ready is not None:
        for handle in ready:
            since = began if place < before else known.setdefault(id(handle), now)
            place += 1
            if attribute(handle, "_cancelled") is True:
                continue
            count += 1
            if len(found) < most:
                task, callback = described(handle)
                found.append((task, callback, since))
            elif place > 10000:
                count += len(ready) - place
                break
    timers = attribute(loop, "_scheduled")
    places: list = [0] if type(timers) is list and timers else []
    while places and count < 20000:
        place = places.pop()
        if place >= len(timers):
            continue
        handle = timers[place]
        when = attribute(handle, "_when")
        if type(when) is not float or when > now:
            continue
        places.append(2 * place + 1)
        places.append(2 * place + 2)
        if attribute(handle, "_cancelled") is True:
            continue
        count += 1
        if len(found) < 2 * most:
            task, callback = described(handle)
            found.append((task, callback, max(when, began)))
    return count, found


def reader_behind(loop, fd):
    """(task, callback) of who waits for a descriptor to be readable or writable, in words; None: nobody."""
    selector = attribute(loop, "_selector")
    keys = attribute(selector, "_fd_to_key") if selector is not None else None
    key = keys.get(fd) if type(keys) is dict else None
    if key is None:
        return None
    for handle in key.data or ():
        if handle is None:
            continue
        task, callback = described(handle)
        if task is not None:
            return task, callback
        callback = attribute(handle, "_callback")
        owner = callback.__self__ if type(callback) is types.MethodType else None
        protocol = attribute(owner, "_protocol") if owner is not None else None
        if protocol is not None:
            return None, type_name(type(protocol))
        return None, callback_name(callback)
    return None
