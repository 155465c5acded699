"""Looking at a thread that is stuck, from the watchdog's: its frames, and what a name stands for in one of them.

Each function here runs in one go: it is compiled, calls no Python code and keeps the garbage collector out, so the GIL
changes hands nowhere in it and what it sees is true at one moment.  It gives back code objects, positions and strings;
no frame, no object of the program is kept.
"""

import types

import cython
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.capi import Py_DECREF_raw, steal
from cython.cimports.clearloop.system.frames import (
    PyGC_Disable,
    PyGC_Enable,
    attribute_raw,
    frame_back,
    frame_code,
    frame_globals,
    frame_lasti,
    frame_local,
    thread_frame,
)
from cython.cimports.clearloop.system.probe import STOPPED
from cython.cimports.cpython.ref import PyObject

from clearloop.engine.names import plain, type_name

MOST = cython.declare(cython.Py_ssize_t, 3000)  # frames; deeper ones are not looked at
_METHODS = cython.declare(
    tuple, (types.MethodDescriptorType, types.ClassMethodDescriptorType, types.WrapperDescriptorType)
)
_type_short_name = cython.declare(object, type.__dict__["__name__"].__get__)
_type_module = cython.declare(object, type.__dict__["__module__"].__get__)


def walk(thread, end):
    """[(code, instruction offset, globals)], innermost first, up to the frame that runs `end`."""
    found: list = []
    frame: cython.pointer(PyObject) = thread_frame(thread)
    back: cython.pointer(PyObject)
    while frame != cython.NULL:
        code = frame_code(frame)
        if code is end and end is not None:
            Py_DECREF_raw(frame)
            break
        found.append((code, frame_lasti(frame), frame_globals(frame)))
        back = frame_back(frame) if len(found) < MOST else cython.NULL
        Py_DECREF_raw(frame)
        frame = back
    return found


def frames_of(loop: Scheduler, end):
    """The frames of the step that the loop runs, up to the one that runs the code `end`; None when it does not run."""
    if loop.probe.activity == STOPPED or loop.thread_id == 0:
        return None
    collects: cython.bint = PyGC_Disable()
    try:
        return walk(loop.probe.thread, end)
    finally:
        if collects:
            PyGC_Enable()


def resolve(loop: Scheduler, depth: cython.Py_ssize_t, code, lasti: cython.int, names: tuple):
    """The dotted name of what `names`, say ("self", "db", "execute"), stands for in the frame at `depth`.

    None when it cannot be told without running code of the program, or when the frame has gone on.
    """
    if loop.probe.activity == STOPPED or loop.thread_id == 0:
        return None
    return resolve_in(thread_frame(loop.probe.thread), depth, code, lasti, names)


def resolve_in(frame: cython.pointer(PyObject), depth: cython.Py_ssize_t, code, lasti: cython.int, names: tuple):
    """resolve(), `depth` frames outwards from `frame`, which it takes."""
    collects: cython.bint = PyGC_Disable()
    value: cython.pointer(PyObject) = cython.NULL
    back: cython.pointer(PyObject)
    try:
        while frame != cython.NULL and depth > 0:
            back = frame_back(frame)
            Py_DECREF_raw(frame)
            frame = back
            depth -= 1
        if frame == cython.NULL or frame_code(frame) is not code or frame_lasti(frame) != lasti:
            return None
        value = frame_local(frame, names[0])
        if value != cython.NULL:
            return dotted(steal(value), names)
        return resolve_global(frame_globals(frame), names)
    finally:
        if frame != cython.NULL:
            Py_DECREF_raw(frame)
        if collects:
            PyGC_Enable()


def resolve_global(namespace, names: tuple):
    """As resolve(), for a name of a module or a builtin."""
    if type(namespace) is not dict:
        return None
    missing = object()
    value = dict.get(namespace, names[0], missing)
    if value is missing:
        builtins = dict.get(namespace, "__builtins__", missing)
        if type(builtins) is types.ModuleType:
            builtins = builtins.__dict__
        if type(builtins) is not dict:
            return None
        value = dict.get(builtins, names[0], missing)
        if value is missing:
            return None
    return dotted(value, names)


@cython.cfunc
def dotted(value, names: tuple):
    """The name of the callable at the end of the chain of attributes."""
    found: cython.pointer(PyObject)
    owner = None
    name: str
    for name in names[1:]:
        owner = value
        found = attribute_raw(cython.cast(cython.pointer(PyObject), value), name)
        if found == cython.NULL:
            return None
        value = steal(found)
    return name_of(value, owner)


@cython.cfunc
def name_of(value, owner):
    kind = type(value)
    if kind is types.MethodType:
        value = value.__func__
        kind = type(value)
    if kind is staticmethod or kind is classmethod:
        value = value.__func__
        kind = type(value)
    if kind is types.BuiltinFunctionType:
        itself = value.__self__
        if type(itself) is types.ModuleType or itself is None:
            return joined(value.__module__, value.__name__)
        return joined(of_type(itself if isinstance(itself, type) else type(itself)), value.__name__)
    if one_of(kind, _METHODS):
        # the class that the program knows, not the one that the method comes from
        return joined(of_type(type(owner) if not isinstance(owner, type) else owner), value.__name__)
    if kind is types.FunctionType:
        return joined(value.__module__, value.__qualname__)
    if _type_short_name(kind) == "cython_function_or_method":
        return joined(value.__module__, value.__qualname__)
    if isinstance(value, type):
        return of_type(value)
    return joined(of_type(kind), "__call__")


@cython.cfunc
def one_of(kind, kinds: tuple) -> cython.bint:
    """Whether a class is one of several: by identity, since `in` asks the metaclass."""
    for known in kinds:
        if kind is known:
            return True
    return False


@cython.cfunc
def of_type(kind):
    return joined(plain(_type_module(kind)), type_name(kind))


@cython.cfunc
def joined(module, name):
    module = plain(module)
    name = plain(name)
    if name is None:
        return None
    return f"{module}.{name}" if module and module != "builtins" else name
