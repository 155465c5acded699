"""What stands in the loop's queues, in words, for people who ask who waits.

It may be asked at any time, in the middle of a turn, of objects that belong to the program.  So no code of the program
runs here: no `__repr__`, no property, no `__getattr__`; only attributes that C code answers for.
"""

import asyncio
import functools
import threading
import types

import cython
from cython.cimports.clearloop.engine.future import Future
from cython.cimports.clearloop.engine.handle import Handle
from cython.cimports.clearloop.engine.readiness import Descriptor
from cython.cimports.clearloop.engine.runnable import Runnable
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.engine.task import Task
from cython.cimports.clearloop.engine.timeout_core import Alarm, Timeout

LONGEST = 200  # characters of a name

_type_name = cython.declare(object, type.__dict__["__qualname__"].__get__)
_type_short_name = cython.declare(object, type.__dict__["__name__"].__get__)
_type_bases = cython.declare(object, type.__dict__["__mro__"].__get__)
_FOREIGN_TASK = cython.declare(object, asyncio.Task)
_FUNCTIONS = cython.declare(tuple, (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType))
_COMPILED = cython.declare(tuple, ("cython_function_or_method", "fused_cython_function"))
_COROUTINES = cython.declare(tuple, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))
_SLEPT = cython.declare(object, asyncio.futures._set_result_unless_cancelled)
_STEP = cython.declare(object, "TaskStepMethWrapper")


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
    for _ in range(8):
        if isinstance(entry, Task):
            return entry
        if isinstance(entry, Future):
            entry = cython.cast(Future, entry).waiter
        elif isinstance(entry, Timeout):
            entry = cython.cast(Timeout, entry).task
        elif isinstance(entry, Alarm):
            entry = cython.cast(Alarm, entry).timeout
        elif isinstance(entry, Handle):
            handle: Handle = entry
            entry = handle.callback
            if entry is _SLEPT and handle.args:
                entry = handle.args[0]  # asyncio.sleep(): the future that the callback resolves
        elif type(entry) is functools.partial:
            entry = entry.func
        elif type(entry) is types.MethodType or type(entry) is types.BuiltinMethodType:
            entry = entry.__self__
            if not isinstance(entry, (Task, Future)):
                return entry if task_name(entry) is not None else None
        elif _type_short_name(type(entry)) == _STEP:
            return getattr(entry, "__self__", None)
        elif isinstance(entry, Runnable):
            entry = getattr(entry, "_waited_for", None)
        else:
            return entry if task_name(entry) is not None else None
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
    protocol = getattr(entry, "get_protocol", None) if isinstance(entry, Runnable) else None
    if protocol is not None:
        return None, type_name(type(protocol()))
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
