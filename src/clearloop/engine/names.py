"""What stands in the loop's queues, in words, for people who ask who waits.

It may be asked at any time, in the middle of a turn, of objects that belong to the program.  So no code of the program
runs here: no `__repr__`, no property, no `__getattr__`; only attributes that C code answers for.
"""

import asyncio
import functools
import threading
import types
import weakref

import cython
from cython.cimports.clearloop.engine.future import Future
from cython.cimports.clearloop.engine.handle import Handle
from cython.cimports.clearloop.engine.readiness import Descriptor
from cython.cimports.clearloop.engine.runnable import Runnable, Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timeout_core import Alarm, Timeout
from cython.cimports.clearloop.system.poller import WRITABLE

LONGEST = 200  # characters of a name

_type_name = cython.declare(object, type.__dict__["__qualname__"].__get__)
_type_short_name = cython.declare(object, type.__dict__["__name__"].__get__)
_type_bases = cython.declare(object, type.__dict__["__mro__"].__get__)
_FOREIGN_TASK = cython.declare(object, asyncio.Task)
_FUNCTIONS = cython.declare(tuple, (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType))
_COMPILED = cython.declare(tuple, ("cython_function_or_method", "fused_cython_function"))
_COROUTINES = cython.declare(tuple, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))
# Callbacks of asyncio's timers that only resolve the future which they are given first; the second is of Python 3.11
_SLEPT = cython.declare(object, asyncio.futures._set_result_unless_cancelled)
_RELEASED = cython.declare(object, getattr(asyncio.tasks, "_release_waiter", _SLEPT))
_of_reader = cython.declare(object, asyncio.StreamReader.__dict__["__dict__"].__get__)
_of_protocol = cython.declare(object, asyncio.streams.FlowControlMixin.__dict__["__dict__"].__get__)
_STEP = cython.declare(object, "TaskStepMethWrapper")


def _chained():
    """The code by which asyncio.wrap_future() hands a concurrent future's outcome to a future of the loop."""
    code = getattr(getattr(asyncio.futures, "_chain_future", None), "__code__", None)
    for constant in code.co_consts if code is not None else ():
        if isinstance(constant, types.CodeType) and constant.co_name == "_set_state":
            return constant
    return None


_CHAINED = cython.declare(object, _chained())


def plain(text):
    """A string that is nothing but a string, and not too long."""
    if not isinstance(text, str):
        return None
    text = str.__str__(text) if type(text) is str else "".join(list(str.__iter__(text)))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def type_name(kind):
    """The name of a class, whatever its metaclass says."""
    return plain(_type_name(kind)) or "?"


def task_name(task):
    """The name of a task of ours or of asyncio's own; None for anything else."""
    if isinstance(task, Task):
        return plain(Task.get_name(task))
    for base in _type_bases(type(task)):
        if base is _FOREIGN_TASK:
            try:
                return plain(_FOREIGN_TASK.get_name(task))
            except Exception:
                return None
    return None


def task_behind(entry):
    """The task that goes on when `entry` runs, or None."""
    reading: cython.bint = True
    for _ in range(12):
        if entry is None or isinstance(entry, Task):
            return entry
        if isinstance(entry, Future):
            entry = cython.cast(Future, entry).waiter
            if type(entry) is list:
                entry = next((one for one in entry if isinstance(one, Task)), entry[0])
        elif isinstance(entry, Timeout):
            entry = cython.cast(Timeout, entry).task
        elif isinstance(entry, Alarm):
            entry = cython.cast(Alarm, entry).timeout
        elif isinstance(entry, Handle):
            handle: Handle = entry
            entry = handle.callback
            if handle.args and (
                entry is _SLEPT
                or entry is _RELEASED
                or (type(entry) is types.FunctionType and entry.__code__ is _CHAINED)
            ):
                entry = handle.args[0]  # asyncio.sleep(), wait_for(), a concurrent future's outcome
        elif type(entry) is functools.partial:
            entry = entry.func
        elif type(entry) is types.MethodType or type(entry) is types.BuiltinMethodType:
            entry = entry.__self__
            if type(entry) is asyncio.Timeout:
                entry = entry._task
            elif not isinstance(entry, (Task, Future)):
                return entry if task_name(entry) is not None else None
        elif _type_short_name(type(entry)) == _STEP:
            return getattr(entry, "__self__", None)
        elif isinstance(entry, Runnable):
            if isinstance(entry, Source):
                reading = cython.cast(Source, entry).revents != WRITABLE
            waits_for = getattr(entry, "_waits_for", None)  # a child of a gather, an item of amap: for whom?
            found = waits_for() if waits_for is not None else getattr(entry, "_waited_for", None)
            entry = found if found is not None else protocol_of(entry)
        elif task_name(entry) is not None:
            return entry
        else:
            entry = awaited_behind(entry, reading)
    return None


@cython.cfunc
def protocol_of(entry):
    """The protocol of the program's, whatever lies between; None for an entry that is no transport."""
    protocol = entry
    while isinstance(protocol, Runnable) and hasattr(protocol, "get_protocol"):
        protocol = protocol.get_protocol()
    return protocol if protocol is not entry else None


@cython.cfunc
def awaited_behind(entry, reading: cython.bint):
    """What a task waits for in a stream of asyncio's, or in another protocol that can tell; None where none can."""
    for base in _type_bases(type(entry)):
        if base is asyncio.StreamReader:
            return _of_reader(entry).get("_waiter")
        if base is asyncio.StreamReaderProtocol:
            values: dict = _of_protocol(entry)
            reference = values.get("_stream_reader_wr")
            reader = reference() if type(reference) is weakref.ref else None
            if reading and isinstance(reader, asyncio.StreamReader):
                found = awaited_behind(reader, reading)
                if found is not None:
                    return found
            return next((one for one in values.get("_drain_waiters", ()) if isinstance(one, Future)), None)
        if type(base) is type and "_awaited" in base.__dict__ and base.__module__.startswith("clearloop."):
            return entry._awaited()
    return None


@cython.cfunc
def one_of(kind, kinds: tuple) -> cython.bint:
    """Whether a class is one of several: by identity, since `in` asks the metaclass."""
    for known in kinds:
        if kind is known:
            return True
    return False


@cython.cfunc
def is_function(kind) -> cython.bint:
    return one_of(kind, _FUNCTIONS) or _type_short_name(kind) in _COMPILED


def callback_name(callback):
    """A callable in words: its qualified name, and its module when that is not the main one."""
    bound = ""
    for _ in range(8):
        kind = type(callback)
        if kind is functools.partial:
            callback = callback.func
        elif kind is types.MethodType:
            bound = type_name(type(callback.__self__)) if not isinstance(callback.__self__, type) else ""
            callback = callback.__func__
        else:
            break
    kind = type(callback)
    if is_function(kind):
        name = plain(callback.__qualname__) or "?"
        if kind is types.BuiltinFunctionType:
            owner = callback.__self__
            if type(owner) is types.ModuleType:
                module = plain(callback.__module__)
                return f"{module}.{name}" if module and module != "builtins" else name
            return name
        if bound and "." not in name:
            return f"{bound}.{name}"
        return name
    if isinstance(callback, type):
        return type_name(callback)
    return f"{type_name(kind)} object"


def coroutine_name(coro):
    """The qualified name of a coroutine or generator."""
    if one_of(type(coro), _COROUTINES):
        return plain(coro.__qualname__)
    return f"{type_name(type(coro))} object" if coro is not None else None


def describe(entry):
    """(name of the task or None, what runs in words or None)."""
    task = task_behind(entry)
    if task is not None:
        name = task_name(task)
        if isinstance(task, Task):
            return name, coroutine_name(cython.cast(Task, task).coro)
        return name, None
    if isinstance(entry, Descriptor):
        return describe_descriptor(entry)
    if isinstance(entry, Handle):
        if cython.cast(Handle, entry).callback is None:
            return None, None
        return None, callback_name(cython.cast(Handle, entry).callback)
    protocol = protocol_of(entry)
    if protocol is not None:
        return None, type_name(type(protocol))
    return None, type_name(type(entry))


@cython.cfunc
def describe_descriptor(entry: Descriptor):
    handle = entry.reader if entry.reader is not None else entry.writer
    if handle is None:
        return None, f"file descriptor {entry.fd}"
    task, callback = describe(handle)
    return task, callback or f"file descriptor {entry.fd}"


def running(loop: Scheduler):
    """describe() of what the loop runs now; inside a task that began eagerly, that task."""
    current = None
    try:
        current = asyncio.current_task(loop)
    except Exception:
        pass
    if current is not None:
        name = task_name(current)
        if isinstance(current, Task):
            return name, coroutine_name(cython.cast(Task, current).coro)
        if name is not None:
            return name, None
    if loop.entry == cython.NULL:
        return None, None
    return describe(cython.cast(object, loop.entry))


def thread_name(ident):
    """The name of a Python thread."""
    thread = dict.get(threading._active, ident)
    return plain(getattr(thread, "_name", None)) or f"{ident}"
