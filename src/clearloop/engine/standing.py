"""Where every unfinished task stands, seen at one moment: the lines of its awaits, and what it waits for.

It is asked from the live view's thread, of a loop that may be blocked or in the middle of a step.  So one look runs in
one go, as those of looking.py do: compiled, with the collector kept out, and without a line of Python code in between;
nothing of the program's runs, no object of it is kept, and what comes out is names, numbers and code objects.  A task
takes some 10 us: of many tasks some hundred are looked at in one go, so that the loop is not held up for long.

Our Lock knows the number of the task that has taken it.  Of asyncio's own, and of semaphores, nothing is written down.
Who holds them is found instead, as far as that goes: whoever is inside `async with lock` has the lock's `__aexit__`
among the values of its coroutine; who has called acquire() stays unknown.
"""

import asyncio
import gc
import types
import weakref

import cython
from cython.cimports.clearloop.engine.future import PENDING, Future
from cython.cimports.clearloop.engine.gather import _GatheringFuture
from cython.cimports.clearloop.engine.handle import Handle
from cython.cimports.clearloop.engine.lock_core import EventCore, LockCore, SemaphoreCore
from cython.cimports.clearloop.engine.queue_core import Putters, QueueCore
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.sleep import SleepFuture
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timeout_core import Alarm, Timeout
from cython.cimports.clearloop.engine.timers import Timers
from cython.cimports.clearloop.engine.wait_core import Gate
from cython.cimports.clearloop.engine.waiters import Line, Waiter
from cython.cimports.clearloop.system.capi import steal
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.frames import PyGC_Disable, PyGC_Enable, attribute_raw, frame_local
from cython.cimports.clearloop.system.probe import RUNNING, SLOW_TURN, WAITING
from cython.cimports.clearloop.system.watchdog import facts_of, held_since
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.stdint import int64_t, uintptr_t

from clearloop.engine.looking import frames_of
from clearloop.engine.names import coroutine_name, plain, task_name, type_name

__all__ = [
    "activity",
    "any_locks",
    "begin",
    "everybody",
    "find",
    "find_other",
    "forsaken",
    "frames_of",
    "holders",
    "identity",
    "rows",
    "stretch",
]

DEEPEST = cython.declare(cython.Py_ssize_t, 1000)  # awaits in a chain
MOST_CHILDREN = cython.declare(cython.Py_ssize_t, 1000)
MOST_HOLDERS = cython.declare(cython.Py_ssize_t, 10)  # of one semaphore

_COROUTINE = cython.declare(object, types.CoroutineType)
_GENERATOR = cython.declare(object, types.GeneratorType)
_ASYNC_GENERATOR = cython.declare(object, types.AsyncGeneratorType)
_referents = cython.declare(object, gc.get_referents)
_SLEPT = cython.declare(object, asyncio.futures._set_result_unless_cancelled)
_FUTURE = cython.declare(object, asyncio.Future)
_FOREIGN_TASK = cython.declare(object, asyncio.Task)
_ASYNCIO_TIMEOUT = cython.declare(object, asyncio.timeouts.Timeout)
_type_module = cython.declare(object, type.__dict__["__module__"].__get__)
_type_short_name = cython.declare(object, type.__dict__["__name__"].__get__)
_type_bases = cython.declare(object, type.__dict__["__mro__"].__get__)
_reference = cython.declare(object, weakref.ref)
_all_tasks = cython.declare(object, asyncio.all_tasks)

# The callback by which asyncio chains a future to another one: its closure knows that other
_CANCELS_SOURCE = cython.declare(
    object,
    next(
        (
            code
            for code in asyncio.futures._chain_future.__code__.co_consts
            if type(code) is types.CodeType
            and code.co_name == "_call_check_cancel"
            and "source" in code.co_freevars
        ),
        None,
    ),
)

# What a coroutine function of asyncio's or ours waits for, where the future that it awaits does not tell: by the end of
# its file's path and its name
_PLACES = cython.declare(
    dict,
    {
        ("asyncio/locks.py", "acquire"): "lock",
        ("asyncio/locks.py", "wait"): "event",
        ("asyncio/queues.py", "get"): "queue get",
        ("asyncio/queues.py", "put"): "queue put",
        ("asyncio/queues.py", "join"): "queue join",
        ("clearloop/queues.py", "join"): "queue join",
        ("asyncio/taskgroups.py", "__aexit__"): "group",
        ("asyncio/taskgroups.py", "_aexit"): "group",
        ("asyncio/tasks.py", "_wait"): "tasks",
        ("asyncio/tasks.py", "_cancel_and_wait"): "end",
        ("clearloop/waiting.py", "_at_once"): "end",
        ("asyncio/streams.py", "_wait_for_data"): "reading",
        ("asyncio/streams.py", "_drain_helper"): "writing",
        ("clearloop/streams.py", "_drain_helper"): "writing",
        ("asyncio/base_subprocess.py", "_wait"): "process",
        ("asyncio/subprocess.py", "wait"): "process",
        ("process/subprocesses.py", "turn"): "start",
        ("net/server.py", "serve_forever"): "server",
        ("asyncio/base_events.py", "serve_forever"): "server",
        ("net/connect.py", "connect"): "connect",
        ("net/tls/start.py", "start_tls"): "handshake",
    },
)


@cython.cfunc
def address(found):
    return cython.cast(uintptr_t, cython.cast(cython.pointer(PyObject), found))


def identity(task):
    """The number that a task goes by: the recorder's, and for a task of asyncio's own, which has none, its address."""
    if isinstance(task, Task):
        return cython.cast(Task, task).number()
    return address(task)


def activity(loop: Scheduler):
    """(whether it waits in the kernel, seconds that its current step takes already; None: no step, or not known)."""
    if loop.thread_id == 0:
        return False, None
    since: int64_t = held_since(loop.probe)
    return loop.probe.activity == WAITING, (monotonic_ns() - since) / 1e9 if since else None


def stretch(loop: Scheduler):
    """What is known of the stall that goes on, for watch/facts.py; None: none has been noticed."""
    slow: cython.int = loop.probe.slow
    if slow == 0 or loop.probe.activity != RUNNING or loop.probe.turns != loop.probe.slow_turns:
        return None  # it is over, and waits to be described
    if slow != SLOW_TURN and loop.probe.steps != loop.probe.slow_steps:
        return None
    return facts_of(loop.probe)


def find(loop: Scheduler, number):
    """The unfinished task of that number, or None."""
    found: cython.pointer(PyObject) = loop.first_task
    while found != cython.NULL:
        if cython.cast(Task, found).number() == number:
            return cython.cast(object, found)
        found = cython.cast(Task, found).next_task
        if found == loop.first_task:
            break
    for other in foreign(loop):
        if identity(other) == number:
            return other
    return None


def find_other(loop, number):
    """find(), of a loop that is not ours."""
    for task in foreign(loop):
        if identity(task) == number:
            return task
    return None


def everybody(loop):
    """Weak references to the unfinished tasks, oldest first; those of asyncio's own class behind ours."""
    found: list = []
    place: cython.pointer(PyObject) = cython.NULL
    if isinstance(loop, Scheduler):
        place = cython.cast(Scheduler, loop).first_task
    while place != cython.NULL:
        found.append(_reference(cython.cast(object, place)))
        place = cython.cast(Task, place).next_task
        if place == cython.cast(Scheduler, loop).first_task:
            break
    found.extend([_reference(other) for other in foreign(loop)])
    return found


def begin(loop):
    """What rows() and holders() need, to be used for some hundred tasks at a time, so that the loop may run between."""
    look: Look = Look.__new__(Look)
    if isinstance(loop, Scheduler):
        look.loop = loop
    else:
        look.other = loop
    look.locked = []
    look.taken = []
    return look


def rows(look: Look, references: list):
    """A dict for each task that has not ended."""
    collects: cython.bint = PyGC_Disable()
    try:
        # addresses are used again when the loop has run; many timers are read once nevertheless
        if look.loop is None:
            if look.deadlines is None:
                look.read_other_timers(look.other)
        elif look.deadlines is None or look.loop.timers.size < 2000:
            look.read_timers()
        found: list = []
        for reference in references:
            task = reference()
            row = None
            if isinstance(task, Task):
                if cython.cast(Future, task).state == PENDING:
                    row = row_of(look, task)
            elif task is not None:
                row = foreign_row(look, task)
            if row is not None:
                found.append(row)
        return found
    finally:
        if collects:
            PyGC_Enable()


def any_locks(look: Look):
    """Whether somebody waits for a lock, so that holders() has something to find."""
    return bool(look.locked or look.taken)


def holders(look: Look, references: list):
    """Write down which of these tasks hold the locks that others wait for."""
    collects: cython.bint = PyGC_Disable()
    try:
        wanted: dict = {}
        waiting: set = set()
        takers: dict = {}
        for row, found in look.locked:
            wanted.setdefault(found["object"], []).append(found)
            waiting.add((row["id"], found["object"]))
        for _, found, taker in look.taken:
            takers.setdefault(taker, []).append(found)
        for reference in references:
            task = reference()
            if isinstance(task, Task):
                if takers and cython.cast(Task, task).number() in takers:
                    name_holder(task, takers[cython.cast(Task, task).number()])
                if wanted:
                    look_for_exits(task, cython.cast(Task, task).coro, wanted, waiting)
            elif task is not None and wanted and not _FUTURE.done(task):
                look_for_exits(task, _FOREIGN_TASK.get_coro(task), wanted, waiting)
    finally:
        if collects:
            PyGC_Enable()


def forsaken(look: Look):
    """Of locks whose taker nobody has come across, say those whose taker has ended and that are waited for even so.

    The rows may be out of date by now, as the loop may have run since: each is looked at again.
    """
    left: dict = {}
    alive: set = set()
    sure: list = []
    for row, found, taker in look.taken:
        if found["holder"] is None:
            left[row["id"]] = (found, taker)
    if not left or look.loop is None:
        return
    takers: set = {taker for _, taker in left.values()}
    place: cython.pointer(PyObject) = look.loop.first_task
    while place != cython.NULL:
        number = cython.cast(Task, place).number()
        if number in takers:
            alive.add(number)
        if number in left and waits_for_taken(cython.cast(Task, place), left[number][0]["object"], left[number][1]):
            sure.append(left[number])
        place = cython.cast(Task, place).next_task
        if place == look.loop.first_task:
            break
    for found, taker in sure:
        if taker not in alive:
            found["holder"] = {"task": taker, "name": None, "ended": True}


@cython.cfunc
def waits_for_taken(task: Task, lock, taker: cython.uint) -> cython.bint:
    """Whether a task still waits for the lock at that address, and the same task has it."""
    waited = None if task.throws else task.fut_waiter
    if not isinstance(waited, Waiter):
        return False
    line = cython.cast(Waiter, waited).line
    if not isinstance(line, LockCore) or address(line) != lock:
        return False
    return cython.cast(LockCore, line).taken and cython.cast(LockCore, line).taker == taker


@cython.cfunc
@cython.exceptval(-1)
def name_holder(task, found: list) -> cython.int:
    name: object = task_name(task)
    for waits in found:
        if "holders" not in waits:
            waits["holder"] = {"task": identity(task), "name": name}
        elif len(waits["holders"]) < MOST_HOLDERS:
            waits["holders"].append({"task": identity(task), "name": name})
    return 0


def foreign(loop):
    """The tasks of asyncio's own class that run on the loop, by name."""
    found = [task for task in _all_tasks(loop) if not isinstance(task, Task)]
    found.sort(key=identity)
    return found


@cython.cfunc
def age(created: cython.uint):
    """Seconds since a moment that is given in milliseconds of the monotonic clock, modulo 2**32."""
    now: cython.uint = cython.cast(cython.uint, (monotonic_ns() // 1_000_000) & 0xFFFFFFFF)
    passed: cython.uint = now - created
    return passed / 1000 if passed < 0xFFFFFF00 else 0.0  # a coarse clock's "now" may lie a tick behind


@cython.cfunc
def row_of(look: Look, task: Task):
    return look.row(task, task.coro, None if task.throws else task.fut_waiter, task_name(task))


@cython.cfunc
def foreign_row(look: Look, task):
    if not is_a(type(task), _FOREIGN_TASK) or _FUTURE.done(task):
        return None
    return look.row(task, _FOREIGN_TASK.get_coro(task), foreign_waiter(task), task_name(task))


@cython.cfunc
def foreign_waiter(task):
    return _FOREIGN_TASK._fut_waiter.__get__(task) if hasattr(_FOREIGN_TASK, "_fut_waiter") else None


@cython.cfunc
def is_a(kind, base) -> cython.bint:
    """Whether a class has another among its bases, whatever its metaclass says."""
    for found in _type_bases(kind):
        if found is base:
            return True
    return False


@cython.cclass
class Look:
    """What is gathered during one look."""

    def read_timers(self):
        """Deadlines, by what waits for them."""
        self.deadlines = {}
        self.limits = {}
        self.now = monotonic_ns() if self.loop.own_clock else None
        timers: Timers = self.loop.timers
        place: cython.Py_ssize_t
        for place in range(timers.size):
            entry = cython.cast(object, timers.heap[place].entry)
            deadline = timers.heap[place].deadline
            if cython.cast(Runnable, entry).dead:
                continue
            if isinstance(entry, SleepFuture):
                self.deadlines[address(entry)] = deadline
            elif isinstance(entry, Timeout):
                self.note_limit(cython.cast(Timeout, entry).task, deadline)
            elif isinstance(entry, Alarm):
                self.note_limit(cython.cast(Alarm, entry).timeout.task, deadline)
            elif isinstance(entry, Handle):
                callback = cython.cast(Handle, entry).callback
                args = cython.cast(Handle, entry).args
                if callback is _SLEPT and type(args) is tuple and args:
                    self.deadlines[address(args[0])] = deadline
                    continue
                owner = None
                if type(callback) is types.MethodType or type(callback) is types.BuiltinMethodType:
                    owner = callback.__self__
                if isinstance(owner, Gate):
                    self.deadlines[address(owner)] = deadline
                elif owner is not None and type(owner) is _ASYNCIO_TIMEOUT:
                    self.note_limit(attribute(owner, "_task"), deadline)
        return 0

    def read_other_timers(self, loop):
        """As read_timers(), of the loop that asyncio has; of another only the tasks are known."""
        self.deadlines = {}
        self.limits = {}
        self.now = monotonic_ns()
        timers = attribute(loop, "_scheduled")
        if type(timers) is not list:
            return 0
        for entry in timers:
            when = attribute(entry, "_when")
            callback = attribute(entry, "_callback")
            if type(when) is not float or callback is None:
                continue
            deadline = int(when * 1e9)
            args = attribute(entry, "_args")
            if callback is _SLEPT and type(args) is tuple and args:
                self.deadlines[address(args[0])] = deadline
            elif type(callback) is types.MethodType and type(callback.__self__) is _ASYNCIO_TIMEOUT:
                self.note_limit(attribute(callback.__self__, "_task"), deadline)
        return 0

    def note_limit(self, task, deadline):
        if task is not None:
            self.limits.setdefault(identity(task), []).append(deadline)
        return 0

    def left(self, deadline):
        """Seconds until a deadline, negative when it has passed; None when it is not known."""
        if deadline is None or self.now is None:
            return None
        return (deadline - self.now) / 1e9

    def row(self, task, coro, waited, name):
        number = identity(task)
        frames: list = []
        coroutines: list = []
        running: cython.bint = walk(coro, frames, coroutines)
        row: dict = {
            "id": number,
            "name": name,
            "coroutine": coroutine_name(coro),
            "state": "running" if running else "waiting",
            "frames": frames,
            "waits": None,
            "awaits": [],
            "timeouts": sorted([self.left(deadline) for deadline in self.limits.get(number, ())]) if self.now else [],
            "parent": None,
            "age_seconds": None,
        }
        if isinstance(task, Task):
            if cython.cast(Task, task).parent != 0:
                row["parent"] = cython.cast(Task, task).parent
            if cython.cast(Task, task).created != 0:
                row["age_seconds"] = age(cython.cast(Task, task).created)
        if running:
            return row
        if waited is None or is_done(waited):
            row["state"] = "ready"
            return row
        row["waits"] = self.waits(waited, coroutines, row)
        return row

    def waits(self, waited, coroutines, row):
        """What a task waits for, in words and numbers."""
        found: dict
        if isinstance(waited, Task) or task_name(waited) is not None:
            row["awaits"].append(identity(waited))
            return {"kind": "task", "task": identity(waited), "name": task_name(waited)}
        if isinstance(waited, Waiter):
            return self.locked_row(row, waits_in_line(cython.cast(Waiter, waited).line, coroutines))
        if isinstance(waited, SleepFuture):
            return {"kind": "sleep", "seconds_left": self.left(self.deadlines.get(address(waited)))}
        if isinstance(waited, _GatheringFuture):
            return children_of(row, "gather", cython.cast(_GatheringFuture, waited).children)
        if isinstance(waited, Gate):
            found = children_of(row, "wait", cython.cast(Gate, waited).children)
            found["seconds_left"] = self.left(self.deadlines.get(address(waited)))
            return found
        if ours(type(waited)) and hasattr(waited, "_standing"):
            found = waited._standing()
            if found is not None:
                if "peer" in found:
                    found["peer"] = name_of_peer(found["peer"])
                return found
        deadline = self.deadlines.get(address(waited))
        if deadline is not None:
            return {"kind": "sleep", "seconds_left": self.left(deadline)}
        found = hint(coroutines, row)
        if found is not None:
            return self.locked_row(row, found)
        return behind(waited, row)

    def locked_row(self, row, found):
        """Note that a holder is to be found, of what a task waits for."""
        if found is None:
            return found
        taker = found.pop("taker", 0)
        if taker:
            self.taken.append((row, found, taker))
        elif "holders" in found or ("holder" in found and not found["free"]):
            self.locked.append((row, found))
        return found


@cython.cfunc
@cython.exceptval(-1)
def look_for_exits(task, coro, wanted: dict, waiting: set) -> cython.int:
    frames: list = []
    coroutines: list = []
    seen: set = set()
    walk(coro, frames, coroutines)
    for coroutine in coroutines:
        values: list = _referents(coroutine)
        place: cython.Py_ssize_t
        for place in range(len(values)):
            value = values[place]
            lock = None
            if is_exit(value):
                if type(value) is types.MethodType or type(value) is types.BuiltinMethodType:
                    lock = value.__self__
                elif place + 1 < len(values):
                    lock = values[place + 1]  # from Python 3.14: the function, and behind it what it is called on
            if lock is None:
                continue
            if not isinstance(lock, LockCore):
                inner = attribute(lock, "_lock") if type_name(type(lock)) == "Condition" else None
                lock = inner if inner is not None else lock
            number = address(lock)
            if number not in wanted or number in seen or (identity(task), number) in waiting:
                continue
            if waits_to_be_notified(coroutines, lock):
                continue
            seen.add(number)
            name_holder(task, wanted[number])
    return 0


@cython.cfunc
def waits_to_be_notified(coroutines: list, lock) -> cython.bint:
    """Whether a task is inside a condition's wait(), which lets go of its lock."""
    for coroutine in coroutines:
        if kind_of_place(coroutine) == "event":
            itself = local_of(coroutine, "self")
            if itself is not None and attribute(itself, "_lock") is lock:
                return True
    return False


@cython.cfunc
def is_exit(value) -> cython.bint:
    kind = type(value)
    if kind is types.MethodType:
        value = value.__func__
        kind = type(value)
    if (
        kind is types.FunctionType
        or kind is types.BuiltinFunctionType
        or kind is types.MethodDescriptorType
        or _type_short_name(kind) == "cython_function_or_method"
    ):
        return plain(value.__name__) == "__aexit__"
    return False


@cython.cfunc
def walk(coro, frames: list, coroutines: list) -> cython.bint:
    """Follow the awaits from a coroutine down: [(code, instruction)] and the coroutines; return whether it runs now."""
    running: cython.bint = False
    while coro is not None and len(coroutines) < DEEPEST:
        kind = type(coro)
        if kind is _COROUTINE:
            running = running or coro.cr_running
            frame = coro.cr_frame
            following = coro.cr_await
        elif kind is _GENERATOR:
            running = running or coro.gi_running
            frame = coro.gi_frame
            following = coro.gi_yieldfrom
        elif kind is _ASYNC_GENERATOR:
            frame = coro.ag_frame
            following = coro.ag_await
        else:
            following = inside(coro, kind)
            frame = None
            if following is None:
                break
            coro = following
            continue
        if frame is not None:
            coroutines.append(coro)
            frames.append((frame.f_code, frame.f_lasti))
        coro = following
    return running


@cython.cfunc
def inside(wrapper, kind):
    """The generator or coroutine in what `async for`, `anext()` and `__await__()` put around it."""
    if _type_module(kind) != "builtins" or wrapper is None:
        return None
    for found in _referents(wrapper):
        if type(found) is _ASYNC_GENERATOR or type(found) is _COROUTINE or type(found) is _GENERATOR:
            return found
    return None


@cython.cfunc
def attribute(owner, name):
    """An attribute, if reading it runs no code of the program; else None."""
    found: cython.pointer(PyObject) = attribute_raw(cython.cast(cython.pointer(PyObject), owner), name)
    return steal(found) if found != cython.NULL else None


@cython.cfunc
def local_of(coroutine, name):
    """A local variable of a suspended coroutine, or None."""
    kind = type(coroutine)
    if kind is _COROUTINE:
        frame = coroutine.cr_frame
    elif kind is _GENERATOR:
        frame = coroutine.gi_frame
    else:
        frame = coroutine.ag_frame
    if frame is None:
        return None
    found: cython.pointer(PyObject) = frame_local(cython.cast(cython.pointer(PyObject), frame), name)
    return steal(found) if found != cython.NULL else None


@cython.cfunc
def ours(kind) -> cython.bint:
    module = plain(_type_module(kind))
    return module is not None and module.startswith("clearloop.")


@cython.cfunc
def is_done(future) -> cython.bint:
    if isinstance(future, Future):
        return cython.cast(Future, future).state != PENDING
    if is_a(type(future), _FUTURE):
        return bool(_FUTURE.done(future))
    return False


@cython.cfunc
def waits_in_line(line: Line, coroutines: list):
    if line is None:
        return {"kind": "future", "type": "Waiter"}
    found: dict = {"kind": "line", "type": type_name(type(line)), "object": address(line), "waiting": line.count}
    if isinstance(line, LockCore):
        found["kind"] = "lock"
        found["holder"] = None
        found["free"] = not cython.cast(LockCore, line).taken
        found["taker"] = cython.cast(LockCore, line).taker if cython.cast(LockCore, line).taken else 0
    elif isinstance(line, EventCore):
        found["kind"] = "event"
    elif isinstance(line, SemaphoreCore):
        found["kind"] = "semaphore"
        found["holders"] = []
    elif isinstance(line, Putters):
        found["kind"] = "queue put"
        name_queue(found, cython.cast(Putters, line).queue)
    elif isinstance(line, QueueCore):
        found["kind"] = "queue get"
        name_queue(found, line)
    elif ours(type(line)) and _type_short_name(type(line)) == "Condition":
        found["kind"] = "condition"
    else:
        for base in _type_bases(type(line)):
            if _type_short_name(base) == "Condition" and ours(base):
                found["kind"] = "condition"
                return found
        queue = local_of(coroutines[len(coroutines) - 1], "self") if coroutines else None
        if isinstance(queue, QueueCore):
            found["kind"] = "queue join"
            name_queue(found, queue)
            found["unfinished"] = cython.cast(QueueCore, queue).unfinished
    return found


@cython.cfunc
@cython.exceptval(-1)
def name_queue(found: dict, queue: QueueCore) -> cython.int:
    found["type"] = type_name(type(queue))
    found["object"] = address(queue)
    if not queue.custom:
        found["size"] = queue.size()
        found["limit"] = queue.limit
    return 0


@cython.cfunc
def children_of(row: dict, kind, children):
    """Of gather, wait and a group: those that are not done yet."""
    left: cython.Py_ssize_t = 0
    count: cython.Py_ssize_t = 0
    if type(children) is set or type(children) is list or type(children) is tuple or type(children) is dict:
        for child in list(children):
            count += 1
            if is_done(child):
                continue
            left += 1
            if left <= MOST_CHILDREN and task_name(child) is not None:
                row["awaits"].append(identity(child))
    return {"kind": kind, "left": left, "of": count}


@cython.cfunc
def hint(coroutines: list, row: dict):
    """What the innermost known coroutine function waits for, judged by its name and its `self`."""
    place: cython.Py_ssize_t = len(coroutines) - 1
    least: cython.Py_ssize_t = place - 3
    while place >= 0 and place > least:
        kind = kind_of_place(coroutines[place])
        if kind == "event" and place > 0 and kind_of_place(coroutines[place - 1]) == "queue join":
            place -= 1  # asyncio's queue is joined by way of an event of its own
            kind = "queue join"
        if kind is not None:
            return hinted(kind, coroutines[place], row)
        place -= 1
    return None


@cython.cfunc
def kind_of_place(coroutine):
    if type(coroutine) is not _COROUTINE:
        return None
    code = coroutine.cr_code
    name = plain(code.co_name)
    path = code.co_filename
    if type(path) is not str or name is None:
        return None
    for (tail, function), kind in _PLACES.items():
        if function == name and path.endswith(tail):
            return kind
    return None


@cython.cfunc
def hinted(kind, coroutine, row: dict):
    itself = local_of(coroutine, "self")
    what = type_name(type(itself)) if itself is not None else None
    found: dict = {"kind": kind, "type": what}
    if itself is not None:
        found["object"] = address(itself)
    if kind == "lock":
        if what is not None and "Semaphore" in what:
            found["kind"] = "semaphore"
            found["holders"] = []
        else:
            found["holder"] = None
            found["free"] = attribute(itself, "_locked") is False
        found["waiting"] = length(attribute(itself, "_waiters"))
    elif kind == "event":
        if what == "Condition":
            found["kind"] = "condition"
        found["waiting"] = length(attribute(itself, "_waiters"))
    elif kind == "queue get" or kind == "queue put" or kind == "queue join":
        found["size"] = length(attribute(itself, "_queue"))
        limit = attribute(itself, "_maxsize")
        found["limit"] = limit if type(limit) is int else None
        unfinished = attribute(itself, "_unfinished_tasks")
        if kind == "queue join" and type(unfinished) is int:
            found["unfinished"] = unfinished
    elif kind == "group":
        return children_of(row, "group", attribute(itself, "_tasks") if itself is not None else None)
    elif kind == "tasks":
        return children_of(row, "wait", local_of(coroutine, "fs"))
    elif kind == "end":
        future = local_of(coroutine, "fut")
        if future is None:
            future = local_of(coroutine, "future")
        return behind(future, row) if future is not None else None
    elif kind == "reading" or kind == "writing":
        transport = attribute(itself, "_transport") if itself is not None else None
        return {"kind": "socket", "operation": kind, "peer": peer_of(transport), "fd": None}
    elif kind == "process":
        pid = attribute(itself, "_pid") if itself is not None else None
        found["pid"] = pid if type(pid) is int else None
    return found


@cython.cfunc
def length(container):
    kind = type(container)
    if container is None:
        return 0
    if kind is list or kind is set or kind is dict or type_name(kind) == "deque":
        return len(container)
    return None


@cython.cfunc
def peer_of(transport):
    """The peer's name, of a transport of ours or asyncio's."""
    if transport is None:
        return None
    module = plain(_type_module(type(transport)))
    if module is None or not module.startswith("clearloop."):
        extra = attribute(transport, "_extra")
        return name_of_peer(dict.get(extra, "peername")) if type(extra) is dict else None
    return name_of_peer(transport.get_extra_info("peername")) if hasattr(transport, "get_extra_info") else None


def name_of_peer(address):
    """host:port, or the path; None when it is not known."""
    if type(address) is tuple and len(address) >= 2 and type(address[0]) is str and type(address[1]) is int:
        return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    if type(address) is bytes:
        address = address.decode(errors="replace")
    return plain(address) or None


@cython.cfunc
def behind(future, row: dict):
    """A future of which only its kind is known; if tasks will settle it, those."""
    if task_name(future) is not None:
        row["awaits"].append(identity(future))
        return {"kind": "task", "task": identity(future), "name": task_name(future)}
    children = attribute(future, "_children") if type_name(type(future)) == "_GatheringFuture" else None
    if type(children) is list:
        return children_of(row, "gather", children)
    stage = stage_of_job(future)
    if stage is not None:
        return {"kind": "job", "function": None, "stage": stage, "seconds": None, "worker": None}
    return {"kind": "future", "type": type_name(type(future))}


@cython.cfunc
def stage_of_job(future):
    """How far a job is, of a future of asyncio's that stands for one in an executor; None: it does not."""
    if _CANCELS_SOURCE is None or not is_a(type(future), _FUTURE) or not hasattr(_FUTURE, "_callbacks"):
        return None
    source = chained_to(_FUTURE._callbacks.__get__(future))
    if source is None or chained_to(attribute(source, "_done_callbacks")) is not None:  # a coroutine in another thread
        return None
    return {"PENDING": "queued", "RUNNING": "running", "FINISHED": "ended"}.get(attribute(source, "_state"))


@cython.cfunc
def chained_to(callbacks):
    """What asyncio has chained a future to, to be cancelled with it: a future of concurrent.futures, or of its own."""
    if type(callbacks) is not list:
        return None
    for callback in list(callbacks):
        if type(callback) is tuple and callback:
            callback = callback[0]
        if type(callback) is not types.FunctionType or callback.__code__ is not _CANCELS_SOURCE:
            continue
        place = _CANCELS_SOURCE.co_freevars.index("source")
        return cell_value(callback.__closure__[place])
    return None


@cython.cfunc
def cell_value(cell):
    for found in _referents(cell):
        return found
    return None
